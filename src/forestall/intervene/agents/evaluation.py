"""Judging an agent by labelled cases. Pure.

A case passes when everything that it expects holds and its rubric scores enough.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from forestall.contracts.inference import Inference, Plan
from forestall.intervene.agents.cases import (
    HAND_OVER,
    NONE,
    NOTHING,
    AgentCase,
    Cases,
    Expected,
    Forbidden,
)
from forestall.intervene.agents.rubric import measured, mentions

LEAST_SCORE: Final = 0.6
"""What a case's rubric has to score, from 0 to 1."""

Finder = Callable[[str], bool]
"""Whether a text has in it what a class of forbidden things is about."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case. ``reads`` is the runbook's part of what the customer reads; ``reason`` is
    that of a job that failed."""

    plan: Plan | None = None
    fields: dict[str, Any] | None = None
    inference: Inference | None = None
    reads: str = ""
    reason: str | None = None

    @property
    def text(self) -> str:
        """All that the customer reads."""
        own = "" if self.plan is None else self.plan.message
        return "\n\n".join(part for part in (own, self.reads) if part)

    @property
    def action(self) -> str:
        """What the agent would do, as a case writes it."""
        return " + ".join(acts(self.plan))


class Judged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One case's result. ``wrong`` are sentences; ``forbidden`` what was found of that, as the case
    writes it; ``criteria`` scores by name, and ``score`` their weighted mean."""

    name: str
    digest: str
    passed: bool
    actual: str
    expected: str | None = None
    tags: tuple[str, ...] = ()
    must: bool = False
    score: float = 1.0
    criteria: dict[str, float] = {}
    wrong: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    by: str | None = None
    tone: str | None = None
    fallback: str | None = None
    cost: float = 0.0
    tokens: int = 0


class Tally(msgspec.Struct, frozen=True):
    """``passed`` of ``total``."""

    passed: int
    total: int

    @property
    def share(self) -> float:
        """The share; 0 of none."""
        return self.passed / self.total if self.total else 0.0


class Confused(msgspec.Struct, frozen=True):
    """How many cases expected one thing and got another, or the same."""

    expected: str
    actual: str
    count: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All cases with one version of an agent, and with ``model`` (none: the composer).

    ``at`` is RFC 3339; ``score`` the mean of the cases' scores. ``sound`` is whether the share
    reaches ``threshold`` and every case passed that must.
    """

    at: str
    agent: str
    version: str
    model: str | None
    threshold: float
    share: float
    score: float
    passed: int
    total: int
    sound: bool
    failed_must: tuple[str, ...]
    forbidden: int
    cost: float
    tokens: int
    tags: dict[str, Tally]
    criteria: dict[str, float]
    confusion: tuple[Confused, ...]
    results: tuple[Judged, ...]


# -- one case --------------------------------------------------------------------------------------


def acts(plan: Plan | None) -> tuple[str, ...]:
    """What a plan does, as a case's ``actions`` write it."""
    if plan is None:
        return (NOTHING,)
    if plan.hand_over is not None:
        return (HAND_OVER,)
    actions = tuple(one.action for one in plan.actions)
    if actions:
        return actions
    return (NONE,) if plan.message or plan.runbook else (NOTHING,)


def judge(case: AgentCase, answer: Answer, classes: Mapping[str, Finder]) -> Judged:
    """How ``answer`` does at ``case``; ``classes`` find what ``link``, ``promise`` and ``personal``
    forbid."""
    expect, inference = case.expect, answer.inference
    forbidden = tuple(one.written for one in expect.forbidden if _has(answer, one, classes))
    wrong = [*_wrong(expect, answer), *(f"`{one}` is forbidden, and there" for one in forbidden)]
    cited = _cited(answer)
    mood = None if inference is None else inference.tone
    rubric = () if _nothing_to_read(case, answer) else case.rubric
    criteria = {one.name: measured(one, answer.text, mood=mood, cited=cited) for one in rubric}
    score = _weighted((criteria[one.name], one.weight) for one in rubric)
    if score < LEAST_SCORE:
        low = ", ".join(f"{name} {value:.2f}" for name, value in criteria.items() if value < 1)
        wrong.append(f"the rubric scores {score:.2f}, below {LEAST_SCORE}: {low}")
    return Judged(
        name=case.name,
        digest=case.digest,
        passed=not wrong,
        actual=answer.action if case.asks == "plan" else "fields",
        expected=None if expect.actions is None else " + ".join(expect.actions),
        tags=case.tags,
        must=case.must,
        score=score,
        criteria=criteria,
        wrong=tuple(wrong),
        forbidden=forbidden,
        by=None if inference is None else inference.by,
        tone=mood,
        fallback=None if inference is None else inference.fallback,
        cost=0.0 if inference is None else inference.cost,
        tokens=0 if inference is None else inference.tokens_in + inference.tokens_out,
    )


def _nothing_to_read(case: AgentCase, answer: Answer) -> bool:
    """Whether a rubric has nothing to judge, as nobody was to read anything."""
    silent = case.asks == "fields" or case.expect.actions in ((HAND_OVER,), (NOTHING,))
    return silent and not answer.text


