"""Accept: the front door. An event comes in over HTTP and is on disk before it is answered.

``gateway`` is the ASGI app; ``sources/`` reads what others send, one dialect a file; ``admit`` is
the list of checks, in order; ``commit`` takes what passed, finds whose it is (``placing``), and
appends it in one transaction with one fsync; ``quarantine`` keeps what did not pass. ``serve``
puts the pieces together and runs them.
"""
