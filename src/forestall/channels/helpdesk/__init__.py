"""Helpdesks: tickets go out once per case, and what people do with them comes back.

``port`` says what a connector does, ``memory`` is its twin for tests. ``request_tracker`` and
``email`` are the connectors; ``mailbox`` reads the replies that ``email`` understands. ``text``
writes a case down within a helpdesk's limits. ``desk`` makes a helpdesk a ``Desk``, which takes
the cases of a queue.
"""
