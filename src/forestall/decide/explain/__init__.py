"""Explain: why a policy acted for a customer at a moment, or why it did not, and what would differ.

The answer comes from the log alone: the subject's own records are decided again up to the moment,
which is cheap because the log finds them by subject. ``replay`` decides and notes, ``gates`` and
``progress`` say what stood in the way, ``changes`` are the words for what would have to differ,
``search`` finds them (each claim is decided again before it is made) by trying a different ``course``
of events, ``fitting`` makes events that a condition accepts, ``telling`` has the sentences, and
``answer`` puts it together.
"""

from forestall.decide.explain.answer import Explanation, explain, text

__all__ = ["Explanation", "explain", "text"]
