"""Reach: carry a message to a customer, or a case to the people who help.

``base`` says what a channel is and what it answers. ``webhook`` posts to an endpoint after the
Standard Webhooks specification, with ``parking`` for endpoints that keep failing. ``inapp`` holds
the event streams of open pages. A connector is one file; it never raises for a failing network:
what went wrong is a ``Delivery``.
"""
