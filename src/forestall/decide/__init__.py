"""Choose: from the records of a subject to decisions, each with its reason.

In order: ``plan`` says which conditions, features and patterns an event type concerns;
``patterns`` advance by one event; ``gates`` refuse a candidate or let it pass; ``engine`` ties
them together (pure: records in, decisions out). ``stage`` runs the engine over the log,
``backtest`` over history, ``explain`` answers why and why not, ``examine`` runs policy tests.
"""
