"""Claims: do models still say what happens?

For each policy, model, version and segment: what a model said of decisions that caused nothing,
against what happened. Customers in conversation do not count: no model judges or learns from them.
Watched at every decision; a run raises any false alarm, over all moments and segments together, with
a chance of ``alpha`` at most (``surprise.Wager``, ``surprise.spent``).

One pass, in memory bounded by the customers of one horizon and those who have traits.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import log
from typing import Final

import msgspec

from forestall.contracts.control import Control, ModelsApplied
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.errors import ForestallError
from forestall.contracts.event import Record, decode_data
from forestall.measure import model as models
from forestall.measure.joins import ALIAS, former
from forestall.measure.outcomes import SLACK
from forestall.measure.surprise import Wager, spent

ALPHA: Final = 0.01
LEAST: Final = 200
"""Decisions below which nothing is said of a segment."""

EVERYBODY: Final = "*"
BINS: Final = 200
MOST_SEGMENTS: Final = 500


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``decisions`` in a segment, the model said that on average the share ``said`` would have
    the outcome, and ``happened`` did. ``evidence`` is the natural logarithm of the e-value at its
    peak, ``needed`` that from which it is an alarm; ``enough`` tells whether the sample carries it.
    ``segment`` is ``*`` or ``trait=value``."""

    policy: str
    model: str
    version: str
    segment: str
    decisions: int
    said: float
    happened: float
    evidence: float
    needed: float
    enough: bool
    alarm: bool


class Asked(msgspec.Struct, frozen=True):
    """What a model says about: ``outcome`` within ``horizon`` microseconds."""

    outcome: str
    horizon: int


class _Open(msgspec.Struct):
    """A decision whose horizon is not over."""

    due: int
    subject: str
    key: tuple[str, str, str]
    since: int
    outcome: str
    said: float
    watched: tuple["Watched", ...]
    followed: bool = False


class Watched:
    """One policy, model and segment. ``bins`` counts decisions, and those with the outcome, by what
    was said."""

    def __init__(self, number: int, least: int) -> None:
        self.number = number
        self._least = least
        self.wager = Wager()
        self.bins: Counter[tuple[int, bool]] = Counter()

    def take(self, said: float, followed: bool) -> None:
        """Take what was said of a decision, and whether the outcome followed."""
        self.wager.take(said, followed, self._least)
        self.bins[min(int(said * BINS), BINS - 1), followed] += 1


