"""The only wiring: which processes there are and what each of them runs.

``supervisor`` starts ``gateway``, ``worker`` and ``app`` (the effects) as processes of their own, restarts one that
dies, and stops them in that order, so that nothing new is accepted while the rest is finished.
"""
