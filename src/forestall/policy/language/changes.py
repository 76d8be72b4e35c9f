"""What a change of policies means, in words: the parsed policies compared, not their text. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from forestall.contracts.instants import format_duration
from forestall.policy.language.canonical import version
from forestall.policy.language.comparing import (
    condition,
    duration,
    match,
    match_words,
    parts,
    value,
)
from forestall.policy.language.model import Feature, Policy, Step, When
from forestall.policy.language.play_changes import play_changes


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
    yield from condition("`if`", old.condition, new.condition)
    yield from _features(old.features, new.features)
    for field in ("purpose", "risk", "priority"):
        yield from value(field, getattr(old, field), getattr(new, field))
    for field in ("cooldown", "valid_for"):
        yield from duration(field, getattr(old, field), getattr(new, field))
    for field in ("budget_class", "in_conversation", "quiet_hours"):
        yield from value(field, getattr(old, field), getattr(new, field))
    yield from value("model", old.model, new.model, lambda one: f"{one.name} at {one.threshold}")
    yield from value("holdout", old.holdout, new.holdout, lambda share: f"{share:.10g}")
    yield from value("edge", old.edge, new.edge, lambda flag: str(flag).lower())
    yield from value("running", old.running, new.running)
    yield from play_changes(old.playbook, new.playbook)


def _besides(old: Policy, new: Policy) -> Iterator[str]:
    for field in ("title", "owner"):
        yield from value(field, getattr(old, field), getattr(new, field), repr)
    if old.labels != new.labels:
        yield "`labels` differ"
    yield from value("review_by", old.review_by, new.review_by)
    unplaced = [
        [msgspec.structs.replace(test, line=0) for test in policy.tests] for policy in (old, new)
    ]
    if unplaced[0] != unplaced[1]:
        yield "`tests` differ"


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


def _when(old: When, new: When) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"`when` is {when_words(new)} (`{new.kind}`) instead of {when_words(old)} (`{old.kind}`)"
        return
    yield from parts("step", old.steps, new.steps, step_words, _step)
    yield from duration("within", old.within, new.within)
    yield from value("by", old.by, new.by, lambda text: f"`{text}`")


def _step(name: str, old: Step, new: Step) -> Iterator[str]:
    if old.negative != new.negative:
        yield f"{name} is {step_words(new)} instead of {step_words(old)}"
        return
    yield from match(name, old.match, new.match)
    name = f"{name} ({match_words(new.match)}):"
    yield from (f"{name} {words}" for words in value("times", old.times, new.times))
    changed = duration("for", old.quiet_for, new.quiet_for)
    yield from (f"{name} {words}" for words in changed)


# -- features ---------------------------------------------------------------------------------------


def feature_words(feature: Feature) -> str:
    """A feature in words: ``sum of `event.data.amount` of `order.paid` over 30d``."""
    of = f" of `{feature.value}`" if feature.value is not None else ""
    over = f" over {format_duration(feature.over)}" if feature.over is not None else ""
    by = f" by `{feature.by}`" if feature.by is not None else ""
    return f"{feature.kind}{of} of {match_words(feature.match)}{over}{by}"


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
    yield from (f"{name}: {words}" for words in value(old.kind, old.value, new.value))
    yield from match(name, old.match, new.match)
    changed = duration("over", old.over, new.over)
    yield from (f"{name}: {words}" for words in changed)
    yield from (f"{name}: {words}" for words in value("by", old.by, new.by))