def _weighted(parts: Iterable[tuple[float, float]]) -> float:
    found = list(parts)
    whole = sum(weight for _, weight in found)
    return sum(value * weight for value, weight in found) / whole if whole else 1.0


def _wrong(expect: Expected, answer: Answer) -> Iterable[str]:
    """What does not hold of what is expected, a sentence each."""
    inference, text = answer.inference, answer.text
    if expect.actions is not None and expect.actions != acts(answer.plan):
        yield f"expected {' + '.join(expect.actions)}, got {answer.action}{_why(answer)}"
    yield from (f"`{one}` is missing" for one in expect.all_of if not mentions(text, one))
    if expect.any_of and not any(mentions(text, one) for one in expect.any_of):
        yield f"none of {_listed(expect.any_of)} is there"
    if expect.cites and not _cited(answer).intersection(expect.cites):
        got = _listed(sorted(_cited(answer))) or "nothing"
        yield f"expected {_listed(expect.cites)} to be cited, got {got}"
    for name, value in expect.fields.items():
        filled = (answer.fields or {}).get(name)
        if filled != value or type(filled) is not type(value):
            yield f"expected `{name}` to be {_json(value)}, got {_json(filled)}{_why(answer)}"
    confidence = _confidence(answer)
    if expect.confidence is not None and (
        confidence is None or not expect.confidence[0] <= confidence <= expect.confidence[1]
    ):
        low, high = expect.confidence
        yield f"expected a confidence from {low:g} to {high:g}, got {confidence}"
    tone = "" if inference is None else inference.tone or ""
    if expect.tone is not None and expect.tone not in tone.split(", "):
        yield f"expected tone {expect.tone}, got {tone or None}"
    for name, value in {"by": expect.by, "fallback": expect.fallback}.items():
        if value is not None and getattr(inference, name, None) != value:
            yield f"expected {name} {value}, got {getattr(inference, name, None)}"
    turned = () if inference is None else inference.refused
    for what in expect.refused:
        if not any(one.what.startswith(what) for one in turned):
            yield f"expected `{what}` to be refused, and it was not"


def _why(answer: Answer) -> str:
    return f" ({answer.reason})" if answer.reason else ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _confidence(answer: Answer) -> float | None:
    if answer.plan is not None:
        return answer.plan.confidence
    return None if answer.inference is None else answer.inference.confidence


def _cited(answer: Answer) -> frozenset[str]:
    """The runbooks behind an answer, by id."""
    evidence = () if answer.inference is None else answer.inference.evidence
    if answer.plan is not None:
        evidence = (*evidence, *answer.plan.evidence)
    cited = {cite.partition("@")[0] for cite in evidence}
    if answer.plan is not None and answer.plan.runbook is not None:
        cited.add(answer.plan.runbook)
    return frozenset(cited)


def _has(answer: Answer, one: Forbidden, classes: Mapping[str, Finder]) -> bool:
    """Whether something forbidden is in what leaves: the message, the arguments of actions, the
    fields. Words and patterns are looked for in the runbook's words too; a class is not, for what
    people wrote there was reviewed."""
    parts = list(_leaving(answer))
    if one.kind == "class":
        return any(classes[one.what](part) for part in parts)
    parts.append(answer.reads)
    if one.kind == "pattern":
        return any(re.search(one.what, part, re.IGNORECASE) for part in parts)
    return any(mentions(part, one.what) for part in parts)


def _leaving(answer: Answer) -> Iterable[str]:
    if answer.plan is not None:
        yield answer.plan.message
        for planned in answer.plan.actions:
            yield from texts_in(planned.arguments)
    yield from texts_in(answer.fields)


def texts_in(value: Any) -> Iterable[str]:
    """Every text in JSON data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)


# -- all cases -------------------------------------------------------------------------------------


def summarise(
    cases: Cases,
    results: Sequence[Judged],
    *,
    at: str,
    version: str,
    model: str | None,
    threshold: float | None = None,
) -> Evaluation:
    """All ``results`` together; ``threshold`` stands in for that of the file."""
    least = cases.threshold if threshold is None else threshold
    passed = sum(one.passed for one in results)
    share = passed / len(results) if results else 0.0
    failed = tuple(one.name for one in results if one.must and not one.passed)
    scores: dict[str, list[float]] = {}
    tags: dict[str, list[bool]] = {}
    for one in results:
        for name, value in one.criteria.items():
            scores.setdefault(name, []).append(value)
        for tag in one.tags:
            tags.setdefault(tag, []).append(one.passed)
    pairs = Counter((one.expected, one.actual) for one in results if one.expected is not None)
    return Evaluation(
        at=at,
        agent=cases.agent,
        version=version,
        model=model,
        threshold=least,
        share=share,
        score=sum(one.score for one in results) / len(results) if results else 0.0,
        passed=passed,
        total=len(results),
        sound=share >= least and not failed,
        failed_must=failed,
        forbidden=sum(len(one.forbidden) for one in results),
        cost=sum(one.cost for one in results),
        tokens=sum(one.tokens for one in results),
        tags={tag: Tally(sum(found), len(found)) for tag, found in sorted(tags.items())},
        criteria={name: sum(found) / len(found) for name, found in sorted(scores.items())},
        confusion=tuple(Confused(*pair, count) for pair, count in sorted(pairs.items())),
        results=tuple(results),
    )
