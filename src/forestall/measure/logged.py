"""A deployment's log as rounds for ``evaluation``: what if a policy had chosen otherwise?

The round is a customer, at the first candidate of the policy on which chance decided, or which a
model refused. Chance is the holdout: whoever was not kept aside got the message. So the logged
probability of a message is ``(1 - share of the policy's holdout) * (1 - share of the global one)``,
and 0 where the model refused. Candidates that another gate refused are no rounds: under the other
policy they would have been refused as well.
"""

from collections.abc import Iterable, Mapping
from math import log
from typing import Any, Final, Literal

import msgspec
import numpy as np

from forestall.contracts.decision import Confidence, Decided, Decision
from forestall.contracts.errors import ForestallError
from forestall.contracts.event import Record
from forestall.measure.evaluation import Floats, Rounds, crossfit
from forestall.measure.joins import ALIAS, former
from forestall.measure.outcomes import SLACK
from forestall.measure.terms import Plan, within

Instead = Literal["always", "never"] | float
"""What the policy should have done: message always, never, or from this probability on."""

FOLDS: Final = 5
MAX_FEATURES: Final = 50
_EDGE = 1e-6
_HUGE = 1e300


def instead(text: str) -> Instead:
    """What ``always``, ``never`` or a number means. Raises ``ValueError``."""
    return "always" if text == "always" else "never" if text == "never" else float(text)


class NothingLogged(ForestallError):
    """The log holds no decision that the question is about; the message says what it holds."""

    code = "nothing-logged"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """``instead`` of what ``policy`` did, how many customers have the ``outcome`` (an event type)
    within ``horizon`` microseconds?

    Only decisions of ``version`` count if it is given (what it begins with is enough). A
    probability is that of ``model``, else the first that the decision names.
    """

    policy: str
    instead: Instead
    outcome: str
    horizon: int
    version: str = ""
    model: str | None = None


