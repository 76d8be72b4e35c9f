"""Flags as something under change control, and as the control stream tells of them. Pure."""

from collections.abc import Iterable

import msgspec

from forestall.contracts.control import Control, FlagsApplied, Transition
from forestall.contracts.flags import Value


class InForce(msgspec.Struct, frozen=True):
    """A flag as it is now: who made it so, why, and since which log time (microseconds)."""

    name: str
    value: Value
    by: str
    why: str
    since: int


class FlagChange(msgspec.Struct, frozen=True):
    """One change of a flag at log time ``at``; none stands for not being set."""

    name: str
    before: Value | None
    after: Value | None
    by: str
    why: str
    at: int


def changes(controls: Iterable[Control]) -> list[FlagChange]:
    """Every change of a flag, in order, by name where they came together.

    Who and why is said by the flag's own transition in a managed deployment, else by the record of
    all flags.
    """
    flags: dict[str, Value] = {}
    told: dict[str, tuple[str, str]] = {}
    found = []
    for one in controls:
        if isinstance(one, Transition) and one.artifact == "flag":
            told[one.name] = one.by, one.why
        if not isinstance(one, FlagsApplied):
            continue
        for name in sorted(flags.keys() | one.flags.keys()):
            before, after = flags.get(name), one.flags.get(name)
            if not same(before, after):
                by, why = told.get(name, (one.by, one.why))
                found.append(FlagChange(name, before, after, by, why, one.received))
        flags, told = dict(one.flags), {}
    return found


def in_force(controls: Iterable[Control]) -> list[InForce]:
    """The flags that are set now, by name."""
    held: dict[str, InForce] = {}
    for one in changes(controls):
        held.pop(one.name, None)
        if one.after is not None:
            held[one.name] = InForce(one.name, one.after, one.by, one.why, one.at)
    return [held[name] for name in sorted(held)]


def same(one: Value | None, other: Value | None) -> bool:
    """Whether two values are the same, and of the same type: true is not 1."""
    return type(one) is type(other) and one == other


def read(text: str) -> Value:
    """A value as people write it: ``true``, ``false``, a number, or else a text.

    A JSON string stands for itself, so that ``'"1"'`` is a text.
    """
    try:
        return msgspec.json.decode(text, type=bool | int | float | str)
    except msgspec.DecodeError:
        return text
