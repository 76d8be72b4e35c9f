"""Find what would have to differ: try, decide again, add what still stands in the way. Pure."""

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
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import format_time, parse_time
from forestall.decide.explain.changes import (
    Add,
    Change,
    CloseTickets,
    Condition,
    Counterfactual,
    Ends,
    Fixed,
    GrantConsent,
    NotBefore,
    OptIn,
    RaiseBudget,
    Silence,
    SwitchOff,
    SwitchOn,
    Without,
)
from forestall.decide.explain.fitting import Fit, comparison_holds, fit, found_at, plain_key, simple
from forestall.decide.explain.gates import refusals
from forestall.decide.explain.replay import Hit, Replay, Taken, Unmet
from forestall.decide.gates import Circumstances
from forestall.decide.plan import key_order
from forestall.policy.language.canonical import canonical
from forestall.policy.language.cel import Comparison, compile_expression, conjuncts
from forestall.policy.language.compile import CONDITION_VARIABLES, Program

ROUNDS = 16
"""How often what still stands in the way is asked for; each round adds something."""

SOURCE = "forestall:explain"


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


def search(
    program: Program, records: Sequence[Record], whole: Replay, attempts: Sequence[Attempt]
) -> Counterfactual:
    """The changes of the first of ``attempts`` after which the policy acts.

    Where none succeeds, those that the first asked for, not certain.
    """
    best: Counterfactual | None = None
    for attempt in attempts:
        found = _Search(program, records, whole, attempt).run()
        if found.certain or any(isinstance(change, Fixed) for change in found.changes):
            return found
        best = best or found
    if best is None:
        raise ValueError("no attempt was given")
    unknown = Fixed("not_found", "something besides were different that could not be found")
    return msgspec.structs.replace(best, changes=(*best.changes, unknown))


