"""Forestall helps a customer before the customer files a support ticket.

The way of an event, and the rooms it passes: ``ingest`` accepts, ``log`` remembers, ``context``
knows, ``decide`` chooses (obeying ``policy``), ``intervene`` carries out, ``channels`` reach,
``measure`` learns. ``contracts`` holds the words they share, ``kernel`` settings, clock, database
and telemetry, ``privacy`` identities and consent. ``app`` wires the stages, ``cli`` is the door.
``client`` is for others: what a company's own backend sends events with.
"""
