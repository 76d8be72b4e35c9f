"""The secrets of a deployment, so that none of them is ever said."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from forestall.kernel.settings import Settings

_NAMES = frozenset({"key", "secret", "secrets", "token", "password", "value"})
"""Settings that hold a secret, in whatever section they stand."""

SHORTEST = 8
"""Characters from which on a secret can be told from a word."""


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret in ``settings``, sorted."""
    return tuple(sorted(set(_found(settings, secret=False))))


def _found(value: Any, *, secret: bool) -> Iterator[str]:
    match value:
        case str():
            if secret and len(value) >= SHORTEST:
                yield value
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from _found(getattr(value, name), secret=name in _NAMES)
        case Mapping():
            for one in value.values():
                yield from _found(one, secret=secret)
        case list() | tuple():
            for one in value:
                yield from _found(one, secret=secret)
