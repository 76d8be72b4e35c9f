"""Coverage: each side of each step, condition and gate, seen or not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.control import DecideSettings
from forestall.contracts.instants import HOUR, MINUTE
from forestall.decide.coverage import Coverage, coverage
from forestall.policy.bundle import Bundle
from forestall.policy.language.parse import parse

HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n"


def covered(
    spec: str, *cases: str, settings: DecideSettings | None = None, until: str = "10m"
) -> Coverage:
    """``spec`` indented by two; each case the flow text of its events."""
    tests = "".join(
        f"  - {{name: c{number}, events: [{events}], until: {until}, expect: []}}\n"
        for number, events in enumerate(cases)
    )
    text = HEAD + spec + (f"tests:\n{tests}" if cases else "")
    (policy,) = parse(text, "p.yaml")
    return coverage(Bundle(policies=(policy,)), policy, settings or DecideSettings())


def when(pattern: str) -> str:
    return f"  when: {pattern}\n"


def at(seconds: float, kind: str, data: str = "{}") -> str:
    return f"{{at: {round(seconds * 1000)}ms, type: {kind}, data: {data}}}"


def seen(found: Coverage, kind: str) -> dict[str, dict[str, bool]]:
    return {point.what: point.seen for point in found.points if point.kind == kind}


def sides(found: Coverage, kind: str) -> list[str]:
    """The sides seen, each as ``1:reached``."""
    return [
        f"{number}:{side}"
        for number, point in enumerate(seen(found, kind).values(), start=1)
        for side, there in point.items()
        if there
    ]


SEQUENCE = "{sequence: [{event: a, times: 2}, {not: b}, {event: c}, {not: d, for: 30s}]}"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        ([at(0, "z")], []),
        ([at(0, "a")], []),
        ([at(0, "a"), at(1, "a")], ["1:reached"]),
        ([at(0, "a"), at(1, "a"), at(2, "b")], ["1:reached", "2:came"]),
        (
            [at(0, "a"), at(1, "a"), at(2, "c")],
            ["1:reached", "2:stayed away", "3:reached", "4:stayed away"],
        ),
        (
            [at(0, "a"), at(1, "a"), at(2, "c"), at(3, "d")],
            ["1:reached", "2:stayed away", "3:reached", "4:came"],
        ),
        ([at(0, "b"), at(1, "d"), at(2, "c")], []),
        ([at(0, "a"), at(1, "b"), at(2, "a"), at(3, "a"), at(4, "d")], ["1:reached"]),
    ],
)
def test_steps_of_a_sequence(events: list[str], expected: list[str]) -> None:
    assert sides(covered(when(SEQUENCE), ", ".join(events)), "step") == expected


def test_what_several_tests_show_adds_up() -> None:
    found = covered(
        when(SEQUENCE),
        ", ".join([at(0, "a"), at(1, "a"), at(2, "b")]),
        ", ".join([at(0, "a"), at(1, "a"), at(2, "c"), at(3, "d")]),
        ", ".join([at(0, "a"), at(1, "a"), at(2, "c")]),
    )
    assert len(sides(found, "step")) == 6
    assert not [words for words in found.untried if words.startswith("step")]


STORIES = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from("aabcd"), st.sampled_from([1, 2])), max_size=8
)


@given(st.lists(STORIES, max_size=3))
def test_what_is_seen_adds_up_exactly(stories: list[list[tuple[int, str, int]]]) -> None:
    spec = (
        "  when: {sequence: [{event: a, times: 2}, {not: b, where: event.data.x == 1},"
        " {event: c}, {not: d, for: 5s}], within: 30s, by: event.data.x}\n"
        '  if: "event.data.x == 1"\n  cooldown: 10s\n'
    )
    cases = [
        ", ".join(at(second, kind, f"{{x: {x}}}") for second, kind, x in sorted(story))
        for story in stories
    ]
    alone = [set(covered(spec, case).untried) for case in cases]
    untried = set(covered(spec).untried).intersection(*alone)
    assert set(covered(spec, *cases).untried) == untried


def test_steps_keep_their_keys_apart() -> None:
    spec = when("{sequence: [{event: a}, {not: b}, {event: c}], by: event.data.k}")
    apart = covered(spec, f"{at(0, 'a', '{k: 1}')}, {at(1, 'b', '{k: 2}')}")
    assert sides(apart, "step") == ["1:reached"]
    together = covered(spec, f"{at(0, 'a', '{k: 1}')}, {at(1, 'b', '{k: 1}')}")
    assert sides(together, "step") == ["1:reached", "2:came"]


def test_steps_of_all_and_of_one_event() -> None:
    spec = when("{all: [{event: a}, {event: b}], within: 1m}")
    assert sides(covered(spec, at(0, "b")), "step") == ["2:reached"]
    assert sides(covered(spec, f"{at(0, 'b')}, {at(1, 'a')}"), "step") == ["1:reached", "2:reached"]
    assert sides(covered(when("{event: a}"), at(0, "a")), "step") == ["1:reached"]
    assert sides(covered(when("{event: a}"), at(0, "b")), "step") == []


def test_a_pattern_that_completes_under_a_false_if_is_reached_all_the_same() -> None:
    spec = when("{sequence: [{event: a}, {not: n, for: 1s}]}") + '  if: "event.data.n > 1"\n'
    found = covered(spec, at(0, "a", "{n: 1}"))
    assert sides(found, "step") == ["1:reached", "2:stayed away"]
    assert seen(found, "condition") == {"if `event.data.n > 1`": {"true": False, "false": True}}
    assert sides(covered(spec, at(0, "a", "{n: 2}")), "condition") == ["1:true"]
    both = covered(spec, at(0, "a", "{n: 2}"), at(0, "a", "{n: 1}"))
    assert sides(both, "condition") == ["1:true", "1:false"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([at(0, "z", "{x: 1}")], []),
        ([at(0, "a", "{x: 1}")], ["1:true"]),
        ([at(0, "a", "{x: 2}")], ["1:false"]),
        ([at(0, "a")], ["1:false"]),
        ([at(0, "b", "{y: 1}")], ["2:true"]),
        ([at(0, "b")], ["2:true"]),
        ([at(0, "b", "{y: 2}")], ["2:false"]),
        ([at(0, "f", "{z: 1}"), at(1, "f", "{z: 2}")], ["3:true", "3:false"]),
    ],
)
def test_wheres_are_asked_of_every_event_of_their_types(
    events: list[str], expected: list[str]
) -> None:
    """A ``where`` that errors is false on a positive step and true on a negative one."""
    spec = (
        "  features: {n: {count: f, over: 1h, where: event.data.z == 1}}\n"
        "  when: {sequence: [{event: a, where: event.data.x == 1},"
        " {not: b, where: event.data.y == 1}, {event: c}]}\n"
    )
    found = covered(spec, ", ".join(events))
    assert sides(found, "condition") == expected
    assert len(seen(found, "condition")) == 3


def test_wheres_see_traits() -> None:
    spec = when("{event: a, where: \"subject.plan == 'pro'\"}")
    known = at(0, "forestall.identify", "{traits: {plan: pro}}")
    assert sides(covered(spec, f"{known}, {at(1, 'a')}"), "condition") == ["1:true"]
    assert sides(covered(spec, at(1, "a")), "condition") == ["1:false"]


def gates(found: Coverage) -> dict[str, str]:
    return {
        name: " ".join(side for side, there in point.items() if there)
        for name, point in seen(found, "gate").items()
    }


def test_gates_passed_and_refused_are_told_by_the_reason() -> None:
    found = covered(when("{event: a}"), f"{at(0, 'a')}, {at(1, 'a')}")
    assert gates(found) == {
        "opted_out": "passed",
        "in_conversation": "passed",
        "cooldown": "passed refused",
        "fatigue": "passed",
    }
    out = covered(when("{event: a}"), f"{at(0, 'forestall.optout')}, {at(1, 'a')}")
    assert gates(out)["opted_out"] == "refused"
    assert gates(out)["cooldown"] == ""


@pytest.mark.parametrize(
    ("spec", "settings", "extra", "fewer"),
    [
        ("  cooldown: 0s\n", {}, {"budget", "spacing"}, {"cooldown"}),
        ("  cooldown: 0s\n", {"budget_window": MINUTE}, {"spacing"}, {"cooldown"}),
        ("  cooldown: 1h\n", {}, {"budget"}, set()),
        ("  budget_class: transactional\n  cooldown: 0s\n", {}, set(), {"cooldown"}),
        ("  in_conversation: allow\n", {}, set(), {"in_conversation"}),
        ("", {"require_consent": True}, {"no_consent"}, set()),
        ("", {"quiet_hours": (0, 60)}, {"quiet_hours"}, set()),
        ("  quiet_hours: ignore\n", {"quiet_hours": (0, 60)}, set(), set()),
        ("", {"spacing": 25 * HOUR}, {"spacing"}, set()),
    ],
)
def test_only_gates_that_a_test_can_see_refuse_are_counted(
    spec: str, settings: dict[str, Any], extra: set[str], fewer: set[str]
) -> None:
    usual = {"opted_out", "in_conversation", "cooldown", "fatigue"}
    found = covered(when("{event: a}") + spec, at(0, "a"), settings=DecideSettings(**settings))
    assert set(gates(found)) == (usual | extra) - fewer


def test_every_gate_that_is_counted_can_be_refused() -> None:
    found = covered(
        when("{event: a}") + "  cooldown: 1m\n",
        f"{at(0, 'a')}, {at(30, 'a')}, {at(61, 'a')}",
        f"{at(0, 'a')}, {at(601, 'a')}, {at(1202, 'a')}, {at(1803, 'a')}",
        f"{at(0, 'forestall.optout')}, {at(1, 'a')}",
        f"{at(0, 'forestall.ticket.opened', '{ticket: t}')}, {at(1, 'a')}",
        f"{at(0, 'forestall.intervention.dismissed', '{policy: p, never: true}')}, {at(1, 'a')}",
        until="1h",
    )
    assert set(gates(found).values()) == {"passed refused"}
    assert (found.percent, found.untried) == (100, ())


def test_without_tests_nothing_is_covered() -> None:
    found = covered(when("{event: a}"))
    assert found.percent == 0
    assert found.untried[0] == "step 1, `a`: never reached"


def test_the_percentage_is_rounded_down() -> None:
    found = covered(when("{event: a}"), at(0, "a"))
    total = sum(len(point.seen) for point in found.points)
    assert found.percent == 100 * (total - len(found.untried)) // total
    assert 0 < found.percent < 100
