"""Canaries read off the log: which steps there are, and the same tallies however it is read."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.control import (
    Control,
    DecideSettings,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
    SwitchesApplied,
    Transition,
)
from forestall.contracts.decision import Decided, Decision, Mode
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR, MINUTE, SECOND
from forestall.log import streams
from forestall.log.memory import MemoryLog
from forestall.measure.canary import Plan
from forestall.measure.canary_log import CanaryLog, CanaryLook, position_before
from forestall.measure.rollout import Ladder, Rollout

LADDER = Ladder(steps=((0.2, HOUR), (0.5, 4 * HOUR)), alpha=0.04, least=5)
CURSOR = "worker"


def policies(*held: tuple[str, Mode, float], at: int = 0, name: str = "hint") -> PoliciesApplied:
    return PoliciesApplied(
        at,
        tuple(
            PolicyInForce(name, version, msgspec.Raw(b"{}"), mode, share)
            for version, mode, share in held
        ),
        {},
        "ann",
        "so",
    )


def transition(number: int) -> Transition:
    return Transition(
        received=0,
        number=number,
        artifact="policy",
        name="hint",
        version="v2",
        before="shadow",
        after="canary",
        by="ann",
        why="so",
    )


def salted(salt: str, at: int = 0) -> SettingsApplied:
    return SettingsApplied(at, DecideSettings(salt=salt), "ann", "so")


def plans(*records: Control) -> dict[tuple[str, str], Plan]:
    rollout = Rollout(LADDER)
    for record in records:
        rollout.take(record)
    return {(kind, name): plan for (kind, name), plan in rollout.running.items()}


LIVE: tuple[str, Mode, float] = ("v1", "live", 1.0)


def test_a_canary_has_the_plan_of_its_step() -> None:
    (plan,) = plans(salted("s"), policies(LIVE, ("v2", "canary", 0.2), at=7)).values()
    assert (plan.kind, plan.name, plan.version, plan.begun) == ("policy", "hint", "v2", 7)
    assert (plan.share, plan.earlier, plan.alone) == (0.2, 0.0, True)
    assert plan.salt == "s:hint:canary"
    assert (plan.time, plan.settling, plan.alpha, plan.least) == (HOUR, 30 * MINUTE, 0.02, 5)


def test_a_step_goes_on_while_other_things_change() -> None:
    first = policies(("v2", "canary", 0.2), at=7)
    again = policies(("v2", "canary", 0.2), ("v3", "shadow", 1.0), at=9)
    (plan,) = plans(first, again, SwitchesApplied(10, (), False, "ann", "so")).values()
    assert (plan.begun, plan.alone) == (7, False)


def test_a_larger_share_begins_a_step_for_who_is_new_to_it() -> None:
    steps = [policies(("v2", "canary", share), at=at) for at, share in ((1, 0.2), (5, 0.5))]
    (plan,) = plans(*steps).values()
    assert (plan.begun, plan.share, plan.earlier, plan.time) == (5, 0.5, 0.2, 4 * HOUR)
    (smaller,) = plans(*steps, policies(("v2", "canary", 0.3), at=9)).values()
    assert (smaller.begun, smaller.share, smaller.earlier) == (9, 0.3, 0.0)


@pytest.mark.parametrize(
    "between", [policies(LIVE, at=3), policies(("v3", "canary", 0.2), at=3), salted("t", at=3)]
)
def test_another_version_salt_or_a_break_begins_anew(between: Control) -> None:
    first, last = policies(("v2", "canary", 0.1), at=1), policies(("v2", "canary", 0.2), at=5)
    (plan,) = plans(first, between, last).values()
    assert (plan.begun, plan.earlier) == (5, 0.1 if isinstance(between, SettingsApplied) else 0.0)


def test_a_rollout_knows_the_newest_transition() -> None:
    rollout = Rollout(LADDER)
    rollout.take(transition(4))
    rollout.take(policies(("v2", "canary", 0.2), at=1))
    assert (rollout.number, list(rollout.running)) == (4, [("policy", "hint")])
    rollout.take(transition(5))
    assert (rollout.number, list(rollout.running)) == (5, [("policy", "hint")])


def test_models_have_canaries_too() -> None:
    model = ModelInForce("churn", "m2", msgspec.Raw(b"{}"), "canary", 0.2)
    found = plans(salted("s"), ModelsApplied(4, (model,), {}, "ann", "so"))
    plan = found["model", "churn"]
    assert (plan.kind, plan.salt, plan.alone) == ("model", "s:churn:model-canary", False)


def test_a_ladder_knows_what_comes_next() -> None:
    assert [LADDER.after(share) for share in (0.0, 0.1, 0.2, 0.5)] == [0.2, 0.2, 0.5, None]
    assert [LADDER.time(share) for share in (0.1, 0.3, 0.9)] == [HOUR, 4 * HOUR, 4 * HOUR]


# -- the log -------------------------------------------------------------------------------------


class World:
    """A gateway's and a worker's log, written a batch at a time."""

    def __init__(self) -> None:
        self.signals, self.own = MemoryLog(), MemoryLog()
        self.now = 0
        self.position = 0
        self._number = 0
        self.govern(salted("s"))

    def govern(self, *records: Control) -> None:
        self.now += 1
        stamped = [msgspec.structs.replace(one, received=self.now) for one in records]
        self.own.commit([streams.control(stamped)])

    def happen(self, events: list[tuple[str, str]], decide: bool = True) -> None:
        """A batch of events (subject, type), each ``hint`` of which is decided on and shown."""
        batch = []
        made = []
        for subject, kind in events:
            self.now += SECOND
            self._number += 1
            data: dict[str, str] = {}
            if kind.startswith("forestall.intervention"):
                data = {"intervention": f"d-{subject}", "policy": "hint"}
            batch.append(
                Record(
                    f"e{self._number}", "test", kind, subject, self.now, self.now, "server",
                    msgspec.Raw(msgspec.json.encode(data)),
                )
            )  # fmt: skip
            if kind == "trouble":
                made.append(self._decision(subject))
        self.signals.commit([streams.signals(batch)])
        if decide:
            self.decide(made)

    def decide(self, made: list[Decided]) -> None:
        self.position += 1
        appends = [streams.decisions(made)] if made else []
        self.own.commit(appends, cursors={CURSOR: self.position})

    def _decision(self, subject: str) -> Decided:
        decision = Decision(
            id=f"d-{subject}", policy="hint", version="v2", mode="canary", subject=subject,
            key=None, at="", outcome="intervene", reason=None, matched=(), features={},
            explanation="",
        )  # fmt: skip
        return Decided(self.position + 1, 1, self.now, decision)

    def log(self) -> CanaryLog:
        return CanaryLog(self.signals, self.own, LADDER, CURSOR)


def clock() -> Iterator[float]:
    """Seconds that pass with each look."""
    now = 0.0
    while True:
        yield now
        now += 1.0


def read(log: CanaryLog, seconds: float = 1e9) -> list[CanaryLook]:
    ticking = clock()
    while log.read(seconds, lambda: next(ticking)):
        pass
    return log.looks()


KINDS = ("page.viewed", "trouble", "forestall.ticket.opened", "forestall.intervention.shown",
         "forestall.intervention.dismissed")  # fmt: skip
EVENTS = st.lists(
    st.tuples(st.sampled_from([f"s{n}" for n in range(12)]), st.sampled_from(KINDS)),
    min_size=1,
    max_size=8,
)
ACTS = st.lists(
    st.one_of(EVENTS, st.sampled_from([0.2, 0.5, "other", "none", "look"])), max_size=25
)


@settings(max_examples=150)
@given(ACTS, st.sampled_from([0.5, 3.0, 1e9]))
def test_a_rebuild_finds_what_was_followed_all_along(
    acts: list[list[tuple[str, str]] | float | str], slice_: float
) -> None:
    world = World()
    following = world.log()
    for act in acts:
        if isinstance(act, list):
            world.happen(act)
        elif act == "look":
            read(following, slice_)
        elif act == "none":
            world.govern(policies(LIVE))
        elif act == "other":
            world.govern(policies(LIVE, ("v3", "canary", 0.5)))
        elif isinstance(act, float):
            world.govern(policies(LIVE, ("v2", "canary", act)))
    assert read(following, slice_) == read(world.log())


def test_what_is_not_decided_on_yet_is_not_taken() -> None:
    world = World()
    world.govern(policies(LIVE, ("v2", "canary", 0.5)))
    world.happen([("s1", "page.viewed")])
    world.happen([("s2", "page.viewed"), ("s3", "page.viewed")], decide=False)
    log = world.log()
    (before,) = read(log)
    assert before.look.active.canary + before.look.active.rest == 1
    world.decide([])
    (after,) = read(log)
    assert after.look.active.canary + after.look.active.rest == 3


def test_a_look_tells_what_follows_and_time_passes_by_the_tick() -> None:
    world = World()
    world.govern(policies(LIVE, ("v2", "canary", 0.2)))
    world.happen([("s1", "page.viewed")])
    world.signals.commit(tick=world.now + HOUR)
    (found,) = read(world.log())
    assert (found.kind, found.name, found.version, found.next) == ("policy", "hint", "v2", 0.5)
    assert found.look.lasted == HOUR + SECOND
    assert found.look.verdict == "no_data"


def test_without_a_canary_nothing_is_counted_or_kept() -> None:
    world = World()
    world.happen([("s1", "page.viewed")] * 5)
    log = world.log()
    assert read(log) == []
    world.govern(policies(LIVE, ("v2", "canary", 0.5)))
    assert len(read(log)) == 1
    world.govern(policies(LIVE))
    assert read(log) == []


def test_where_a_moment_lies_in_the_log() -> None:
    world = World()
    for _ in range(9):
        world.happen([("s1", "page.viewed")])
    times = [batch.received for batch in world.signals.follow(streams.SIGNALS)]
    for index, at in enumerate(times):
        assert position_before(world.signals, streams.SIGNALS, at) == index
        assert position_before(world.signals, streams.SIGNALS, at + 1) == index + 1
    assert position_before(MemoryLog(), streams.SIGNALS, 5) == 0
