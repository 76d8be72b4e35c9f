"""What a model learns from: logged decisions, and whether the outcome followed.

A decision's features are the logged ones, so a model is trained on exactly what it will be shown.
Only decisions whose horizon has passed are examples.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from forestall.contracts.control import Control, DecideSettings, PoliciesApplied, SettingsApplied
from forestall.contracts.decision import Confidence, Decided, Decision
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.measure.assign import in_holdout
from forestall.measure.joins import ALIAS, Joins

Among = Literal["untreated", "holdout", "all"]
"""Which decisions are examples: those that caused nothing, of these only those of subjects who are
kept aside from everything, or all, treated ones too."""


class Example(msgspec.Struct, frozen=True):
    """One decision, ``noticed`` at a log time in microseconds, and whether the outcome followed.

    ``subject`` is the pseudonym that its customer has at the end.
    """

    subject: str
    noticed: int
    features: dict[str, Any]
    followed: bool
    confidence: tuple[Confidence, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: will an event of type ``outcome`` follow a decision of ``policy`` within
    ``horizon`` microseconds?

    ``held`` says of a subject whether it is kept aside from everything, ``alike`` of a version of
    the policy whether its features mean what they mean now.
    """

    policy: str
    outcome: str
    horizon: int
    among: Among = "untreated"
    held: Callable[[str], bool] = lambda _: False
    alike: Callable[[str], bool] = lambda _: True


def asked(
    controls: Sequence[Control], *, policy: str, outcome: str, horizon: int, among: Among
) -> tuple[Question, dict[str, Any]]:
    """The question, and how the policy in force last declares its features (by name, canonical).

    Raises ``UnreadableInput`` where no control record knows the policy.
    """
    versions: dict[str, dict[str, Any]] = {}
    newest, known, settings = "", set[str](), DecideSettings()
    for control in controls:
        if isinstance(control, SettingsApplied):
            settings = control.settings
        if not isinstance(control, PoliciesApplied):
            continue
        known |= {one.name for one in control.policies}
        own = [one for one in control.policies if one.name == policy]
        for one in sorted(own, key=lambda one: one.mode == "live"):
            newest = one.version
            versions[newest] = msgspec.json.decode(one.canonical)["features"]
    if not newest:
        there = ", ".join(sorted(known)) or "none"
        raise UnreadableInput(f"no policy {policy!r} was in force; there are: {there}")
    now = versions[newest]
    alike = {
        version
        for version, then in versions.items()
        if all(then[name] == now[name] for name in then.keys() & now.keys())
    }
    question = Question(
        policy=policy,
        outcome=outcome,
        horizon=horizon,
        among=among,
        held=lambda subject: in_holdout(settings.salt, subject, settings.holdout),
        alike=alike.__contains__,
    )
    return question, now


class Examples(msgspec.Struct, frozen=True):
    """Examples in the order of their times, and how many decisions were left out, by reason."""

    found: tuple[Example, ...]
    left_out: dict[str, int]


class Parts(NamedTuple):
    """Examples in three stretches of time, of which each begins a horizon after the one before
    ends, so that no outcome is known to two of them."""

    train: Sequence[Example]
    calibrate: Sequence[Example]
    test: Sequence[Example]


def examples(
    question: Question, happenings: Iterable[Record | Decided], end: int | None = None
) -> Examples:
    """The examples in what happened, in any order, up to the log time ``end`` or the newest event.

    Several versions of a policy may have decided on one occasion: that is one example, treated if
    any of them acted. Left out are decisions that are ``unfinished`` (their horizon ends after
    ``end``), ``treated`` or, where only the holdout is asked for, ``not_held``; those whose features
    had ``another_meaning``; and those ``in_conversation``, which no model ever judges. Pseudonyms
    that were joined are one subject.
    """
    outcomes: dict[str, list[int]] = {}
    joins = Joins()
    occasions: dict[tuple[str, str | None, str, tuple[str, ...]], list[Decided]] = {}
    newest = 0
    for one in happenings:
        if isinstance(one, Record):
            newest = max(newest, one.received)
            if one.type == question.outcome:
                outcomes.setdefault(one.subject, []).append(min(one.time, one.received))
            elif one.type == ALIAS:
                joins.take(one)
        elif one.decision.policy == question.policy:
            what = one.decision
            occasions.setdefault((what.subject, what.key, what.at, what.matched), []).append(one)
    last = (newest if end is None else end) - question.horizon
    for name in joins:
        if name in outcomes:
            outcomes.setdefault(joins.survivor(name), []).extend(outcomes.pop(name))
    for times in outcomes.values():
        times.sort()
    left_out: Counter[str] = Counter()
    found = []
    for together in occasions.values():
        alike = [one for one in together if question.alike(one.decision.version)]
        reason = _unfit(question, together, alike, last)
        if reason is None:
            person = joins.survivor(together[0].decision.subject)
            found.append(_example(person, question, alike, outcomes.get(person, ())))
        else:
            left_out[reason] += 1
    found.sort(key=lambda one: (one.noticed, one.subject))
    return Examples(tuple(found), dict(sorted(left_out.items())))


def _unfit(
    question: Question, together: Sequence[Decided], alike: Sequence[Decided], last: int
) -> str | None:
    """Why an occasion is no example, if it is none."""
    if not alike:
        return "another_meaning"
    if alike[0].noticed > last:
        return "unfinished"
    if all(one.decision.reason == "in_conversation" for one in alike):
        return "in_conversation"
    if question.among == "holdout" and not question.held(together[0].decision.subject):
        return "not_held"
    if question.among != "all" and any(treated(one.decision) for one in together):
        return "treated"
    return None


def treated(decision: Decision) -> bool:
    """Whether a decision did something, so that what followed may be its effect."""
    return decision.outcome == "intervene" and decision.mode != "shadow"


def _example(
    person: str, question: Question, alike: Sequence[Decided], times: Sequence[int]
) -> Example:
    first = alike[0]
    after = bisect_right(times, first.noticed)
    followed = after < len(times) and times[after] <= first.noticed + question.horizon
    said = {
        (what.model, what.version): what
        for one in alike
        if isinstance(one.decision.confidence, tuple)
        for what in one.decision.confidence
    }
    return Example(person, first.noticed, first.decision.features, followed, tuple(said.values()))


def split(
    found: Sequence[Example], horizon: int, shares: tuple[float, float] = (0.6, 0.8)
) -> Parts:
    """The first 60 % of the examples to train on, those up to 80 % to calibrate with, and the rest
    to test, less a gap of one horizon after each border. ``found`` is in the order of its times."""
    if not found:
        return Parts((), (), ())
    first, second = (found[min(int(len(found) * part), len(found) - 1)].noticed for part in shares)
    return Parts(
        [one for one in found if one.noticed <= first],
        [one for one in found if first + horizon < one.noticed <= second],
        [one for one in found if one.noticed > second + horizon],
    )
