"""What a step filled, cut down to what an event may hold, so that its report always arrives.

A report that the gateway refuses is never heard, and its playbook would wait for good. So a value
that no event can carry is told as null, as one is that the answer lacked.
"""

from typing import Any

import msgspec

from forestall.ingest.letter import DEEPEST

LARGEST_FIELDS = 16_000
"""Bytes of JSON that the fields of one step have together; the longest are left out first."""

_MOST_BITS = 2**63


def tellable(fields: dict[str, Any]) -> dict[str, Any]:
    """``fields`` with null for what no event can carry: values nested too deep, integers of more
    than 64 bits, texts with a NUL, and the longest values where all are too long together."""
    told = {name: one if _plain(one, DEEPEST - 2) else None for name, one in fields.items()}
    sizes = {name: len(msgspec.json.encode(one)) for name, one in told.items()}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if sum(sizes.values()) <= LARGEST_FIELDS:
            break
        told[name], sizes[name] = None, 4
    return told


def _plain(value: Any, levels: int) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, int):
        return -_MOST_BITS <= value < _MOST_BITS
    if isinstance(value, list | tuple):
        return levels > 0 and all(_plain(one, levels - 1) for one in value)
    if isinstance(value, dict):
        return levels > 0 and all(
            _plain(key, 1) and _plain(one, levels - 1) for key, one in value.items()
        )
    return True
