"""Carry out: a decision becomes an intervention, step by step, and every step reports back.

``playbook`` is the pure state machine over the log. ``merge`` puts signals and decisions in their
one order. ``stage`` feeds it and commits state, messages, reports and intents together in
``store`` (``tables`` in SQLite or PostgreSQL, of which the app process is the only writer).
``effects`` starts what leaves the process, ``deliver`` makes each attempt, at most once per key and
after the last look at the door in ``surroundings``. ``reports`` sends what happened back to the
gateway. ``run`` is the loop of it all.
"""
