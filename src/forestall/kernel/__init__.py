"""Support for every room: settings, clock, database, telemetry; these four and no fifth.

``settings`` reads ``forestall.toml``. ``clock`` is the only place that may ask what time it is.
``database`` opens SQLite files the one right way. ``telemetry`` is logs, metrics and traces.
"""
