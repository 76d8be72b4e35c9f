"""Findings: the words of a report about effects, as they are told under ``--json``."""

from typing import Final

import msgspec

from forestall.measure.cohorts import Kind, Unit
from forestall.measure.effect import Contrast
from forestall.measure.refusals import Arms, Refusal, SampleRatio

CAVEATS: Final = (
    "Each interval holds for one look at a number that was asked for beforehand. Who looks every day"
    " and stops when it pleases needs a canary, whose test is valid at every look; of twenty"
    " intervals one is wrong.",
    "How contacts went (solved at once, satisfaction) compares those who asked in either arm. They"
    " are not the same people, so it describes and proves nothing.",
)
"""What every report has to say beside its figures."""


class Money(msgspec.Struct, frozen=True):
    """What an outcome and an intervention cost, in whatever currency."""

    ticket: float
    intervention: float = 0.0


class Finding(msgspec.Struct, frozen=True):
    """One figure: the ``contrast`` of the arms for ``per`` of what it is a rate of, or why not."""

    per: int
    contrast: Contrast | None = None
    refused: Refusal | None = None


class Place(msgspec.Struct, frozen=True):
    """Outcomes per 1,000 customers of one channel or category (``by``)."""

    by: str
    name: str
    finding: Finding


class Moment(msgspec.Struct, frozen=True):
    """The difference per 1,000 customers as it stood by ``at``, with those whose horizon had passed
    by then; ``low`` and ``high`` are its interval."""

    at: str
    difference: float
    low: float
    high: float


class Wait(msgspec.Struct, frozen=True):
    """The share of either arm that had no outcome within ``hours`` after entry."""

    hours: float
    offered: float
    aside: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What followed the entry, within the horizon unless it says otherwise.

    ``outcomes`` and ``later`` (in a second horizon after the first) are per 1,000 customers,
    ``per_session`` per 1,000 sessions, ``sessions`` and ``hours`` (to the first outcome, or all of
    the horizon) per customer, ``asked`` the share with an outcome, ``interventions`` per 1,000
    customers. ``resolved`` is the share of outcomes that neither were reopened nor had another after
    them, ``satisfaction`` the mean rating, ``cost`` what outcomes and interventions cost per 1,000
    customers, ``interaction`` per outcome or intervention.
    """

    outcomes: Finding
    per_session: Finding
    sessions: Finding
    later: Finding
    asked: Finding
    hours: Finding
    interventions: Finding
    resolved: Finding
    satisfaction: Finding
    cost: Finding | None
    interaction: Finding | None
    places: tuple[Place, ...]
    own: Arms
    over_time: tuple[Moment, ...]
    waiting: tuple[Wait, ...]


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison in one term. ``kind`` says of whom: ``everyone`` active, those ``reached`` by
    any policy (both against the global holdout), or those met by the ``policy`` (against its own).

    ``current`` is its newest term. ``entered`` are its customers, ``counted`` those whose horizon
    has passed, ``units`` the units of analysis that they are. ``earlier`` entered before the time
    asked about, ``neither`` are in the global holdout and so in neither arm, ``unknown`` cannot be
    told; ``crossed`` had the other arm's lot and stay in theirs. Where it is ``refused`` there are no
    figures, and ``wanted`` says what a narrow interval needs.
    """

    kind: Kind
    policy: str | None
    start: str | None
    end: str | None
    current: bool
    share: float
    versions: int
    entered: Arms
    counted: Arms
    units: Arms
    earlier: int
    neither: int
    unknown: int
    crossed: Arms
    sample_ratio: SampleRatio | None
    refused: Refusal | None
    figures: Figures | None
    wanted: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. ``events``, ``decisions``, ``customers`` were read, ``joined`` pseudonyms among
    them were others' earlier ones; ``now`` is the log time reached."""

    outcome: str
    horizon_seconds: float
    before_seconds: float
    unit: Unit
    since: str | None
    until: str | None
    now: str
    events: int
    decisions: int
    customers: int
    joined: int
    experiments: tuple[Experiment, ...]
    caveats: tuple[str, ...] = CAVEATS