class _Search:
    def __init__(
        self, program: Program, records: Sequence[Record], whole: Replay, attempt: Attempt
    ) -> None:
        self.program = program
        self.pattern = program.pattern
        self.records = records
        self.whole = whole
        self.attempt = attempt
        self.found = Found()

    def run(self) -> Counterfactual:
        """Add what stands in the way until the policy acts or nothing more can be done."""
        course = self._course(assume=False)
        for _ in range(ROUNDS):
            if course.impossible:
                break
            own = course.own()
            acted = next((one for one in own if one.decision.outcome == "intervene"), None)
            if acted is not None:
                if not self.found.conditions or not self._unmet(self._course(assume=False)):
                    return self._told(course, acted if self.found.fixed is None else None)
            elif not (self._refused(course, own) if own else self._unmet(course)):
                break
            course = self._course(assume=bool(self.found.conditions))
        return self._told(course, None)

    # -- what still stands in the way ------------------------------------------------------------

    def _refused(self, course: Course, own: Sequence[Taken]) -> bool:
        newest = [one for one in own if one.decision.at == own[-1].decision.at]
        taken = next((one for one in newest if one.decision.reason != "outranked"), newest[0])
        reason = taken.decision.reason
        if reason in ("policy_holdout", "global_holdout"):
            self.found.fixed = Fixed(reason, _FIXED[reason])
            return False
        if reason == "outranked":
            return self._without_rivals(self._ahead(course, taken))
        learned = False
        for gate, end in refusals(taken.now):
            if gate in ("spacing", "budget") and (rivals := self._acting(course, taken)):
                learned |= self._without_rivals(rivals)
            elif end is not None and (self.found.not_before is None or end > self.found.not_before):
                self.found.ends[gate] = end
                self.found.not_before = end
                learned = True
            elif end is not None:
                self.found.ends[gate] = end
            else:
                learned |= self._remedy(gate, taken.now)
        return learned and self.found.fixed is None

    def _remedy(self, gate: str, now: Circumstances) -> bool:
        match gate:
            case "killed":
                return self._deploy(gate, SwitchOn(self.program.policy.name))
            case "budget":
                return self._deploy(gate, RaiseBudget(now.settings.budget + 1))
            case "opted_out":
                return self._ask(OptIn())
            case "no_consent":
                return self._ask(GrantConsent(now.policy.purpose))
            case "in_conversation":
                return self._ask(CloseTickets(tuple(sorted(now.ledger.tickets))))
            case "fatigue":
                never = _never(self.records[: self.attempt.kept], now.policy.name)
                learned = bool(never - self.found.without)
                self.found.without |= never
                return learned
            case "low_confidence":
                self.found.fixed = Fixed("low_confidence", _FIXED["low_confidence"])
        return False

    def _ask(self, change: Change) -> bool:
        if change in self.found.customer:
            return False
        self.found.customer.append(change)
        return True

    def _deploy(self, gate: str, change: Change) -> bool:
        if gate == "budget" and gate in self.found.deployment:
            return False
        learned = self.found.deployment.get(gate) != change
        self.found.deployment[gate] = change
        return learned

    def _without_rivals(self, rivals: Sequence[str]) -> bool:
        held = self.found.deployment.get("rivals")
        known = held.policies if isinstance(held, SwitchOff) else ()
        together = tuple(sorted({*known, *rivals}))
        return self._deploy("rivals", SwitchOff(together)) if rivals else False

    def _ahead(self, course: Course, own: Taken) -> list[str]:
        """The policies that came before ours at the same record or deadline."""
        return [
            one.decision.policy
            for one in course.replay.decisions
            if one.index == own.index
            and one.decision.at == own.decision.at
            and one.decision.policy != own.decision.policy
            and (
                _is_act(one.decision)
                or (one.decision.reason == "outranked" and _rank(one) < _rank(own))
            )
        ]

    def _acting(self, course: Course, own: Taken) -> list[str]:
        """Other policies whose acts belong to the different course itself."""
        return [
            one.decision.policy
            for one in course.replay.decisions
            if one.index >= course.kept
            and one.decision.policy != self.program.policy.name
            and _is_act(one.decision)
            and parse_time(one.decision.at) <= own.now.at
        ]

    def _unmet(self, course: Course) -> bool:
        """Note the parts of the condition that were false; whether all of them can be named."""
        unmet = course.unmet()
        condition = self.program.policy.condition
        if not unmet or condition is None:
            return False
        learned = False
        parts = conjuncts(compile_expression(condition, CONDITION_VARIABLES))
        given = unmet[-1].given
        for part in parts:
            if part is None or comparison_holds(part, given):
                continue
            told = Condition(
                f"{'.'.join(part.path)} {part.operator} {part.constant!r}",
                part.path,
                part.operator,
                part.constant,
                found_at(part.path, given),
            )
            name = (part.path, part.operator, part.constant)
            learned |= name not in self.found.conditions
            self.found.conditions.setdefault(name, told)
            if part not in self.found.wanted:
                self.found.wanted.append(part)
        if None in parts:
            self.found.fixed = Fixed("complex_condition", f"the condition `{condition}` held")
            return False
        return learned

    # -- the different course --------------------------------------------------------------------

    def _course(self, *, assume: bool) -> Course:
        """Decide again with all that has been found; ``assume`` that the policy's ``if`` holds."""
        attempt, found = self.attempt, self.found
        kept = [one for one in self.records[: attempt.kept] if one.id not in found.without]
        controls = [one for one in self.whole.controls if one.received <= attempt.anchor]
        replay = Replay(controls, self.whole.subject, self.whole.policy)
        replay.take(kept)
        clock = replay.clock
        asks = self._asks(replay, clock)
        start = max(
            attempt.anchor,
            kept[-1].received if kept else attempt.anchor,
            max((ask.time for ask in asks), default=clock),
        )
        if attempt.steps and attempt.replayed is None and attempt.before is None:
            replay.tick(start)
        for control in self._deployment(controls, start, assume=assume):
            replay.engine.control(control)
        replay.take([msgspec.structs.replace(ask, received=start) for ask in asks])
        first = max((ask.time for ask in asks), default=clock)
        moment = first if attempt.before is not None or attempt.replayed else max(start, first)
        if attempt.replayed is not None:
            moment = max(moment, min(attempt.replayed.time, attempt.replayed.received))
        if found.not_before is not None:
            silence = self.pattern.quiet_for if attempt.steps else 0
            moment = max(moment, found.not_before - silence)
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

    def _wait(self, replay: Replay, last: int) -> int:
        """How long until the silence that the pattern waits for is noticed."""
        _, now, _ = replay.engine.standing(replay.subject, replay.policy, last)
        if now is None or self.pattern.trailing is None:
            return 0
        return self.pattern.quiet_for + now.settings.grace + 1

    def _asks(self, replay: Replay, clock: int) -> list[Record]:
        """What the customer does: events after anything that says otherwise."""
        _, now, _ = replay.engine.standing(replay.subject, replay.policy, clock)
        time = clock
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
        )

    # -- the answer ------------------------------------------------------------------------------

    def _told(self, course: Course, acted: Taken | None) -> Counterfactual:
        found = self.found
        changes: list[Change] = []
        if found.without:
            changes.append(Without(tuple(sorted(found.without))))
        changes += found.deployment.values()
        changes += found.customer
        if found.not_before is not None:
            ends = tuple(
                Ends(reason, format_time(end))  # type: ignore[arg-type]
                for reason, end in found.ends.items()
            )
            changes.append(NotBefore(format_time(found.not_before), ends))
        changes += found.conditions.values()
        changes += course.added
        if self.pattern.trailing is not None and acted is not None:
            trailing = self.pattern.trailing
            changes.append(Silence(trailing.types, trailing.where, acted.decision.at))
        if found.fixed is not None:
            changes.append(found.fixed)
        return Counterfactual(
            kept=self.attempt.kept,
            as_of=format_time(self.attempt.anchor),
            start=format_time(course.start),
            changes=tuple(changes),
            acts_at=None if acted is None else acted.decision.at,
            certain=acted is not None,
            again=self.attempt.again,
        )


_FIXED = {
    "policy_holdout": "the customer were not kept aside to measure this policy",
    "global_holdout": "the customer were not kept aside to measure everything",
    "low_confidence": "a model had reached the policy's threshold; none is in force",
}


def _is_act(decision: Decision) -> bool:
    return decision.outcome == "intervene" or decision.reason == "global_holdout"


def _rank(one: Taken) -> tuple[int, str, bytes]:
    return -one.now.policy.priority, one.decision.policy, key_order(one.decision.key)


def _never(records: Sequence[Record], policy: str) -> frozenset[str]:
    """The events by which the customer said never to the policy, here or under another pseudonym."""
    found = set()
    for record in records:
        data = decode_data(record.data)
        if not isinstance(data, dict):
            continue
        if record.type == "forestall.intervention.dismissed":
            said = data if data.get("policy") == policy else {}
        elif record.type == "forestall.alias":
            said = found_at(("dismissals", policy), data) or {}
        else:
            continue
        if said.get("never") is True:
            found.add(record.id)
    return frozenset(found)


def _unconditional(applied: PoliciesApplied, program: Program, start: int) -> PoliciesApplied:
    """The same policies, this one with an ``if`` that holds."""
    policy = msgspec.structs.replace(program.policy, condition=None)
    policies = tuple(
        msgspec.structs.replace(one, canonical=msgspec.Raw(canonical(policy)))
        if one.name == policy.name
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
