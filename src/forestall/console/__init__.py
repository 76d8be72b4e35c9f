"""Show: a page on which a person sees what the server is doing right now.

``watch`` reads the logs as they grow and keeps totals in memory; it never writes. ``overview``
says what the page is told, as plain data. ``page`` is the bare ASGI application that serves the
page and ``/console/overview.json``. The page itself lies in ``static/``; it loads nothing else.
"""
