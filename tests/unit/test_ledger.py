"""Control events of a subject: who stands where, and what is carried over when pseudonyms join."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.control import DecideSettings
from forestall.decide.gates import Ledger, Standing
from forestall.decide.ledger import EFFECTS, later
from scenario import OPEN, decide, event, instant, on, told


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("forestall.identify", {}),
        ("forestall.identify", {"traits": []}),
        ("forestall.consent.granted", {}),
        ("forestall.consent.withdrawn", {"purpose": 1}),
        ("forestall.ticket.opened", {}),
        ("forestall.ticket.closed", {"ticket": True}),
        ("forestall.ticket.reopened", {}),
        ("forestall.intervention.dismissed", {}),
        ("forestall.intervention.helped", {"policy": None}),
        ("forestall.alias", {"optout": {"out": True}}),
        ("forestall.alias", {"acts": {"p": ["never"]}}),
    ],
)
def test_an_event_that_lacks_its_field_changes_nothing(
    event_type: str, data: dict[str, object]
) -> None:
    ledger = Ledger()
    assert EFFECTS[event_type](ledger, data, 1) is False
    assert ledger == Ledger()


@given(st.permutations([(1, True), (2, False), (2, True), (3, False)]))
def test_the_later_standing_stands_whatever_the_order(order: list[tuple[int, bool]]) -> None:
    standing: Standing | None = None
    for time, yes in order:
        standing = later(standing, Standing(time, yes), strict=True)
    assert standing == Standing(3, False)
    assert later(Standing(2, True), Standing(2, False), strict=True) == Standing(2, True)
    assert later(Standing(2, True), Standing(2, False), strict=False) == Standing(2, False)


def test_traits_merge_key_by_key_and_null_stays_null() -> None:
    policy = on("{event: a}", **{"if": "subject.plan == null && subject.lang == 'de'"})
    lines = [
        event(0, "forestall.identify", {"traits": {"plan": "pro", "lang": "de"}}),
        event(1, "forestall.identify", {"traits": {"plan": None}}),
        event(2, "a"),
    ]
    assert told(decide(policy, lines)) == ["2 p intervene"]


def test_control_events_also_take_part_in_patterns_after_their_effect() -> None:
    policy = on("{event: forestall.identify}", **{"if": "subject.plan == 'pro'"})
    lines = [event(0, "forestall.identify", {"traits": {"plan": "pro"}})]
    assert told(decide(policy, lines)) == ["0 p intervene"]


def test_control_events_are_never_late() -> None:
    lines = [event(0, "forestall.optout", received=9999), event(10000, "a")]
    assert told(decide(on("{event: a}"), lines)) == ["10000 p opted_out"]


def alias(at: float, **carried: object) -> bytes:
    return event(at, "forestall.alias", {"from": "other", **carried})


def test_joining_carries_the_stricter_optout_and_consent() -> None:
    policy = on("{event: a}")
    out = {"time": instant(-100), "out": True}
    lines = [event(0, "forestall.optin"), alias(1, optout=out), event(2, "a")]
    assert told(decide(policy, lines)) == ["2 p opted_out"]
    settings = DecideSettings(require_consent=True)
    withdrawn = {"support": {"time": instant(-100), "granted": False}}
    granted = event(0, "forestall.consent.granted", {"purpose": "support"})
    lines = [granted, alias(1, consent=withdrawn), event(2, "a")]
    assert told(decide(policy, lines, settings)) == ["2 p no_consent"]
    given_elsewhere = {"support": {"time": instant(-100), "granted": True}}
    assert told(decide(policy, [alias(1, consent=given_elsewhere), event(2, "a")], settings)) == [
        "2 p intervene"
    ]


def test_joining_carries_acts_and_dismissals() -> None:
    policy = on("{event: a}", cooldown="10s")
    acts = {"p": [instant(0)]}
    assert told(decide(policy, [alias(1, acts=acts), event(9, "a"), event(10, "a")])) == [
        "9 p cooldown",
        "10 p intervene",
    ]
    dismissed = {"p": {"count": 1, "never": False}}
    lines = [alias(1, acts=acts, dismissals=dismissed), event(19, "a"), event(20, "a")]
    assert told(decide(policy, lines)) == ["19 p fatigue", "20 p intervene"]
    never = {"p": {"count": 0, "never": True}}
    assert told(decide(policy, [alias(1, dismissals=never), event(99, "a")])) == ["99 p fatigue"]


def test_joining_carries_the_budget() -> None:
    from msgspec.structs import replace

    settings = replace(OPEN, budget=1)
    lines = [alias(1, guidance_acts=[instant(0)]), event(2, "a")]
    assert told(decide(on("{event: a}"), lines, settings)) == ["2 p budget"]
