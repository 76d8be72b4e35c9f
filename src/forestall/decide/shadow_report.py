"""Shadow against live: what a version in shadow would have done to the same customers.

Both decided over the same traffic, and both sets of decisions are in the log, those of the shadow
with the mode ``shadow``. They are paired as two backtests are (see ``difference``).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
)
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.errors import ForestallError
from forestall.contracts.event import Record
from forestall.contracts.instants import format_time, parse_time
from forestall.decide.difference import (
    Difference,
    Pairing,
    Samples,
    Totals,
    absent,
    because,
    verdict,
)
from forestall.ingest.past import signals_of
from forestall.log.port import Log
from forestall.log.streams import DECISIONS, read_decisions
from forestall.measure.reading import Folder, Happening

TOGETHER: Final = 4096
"""Happenings between two rounds of pairing."""


CROWDED: Final = frozenset(f"suppress ({reason})" for reason in ("budget", "spacing", "outranked"))
"""What may be said of a live version because of acts of other policies, which no shadow sees."""


class NothingInShadow(ForestallError):
    """No version of the policy is in shadow, so there is nothing to compare with live."""

    code = "nothing-in-shadow"


class Span(msgspec.Struct, frozen=True):
    """A version of ``policy`` that is in shadow since ``since`` (log time, microseconds).

    ``live`` are the versions of the same policy that were in force beside it meanwhile.
    """

    policy: str
    version: str
    since: int
    live: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """How many moments were decided one way by the live version and another way in shadow."""

    live: str
    shadow: str
    moments: int


class Example(msgspec.Struct, frozen=True):
    """One customer (a pseudonym) and moment, with the reason of each version."""

    subject: str
    key: str | None
    at: str
    live: str
    shadow: str
    live_why: str
    shadow_why: str
    matched: tuple[str, ...]


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow version against what was live, from ``since``, its first event in shadow, to
    ``until``, the log time reached.

    ``live`` and ``shadow`` count decisions, the ``_acts`` of each interventions; ``gained`` are
    interventions that only the shadow would make, ``lost`` those that only live made; the rates
    are per 1,000 of ``subjects``, who are all that sent an event meanwhile (none without any).
    Of the gained, ``crowded`` are those that live was refused for a reason of ``CROWDED``.
    """

    policy: str
    version: str
    live_versions: tuple[str, ...]
    since: str
    until: str
    events: int
    subjects: int
    live: int
    shadow: int
    live_acts: int
    shadow_acts: int
    gained: int
    lost: int
    crowded: int
    gained_per_1000: float | None
    lost_per_1000: float | None
    totals: tuple[Row, ...]
    examples: tuple[Example, ...]


def in_shadow(controls: Iterable[Control]) -> list[Span]:
    """What is in shadow now, by name: each since its version last came there."""
    spans: dict[str, Span] = {}
    for control in controls:
        if isinstance(control, PoliciesApplied):
            now = [_span(one, control, spans) for one in control.policies if one.mode == "shadow"]
            spans = {span.policy: span for span in now}
    return [spans[name] for name in sorted(spans)]


def _span(one: PolicyInForce, control: PoliciesApplied, known: dict[str, Span]) -> Span:
    before = known.get(one.name)
    if before is None or before.version != one.version:
        before = Span(one.name, one.version, control.received)
    beside = [p.version for p in control.policies if p.name == one.name and p.mode != "shadow"]
    return replace(before, live=tuple(dict.fromkeys((*before.live, *beside))))


def span_of(controls: Iterable[Control], policy: str) -> Span:
    """What of ``policy`` is in shadow now. Raises ``NothingInShadow``, naming what is instead."""
    spans = in_shadow(controls)
    for span in spans:
        if span.policy == policy:
            return span
    others = ", ".join(span.policy for span in spans)
    told = f"in shadow is {others}" if others else "nothing is"
    raise NothingInShadow(
        f"no version of {policy} is in shadow ({told}); `forestall promote {policy}` puts one there"
    )


