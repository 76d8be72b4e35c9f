"""Choose: from the records of a subject to decisions, each with its reason.

The engine, pure, in the order of an event: ``force`` knows what is in force; ``plan`` says which
conditions, features and patterns an event type concerns; ``ledger`` applies control events;
``patterns`` advance by one event; ``gates`` refuse a candidate or let it pass; ``arbitrate`` picks
one; ``engine`` ties them together over the ``state`` of each subject.
Around it: ``stage`` runs the engine over the log, ``backtest`` over a ``history``, ``explain``
answers why and why not, ``examine`` runs policy tests, ``difference`` compares two sets of policies.
"""
