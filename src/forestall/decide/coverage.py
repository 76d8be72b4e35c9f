"""Coverage: which steps, conditions and gates of a policy its tests have tried, both ways. Pure.

The cases run record by record in the engine that decides live. Steps are read off the pattern's
state; each ``where`` is asked of every event of its types, by a policy of that one step.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.decide.examine import START, CaseRun
from forestall.decide.gates import GATES
from forestall.decide.patterns import Keys, KeyState
from forestall.decide.plan import concerns
from forestall.policy.bundle import Bundle
from forestall.policy.language.changes import step_words
from forestall.policy.language.comparing import match_words
from forestall.policy.language.compile import PatternProgram, compile_policy
from forestall.policy.language.model import Match, Policy, PolicyTest, Step, When


class Point(msgspec.Struct):
    """Something to try. ``seen`` tells of each of its sides whether a test showed it: a step is
    reached (a negative one came, or stayed away), a condition true or false, a gate passed or
    refused."""

    kind: Literal["step", "condition", "gate"]
    what: str
    seen: dict[str, bool]


class Coverage(msgspec.Struct, frozen=True):
    """What the tests of one policy try."""

    policy: str
    points: tuple[Point, ...]

    @property
    def percent(self) -> int:
        """The share of sides seen, of 100, rounded down."""
        sides = [seen for point in self.points for seen in point.seen.values()]
        return 100 * sum(sides) // len(sides)

    @property
    def untried(self) -> tuple[str, ...]:
        """Every side not seen, in words: ``gate cooldown: never refused``."""
        return tuple(
            f"{point.kind} {point.what}: never {side}"
            for point in self.points
            for side, seen in point.seen.items()
            if not seen
        )


def coverage(bundle: Bundle, policy: Policy, settings: DecideSettings) -> Coverage:
    """What the tests of ``policy`` try, run as ``examine`` runs them."""
    steps = _Steps(policy)
    condition = Point("condition", f"if `{policy.condition}`", {"true": False, "false": False})
    gates = {
        reason: Point("gate", reason, {"passed": False, "refused": False})
        for reason in _reachable(policy, settings)
    }
    for case in policy.tests:
        run = CaseRun(bundle, policy, case, settings)
        unmet: list[bool] = []
        run.engine.unmet = lambda _program, _given, unmet=unmet: unmet.append(True)
        made: list[Decision] = []
        for record in run.records:
            before = _keys(run, policy)
            asked = len(unmet)
            decided = run.process([record])
            steps.saw(record, before, _keys(run, policy), len(unmet) > asked or bool(decided))
            made += decided
        asked, last = len(unmet), run.finish()
        if last or len(unmet) > asked:
            steps.completed()
        made += last
        condition.seen["true"] |= bool(made)
        condition.seen["false"] |= bool(unmet)
        for decision in made:
            _pass_gates(decision, gates)
    conditions = [*_wheres(bundle, policy, settings)]
    if policy.condition is not None:
        conditions.append(condition)
    return Coverage(policy.name, (*steps.points, *conditions, *gates.values()))


# -- steps -----------------------------------------------------------------------------------------


def _keys(run: CaseRun, policy: Policy) -> Keys:
    return dict(run.engine.standing(run.subject, policy.name, START)[2])


class _Steps:
    """The steps of one pattern, marked as their events come."""

    def __init__(self, policy: Policy) -> None:
        self._pattern: PatternProgram = compile_policy(policy, "").pattern
        self.points: list[Point] = []
        self._positives: list[Point] = []
        self._gaps: dict[int, Point] = {}
        self._trailing: Point | None = None
        for number, step in enumerate(policy.when.steps, start=1):
            sides = {"came": False, "stayed away": False} if step.negative else {"reached": False}
            point = Point("step", f"{number}, {step_words(step)}", sides)
            self.points.append(point)
            self._place(step, point)

    def _place(self, step: Step, point: Point) -> None:
        if not step.negative:
            self._positives += [point] * step.times
        elif step.quiet_for is not None:
            self._trailing = point
        else:
            self._gaps[len(self._positives) - 1] = point

    def saw(self, record: Record, before: Keys, after: Keys, completed: bool) -> None:
        """Mark what a record has changed; ``completed``: the pattern did, whatever came of it."""
        if completed:
            self.completed()
        for state in after.values():
            self._reached(state)
        if completed:
            return
        pattern = self._pattern
        for key, state in before.items():
            now = after.get(key, KeyState())
            for gap, point in self._gaps.items():
                lost = state.best[gap : gap + 1] != now.best[gap : gap + 1] and any(
                    state.best[gap : gap + 1]
                )
                point.seen["came"] |= lost and concerns(pattern.gaps[gap], record.type)
            trailing = pattern.trailing
            if self._trailing is not None and trailing is not None and state.armed is not None:
                came = now.armed is None and concerns(trailing, record.type)
                self._trailing.seen["came"] |= came

    def completed(self) -> None:
        """Mark every step as gone through."""
        for point in self._positives:
            point.seen["reached"] = True
        for silence in (*self._gaps.values(), self._trailing):
            if silence is not None:
                silence.seen["stayed away"] = True

    def _reached(self, state: KeyState) -> None:
        parts = state.best if self._pattern.ordered else state.latest
        stood = [*(part is not None for part in parts), state.armed is not None]
        for index, point in enumerate(self._positives[: len(stood)]):
            repeated = index + 1 < len(self._positives) and self._positives[index + 1] is point
            if stood[index] and not repeated:
                point.seen["reached"] = True
            if stood[index] and index - 1 in self._gaps:
                self._gaps[index - 1].seen["stayed away"] = True


# -- conditions ------------------------------------------------------------------------------------


def _wheres(bundle: Bundle, policy: Policy, settings: DecideSettings) -> Iterator[Point]:
    for number, step in enumerate(policy.when.steps, start=1):
        if step.match.where is not None:
            label = f"where of step {number}, {match_words(step.match)}"
            yield _asked(label, step.match, step.negative, bundle, policy, settings)
    for name, feature in policy.features.items():
        if feature.match.where is not None:
            label = f"where of feature {name}, {match_words(feature.match)}"
            yield _asked(label, feature.match, False, bundle, policy, settings)


def _asked(
    label: str,
    match: Match,
    negative: bool,
    bundle: Bundle,
    policy: Policy,
    settings: DecideSettings,
) -> Point:
    """A ``where`` that errors is false on a positive step and true on a negative one."""
    where = f"!({match.where})" if negative else match.where
    counts = Counter[bool]()
    for asked in (Match(types=match.types), Match(types=match.types, where=where)):
        probe = Policy(
            name=policy.name,
            title="",
            owner="",
            when=When(kind="event", steps=(Step(match=asked),)),
            playbook=(),
        )
        counts[asked.where is not None] = sum(
            len(_decisions(bundle, probe, case, settings)) for case in policy.tests
        )
    held, failed = counts[True] > 0, counts[False] > counts[True]
    sides = {"true": failed, "false": held} if negative else {"true": held, "false": failed}
    return Point("condition", label, sides)


def _decisions(
    bundle: Bundle, probe: Policy, case: PolicyTest, settings: DecideSettings
) -> list[Decision]:
    run = CaseRun(bundle, probe, case, settings)
    return run.process(run.records)


# -- gates -----------------------------------------------------------------------------------------


def _reachable(policy: Policy, settings: DecideSettings) -> list[str]:
    """The gates that a test of this policy alone can see refuse, in order."""
    guidance = policy.budget_class == "guidance"
    apart = max(policy.cooldown, settings.spacing)
    can = {
        "opted_out": True,
        "no_consent": settings.require_consent,
        "in_conversation": policy.in_conversation == "hold",
        "cooldown": policy.cooldown > 0,
        "fatigue": True,
        "budget": guidance and settings.budget * apart < settings.budget_window,
        "spacing": guidance and policy.cooldown < settings.spacing,
        "quiet_hours": settings.quiet_hours is not None and policy.quiet_hours == "respect",
    }
    return [reason for reason, _ in GATES if can.get(reason, False)]


def _pass_gates(decision: Decision, gates: dict[str, Point]) -> None:
    order: Sequence[str] = [reason for reason, _ in GATES]
    refused = order.index(decision.reason) if decision.reason in order else len(order)
    for place, reason in enumerate(order[: refused + 1]):
        if reason in gates:
            gates[reason].seen["refused" if place == refused else "passed"] = True
