"""Fairness: whether some customers are served much worse than the rest, by declared traits.

Customers fall into segments by their newest traits. Four things are counted of each: who was offered
help when a policy saw need (coverage), who dismissed it (unwanted), whose first ticket came without
help before it (missed), and by how much fewer ask when help is offered instead of withheld by chance
(effect). Each segment is set against all other customers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import Control
from forestall.contracts.instants import DAY, SECOND
from forestall.measure.cohorts import SLACK, Cohort, Cohorts, Kind, Question
from forestall.measure.gaps import (
    Arms,
    Share,
    effect_interval,
    effect_worse,
    holm,
    share_interval,
    share_worse,
)
from forestall.measure.outcomes import lead
from forestall.measure.reading import Happening
from forestall.measure.refusals import distrust
from forestall.measure.segments import OTHERS, Counts, Measure, People, Tally
from forestall.measure.terms import plan_of
from forestall.measure.trails import UNTOLD, Trail, Trails

Verdict = Literal["not shown worse", "much worse", "too few", "not judged"]

MEASURES: Final[dict[Measure, str]] = {
    "coverage": "of the customers in need, who was offered help",
    "unwanted": "of the customers who were offered help, who dismissed it",
    "missed": "of the customers with a ticket, who had not been offered help before",
    "effect": "by how much fewer ask for help when it was offered than when it was withheld",
}
"""What each measure says, as shares of customers. Unwanted and missed are better where smaller."""

HORIZON: Final = 7 * DAY
"""How long before a ticket help counts, and how long after it tickets do."""

NOBODY_ASIDE: Final = "Nobody was kept aside by chance; a holdout would tell the effect."


class Rule(msgspec.Struct, frozen=True):
    """When a segment is told to be served much worse than the rest (see ``[fairness]``)."""

    least: int = 100
    margin: float = 0.05
    alpha: float = 0.05


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of one segment.

    ``customers`` are those that it is about, of an effect those of the smaller arm. ``value`` with
    its 95 % interval, and ``rest``, the value of all others, are none where they are fewer than the
    rule asks for. ``worse_by`` is positive where the segment fares worse. ``chance`` is that of
    such a gap or a larger one if it were the margin only, adjusted for everything that is judged.
    """

    trait: str
    segment: str
    measure: Measure
    customers: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rest: float | None = None
    worse_by: float | None = None
    chance: float | None = None
    verdict: Verdict = "too few"


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison of ``customers``.

    ``judged`` is how many cells the level is shared by; ``no_effect`` says why no effect can be
    told, and is empty where it can.
    """

    policy: str | None
    traits: tuple[str, ...]
    customers: int
    horizon_seconds: float
    rule: Rule
    no_effect: str
    judged: int
    cells: tuple[Cell, ...]

    @property
    def warnings(self) -> tuple[Cell, ...]:
        """Where a segment is served much worse than the rest."""
        return tuple(cell for cell in self.cells if cell.verdict == "much worse")


def fairness(
    happenings: Iterable[Happening],
    controls: Iterable[Control],
    now: int,
    traits: Sequence[str],
    rule: Rule,
    *,
    policy: str | None = None,
    horizon: int = HORIZON,
) -> Fairness:
    """Compare the customers of a log by ``traits``, over all policies or one; reads nothing else
    of traits. ``now`` is the log time reached, ``horizon`` in microseconds."""
    people, trails = People(traits, policy), Trails()
    trails.take(people.watch(happenings))
    people.join()
    tally = Tally(people, traits)
    for person in people.all():
        if person.needed:
            tally.share(person, "coverage", badly=not person.served)
        if person.served:
            tally.share(person, "unwanted", badly=person.dismissed)
    cohorts, customers = Cohorts(plan_of(controls), Question(horizon=horizon, now=now)), 0
    for subject, trail in trails.whole():
        customers += 1
        cohorts.take(subject, trail)
        missed = _missed(trail, policy, horizon)
        if missed is not None:
            tally.share(people.get(subject), "missed", badly=missed)
    kind: Kind = "reached" if policy is None else "policy"
    newest = cohorts.of(kind, policy or "")[-1:]
    refused = [told for cohort in newest if (told := distrust(cohort)) is not None]
    for cohort in newest if not refused else ():
        _effects(cohort, cohorts.question, people, tally)
    cells = judge(tally.counts(), rule)
    return Fairness(
        policy=policy,
        traits=tuple(traits),
        customers=customers,
        horizon_seconds=horizon / SECOND,
        rule=rule,
        no_effect=" ".join(one.why for one in refused) if newest else NOBODY_ASIDE,
        judged=sum(cell.chance is not None for cell in cells),
        cells=tuple(cells),
    )


def _missed(trail: Trail, policy: str | None, horizon: int) -> bool | None:
    """Whether the first ticket came without help before it; none where there was no ticket of the
    customer's own, or help was withheld on purpose, to measure."""
    first = next((one.at for one in trail.asked if not one.own), None)
    if first is None:
        return None
    met = [one for one in trail.met if policy in (None, one.policy)]
    if lead((one.at for one in met if one.reason is None), first, horizon) is not None:
        return False
    aside = lead((one.at for one in met if one.reason is not None), first, horizon)
    return None if aside is not None else True


