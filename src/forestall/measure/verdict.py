"""Verdicts: what the counts of a canary's step say, at any look. Pure.

A guardrail fails when it is shown that the canary is worse by more than the margin, and passes when
it is shown that it is worse by less than margin and tolerance together (non-inferiority). Both are
tests by ``sequential``, so that looking often costs nothing. In between nothing is known.
"""

from collections.abc import Iterator
from math import ceil, inf
from typing import Final, Literal

import msgspec

from forestall.contracts.instants import SECOND, format_duration
from forestall.measure.canary import LONGEST, Counted, Outcomes, Plan, Sizes, Watched
from forestall.measure.sequential import (
    Arms,
    Bounds,
    Tally,
    difference,
    exceeds,
    gap,
    observations_wanted,
    refutes,
    weighted,
)

Verdict = Literal["pass", "fail", "inconclusive", "no_data"]

UNEVEN: Final = 0.001
"""The chance at most of ever calling arms uneven that are not."""


class GuardrailLook(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one guardrail. ``canary`` and ``rest`` are shares of subjects, or for latency
    means in milliseconds, over ``of`` subjects of each arm; ``low`` and ``high`` bound their difference.
    ``wanted`` is about how many subjects more the canary needs for a pass, to two digits; none
    where more would not help."""

    name: str
    verdict: Verdict
    unit: Literal["share", "ms"]
    of: Sizes
    canary: float | None
    rest: float | None
    low: float | None
    high: float | None
    margin: float
    limit: float
    wanted: int | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a step found at log time ``at``; ``why`` says it in words.

    ``lasted`` is how long the step has lasted, in microseconds. ``active`` are the subjects counted,
    ``settled`` those of them that speak for a pass; the rest is as in ``Counted``.
    """

    verdict: Verdict
    why: tuple[str, ...]
    at: int
    begun: int
    share: float
    earlier: float
    lasted: int
    active: Sizes
    settled: Sizes
    exposed: int
    joined: int
    contaminated: int
    guardrails: tuple[GuardrailLook, ...]


def look(plan: Plan, counted: Counted, at: int) -> Look:
    """Judge a step at log time ``at``."""
    looks = tuple(
        _judge(plan, watched, outcomes, counted)
        for watched, outcomes in zip(plan.guardrails, counted.outcomes, strict=True)
    )
    lasted = max(0, at - plan.begun)
    verdict, why = _overall(plan, counted, looks, lasted)
    return Look(
        verdict=verdict,
        why=why,
        at=at,
        begun=plan.begun,
        share=plan.share,
        earlier=plan.earlier,
        lasted=lasted,
        active=msgspec.structs.replace(counted.active),
        settled=msgspec.structs.replace(counted.settled),
        exposed=counted.exposed,
        joined=counted.joined,
        contaminated=counted.contaminated,
        guardrails=looks,
    )


def fails(plan: Plan, counted: Counted) -> bool:
    """Whether any guardrail fails: what ``look`` says, and cheaper."""
    return any(
        _fails(plan, watched, outcomes, counted)
        for watched, outcomes in zip(plan.guardrails, counted.outcomes, strict=True)
    )


def _fails(plan: Plan, watched: Watched, outcomes: Outcomes, counted: Counted) -> bool:
    alphas = _alphas(plan)
    if watched.latency or watched.shown:
        canary, rest, most = _of_shown(watched, outcomes, counted)
        if _total(canary[0]) == 0 or _total(rest[1]) == 0:
            return False
        worst = _moments(rest[1])[0] + watched.margin
        if worst > 0 and not refutes(canary[0], worst, 0.0, alphas[0] / 2):
            return False
        return gap(canary, rest, most, alphas).low > watched.margin
    active, had = counted.active, outcomes.early
    if not (active.canary and active.rest and 0 < plan.chance < 1):
        return False
    early = Arms(active.canary + active.rest, had.canary, had.rest)
    return exceeds(early, plan.chance, watched.margin, alphas[0])


def _judge(plan: Plan, watched: Watched, outcomes: Outcomes, counted: Counted) -> GuardrailLook:
    failed = _fails(plan, watched, outcomes, counted)
    compare = _compare_shown if watched.latency or watched.shown else _compare_active
    return compare(plan, watched, outcomes, counted, failed)


def _of_shown(
    watched: Watched, outcomes: Outcomes, counted: Counted
) -> tuple[tuple[Tally, Tally], tuple[Tally, Tally], float]:
    """For the canary and the rest the tallies as of now and settled, and the greatest value."""
    if watched.latency:
        rest, canary = outcomes.latencies
        return (canary, canary), (rest, rest), LONGEST
    early, settled = outcomes.early, outcomes.settled
    all_, long_ago = counted.shown, counted.shown_settled
    return (
        (_yes_no(early.canary, all_.canary), _yes_no(settled.canary, long_ago.canary)),
        (_yes_no(early.rest, all_.rest), _yes_no(settled.rest, long_ago.rest)),
        1.0,
    )


def _compare_active(
    plan: Plan, watched: Watched, outcomes: Outcomes, counted: Counted, failed: bool
) -> GuardrailLook:
    """Shares of everybody active, where the chance to be in the canary is known."""
    chance, active = plan.chance, counted.active
    if not (active.canary and active.rest and 0 < chance < 1):
        return _told(watched, "no_data", active)
    early, settled = (
        Arms(all_.canary + all_.rest, having.canary, having.rest)
        for all_, having in ((active, outcomes.early), (counted.settled, outcomes.settled))
    )
    alphas = _alphas(plan)
    bounds = difference(early, settled, chance, alphas)
    verdict = _verdict(failed, bounds, watched)
    canary, rest = early.canary / active.canary, early.rest / active.rest
    wanted = chance * observations_wanted(
        canary / chance + rest / (1 - chance),
        1 / chance,
        watched.limit - (canary - rest),
        alphas[1],
    )
    more = _more(wanted, counted.settled.canary, verdict)
    return _told(watched, verdict, active, (canary, rest), bounds, more)


def _compare_shown(
    plan: Plan, watched: Watched, outcomes: Outcomes, counted: Counted, failed: bool
) -> GuardrailLook:
    """Means of those who were shown something: how many of each arm were is up to the policy."""
    canary, rest, most = _of_shown(watched, outcomes, counted)
    of = Sizes(_total(canary[0]), _total(rest[0]))
    if not (of.canary and of.rest):
        return _told(watched, "no_data", of)
    alphas = _alphas(plan)
    bounds = gap(canary, rest, most, alphas)
    verdict = _verdict(failed, bounds, watched)
    (mean, variance), (usual, usual_variance) = _moments(canary[0]), _moments(rest[0])
    spread = variance**0.5 + (usual_variance * of.canary / of.rest) ** 0.5
    wanted = observations_wanted(spread**2, most, watched.limit - (mean - usual), alphas[1] / 2)
    more = _more(wanted, _total(canary[1]), verdict)
    return _told(watched, verdict, of, (mean, usual), bounds, more)


def _alphas(plan: Plan) -> tuple[float, float]:
    """For a failure, for which any one guardrail is enough, and for a pass, which needs them all."""
    return plan.alpha / len(plan.guardrails), plan.alpha


def _overall(
    plan: Plan, counted: Counted, looks: tuple[GuardrailLook, ...], lasted: int
) -> tuple[Verdict, tuple[str, ...]]:
    failed = tuple(sentence(one) for one in looks if one.verdict == "fail")
    if failed:
        return "fail", failed
    if not 0 < plan.chance < 1:
        return "no_data", ("the share leaves nobody to compare with",)
    for count, where in ((counted.active.canary, "canary"), (counted.active.rest, "rest")):
        if not count:
            return "no_data", (f"nobody new in the {where} has been active",)
    if not counted.exposed:
        return "no_data", ("the canary has acted for nobody",)
    waits = tuple(_waits(plan, counted, looks, lasted))
    return ("inconclusive", waits) if waits else ("pass", ("all guardrails are within limits",))


def _waits(
    plan: Plan, counted: Counted, looks: tuple[GuardrailLook, ...], lasted: int
) -> Iterator[str]:
    """What keeps the step from passing."""
    if lasted < plan.time:
        yield f"{_duration(plan.time - lasted)} of {_duration(plan.time)} are left"
    for count, where in ((counted.settled.canary, "canary"), (counted.settled.rest, "rest")):
        if count < plan.least:
            yield (
                f"{count:,} of {plan.least:,} subjects in the {where} have been there for"
                f" {_duration(plan.settling)}"
            )
    if _uneven(counted.active, plan.chance):
        yield (
            f"{counted.active.canary:,} in the canary and {counted.active.rest:,} in the rest do"
            f" not fit a chance of {plan.chance:.3g}: something decides who is seen"
        )
    if not any(one.of.canary and one.of.rest for one in looks):
        yield "nothing that is watched could be compared"
    for one in looks:
        nothing_to_compare = one.verdict == "no_data" and not (one.of.canary or one.of.rest)
        if one.verdict != "pass" and not nothing_to_compare:
            yield sentence(one)


def _uneven(sizes: Sizes, chance: float) -> bool:
    """Whether the arms' sizes do not fit ``chance``: a sequential test of the sample ratio."""
    everybody = Arms(sizes.canary + sizes.rest, sizes.canary, sizes.rest)
    tally = weighted(everybody, chance)
    mirrored = {-value: count for value, count in tally.items()}
    alpha = UNEVEN / 2
    return refutes(tally, 0.0, -1 / (1 - chance), alpha) or refutes(
        mirrored, 0.0, -1 / chance, alpha
    )


def _verdict(failed: bool, bounds: Bounds, watched: Watched) -> Verdict:
    if failed:
        return "fail"
    return "pass" if bounds.high <= watched.limit else "inconclusive"


def _told(
    watched: Watched,
    verdict: Verdict,
    of: Sizes,
    means: tuple[float, float] | None = None,
    bounds: Bounds | None = None,
    wanted: int | None = None,
) -> GuardrailLook:
    return GuardrailLook(
        name=watched.name,
        verdict=verdict,
        unit="ms" if watched.latency else "share",
        of=msgspec.structs.replace(of),
        canary=means[0] if means else None,
        rest=means[1] if means else None,
        low=bounds.low if bounds else None,
        high=bounds.high if bounds else None,
        margin=watched.margin,
        limit=watched.limit,
        wanted=wanted,
    )


def _more(wanted: float, has: int, verdict: Verdict) -> int | None:
    if verdict != "inconclusive" or wanted == inf:
        return None
    more = max(1, ceil(wanted - has))
    unit: int = 10 ** max(0, len(str(more)) - 2)
    return -(-more // unit) * unit


def sentence(one: GuardrailLook) -> str:
    """What a guardrail says, in words."""
    if one.low is None or one.high is None:
        arm = "rest" if one.of.canary else "canary"
        return f"{one.name}: nobody in the {arm} was shown anything"
    if one.verdict == "fail":
        return (
            f"{one.name}: worse by more than {figure(one.margin, one.unit)}:"
            f" {_arms(one)}, by {figure(one.low, one.unit)} at least"
        )
    more = "" if one.wanted is None else f"; about {one.wanted:,} more subjects in the canary"
    return (
        f"{one.name}: may be worse by up to {figure(one.high, one.unit)}, the limit is"
        f" {figure(one.limit, one.unit)}{more}"
    )


def _arms(one: GuardrailLook) -> str:
    return f"{figure(one.canary, one.unit)} in the canary, {figure(one.rest, one.unit)} in the rest"


def figure(value: float | None, unit: Literal["share", "ms"]) -> str:
    """A share as a percentage, or milliseconds."""
    if value is None:
        return "-"
    return f"{value:,.0f} ms" if unit == "ms" else f"{100 * value:.2f} %"


def _duration(micros: int) -> str:
    return format_duration(-(-micros // SECOND) * SECOND)


def _yes_no(yes: int, of: int) -> Tally:
    return {1.0: yes, 0.0: of - yes}


def _total(tally: Tally) -> int:
    return sum(tally.values())


def _moments(tally: Tally) -> tuple[float, float]:
    """Mean and variance."""
    total = sum(tally.values())
    mean = sum(value * count for value, count in tally.items()) / total
    return mean, sum(count * (value - mean) ** 2 for value, count in tally.items()) / total
