"""What a queue's role may see of a case. Pure.

An ``agent`` sees everything. A ``partner``, who works for somebody else, sees what happened and what
to do, and nothing personal: no traits, no values that lookups, agents and actions gave or took, no plans, no
personal fields of events; and where such a value was quoted in words, it is blotted out there too.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from msgspec.structs import replace

from forestall.contracts.intervention import Case

Role = Literal["agent", "partner"]
"""Who stands behind a queue."""

BLOT = "[withheld]"
_SHORTEST = 3


def redacted(case: Case, role: Role) -> Case:
    """``case`` as ``role`` may see it; ``withheld`` names what is missing."""
    if role == "agent":
        return case
    blot = _blotting(_values(_personal(case)))
    return replace(
        case,
        title=blot(case.title),
        why=blot(case.why),
        features={name: _in(value, blot) for name, value in case.features.items()},
        taken=tuple(
            replace(one, reason=None if one.reason is None else blot(one.reason))
            for one in case.taken
        ),
        timeline=tuple(
            replace(
                one,
                fields={
                    name: _in(value, blot)
                    for name, value in one.fields.items()
                    if name not in one.personal
                },
            )
            for one in case.timeline
        ),
        seen=tuple(replace(one, title=blot(one.title), body=blot(one.body)) for one in case.seen),
        tried=tuple(
            replace(
                one,
                arguments={},
                fields={},
                evidence={},
                plan=None,
                inference=None,
                reason=None if one.reason is None else blot(one.reason),
            )
            for one in case.tried
        ),
        hypotheses=tuple(replace(one, why=blot(one.why)) for one in case.hypotheses),
        reply=None if case.reply is None else blot(case.reply),
        traits={},
        fields={},
        links={},
        withheld=tuple(_withheld(case)),
    )


def _withheld(case: Case) -> Iterator[str]:
    if case.traits:
        yield "traits"
    if case.fields or any(one.arguments or one.fields or one.evidence for one in case.tried):
        yield "looked up"
    if any(one.plan is not None for one in case.tried):
        yield "plans"
    if any(one.personal for one in case.timeline):
        yield "personal fields"
    if case.links:
        yield "links"


def _personal(case: Case) -> Iterator[Any]:
    yield case.traits
    yield case.fields
    for one in case.tried:
        yield from (one.arguments, one.fields, one.evidence)
        yield [] if one.plan is None else [wanted.arguments for wanted in one.plan.actions]
    for moment in case.timeline:
        yield from (moment.fields.get(name) for name in moment.personal)


def _values(given: Iterable[Any]) -> Iterator[str]:
    """Every text and number in nested values that is long enough to give something away."""
    for value in given:
        if isinstance(value, dict):
            yield from _values(value.values())
        elif isinstance(value, list | tuple):
            yield from _values(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value).strip()
            if len(text) >= _SHORTEST:
                yield text


def _blotting(values: Iterable[str]) -> Callable[[str], str]:
    """Replaces each of these values, the longest first, where it is no part of a longer word."""
    known = sorted(set(values), key=lambda text: (-len(text), text))
    if not known:
        return lambda text: text
    one = "|".join(re.escape(text) for text in known)
    pattern = re.compile(rf"(?<!\w)(?:{one})(?!\w)", re.IGNORECASE)
    return lambda text: pattern.sub(BLOT, text)


def _in(value: Any, blot: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return blot(value)
    if isinstance(value, dict):
        return {name: _in(inner, blot) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in(inner, blot) for inner in value]
    return value
