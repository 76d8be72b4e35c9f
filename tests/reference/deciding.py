"""The reference itself: decisions of a history, by going through it again and again."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.instants import format_time
from forestall.policy.language.canonical import version
from forestall.policy.language.model import Policy
from reference.expressions import holds
from reference.gating import Candidate, Situation, Verdict, arbitrate, opinions, told_in
from reference.history import SEVEN_DAYS, Arrival, Deployment, Seen, Spell, World, read
from reference.matching import armed, fits, has_state, key_of, match_at, touched, trailing
from reference.pages import told_by_a_page
from reference.windows import KEYS, value_at

Due = tuple[Spell, str | None, int, list[Seen]]


def decide(
    policies: Sequence[Policy],
    events: Sequence[Mapping[str, Any]],
    settings: DecideSettings,
    controls: Sequence[Control] = (),
    final_tick: bool = True,
    version_of: Callable[[Policy], str] = version,
) -> list[dict[str, Any]]:
    """Decisions as in section 6 of the policy language, without their explanations.

    ``policies`` and ``settings`` hold from the beginning, ``controls`` (by ``received``) change
    them. Of one subject they come in the order in which they were made.
    """
    deployment = Deployment(policies, settings, controls, version_of)
    subjects: dict[str, Subject] = {}
    arrivals = list(read(events))
    for arrival in arrivals:
        subject = subjects.setdefault(arrival.subject, Subject(arrival.subject, deployment))
        subject.take(arrival)
    for subject in subjects.values():
        if final_tick:
            subject.fire(arrivals[-1].received, None)
    return [line(v, s) for s in subjects.values() for v in s.past]


def line(verdict: Verdict, of: "Subject") -> dict[str, Any]:
    """One decision, as in section 6."""
    candidate, subject = verdict.candidate, of.name
    at = format_time(candidate.at)
    matched = [[event.arrival.source, event.arrival.id] for event in candidate.matched]
    unique = [candidate.version, subject, candidate.key, at, matched]
    text = json.dumps(unique, ensure_ascii=False, separators=(",", ":"))
    return {
        "id": hashlib.sha256(text.encode()).hexdigest(),
        "policy": candidate.policy.name,
        "version": candidate.version,
        "mode": candidate.mode,
        "subject": subject,
        "key": candidate.key,
        "at": at,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "matched": [event.arrival.id for event in candidate.matched],
        "features": candidate.features,
        "confidence": opinions(candidate, of.situation()) if candidate.policy.model else None,
    }


class Subject:
    """One subject: all that was seen of it and decided about it, and which keys were cleared when.

    ``cleared`` names, for each spell and key, the position from which its history counts again.
    """

    def __init__(self, name: str, deployment: Deployment) -> None:
        self.name = name
        self.deployment = deployment
        self.world = World(deployment, name)
        self.kept: dict[tuple[str, str], int] = {}
        self.seen: list[Seen] = []
        self.past: list[Verdict] = []
        self.clock: int | None = None
        self.cleared: dict[tuple[Spell, str | None], int] = {}

    def take(self, arrival: Arrival) -> None:
        """Process one record."""
        name = (arrival.source, arrival.id)
        kept = self.kept.get(name)
        if kept is not None and arrival.received - kept <= SEVEN_DAYS:
            self.fire(arrival.received, None)
            return
        self.kept[name] = arrival.received
        lateness = self.deployment.settings_at(arrival.received).lateness
        if arrival.received - arrival.time > lateness and not arrival.controls:
            self.fire(arrival.received, None)
            return
        self.fire(arrival.received, arrival.time)
        t = arrival.time if self.clock is None else max(arrival.time, self.clock)
        self.clock = t
        event = Seen(arrival, len(self.seen), t, self.traits(arrival))
        self.seen.append(event)
        before = len(self.past)
        self.past.extend(told_by_a_page(event, self.situation(), self.world))
        candidates = list(self.candidates(event))
        self.settle(candidates, arrival.received)
        self.past[before:] = sorted(self.past[before:], key=told_in)
        self.evict(event)

    def traits(self, arrival: Arrival) -> dict[str, Any]:
        """The subject's traits once ``arrival`` has taken effect."""
        traits = dict(self.seen[-1].traits) if self.seen else {}
        if arrival.type == "forestall.identify" and arrival.takes_effect:
            traits.update(arrival.data["traits"])
        return traits

    def spells(self, moment: int) -> Iterator[Spell]:
        """The patterns alive as of ``moment``."""
        return (s for s in self.world.spells if s.start <= moment < s.end)

    def key(self, spell: Spell, event: Seen) -> str | None:
        """The event's key in the spell's pattern."""
        return key_of(spell.when.by, event) if spell.when.by else None

    def histories(self, spell: Spell) -> dict[str | None, list[Seen]]:
        """For each key of the pattern its events since it was cleared, oldest first."""
        found: dict[str | None, list[Seen]] = {}
        for event in self.seen:
            if not spell.start <= event.arrival.received < spell.end:
                continue
            key = self.key(spell, event)
            if spell.when.by and key is None:
                continue
            if event.position >= self.cleared.get((spell, key), 0):
                found.setdefault(key, []).append(event)
        return found

    def candidates(self, event: Seen) -> Iterator[Candidate]:
        """Those that the newest event brings by itself."""
        moment = event.arrival.received
        for spell in self.spells(moment):
            key = self.key(spell, event)
            if spell.when.kind == "event":
                matched = [event] if fits(spell.when.steps[0].match, event) else None
            else:
                events = self.histories(spell).get(key, [])
                ends_here = bool(events) and events[-1] is event
                matched = match_at(spell.when, events) if ends_here else None
            if matched:
                yield from self.judge(spell, key, matched, event, event.t, moment)

    def judge(
        self, spell: Spell, key: str | None, matched: list[Seen], event: Seen, now: int, moment: int
    ) -> Iterator[Candidate]:
        """The candidate of a match, if the policy's ``if`` holds.

        There is none where the pattern is newer than ``moment``: a timer armed by an event that
        arrived after its deadline and grace does not see the version that armed it.
        """
        if not spell.start <= moment:
            return
        policy, version, mode, _ = self.world.in_force(moment)[spell.heritage]
        features = {
            name: value_at(feature, self.seen, now, event)
            for name, feature in policy.features.items()
        }
        names = event.names_at(
            now,
            self.seen[-1].traits,
            features=features,
            service=self.deployment.services(moment),
        )
        if holds(policy.condition, names, otherwise=False):
            yield Candidate(
                policy, version, mode, key, now, moment, matched, features, spell.heritage
            )

    def timers(self, received: int, time: int | None) -> Iterator[tuple[Due, int]]:
        """What is due at a record (or tick, without ``time``), and up to when it sees controls."""
        grace = self.deployment.settings_at(received).grace
        for spell in self.world.spells:
            if trailing(spell.when) is None:
                continue
            for key, events in self.histories(spell).items():
                timer = armed(spell.when, events)
                if timer is None:
                    continue
                passed = time is not None and timer.deadline < max(time, self.clock or time)
                if passed or timer.deadline + grace < received:
                    moment = min(received, timer.deadline + grace)
                    if moment < spell.end:
                        yield (spell, key, timer.deadline, timer.matched), moment

    def fire(self, received: int, time: int | None) -> None:
        """Fire what is due, earliest deadline first; those of one deadline together."""
        while due := list(self.timers(received, time)):
            deadline = min(timer[2] for timer, _ in due)
            group = [(timer, moment) for timer, moment in due if timer[2] == deadline]
            candidates = [
                candidate
                for (spell, key, _, matched), moment in group
                for candidate in self.judge(spell, key, matched, matched[-1], deadline, moment)
            ]
            for (spell, key, _, _), _ in group:
                self.cleared[spell, key] = len(self.seen)
            self.clock = deadline if self.clock is None else max(self.clock, deadline)
            self.settle(candidates, group[0][1])

    def settle(self, candidates: list[Candidate], moment: int) -> None:
        """Decide on the candidates of one record or deadline, and clear what they consume."""
        for verdict in arbitrate(candidates, self.situation()):
            self.past.append(verdict)
            heritage, key = verdict.candidate.heritage, verdict.candidate.key
            (spell,) = (spell for spell in self.spells(moment) if spell.heritage == heritage)
            self.cleared[spell, key] = len(self.seen)
            if verdict.outcome in ("intervene", "holdout"):
                for other in self.histories(spell):
                    self.cleared[spell, other] = len(self.seen)

    def situation(self) -> Situation:
        """All that gates may look at, as of now."""
        return Situation(self.name, self.seen, tuple(self.past), self.deployment)

    def evict(self, event: Seen) -> None:
        """Drop the key that has been silent longest where a pattern has too many with state."""
        for spell in self.spells(event.arrival.received):
            histories = self.histories(spell) if spell.when.by else {}
            if len(histories) <= KEYS:
                continue
            last = {
                key: max(e.position for e in events if touched(spell.when, e))
                for key, events in histories.items()
                if has_state(spell.when, events)
            }
            if len(last) > KEYS:
                oldest = min(last, key=lambda key: last[key])
                self.cleared[spell, oldest] = len(self.seen)
