"""Learn: who is kept aside, and what interventions changed.

``assign`` puts subjects into holdouts by a stable hash (pure); ``score`` tells how often an
intervention came before the ticket in a recorded history. ``evaluation`` weighs what another choice
would have brought, on what ``logged`` reads; ``claims``, ``drift`` and ``stream_checks`` watch whether
models, customers and streams are still what they were. ``sequential`` bounds what is looked at again and
again; ``canary`` counts a canary's step by it, ``verdict`` judges, ``rollout`` says which steps there are.
"""
