"""A different course of events for one subject, and what the policy does on it. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.event import Record
from forestall.contracts.instants import format_time
from forestall.decide.engine import Engine
from forestall.decide.explain.changes import (
    Add,
    Change,
    CloseTickets,
    Condition,
    Fixed,
    GrantConsent,
    OptIn,
    RaiseBudget,
    SwitchOff,
)
from forestall.decide.explain.fitting import Fit, fit, plain_key, simple
from forestall.decide.explain.replay import Hit, Replay, Taken, Unmet
from forestall.decide.snapshot import decode_state, encode_state
from forestall.policy.language.canonical import canonical
from forestall.policy.language.cel import Comparison
from forestall.policy.language.compile import Program

SOURCE = "forestall:explain"
"""The ``source`` of events that did not happen."""


class Attempt(msgspec.Struct, frozen=True):
    """Where a different course begins: after the first ``kept`` records, at the log time ``anchor``.

    Then events for ``steps`` come, for ``key``; all at or ``before`` a time where that is given.
    ``replayed`` is the record that comes instead of made ones, as it did. ``again``: all of it came
    before.
    """

    kept: int
    anchor: int
    steps: tuple[int, ...]
    key: str | None
    before: int | None = None
    replayed: Record | None = None
    again: bool = False


class Found(msgspec.Struct):
    """What has been found to be needed, so far."""

    customer: list[Change] = []
    deployment: dict[str, Change] = {}
    not_before: int | None = None
    ends: dict[str, int] = {}
    conditions: dict[tuple[Any, ...], Condition] = {}
    wanted: list[Comparison] = []
    fixed: Fixed | None = None
    without: frozenset[str] = frozenset()


class Course(msgspec.Struct, frozen=True):
    """A different course, decided: the ``replay``, and the events ``added``.

    It differs from its record ``kept`` on; what the policy does from the time ``since`` on counts.
    """

    replay: Replay
    kept: int
    start: int
    added: tuple[Add, ...]
    since: int = 0
    impossible: bool = False

    def own(self) -> list[Taken]:
        """What the policy decided on the different course."""
        return [one for one in self.replay.own(self.kept) if one.now.at >= self.since]

    def unmet(self) -> list[Unmet]:
        """Where its condition stood in the way on the different course."""
        return [one for one in self.replay.unmet if one.index >= self.kept and one.at >= self.since]


class Courses:
    """Different courses from where ``attempt`` says, with what ``found`` holds at the time.

    ``whole`` is the replay of all ``records``.
    """

    def __init__(
        self, program: Program, records: Sequence[Record], whole: Replay, attempt: Attempt
    ) -> None:
        self.program = program
        self.pattern = program.pattern
        self.records = records
        self.whole = whole
        self.attempt = attempt
        self.found = Found()
        self._states: dict[frozenset[str], bytes] = {}

    def decide(self, *, assume: bool) -> Course:
        """Decide again with all that has been found; ``assume`` that the policy's ``if`` holds."""
        attempt = self.attempt
        kept = [one for one in self.records[: attempt.kept] if one.id not in self.found.without]
        controls = [one for one in self.whole.controls if one.received <= attempt.anchor]
        replay = self._resume(controls, kept)
        asks = self._asks(replay)
        first = asks[0].time if asks else replay.clock
        start = max(attempt.anchor, first, *(one.received for one in kept[-1:]))
        if attempt.steps and attempt.replayed is None and attempt.before is None:
            replay.tick(start)
        for control in self._deployment(controls, start, assume=assume):
            replay.engine.control(control)
        replay.take([msgspec.structs.replace(ask, received=start) for ask in asks])
        moment = self._moment(first, start)
        start = max(start, moment)
        late = attempt.before is not None and moment > attempt.before
        made = None if late else self._made(replay, moment, start)
        if made is None:
            return Course(replay, len(kept), start, (), impossible=True)
        events, added = made
        replay.take(events)
        last = max([start, replay.clock, *(one.received for one in events)])
        replay.tick(last + self._wait(replay, last))
        return Course(replay, len(kept), start, added, since=moment if attempt.steps else 0)

    def _resume(self, controls: Sequence[Control], kept: Sequence[Record]) -> Replay:
        """A replay of what is kept; it is decided once, and taken up from there for each course."""
        subject, policy = self.whole.subject, self.whole.policy
        state = self._states.get(self.found.without)
        if state is None or not kept:
            replay = Replay(controls, subject, policy)
            replay.skip(kept)
            self._states[self.found.without] = encode_state(replay.engine.snapshot())
            return replay
        replay = Replay(controls, subject, policy, Engine.restore(decode_state(state)))
        replay.taken = len(kept)
        return replay

    def _moment(self, first: int, start: int) -> int:
        """When the events of the course happen, being received at ``start`` or later."""
        attempt = self.attempt
        moment = first if attempt.before is not None or attempt.replayed else start
        if attempt.replayed is not None:
            moment = max(moment, min(attempt.replayed.time, attempt.replayed.received))
        if self.found.not_before is None:
            return moment
        return max(moment, self.found.not_before - (self.pattern.quiet_for if attempt.steps else 0))

    def _wait(self, replay: Replay, last: int) -> int:
        """How long until the silence that the pattern waits for is noticed."""
        _, now, _ = replay.engine.standing(replay.subject, replay.policy, last)
        if now is None or self.pattern.trailing is None:
            return 0
        return self.pattern.quiet_for + now.settings.grace + 1

    def _asks(self, replay: Replay) -> list[Record]:
        """What the customer does: events after anything that says otherwise."""
        time = replay.clock
        _, now, _ = replay.engine.standing(replay.subject, replay.policy, time)
        if now is not None:
            stood = [now.ledger.optout, *now.ledger.consents.values()]
            time = max([time, *(one.time + 1 for one in stood if one is not None)])
        asks: list[tuple[str, dict[str, Any]]] = []
        for change in self.found.customer:
            match change:
                case OptIn():
                    asks.append(("forestall.optin", {}))
                case GrantConsent(purpose):
                    asks.append(("forestall.consent.granted", {"purpose": purpose}))
                case CloseTickets(tickets):
                    asks += [("forestall.ticket.closed", {"ticket": one}) for one in tickets]
        return [_event(kind, data, f"ask {n}", replay, time) for n, (kind, data) in enumerate(asks)]

    def _deployment(
        self, controls: Sequence[Control], start: int, *, assume: bool
    ) -> list[Control]:
        """Control records for what the deployment does differently."""
        made: list[Control] = []
        on, off = "killed" in self.found.deployment, self.found.deployment.get("rivals")
        if on or isinstance(off, SwitchOff):
            held = next((c for c in reversed(controls) if isinstance(c, SwitchesApplied)), None)
            switched = set(held.off if held else ())
            switched |= set(off.policies) if isinstance(off, SwitchOff) else set()
            switched -= {self.program.policy.name} if on else set()
            everything = held is not None and held.everything_off and not on
            made.append(SwitchesApplied(start, tuple(sorted(switched)), everything, "", ""))
        budget = self.found.deployment.get("budget")
        settings = next((c for c in reversed(controls) if isinstance(c, SettingsApplied)), None)
        if isinstance(budget, RaiseBudget):
            held_settings = DecideSettings() if settings is None else settings.settings
            raised = msgspec.structs.replace(held_settings, budget=budget.budget)
            made.append(SettingsApplied(start, raised, "", ""))
        applied = next((c for c in reversed(controls) if isinstance(c, PoliciesApplied)), None)
        if assume and applied is not None:
            made.append(_unconditional(applied, self.program, start))
        return made

    def _made(
        self, replay: Replay, moment: int, start: int
    ) -> tuple[list[Record], tuple[Add, ...]] | None:
        """The events of the course at ``moment``, and the words for them."""
        attempt = self.attempt
        event_wanted = [one for one in self.found.wanted if one.path[0] == "event"]
        if event_wanted and not attempt.steps:
            return None
        if attempt.replayed is not None and not event_wanted:
            one = attempt.replayed
            same = msgspec.structs.replace(one, time=moment, received=max(start, one.received))
            key = attempt.key
            return [same], (Add((one.type,), None, key, 1, format_time(moment), None, one.id),)
        records: list[Record] = []
        adds: list[Add] = []
        for number, step in enumerate(attempt.steps):
            last = number == len(attempt.steps) - 1
            made = self._fit(replay, step, event_wanted if last else (), moment)
            if made is None:
                self._cannot_make(self.pattern.positives[step].where)
                return None
            if made.traits:
                traits = {"traits": made.traits}
                name = f"traits {number}"
                records.append(_event("forestall.identify", traits, name, replay, moment))
            record = _event(made.type, made.data, f"added {number}", replay, moment)
            record = msgspec.structs.replace(record, origin=made.origin)
            records.append(record)
            adds.append(self._add(step, made, moment))
        received = max([start, moment])
        return [msgspec.structs.replace(one, received=received) for one in records], _counted(adds)

    def _cannot_make(self, where: str | None) -> None:
        """Say why no event for a step can be made."""
        if not simple(where):
            detail = f"an event had come for which `{where}` holds"
            self.found.fixed = Fixed("complex_where", detail)
        elif not plain_key(self.pattern.by):
            detail = f"events had come with the same `{self.pattern.by}`"
            self.found.fixed = Fixed("complex_key", detail)
        else:
            condition = self.program.policy.condition
            detail = f"`{where}` and `{condition}` could be true of one event"
            self.found.fixed = Fixed("contradiction", detail)

    def _fit(
        self, replay: Replay, step: int, wanted: Sequence[Comparison], moment: int
    ) -> Fit | None:
        _, now, _ = replay.engine.standing(replay.subject, replay.policy, moment)
        traits = {} if now is None else now.ledger.traits
        return fit(
            self.pattern.positives[step],
            self.pattern.by,
            self.attempt.key,
            self._likes(step),
            traits,
            wanted,
            moment,
        )

    def _likes(self, step: int) -> list[Record]:
        """The customer's events for a step, the best to repeat first."""

        def worth(hit: Hit) -> tuple[bool, bool, int]:
            return step in hit.steps, hit.key == self.attempt.key, hit.index

        best = sorted(self.whole.hits, key=worth, reverse=True)[:3]
        return [self.records[hit.index] for hit in best]

    def _add(self, step: int, made: Fit, moment: int) -> Add:
        match = self.pattern.positives[step]
        before = self.attempt.before
        return Add(
            match.types,
            match.where,
            self.attempt.key,
            1,
            format_time(moment),
            None if before is None else format_time(before),
            made.like,
            made.data if made.like is None else None,
        )


def _unconditional(applied: PoliciesApplied, program: Program, start: int) -> PoliciesApplied:
    """The same policies, this one with an ``if`` that holds."""
    policy = msgspec.structs.replace(program.policy, condition=None)
    policies = tuple(
        msgspec.structs.replace(one, canonical=msgspec.Raw(canonical(policy)))
        if one.name == policy.name and one.version == program.version
        else one
        for one in applied.policies
    )
    return msgspec.structs.replace(applied, received=start, policies=policies)


def _event(kind: str, data: dict[str, Any], name: str, replay: Replay, time: int) -> Record:
    encoded = msgspec.Raw(msgspec.json.encode(data))
    return Record(name, SOURCE, kind, replay.subject, time, time, "server", encoded)


def _counted(adds: Sequence[Add]) -> tuple[Add, ...]:
    """The same, with equal neighbours counted together."""
    counted: list[Add] = []
    for one in adds:
        if counted and msgspec.structs.replace(counted[-1], count=1) == one:
            counted[-1] = msgspec.structs.replace(one, count=counted[-1].count + 1)
        else:
            counted.append(one)
    return tuple(counted)
