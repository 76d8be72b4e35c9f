"""Agents: what answers by judgement, within what its declaration grants.

``orchestrate`` is the way of one answer: the customer's mood first, then the model, asked step by
step through ``asking`` and ``provider``, each call paid for once by the ``ledger``. A model is given
masked data (``prompt``) and tools that we offer; what it proposes is checked (``guard``) before it
becomes a plan. Where it does not answer, or its answer is not taken, ``compose`` answers without one.
"""