class Round(msgspec.Struct):
    """One customer: the first choice, and whether the outcome ``followed`` within the horizon."""

    at: int
    messaged: bool
    chance: float
    probability: float | None
    features: dict[str, Any]
    followed: bool = False


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds of a question, and what was not one, in customers: ``unfinished`` ones have a
    horizon that is not over."""

    rounds: Rounds
    messaged: int
    unfinished: int
    versions: tuple[str, ...]


def read(
    question: Question, happenings: Iterable[Record | Decided], plan: Plan, now: int, seed: int
) -> Logged:
    """The rounds that ``happenings`` up to the log time ``now`` hold.

    Keeps one entry a customer; of pseudonyms that were joined it is the earlier one. Raises
    ``NothingLogged``.
    """
    found: dict[str, Round] = {}
    versions: set[str] = set()
    seen = 0
    for one in happenings:
        if isinstance(one, Record):
            if one.type == question.outcome and (round_ := found.get(one.subject)) is not None:
                at = min(one.time, one.received)
                round_.followed |= round_.at < at <= round_.at + question.horizon
            elif one.type == ALIAS and (other := found.pop(former(one) or "", None)) is not None:
                own = found.setdefault(one.subject, other)
                found[one.subject] = min(own, other, key=lambda each: each.at)
            continue
        decision = one.decision
        if not _asked(question, decision):
            continue
        seen += 1
        if decision.subject not in found and _open(decision):
            found[decision.subject] = _round(question, decision, one.noticed, plan)
            versions.add(decision.version)
    last = now - question.horizon - SLACK
    finished = [one for one in found.values() if one.at <= last]
    if not finished:
        raise NothingLogged(_nothing(question, seen, len(found)))
    if isinstance(question.instead, float) and any(one.probability is None for one in finished):
        raise NothingLogged(
            f"{question.policy}: some decisions carry no probability"
            f"{f' of {question.model}' if question.model else ''}, so a threshold decides nothing; "
            "choose a model that was asked, or a version that asks it (--version)"
        )
    return Logged(
        rounds=_rounds(question.instead, finished, seed),
        messaged=sum(one.messaged for one in finished),
        unfinished=len(found) - len(finished),
        versions=tuple(sorted(versions)),
    )


def _asked(question: Question, decision: Decision) -> bool:
    return (
        decision.policy == question.policy
        and decision.mode != "shadow"
        and decision.version.startswith(question.version)
    )


def _open(decision: Decision) -> bool:
    """Whether chance or the model had the last word."""
    return decision.outcome != "suppress" or decision.reason == "low_confidence"


def _round(question: Question, decision: Decision, noticed: int, plan: Plan) -> Round:
    chance = 0.0
    if decision.reason != "low_confidence":
        version = plan.versions.get(decision.version)
        term = within(plan.everyone, noticed)
        held = 0.0 if term is None else term.share
        if version is not None:
            chance = (1 - version.holdout) * (1.0 if version.exempt else 1 - held)
        else:
            chance = 1 - held
    return Round(
        at=noticed,
        messaged=decision.outcome == "intervene",
        chance=chance,
        probability=_probability(question.model, decision),
        features=decision.features,
    )


def _probability(model: str | None, decision: Decision) -> float | None:
    said: tuple[Confidence, ...] = (
        decision.confidence if isinstance(decision.confidence, tuple) else ()
    )
    return next((one.probability for one in said if model in (None, one.model)), None)


def _nothing(question: Question, seen: int, choices: int) -> str:
    version = f" of version {question.version}" if question.version else ""
    if not seen:
        return f"{question.policy}: the log holds no decisions{version}; is the name right?"
    if not choices:
        return (
            f"{question.policy}: {seen:,} candidates{version}, and gates refused every one; there "
            "was nothing to choose"
        )
    return (
        f"{question.policy}: the horizon of all {choices:,} customers{version} is not over; "
        "wait, or choose a shorter one"
    )


def _rounds(instead: Instead, found: list[Round], seed: int) -> Rounds:
    taken = np.array([one.messaged for one in found], dtype=np.int64)
    chance = np.array([one.chance for one in found])
    reward = np.array([one.followed for one in found], dtype=np.float64)
    wanted = np.array([_wants(instead, one.probability) for one in found], dtype=np.float64)
    known = _known([one.features for one in found], [one.probability for one in found])
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(found))

    def design(rows: Any, actions: Any) -> Floats:
        did = actions[:, None].astype(np.float64)
        return np.column_stack([known[rows], did, known[rows] * did])

    return Rounds(
        taken=taken,
        reward=reward,
        behaviour=np.column_stack([1 - chance, chance]),
        target=np.column_stack([1 - wanted, wanted]),
        predicted=crossfit(design, taken, reward, 2, fold),
    )


def _wants(instead: Instead, probability: float | None) -> bool:
    if isinstance(instead, float):
        return probability is not None and probability >= instead
    return instead == "always"


def _known(features: list[Mapping[str, Any]], said: list[float | None]) -> Floats:
    """What the reward model may look at, each column with mean 0 and deviation 1: the features that
    are numbers, and the log-odds of what the deployed model said. What is missing is the mean."""
    names = sorted({name for one in features for name, value in one.items() if _number(value)})
    rows = [[one.get(name) for name in names[:MAX_FEATURES]] for one in features]
    columns = [
        [*row, None if one is None else _log_odds(one)] for row, one in zip(rows, said, strict=True)
    ]
    table: Floats = np.array(
        [
            [np.nan if one is None or not _number(one) else float(one) for one in row]
            for row in columns
        ]
    )
    table = table[:, ~np.all(np.isnan(table), axis=0)]
    table = table - np.nanmean(table, axis=0)
    spread = np.nanstd(table, axis=0)
    return np.asarray(np.nan_to_num(table[:, spread > 0] / spread[spread > 0]), dtype=np.float64)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, _EDGE), 1 - _EDGE)
    return log(inside / (1 - inside))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and -_HUGE < value < _HUGE
