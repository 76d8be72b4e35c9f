"""What a change of policies means, in words: the parsed policies compared, not their text. Pure."""

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, TypeVar

import msgspec

from forestall.contracts.instants import format_duration, parse_duration
from forestall.policy.language.canonical import version
from forestall.policy.language.cel import comparisons, compile_expression, conjunct_texts
from forestall.policy.language.compile import CONDITION_VARIABLES
from forestall.policy.language.model import (
    Await,
    Escalate,
    Feature,
    Guide,
    Match,
    PlaybookStep,
    Policy,
    Step,
    When,
)

Part = TypeVar("Part")


class Change(msgspec.Struct, frozen=True):
    """What became of one policy. ``words`` are sentences about its meaning; ``besides`` are about
    what can change no decision: title, owner, labels, tests."""

    policy: str
    kind: Literal["added", "removed", "changed"]
    words: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()

    @property
    def matters(self) -> bool:
        """Whether the policy may behave differently."""
        return self.kind != "changed" or bool(self.words)


def changes(old: Sequence[Policy], new: Sequence[Policy]) -> list[Change]:
    """What differs between two sets of policies, by name; policies alike in everything left out."""
    before = {policy.name: policy for policy in old}
    after = {policy.name: policy for policy in new}
    found = (_change(before.get(name), after.get(name)) for name in sorted({*before, *after}))
    return [change for change in found if change is not None]


def _change(old: Policy | None, new: Policy | None) -> Change | None:
    if old is None or new is None:
        only = new or old
        assert only is not None  # noqa: S101
        kind: Literal["added", "removed"] = "added" if old is None else "removed"
        return Change(only.name, kind, (f"when {when_words(only.when)}",))
    words = tuple(_meaning(old, new))
    if version(old) != version(new) and not words:
        words = ("written differently, with the same meaning",)
    besides = tuple(_besides(old, new))
    return Change(new.name, "changed", words, besides) if words or besides else None


def _meaning(old: Policy, new: Policy) -> Iterator[str]:
    yield from _when(old.when, new.when)
    yield from _condition("`if`", old.condition, new.condition)
    yield from _features(old.features, new.features)
    for field in ("purpose", "risk", "priority"):
        yield from _value(field, getattr(old, field), getattr(new, field))
    for field in ("cooldown", "valid_for"):
        yield from _duration(field, getattr(old, field), getattr(new, field))
    for field in ("budget_class", "in_conversation", "quiet_hours"):
        yield from _value(field, getattr(old, field), getattr(new, field))
    yield from _value("model", old.model, new.model, lambda one: f"{one.name} at {one.threshold}")
    yield from _value("holdout", old.holdout, new.holdout, lambda share: f"{share:.10g}")
    yield from _value("edge", old.edge, new.edge, lambda flag: str(flag).lower())
    yield from _parts("playbook step", old.playbook, new.playbook, play_words, _play)


def _besides(old: Policy, new: Policy) -> Iterator[str]:
    for field in ("title", "owner"):
        yield from _value(field, getattr(old, field), getattr(new, field), repr)
    if old.labels != new.labels:
        yield "`labels` differ"
    unplaced = [
        [msgspec.structs.replace(test, line=0) for test in policy.tests] for policy in (old, new)
    ]
    if unplaced[0] != unplaced[1]:
        yield "`tests` differ"


def _value(name: str, old: Any, new: Any, told: Callable[[Any], str] = str) -> Iterator[str]:
    if old == new:
        return
    if new is None:
        yield f"`{name}` was {told(old)}, now none"
    elif old is None:
        yield f"`{name}` is {told(new)}; there was none"
    else:
        yield f"`{name}` is {told(new)} instead of {told(old)}"


def _duration(name: str, old: int | None, new: int | None) -> Iterator[str]:
    """As ``_value``, both in the unit of the finer one where that stays readable: 12h and 24h."""
    finer = min((d for d in (old, new) if d), default=0, key=_unit)

    def told(duration: int) -> str:
        unit = _unit(finer)
        units, rest = divmod(duration, unit)
        fits = duration and not rest and units < 100
        return f"{units}{format_duration(unit).lstrip('1')}" if fits else format_duration(duration)

    return _value(name, old, new, told)


def _unit(duration: int) -> int:
    """The largest unit that divides a duration: that in which it is told."""
    return parse_duration("1" + format_duration(duration).lstrip("0123456789"))


