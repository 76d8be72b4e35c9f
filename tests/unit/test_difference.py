"""Difference: which decisions two sets of policies make differently, and why."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.decide.difference import Difference, Samples, Totals, compare, verdict, why
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from scenario import OPEN, decide, event, instant, on, records

Set = Policy | Sequence[Policy]


class Pieces:
    """A history in chunks of a given size."""

    def __init__(self, lines: Sequence[bytes], size: int) -> None:
        self._records = records(*lines)
        self._size = size
        self.tick = self._records[-1].received if self._records else None

    def __iter__(self) -> Iterator[Sequence[Record]]:
        for at in range(0, len(self._records), self._size):
            yield self._records[at : at + self._size]


def controls(policies: Set, settings: DecideSettings):  # type: ignore[no-untyped-def]
    several = (policies,) if isinstance(policies, Policy) else tuple(policies)
    return opening(Bundle(policies=several), settings)


def differing(
    old: Set,
    new: Set,
    *lines: bytes,
    settings: DecideSettings = OPEN,
    chunk: int = 100,
) -> tuple[list[Difference], Totals]:
    totals = Totals()
    sets = controls(old, settings), controls(new, settings)
    found = [one for made in compare(*sets, Pieces(lines, chunk), settings, totals) for one in made]
    return found, totals


def reasons(
    old: Set, new: Set, *lines: bytes, settings: DecideSettings = OPEN
) -> list[tuple[str, str]]:
    found, _ = differing(old, new, *lines, settings=settings)
    sets = controls(old, settings), controls(new, settings)
    return [why(one, *sets, records(*lines), settings) for one in found]


def told(found: Sequence[Difference]) -> list[str]:
    return [f"{one.decision.at[17:19]} {' -> '.join(one.row)}" for one in found]


def test_the_same_policies_differ_in_nothing() -> None:
    found, totals = differing(on("{event: a}"), on("{event: a}"), event(0, "a"), event(1, "a"))
    assert found == []
    assert (totals.events, totals.old, totals.new, dict(totals.rows)) == (2, 2, 2, {})


def test_a_new_version_that_decides_alike_differs_in_nothing() -> None:
    found, totals = differing(on("{event: a}"), on("{event: [a, z]}"), event(0, "a"))
    assert (found, totals.old, totals.new) == ([], 1, 1)


def test_an_outcome_that_differs_is_one_difference() -> None:
    old, new = on("{event: a}", cooldown="1m"), on("{event: a}", cooldown="10m")
    found, totals = differing(old, new, event(0, "a"), event(2, "a"), event(90, "a"))
    assert told(found) == ["30 p -> intervene -> suppress (cooldown)"]
    assert (totals.gained, totals.lost) == (0, 1)
    assert totals.rows == {("p", "intervene", "suppress (cooldown)"): 1}


def test_decisions_that_only_one_set_makes() -> None:
    old = [on("{event: a}", "gone"), on("{event: b}", "same")]
    new = [on("{event: b}", "same"), on("{event: a}", "fresh")]
    found, totals = differing(old, new, event(0, "a"), event(1, "b"))
    assert told(found) == [
        "00 fresh -> no decision -> intervene",
        "00 gone -> intervene -> no decision",
    ]
    assert (totals.gained, totals.lost) == (1, 1)


def test_two_decisions_of_one_moment_are_paired_in_turn() -> None:
    lines = [event(0, "a", event_id=name) for name in "xyz"]
    old, new = on("{event: a}", cooldown="1h"), on("{event: a}")
    found, totals = differing(old, new, *lines)
    assert told(found) == ["00 p -> suppress (cooldown) -> intervene"] * 2
    assert (totals.old, totals.new) == (3, 3)


def test_a_silence_is_paired_with_an_event_of_its_moment() -> None:
    """The timer's decision is noticed records later than the event's."""
    old = on("{sequence: [{event: a}, {not: b, for: 30s}]}")
    new = on("{event: c}")
    lines = [event(0, "a"), event(30, "c"), event(31, "z", subject="v"), event(60, "z")]
    found, totals = differing(old, new, *lines, chunk=1)
    assert (found, totals.old, totals.new) == ([], 1, 1)


def test_chunks_change_nothing() -> None:
    old = on("{sequence: [{event: a}, {not: b, for: 3s}]}", cooldown="5s")
    new = on("{sequence: [{event: a}, {not: b, for: 5s}]}", cooldown="2s")
    lines = [event(t, "ab"[t % 5 == 0], subject=f"u{t % 3}") for t in range(60)]
    whole, totals = differing(old, new, *lines)
    for chunk in (1, 7):
        pieces, same = differing(old, new, *lines, chunk=chunk)
        assert sorted(pieces, key=repr) == sorted(whole, key=repr)
        assert same == totals
    assert whole


def test_memory_of_what_waits_for_a_partner_is_bounded_by_lateness() -> None:
    lines = [event(400 * t, "a", subject=f"u{t}") for t in range(5)]
    totals = Totals()
    sets = controls([], OPEN), controls(on("{event: a}"), OPEN)
    seen = [len(found) for found in compare(*sets, Pieces(lines, 1), OPEN, totals)]
    assert seen == [1, 1, 1, 1, 1]


@given(
    st.lists(st.tuples(st.sampled_from("uv"), st.sampled_from("abc")), max_size=30),
    st.sampled_from(["0s", "3s", "10s"]),
    st.sampled_from(["{event: a}", "{sequence: [{event: a}, {not: b, for: 3s}]}"]),
    st.integers(1, 40),
)
def test_differences_are_exactly_those_of_two_backtests(
    history: list[tuple[str, str]], cooldown: str, when: str, chunk: int
) -> None:
    lines = [event(t, kind, subject=who) for t, (who, kind) in enumerate(history)]
    old, new = on("{event: a}", cooldown="3s"), on(when, cooldown=cooldown)

    def places(made: list[Decision]) -> set[tuple[str, str, str]]:
        return {(one.subject, one.at, verdict(one)) for one in made}

    before, after = places(decide(old, lines)), places(decide(new, lines))
    found, totals = differing(old, new, *lines, chunk=chunk)
    assert places([one.old for one in found if one.old]) == before - after
    assert places([one.new for one in found if one.new]) == after - before
    assert sum(totals.rows.values()) == len(found)


# -- why -------------------------------------------------------------------------------------------


def test_why_a_set_without_the_policy_says_nothing() -> None:
    (pair,) = reasons([], on("{event: a}"), event(0, "a"))
    assert pair == (
        "there is no such policy in this set",
        "p: 1 event matched, and nothing spoke against acting.",
    )


@pytest.mark.parametrize(
    ("when", "because"),
    [
        ("{sequence: [{event: a, times: 3}]}", "2 of 3 steps stood"),
        ("{sequence: [{event: a, times: 3}], within: 1s}", "1 of 3 steps stood within 1s"),
        ("{event: z}", "0 of 1 steps stood"),
        ("{all: [{event: a}, {event: z}], within: 1m}", "1 of 2 steps stood within 1m"),
        (
            "{sequence: [{event: a}, {not: b, for: 30s}]}",
            f"all steps stood, and 30s of silence would have ended at {instant(30)}",
        ),
    ],
)
def test_why_a_pattern_had_not_completed(when: str, because: str) -> None:
    old = on("{sequence: [{event: a, times: 2}]}")
    before, after = reasons(old, on(when), event(0, "a"), event(5, "a"))[0]
    assert before.startswith("p: 2 events matched")
    assert after == f"the pattern had not completed: {because}"


def test_why_a_pattern_began_anew() -> None:
    old = on("{event: a}")
    new = on("{sequence: [{event: a, times: 2}]}")
    lines = [event(t, "a") for t in range(3)]
    pairs = reasons(old, new, *lines)
    assert pairs[1][1] == (
        f"the pattern had not completed: 1 of 2 steps stood; it last decided at {instant(1)} "
        "and began anew"
    )


def test_why_an_if_did_not_hold() -> None:
    old = on("{event: a}")
    new = replace(old, condition="event.data.n > 3")
    ((before, after),) = reasons(old, new, event(0, "a", {"n": 1}), event(1, "a", {"n": 9}))
    assert before.startswith("p: 1 event matched")
    assert after == "the pattern completed, but `if` did not hold"


def test_why_names_the_act_that_stood_in_the_way() -> None:
    p, other = on("{event: a}", cooldown="1h"), on("{event: a}", "q", priority=90)
    (pair,) = reasons(p, [p, replace(other, name="q")], event(0, "a"))[:1]
    assert pair[1].endswith(f"came first for this customer. The act was that of q at {instant(0)}.")
    short = replace(p, cooldown=0)
    (pair,) = reasons(short, p, event(0, "a"), event(9, "a"))
    assert pair[1].endswith(f"too recently. The act was that of p at {instant(0)}.")
    spaced = replace(OPEN, spacing=60 * SECOND)
    pairs = reasons([p], [p, on("{event: b}", "q")], event(0, "b"), event(9, "a"), settings=spaced)
    assert pairs[0][1].endswith(f"moments ago. The act was that of q at {instant(0)}.")


def test_later_records_do_not_colour_the_reason() -> None:
    old, new = on("{event: a}"), on("{sequence: [{event: a, times: 2}]}")
    taken: list[Record] = records(event(0, "a"), event(9, "a"))
    settings = OPEN
    sets = controls(old, settings), controls(new, settings)
    found, _ = differing(old, new, event(0, "a"), event(9, "a"))
    assert why(found[0], *sets, taken, settings)[1].endswith("1 of 2 steps stood")


# -- samples ---------------------------------------------------------------------------------------


def test_samples_show_every_kind_before_a_second_of_one_and_interventions_first() -> None:
    (made,) = decide(on("{event: a}"), [event(0, "a")])

    def one(policy: str, outcome: str, at: float) -> Difference:
        fields = {"policy": policy, "outcome": outcome, "reason": None, "at": instant(at)}
        return Difference(None, msgspec.structs.replace(made, **fields))

    samples = Samples(3)
    samples.add(one("a", "suppress", t) for t in range(50))
    samples.add([one("z", "intervene", 70), one("b", "suppress", 60)])
    assert [(d.decision.policy, d.decision.at) for d in samples.chosen()] == [
        ("a", instant(0)),
        ("b", instant(60)),
        ("z", instant(70)),
    ]
    none = Samples(0)
    none.add([one("a", "suppress", 1)])
    assert none.chosen() == []
