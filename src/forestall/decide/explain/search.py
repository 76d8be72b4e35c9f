"""Find what would have to differ: try, decide again, add what still stands in the way. Pure."""

from collections.abc import Sequence

import msgspec

from forestall.contracts.decision import Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import format_time, parse_time
from forestall.decide.explain.changes import (
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
from forestall.decide.explain.course import Attempt, Course, Courses
from forestall.decide.explain.fitting import comparison_holds, found_at
from forestall.decide.explain.gates import confident, refusals
from forestall.decide.explain.replay import Replay, Taken
from forestall.decide.gates import Circumstances
from forestall.decide.plan import key_order
from forestall.policy.language.cel import compile_expression, conjuncts
from forestall.policy.language.compile import CONDITION_VARIABLES, Program

ROUNDS = 16
"""How often what still stands in the way is asked for; each round adds something."""


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
    """The search along one attempt."""

    def __init__(
        self, program: Program, records: Sequence[Record], whole: Replay, attempt: Attempt
    ) -> None:
        self.program = program
        self.pattern = program.pattern
        self.records = records
        self.attempt = attempt
        self.courses = Courses(program, records, whole, attempt)
        self.found = self.courses.found

    def run(self) -> Counterfactual:
        """Add what stands in the way until the policy acts or nothing more can be done."""
        course = self.courses.decide(assume=False)
        for _ in range(ROUNDS):
            if course.impossible:
                break
            own = course.own()
            acted = next((one for one in own if one.decision.outcome == "intervene"), None)
            if acted is not None:
                if not self.found.conditions or not self._unmet(self.courses.decide(assume=False)):
                    return self._told(course, acted if self.found.fixed is None else None)
            elif not (self._refused(course, own) if own else self._unmet(course)):
                break
            course = self.courses.decide(assume=bool(self.found.conditions))
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
                self.found.fixed = Fixed("low_confidence", confident(now, past=True))
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
            and _together(one.decision, own.decision)
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
            and _together(one.decision, own.decision)
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
}


def _is_act(decision: Decision) -> bool:
    return decision.outcome == "intervene" or decision.reason == "global_holdout"


def _together(one: Decision, other: Decision) -> bool:
    """Whether two decisions are of one ledger; what is in shadow stands in nobody's way."""
    return (one.mode == "shadow") == (other.mode == "shadow")


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