class Claims:
    """Takes what happened, in order, and says which models no longer mean what they say.

    ``asked`` tells of each version of a model what it predicts; what others say is not judged.
    ``traits`` are those by whose values customers are parted into segments; nothing is said of one
    with fewer than ``least`` decisions.
    """

    def __init__(
        self,
        asked: Mapping[str, Asked],
        traits: Iterable[str] = (),
        alpha: float = ALPHA,
        least: int = LEAST,
    ) -> None:
        self.alpha = alpha
        self.least = least
        self._asked = asked
        self._traits = tuple(traits)
        self._segments: dict[str, dict[str, str]] = {}
        self._open: dict[int, deque[_Open]] = {}
        self._waiting: dict[str, dict[tuple[str, str, str], _Open]] = {}
        self.watched: dict[tuple[str, str, str, str], Watched] = {}

    def take(self, one: Record | Decided) -> None:
        """Take the next event or decision."""
        if isinstance(one, Record):
            self._close(one.received)
            self._recorded(one)
        else:
            self._close(one.noticed)
            self._decided(one)

    def result(self, now: int) -> tuple[Calibration, ...]:
        """What is found by the log time ``now``, by policy, model, version and segment."""
        self._close(now)
        return tuple(self._calibration(key, one) for key, one in sorted(self.watched.items()))

    def _recorded(self, record: Record) -> None:
        kind, subject = record.type, record.subject
        if kind == "forestall.identify" and self._traits:
            self._identified(record)
        elif kind == ALIAS:
            self._joined(former(record) or "", subject)
        at = min(record.time, record.received)
        for waiting in self._waiting.get(subject, {}).values():
            if waiting.outcome == kind and waiting.since < at <= waiting.due - SLACK:
                waiting.followed = True

    def _identified(self, record: Record) -> None:
        data = decode_data(record.data)
        traits = data.get("traits") if isinstance(data, dict) else None
        if isinstance(traits, dict):
            known = self._segments.setdefault(record.subject, {})
            for name in self._traits:
                if isinstance(value := traits.get(name), str | int | float | bool):
                    known[name] = str(value)[:100]

    def _joined(self, name: str, survivor: str) -> None:
        """Let what was said of somebody wait under the pseudonym that survives."""
        for entry in self._waiting.pop(name, {}).values():
            entry.subject = survivor
            self._waiting.setdefault(survivor, {})[entry.key] = entry
        if (traits := self._segments.pop(name, None)) is not None:
            self._segments[survivor] = {**traits, **self._segments.get(survivor, {})}

    def _decided(self, one: Decided) -> None:
        decision = one.decision
        if decision.mode == "shadow" or decision.outcome == "intervene":
            return
        if decision.reason == "in_conversation" or not isinstance(decision.confidence, tuple):
            return
        waiting = self._waiting.setdefault(decision.subject, {})
        for said in decision.confidence:
            asked = self._asked.get(said.version)
            key = (decision.policy, said.version, decision.subject)
            if asked is None or key in waiting:
                continue
            due = one.noticed + asked.horizon + SLACK
            watched = tuple(self._watch(decision, said.model, said.version))
            entry = _Open(
                due, decision.subject, key, one.noticed, asked.outcome, said.probability, watched
            )
            waiting[key] = entry
            self._open.setdefault(asked.horizon, deque()).append(entry)
        if not waiting:
            del self._waiting[decision.subject]

    def _watch(self, decision: Decision, model: str, version: str) -> Iterable[Watched]:
        traits = self._segments.get(decision.subject, {})
        for segment in (EVERYBODY, *(f"{name}={value}" for name, value in sorted(traits.items()))):
            key = (decision.policy, model, version, segment)
            watched = self.watched.get(key)
            if watched is None:
                if len(self.watched) >= MOST_SEGMENTS and segment != EVERYBODY:
                    continue
                watched = self.watched[key] = Watched(len(self.watched) + 1, self.least)
            yield watched

    def _close(self, now: int) -> None:
        """Judge decisions whose horizon is over, in their order: what comes first may not depend
        on whether the outcome followed."""
        for entries in self._open.values():
            while entries and entries[0].due < now:
                one = entries.popleft()
                for watched in one.watched:
                    watched.take(one.said, one.followed)
                waiting = self._waiting.get(one.subject, {})
                waiting.pop(one.key, None)
                if not waiting:
                    self._waiting.pop(one.subject, None)

    def _calibration(self, key: tuple[str, str, str, str], one: Watched) -> Calibration:
        policy, model, version, segment = key
        wager, count = one.wager, one.wager.count or 1
        needed = -log(spent(one.number, self.alpha))
        enough = wager.count >= self.least
        return Calibration(
            policy=policy,
            model=model,
            version=version,
            segment=segment,
            decisions=wager.count,
            said=wager.said / count,
            happened=wager.happened / count,
            evidence=wager.peak,
            needed=needed,
            enough=enough,
            alarm=enough and wager.peak >= needed,
        )


def asked_of(controls: Iterable[Control]) -> dict[str, Asked]:
    """What each version of a model that was ever in force predicts."""
    found = {}
    for record in controls:
        if isinstance(record, ModelsApplied):
            for one in record.models:
                with suppress(ForestallError):
                    model = models.decode(one.content)
                    found[one.version] = Asked(model.outcome, model.horizon)
    return found
