"""The stage when policies change around restarts: nothing known is lost, and nothing goes back."""

import msgspec
import pytest

from forestall.contracts.control import SettingsApplied
from forestall.contracts.decision import Decided
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.memory import MemoryLog
from forestall.policy.bundle import Bundle, applied
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, on, records

COUNTING = on("{event: c}", "p1", features={"n": {"count": "a", "over": "30d"}})


class Deployment:
    """A stage over logs in memory that can be killed and started again."""

    def __init__(self) -> None:
        self.signals, self.own = MemoryLog(), MemoryLog()
        self.stage = Stage(self.signals, self.own)
        self.stage.apply([SettingsApplied(0, OPEN, "test", "test")])

    def put(self, *policies: Policy) -> None:
        self.stage.apply([applied(Bundle(policies=policies), 0, "test", "test")])

    def feed(self, *lines: bytes) -> None:
        self.take(records(*lines))

    def take(self, some: list[Record]) -> None:
        self.signals.commit([streams.signals(some)], tick=some[-1].received)
        self.run()

    def run(self) -> None:
        while self.stage.step():
            pass

    def restart(self) -> None:
        self.stage = Stage(self.signals, self.own)

    def told(self) -> list[dict[str, object]]:
        entries: list[Decided] = []
        for batch in self.own.follow(streams.DECISIONS):
            entries += streams.read_decisions(batch)
        return [entry.decision.features for entry in entries]


def test_control_after_a_quiet_minute_and_a_restart_does_not_go_back_in_time() -> None:
    one = Deployment()
    one.feed(event(0, "a"))
    one.signals.commit(tick=START + 60 * SECOND)
    one.run()
    one.put(on("{event: c}", "p1"))
    before = one.own.received(streams.CONTROL)
    one.restart()
    one.put(on("{event: c}", "p1"), on("{event: d}", "p2"))
    assert one.own.received(streams.CONTROL) >= before


@pytest.mark.parametrize("restarted", [False, True])
def test_a_policy_that_comes_back_knows_what_happened_before(restarted: bool) -> None:
    one = Deployment()
    one.put(COUNTING)
    one.feed(event(0, "a"), event(1, "a"))
    one.stage.rest()
    for number, policy in enumerate([on("{event: y}", "p2"), on("{event: z}", "p3"), COUNTING]):
        one.put(policy)
        one.feed(event(2 + number, "x"))
    if restarted:
        one.restart()
    one.feed(event(5, "c"))
    assert one.told() == [{"n": 2}]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_new_feature_beside_one_just_adopted(restarted: bool) -> None:
    one = Deployment()
    one.feed(event(0, "a"), event(1, "a"))
    one.put(COUNTING)
    one.stage.rest()
    if restarted:
        one.restart()
    one.feed(event(2, "x"))
    one.put(COUNTING, on("{event: d}", "q", features={"m": {"count": "b", "over": "30d"}}))
    one.feed(event(3, "x"))
    if restarted:
        one.restart()
    one.feed(event(5, "c"))
    assert one.told() == [{"n": 2}]


def test_a_feature_filled_later_counts_from_the_clocks_that_timers_moved() -> None:
    silence = on("{sequence: [{event: a}, {not: b, for: 10s}]}", "silent")
    counting = on("{event: d}", "counts", features={"n": {"count": "c", "over": "5s"}})
    found = []
    for early in (True, False):
        one = Deployment()
        one.put(silence, *([counting] if early else []))
        one.feed(event(0, "a"))
        one.feed(event(13, "x", subject="other"))
        one.feed(event(7, "c", received=14))
        if not early:
            one.put(silence, counting)
        one.feed(event(14.5, "d"))
        found.append(one.told()[-1])
    assert found == [{"n": 1}, {"n": 1}]


def test_a_feature_filled_later_drops_the_oldest_events_of_all_keys() -> None:
    by_key = on(
        "{event: c}", "p", features={"n": {"count": "a", "over": "30d", "by": "event.data.k"}}
    )

    def one_of(number: int, event_type: str, key: str) -> Record:
        at = START + number * SECOND
        data = msgspec.Raw(msgspec.json.encode({"k": key}))
        return Record(f"{event_type}{number}", "s", event_type, "u", at, at, "server", data)

    one = Deployment()
    one.take([one_of(number, "a", "x") for number in range(6_000)])
    one.put(by_key)
    one.take([one_of(number, "a", "y") for number in range(6_000, 12_000)])
    one.take([one_of(13_000, "c", "x"), one_of(13_001, "c", "y")])
    assert one.told() == [{"n": 4_000}, {"n": 6_000}]


def test_features_that_no_policy_needs_any_more_are_given_up() -> None:
    one = Deployment()
    for days in range(1, 12):
        one.put(on("{event: c}", "p", features={"n": {"count": "a", "over": f"{days}d"}}))
        one.feed(event(days, "a"))
        one.stage.rest()
    assert len(one.stage.engine.features) <= 2