def _condition(name: str, old: str | None, new: str | None) -> Iterator[str]:
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
    found = comparisons(compile_expression(text, CONDITION_VARIABLES))
    return (
        (found[0].path, found[0].operator in ("<", "<="), found[0].operator in (">", ">="))
        if found
        else text
    )


def _parts(
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


# -- the pattern -----------------------------------------------------------------------------------


def when_words(when: When) -> str:
    """A pattern in words: ``2 times `a`, then no `b` for 30s, within 10m, by `event.data.x` ``."""
    joint = ", then " if when.kind == "sequence" else " and "
    text = joint.join(step_words(step) for step in when.steps)
    text += f", within {format_duration(when.within)}" if when.within is not None else ""
    return text + (f", by `{when.by}`" if when.by is not None else "")


def step_words(step: Step) -> str:
    """One step in words."""
    silence = f" for {format_duration(step.quiet_for)}" if step.quiet_for is not None else ""
    times = f"{step.times} times " if step.times != 1 else ""
    return f"{'no ' if step.negative else ''}{times}{match_words(step.match)}{silence}"


def match_words(match: Match) -> str:
    """A match in words: its types and its ``where``."""
    where = f" where `{match.where}`" if match.where is not None else ""
    return " or ".join(f"`{one}`" for one in match.types) + where


def _when(old: When, new: When) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"`when` is {when_words(new)} (`{new.kind}`) instead of {when_words(old)} (`{old.kind}`)"
        return
    yield from _parts("step", old.steps, new.steps, step_words, _step)
    yield from _duration("within", old.within, new.within)
    yield from _value("by", old.by, new.by, lambda text: f"`{text}`")


def _step(name: str, old: Step, new: Step) -> Iterator[str]:
    if old.negative != new.negative:
        yield f"{name} is {step_words(new)} instead of {step_words(old)}"
        return
    yield from _match(name, old.match, new.match)
    name = f"{name} ({match_words(new.match)}):"
    yield from (f"{name} {words}" for words in _value("times", old.times, new.times))
    changed = _duration("for", old.quiet_for, new.quiet_for)
    yield from (f"{name} {words}" for words in changed)


def _match(name: str, old: Match, new: Match) -> Iterator[str]:
    come = [f"`{one}`" for one in new.types if one not in old.types]
    gone = [f"`{one}`" for one in old.types if one not in new.types]
    if len(come) == len(new.types):
        yield f"{name} is on {' or '.join(come)} instead of {' or '.join(gone)}"
    else:
        yield from (f"{name} is also on {one}" for one in come)
        yield from (f"{name} is no longer on {one}" for one in gone)
    yield from _condition(f"{name}: `where`", old.where, new.where)


# -- features and playbook -------------------------------------------------------------------------


def feature_words(feature: Feature) -> str:
    """A feature in words: ``sum of `event.data.amount` of `order.paid` over 30d``."""
    value = f" of `{feature.value}`" if feature.value is not None else ""
    over = f" over {format_duration(feature.over)}" if feature.over is not None else ""
    by = f" by `{feature.by}`" if feature.by is not None else ""
    return f"{feature.kind}{value} of {match_words(feature.match)}{over}{by}"


def _features(old: dict[str, Feature], new: dict[str, Feature]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before is None and after is not None:
            yield f"a new feature `{name}`: {feature_words(after)}"
        elif before is not None and after is None:
            yield f"the feature `{name}` is gone: {feature_words(before)}"
        elif before is not None and after is not None and before != after:
            yield from _feature(f"the feature `{name}`", before, after)


def _feature(name: str, old: Feature, new: Feature) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"{name} is {feature_words(new)} instead of {feature_words(old)}"
        return
    yield from (f"{name}: {words}" for words in _value(old.kind, old.value, new.value))
    yield from _match(name, old.match, new.match)
    changed = _duration("over", old.over, new.over)
    yield from (f"{name}: {words}" for words in changed)
    yield from (f"{name}: {words}" for words in _value("by", old.by, new.by))


def play_words(step: PlaybookStep) -> str:
    """A step of a playbook in words."""
    match step:
        case Guide():
            what = f"runbook {step.runbook}" if step.runbook is not None else repr(step.text)
            return f"guide by {step.channel} with {what}"
        case Await():
            limit = format_duration(step.timeout)
            return f"await {match_words(step.match)} for {limit}, then {step.then}"
        case Escalate():
            return f"escalate to {step.queue}"


def _play(name: str, old: PlaybookStep, new: PlaybookStep) -> Iterator[str]:
    yield f"{name} is {play_words(new)} instead of {play_words(old)}"
