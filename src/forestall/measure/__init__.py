"""Learn: what deciding was worth, told honestly.

``score`` sets decisions beside a history in which customers asked for help, event by event and
without peeking ahead. It says how early friction was noticed; whether a contact would have been
avoided, only a holdout can tell.
"""
