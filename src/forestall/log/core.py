"""The keys of the index by subject in C, where that is compiled (``typed.pyx``), else in Python.

``keys`` is the twin: both write the same bytes. The environment variable ``FORESTALL_PURE`` asks for
Python.
"""

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING or os.environ.get("FORESTALL_PURE") or sys.byteorder != "little":
    TYPED = False
else:
    try:
        from forestall.log.typed import Gathered, keys_of, note, passing

        TYPED = True
    except ImportError:
        TYPED = False
if not TYPED:
    from forestall.log.keys import Gathered, keys_of, note, passing

CORE: Final = "typed" if TYPED else "python"
"""Which of the two is used."""

__all__ = ["CORE", "Gathered", "keys_of", "note", "passing"]
