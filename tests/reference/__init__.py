"""A brute-force reference of the policy language, to hold the engine against.

It keeps no pattern state: every question (does this event complete a match, which timer stands,
what is a feature's value, which gate refuses) is answered by going through the subject's whole
history again. It shares no code with the engine, only the shared words (``Policy``, ``Control``).
``deciding.decide`` is the entry; ``history`` reads events, ``matching`` enumerates matches,
``windows`` computes features, ``gating`` gates and arbitration, ``expressions`` the conditions.
"""
