"""Values of two policies compared, in words: scalars, durations, conditions, matches and lists."""

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, TypeVar

from forestall.contracts.instants import format_duration, parse_duration
from forestall.policy.language.cel import comparisons, compile_expression, conjunct_texts
from forestall.policy.language.compile import CONDITION_VARIABLES
from forestall.policy.language.model import Match

Part = TypeVar("Part")
_VARIABLES = (*CONDITION_VARIABLES, "fields")


def value(name: str, old: Any, new: Any, told: Callable[[Any], str] = str) -> Iterator[str]:
    """Words about a value that came, went or is another."""
    if old == new:
        return
    if new is None:
        yield f"`{name}` was {told(old)}, now none"
    elif old is None:
        yield f"`{name}` is {told(new)}; there was none"
    else:
        yield f"`{name}` is {told(new)} instead of {told(old)}"


def duration(name: str, old: int | None, new: int | None) -> Iterator[str]:
    """As ``value``, both in the unit of the finer one where that stays readable: 12h and 24h."""
    finer = min((d for d in (old, new) if d), default=0, key=_unit)

    def told(duration: int) -> str:
        unit = _unit(finer)
        units, rest = divmod(duration, unit)
        fits = duration and not rest and units < 100
        return f"{units}{format_duration(unit).lstrip('1')}" if fits else format_duration(duration)

    return value(name, old, new, told)


def _unit(duration: int) -> int:
    """The largest unit that divides a duration: that in which it is told."""
    return parse_duration("1" + format_duration(duration).lstrip("0123456789"))


def condition(name: str, old: str | None, new: str | None) -> Iterator[str]:
    """Words about a condition, part by part of what it joins by ``&&``."""
    if old == new:
        return
    if old is None or new is None:
        yield f"{name} is new: `{new}`" if old is None else f"{name} is gone; it was `{old}`"
        return
    before, after = conjunct_texts(old), conjunct_texts(new)
    gone = [text for text in before if text not in after]
    come = [text for text in after if text not in before]
    for text in list(come):
        same = [one for one in gone if _subject(one) == _subject(text)]
        if len(same) == 1 or len(gone) == len(come) == 1:
            (other,) = same if len(same) == 1 else gone
            yield f"{name} requires `{text}` instead of `{other}`"
            come.remove(text)
            gone.remove(other)
    yield from (f"{name} now also requires `{text}`" for text in come)
    yield from (f"{name} no longer requires `{text}`" for text in gone)
    if {*before} == {*after}:
        yield f"{name} is written differently: `{new}` instead of `{old}`"


def _subject(text: str) -> Any:
    """What a comparison with a constant is about; other conditions are about themselves."""
    found = comparisons(compile_expression(text, _VARIABLES))
    return (
        (found[0].path, found[0].operator in ("<", "<="), found[0].operator in (">", ">="))
        if found
        else text
    )


def parts(
    name: str,
    old: Sequence[Part],
    new: Sequence[Part],
    told: Callable[[Part], str],
    compared: Callable[[str, Part, Part], Iterator[str]],
) -> Iterator[str]:
    """Words about lists: parts that came and went, and within those that stand in one's place."""
    before, after = [repr(part) for part in old], [repr(part) for part in new]
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        pairs = min(b - a, d - c)
        for place in range(pairs):
            yield from compared(f"{name} {c + place + 1}", old[a + place], new[c + place])
        for place in range(c + pairs, d):
            yield f"a new {name} {place + 1}: {told(new[place])}"
        for place in range(a + pairs, b):
            yield f"{name} {place + 1} is gone: {told(old[place])}"


def match_words(match: Match) -> str:
    """A match in words: its types and its ``where``."""
    where = f" where `{match.where}`" if match.where is not None else ""
    return " or ".join(f"`{one}`" for one in match.types) + where


def match(name: str, old: Match, new: Match) -> Iterator[str]:
    """Words about a match: the types that came and went, and its ``where``."""
    come = [f"`{one}`" for one in new.types if one not in old.types]
    gone = [f"`{one}`" for one in old.types if one not in new.types]
    if len(come) == len(new.types):
        yield f"{name} is on {' or '.join(come)} instead of {' or '.join(gone)}"
    else:
        yield from (f"{name} is also on {one}" for one in come)
        yield from (f"{name} is no longer on {one}" for one in gone)
    yield from condition(f"{name}: `where`", old.where, new.where)