class Tally:
    """Counts and samples of what the two versions of ``span`` decided."""

    def __init__(self, span: Span, settings: DecideSettings, limit: int) -> None:
        self.span = span
        self.totals = Totals()
        self.samples = Samples(limit)
        self.subjects: set[str] = set()
        self.live_acts = self.shadow_acts = 0
        self._wait = settings.lateness + settings.grace
        self._pairing = Pairing()
        self._live: list[Decision] = []
        self._shadow: list[Decision] = []
        self.first: int | None = None
        self._at = span.since

    def take(self, happenings: Iterable[Happening]) -> None:
        """Take everything that happened, in log order."""
        for number, one in enumerate(happenings, start=1):
            if isinstance(one, Decided):
                self._decided(one.decision)
            else:
                self._happened(one)
            if number % TOGETHER == 0:
                self._pair(self._at - self._wait)
        self._pair(None)

    def _happened(self, record: Record) -> None:
        if record.received >= self.span.since:
            self._at = record.received
            if self.first is None:
                self.first = record.received
            self.totals.events += 1
            self.subjects.add(record.subject)

    def _decided(self, decision: Decision) -> None:
        """Only moments since the beginning count, for both: earlier ones the shadow cannot know."""
        span = self.span
        if decision.policy != span.policy or parse_time(decision.at) < span.since:
            return
        acts = decision.outcome == "intervene"
        if decision.mode != "shadow":
            self.totals.old += 1
            self.live_acts += acts
            self._live.append(decision)
        elif decision.version == span.version:
            self.totals.new += 1
            self.shadow_acts += acts
            self._shadow.append(decision)

    def _pair(self, before: int | None) -> None:
        found = self._pairing.take(self._live, self._shadow, before)
        self._live, self._shadow = [], []
        self.totals.add(found)
        self.samples.add(found)


def report(folder: Folder, policy: str, limit: int) -> ShadowReport:
    """The shadow version of ``policy`` in a server's data folder, with at most ``limit`` examples.

    Raises ``NothingInShadow``.
    """
    controls = folder.controls()
    span = span_of(controls, policy)
    settings = next(
        (one.settings for one in reversed(controls) if isinstance(one, SettingsApplied)),
        DecideSettings(),
    )
    tally = Tally(span, settings, limit)
    tally.take(folder.happenings())
    totals, subjects = tally.totals, len(tally.subjects)
    reasons = _Reasons(folder, controls, span, settings)
    return ShadowReport(
        policy=policy,
        version=span.version,
        live_versions=span.live,
        since=format_time(span.since if tally.first is None else tally.first),
        until=format_time(max(folder.now, span.since)),
        events=totals.events,
        subjects=subjects,
        live=totals.old,
        shadow=totals.new,
        live_acts=tally.live_acts,
        shadow_acts=tally.shadow_acts,
        gained=totals.gained,
        lost=totals.lost,
        crowded=sum(
            count
            for (_, old, new), count in totals.rows.items()
            if old in CROWDED and new == "intervene"
        ),
        gained_per_1000=_per_1000(totals.gained, subjects),
        lost_per_1000=_per_1000(totals.lost, subjects),
        totals=tuple(Row(old, new, count) for (_, old, new), count in sorted(totals.rows.items())),
        examples=tuple(reasons.example(one) for one in tally.samples.chosen()),
    )


def _per_1000(count: int, subjects: int) -> float | None:
    return round(1000 * count / subjects, 2) if subjects else None


class _Reasons:
    """Why each version decided as it did, from the customer's own records and decisions."""

    def __init__(
        self, folder: Folder, controls: Sequence[Control], span: Span, settings: DecideSettings
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._sides = {
            False: [_only(control, span, shadow=False) for control in controls],
            True: [_only(control, span, shadow=True) for control in controls],
        }

    def example(self, one: Difference) -> Example:
        shown = one.decision
        return Example(
            subject=shown.subject,
            key=shown.key,
            at=shown.at,
            live=verdict(one.old),
            shadow=verdict(one.new),
            live_why=self._why(one.old, shown, shadow=False),
            shadow_why=self._why(one.new, shown, shadow=True),
            matched=shown.matched,
        )

    def _why(self, made: Decision | None, shown: Decision, *, shadow: bool) -> str:
        if made is not None:
            known = _decisions_of(self._folder.decisions, shown.subject)
            return because(made, [one for one in known if (one.mode == "shadow") is shadow])
        records = signals_of(self._folder.signals, shown.subject)
        return absent(shown, self._sides[shadow], records, self._settings)


def _only(control: Control, span: Span, *, shadow: bool) -> Control:
    """The control record for one side: the shadow version as if live, or all but what is in shadow."""
    if not isinstance(control, PoliciesApplied):
        return control
    kept = (
        replace(one, mode="live") if shadow else one
        for one in control.policies
        if (
            one.mode == "shadow" and one.version == span.version if shadow else one.mode != "shadow"
        )
    )
    return replace(control, policies=tuple(kept))


def _decisions_of(log: Log, subject: str) -> Iterator[Decision]:
    for position in log.of_subject(DECISIONS, subject):
        for batch in log.read(DECISIONS, after=position - 1, limit=1):
            for entry in read_decisions(batch):
                if entry.decision.subject == subject:
                    yield entry.decision
