"""The typed core, where it is there: what a subject's features and ids lie in.

``typed.pyx``, compiled by ``scripts/core.py``, keeps numbers in C memory; ``features`` and ``ids``
are its twins in Python. Both give the same answers and write the same content, so that a snapshot of
one is read by the other. The environment variable ``FORESTALL_PURE`` asks for Python.
"""

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING or os.environ.get("FORESTALL_PURE") or sys.byteorder != "little":
    TYPED = False
else:
    try:
        from forestall.context.typed import (
            Ids,
            Keyed,
            Near,
            Place,
            Remembered,
            Subject,
            Window,
            each,
            large_page_ahead,
            large_pages,
            restored,
        )

        TYPED = True
    except ImportError:
        TYPED = False
if not TYPED:
    from forestall.context.features import Keyed, Place, Window, restored
    from forestall.context.ids import Ids

    Near = None  # a dict alone finds them
    Remembered = None  # functools has its own
    Subject = None  # decide.state has its own
    each = None  # decide.engine has its own

    def large_pages() -> bool:
        """Only the typed core asks for large pages."""
        return False

    def large_page_ahead() -> bool:
        """There are none."""
        return False


CORE: Final = "typed" if TYPED else "python"
"""Which of the two is used."""

__all__ = [
    "CORE",
    "Ids",
    "Keyed",
    "Near",
    "Place",
    "Remembered",
    "Subject",
    "Window",
    "each",
    "large_page_ahead",
    "large_pages",
    "restored",
]
