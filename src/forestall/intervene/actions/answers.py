"""What the other side answered to one call; a failing network is an answer too."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Ended = Literal[
    "done", "missing", "refused", "busy", "unreachable", "blocked-address", "timeout", "uncertain"
]
"""``missing``: there is no such thing. ``refused``: it will not be done. ``busy``: not now.
``unreachable`` and ``blocked-address``: it was never asked. ``timeout`` and ``uncertain``: it was, and
what came of it is not known."""

NEVER_ASKED: frozenset[Ended] = frozenset(["unreachable", "blocked-address"])
UNKNOWN: frozenset[Ended] = frozenset(["timeout", "uncertain"])

_ABSENT: Any = object()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How one call ended; ``body`` is JSON data, ``retry_after`` a duration in microseconds."""

    ended: Ended
    body: Any = None
    detail: str = ""
    status: int | None = None
    retry_after: int | None = None

    @property
    def reason(self) -> str:
        """The stable word for an outcome that failed so."""
        return "unreachable" if self.ended == "busy" else self.ended

    @property
    def again(self) -> bool:
        """Whether another attempt may do better."""
        return self.ended in ("busy", "unreachable", "timeout", "uncertain")


class BadArguments(Exception):
    """Arguments that cannot be sent; the message says which, and never their values."""


def fields_of(body: Any, output: Mapping[str, str]) -> dict[str, Any]:
    """The declared fields of an answer, by JSON Pointer (RFC 6901); null where it lacks one."""
    found = {name: pointed(body, pointer) for name, pointer in output.items()}
    return {name: None if value is _ABSENT else value for name, value in found.items()}


def pointed(body: Any, pointer: str) -> Any:
    """What a JSON Pointer leads to; a value of its own where there is nothing."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(body, dict):
            body = body.get(key, _ABSENT)
        elif isinstance(body, list) and key.isascii() and key.isdigit() and int(key) < len(body):
            body = body[int(key)]
        else:
            return _ABSENT
    return body
