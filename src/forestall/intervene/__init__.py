"""Carry out: a decision becomes an intervention, step by step, and every step reports back.

``playbook`` is the pure state machine over the log. ``merge`` puts signals and decisions in their
one order. ``stage`` feeds it and commits state, messages, reports and intents together in
``store`` (the file app.db, of which the app process is the only writer). ``effects`` carries out
what leaves the process, at most once per key. ``reports`` sends what happened back to the gateway.
``run`` is the loop of it all.
"""
