"""Learn: who is kept aside, and what interventions changed.

``assign`` puts subjects into holdouts by a stable hash (pure); ``score`` tells how often an
intervention came before the ticket in a recorded history.
"""