def _effects(cohort: Cohort, question: Question, people: People, tally: Tally) -> None:
    """Who was met in the newest term of the holdout: terms differ in who was kept aside."""
    limit = question.now - SLACK
    if cohort.term.end is not None:
        limit = min(limit, cohort.term.end)
    for one in cohort.entries:
        if one.at + question.horizon <= limit:
            asked = bool(one.trail.asked_within(one.at, one.at + question.horizon))
            tally.arm(people.get(one.subject), aside=one.aside, asked=asked)


# -- judging ---------------------------------------------------------------------------------------


def judge(counts: Mapping[str, Counts], rule: Rule) -> list[Cell]:
    """Each segment of each trait against all others, by measure: pure.

    The chance of any false warning is at most ``rule.alpha``, over all cells together.
    """
    cells = [
        _cell(
            Cell(trait=trait, segment=segment, measure=measure, customers=one.whole),
            _gap(measure, one, segments.values()),
            rule,
        )
        for trait, measures in counts.items()
        for measure, segments in measures.items()
        for segment, one in sorted(segments.items(), key=_first_by_size)
    ]
    judged = [place for place, cell in enumerate(cells) if cell.chance is not None]
    adjusted = holm([cells[place].chance or 0.0 for place in judged])
    for place, chance in zip(judged, adjusted, strict=True):
        verdict: Verdict = "much worse" if chance <= rule.alpha else "not shown worse"
        cells[place] = replace(cells[place], chance=chance, verdict=verdict)
    return cells


def _first_by_size(entry: tuple[str, Share | Arms]) -> tuple[bool, int, str]:
    return entry[0] in (UNTOLD, OTHERS), -entry[1].whole, entry[0]


class _Gap(msgspec.Struct, frozen=True):
    """A segment against all others: its value and interval, theirs, how many they are, by how much
    it is worse, and the chance of that under a given margin."""

    value: float
    interval: tuple[float, float]
    rest: float
    others: int
    worse_by: float
    chance: Callable[[float], float]


def _gap(measure: Measure, held: Share | Arms, every: Iterable[Share | Arms]) -> _Gap:
    if isinstance(held, Arms):
        arms = [one for one in every if isinstance(one, Arms)]
        others = Arms(
            sum((one.offered for one in arms), Share()) - held.offered,
            sum((one.aside for one in arms), Share()) - held.aside,
        )
        return _Gap(
            held.value,
            effect_interval(held),
            others.value,
            others.whole,
            others.value - held.value,
            lambda margin: effect_worse(held, others, margin),
        )
    rest = sum((one for one in every if isinstance(one, Share)), Share()) - held
    low, high = share_interval(held)
    good = measure == "coverage"
    return _Gap(
        1 - held.value if good else held.value,
        (1 - high, 1 - low) if good else (low, high),
        1 - rest.value if good else rest.value,
        rest.whole,
        held.value - rest.value,
        lambda margin: share_worse(held, rest, margin),
    )


def _cell(cell: Cell, gap: _Gap, rule: Rule) -> Cell:
    if cell.segment in (UNTOLD, OTHERS):
        cell = replace(cell, verdict="not judged")
    if cell.customers < rule.least:
        return cell
    low, high = gap.interval
    cell = replace(cell, value=gap.value, low=low, high=high)
    if gap.others < rule.least:
        return cell
    cell = replace(cell, rest=gap.rest, worse_by=gap.worse_by)
    return cell if cell.verdict == "not judged" else replace(cell, chance=gap.chance(rule.margin))
