"""Versions of one policy beside each other: a canary for its share of subjects, one in shadow for
itself. Every case is held against the reference, too."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.contracts.control import (
    Control,
    DecideSettings,
    FlagsApplied,
    PoliciesApplied,
    SettingsApplied,
    Transition,
)
from forestall.contracts.decision import Decision
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import features_of, opening
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.decide.snapshot import decode_state, encode_state
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.memory import MemoryLog
from forestall.measure.assign import in_holdout
from forestall.policy.bundle import Bundle
from forestall.policy.language.canonical import version
from forestall.policy.language.model import Policy
from reference.comparing import FREE, put_in_force, run
from reference.writing import START, do, event, feature, no, once, policy, seconds, sequence

TWICE = policy(sequence(do("a", times=2)), priority=10)
SAME = policy(sequence(do("a", times=2)), priority=20)
THRICE = policy(sequence(do("a", times=3)))
SUBJECTS = [f"s{number}" for number in range(40)]


def inside(share: float, name: str = "p", salt: str = "") -> list[str]:
    return [one for one in SUBJECTS if in_holdout(f"{salt}:{name}:canary", one, share)]


IN, OUT = inside(0.5)[0], next(one for one in SUBJECTS if one not in inside(0.5))


def at(
    moment: float,
    live: Sequence[Policy] = (),
    canary: Sequence[tuple[Policy, float]] = (),
    shadow: Sequence[Policy] = (),
) -> PoliciesApplied:
    return put_in_force(START + seconds(moment), live, canary, shadow)


def said(moment: float, kind: str, subject: str, **more: Any) -> dict[str, Any]:
    return event(moment, kind, f"{kind}@{moment}:{subject}", **more) | {"subject": subject}


def fates(decisions: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Subject, mode, what became of it, and the first four digits of the version."""
    return [
        (one["subject"], one["mode"], one["reason"] or one["outcome"], one["version"][:4])
        for one in decisions
    ]


def brief(one: Policy) -> str:
    return version(one)[:4]


def test_a_canary_decides_in_place_of_the_live_version_for_its_share() -> None:
    events = [said(number / 100, "a", one) for number, one in enumerate(SUBJECTS)]
    live, other = policy(once("a")), policy(once("a"), priority=60)
    made = run([], *events, controls=[at(-1, [live], [(other, 0.4)])])
    assert len(made) == len(SUBJECTS), "each is decided by one version"
    assert {one["subject"] for one in made if one["mode"] == "canary"} == set(inside(0.4))
    assert {one["version"] for one in made if one["mode"] == "canary"} == {version(other)}
    assert {one["version"] for one in made if one["mode"] == "live"} == {version(live)}


def test_without_a_live_version_nobody_decides_for_the_others() -> None:
    events = [said(number / 100, "a", one) for number, one in enumerate(SUBJECTS)]
    made = run([], *events, controls=[at(-1, canary=[(policy(once("a")), 0.4)])])
    assert [one["subject"] for one in made] == inside(0.4)


def test_a_greater_share_only_adds_subjects() -> None:
    shares = [set(inside(share)) for share in (0, 0.1, 0.5, 0.9, 1)]
    assert all(few <= more for few, more in pairwise(shares))
    assert (shares[0], shares[-1]) == (set(), set(SUBJECTS))


def test_a_canary_lives_in_the_ledger_of_the_live_version() -> None:
    slow = policy(once("a"), cooldown=60)
    other = policy(once("a"), cooldown=60, priority=60)
    controls = [at(-1, [slow]), at(5, [slow], [(other, 1.0)]), at(9, [slow])]
    made = run([], *(said(moment, "a", IN) for moment in (0, 6, 10)), controls=controls)
    assert [one["reason"] for one in made] == [None, "cooldown", "cooldown"]


def test_a_canary_with_the_same_pattern_keeps_the_progress_and_gives_it_back() -> None:
    controls = [at(-1, [TWICE]), at(1, [TWICE], [(SAME, 0.5)]), at(5, [TWICE])]
    made = run([], said(0, "a", IN), said(2, "a", IN), controls=controls)
    assert fates(made) == [(IN, "canary", "intervene", brief(SAME))]
    made = run([], said(2, "a", IN), said(6, "a", IN), controls=controls)
    assert fates(made) == [(IN, "live", "intervene", brief(TWICE))]


def test_a_canary_with_another_pattern_starts_empty_for_its_share_alone() -> None:
    controls = [at(-1, [TWICE]), at(1, [TWICE], [(THRICE, 0.5)])]
    events = [said(moment, "a", one) for moment in (0, 2, 3, 4) for one in (IN, OUT)]
    made = run([], *events, controls=controls)
    assert fates(made) == [
        (IN, "canary", "intervene", brief(THRICE)),
        (OUT, "live", "intervene", brief(TWICE)),
        (OUT, "live", "intervene", brief(TWICE)),
    ]


@pytest.mark.parametrize("idle", [True, False])
def test_after_a_rollback_the_live_version_starts_empty_for_those_who_were_in_the_share(
    idle: bool,
) -> None:
    controls = [at(-1, [TWICE]), at(1, [TWICE], [(THRICE, 0.5)]), at(5, [TWICE])]
    between = [] if idle else [said(2, "b", one) for one in (IN, OUT)]
    events = [said(0, "a", one) for one in (IN, OUT)] + between
    events += [said(6, "a", one) for one in (IN, OUT)]
    made = run([], *events, controls=controls)
    assert fates(made) == [(OUT, "live", "intervene", brief(TWICE))]


def test_a_share_that_grows_takes_the_new_subjects_only() -> None:
    (newcomer,) = [one for one in inside(0.6) if one not in inside(0.5)][:1]
    controls = [at(-1, [TWICE]), at(1, [TWICE], [(THRICE, 0.5)]), at(5, [TWICE], [(THRICE, 0.6)])]
    events = [said(moment, "a", one) for moment in (2, 3, 6) for one in (IN, newcomer)]
    made = run([], *events, controls=controls)
    assert fates(made) == [
        (IN, "canary", "intervene", brief(THRICE)),
        (newcomer, "live", "intervene", brief(TWICE)),
    ]


def test_a_promotion_keeps_the_progress_of_the_share() -> None:
    controls = [at(-1, [TWICE], [(THRICE, 0.5)]), at(5, [THRICE])]
    events = [said(moment, "a", one) for moment in (0.5, 6, 7) for one in (IN, OUT)]
    made = run([], *events, controls=controls)
    assert fates(made) == [(IN, "live", "intervene", brief(THRICE))]


def test_a_subject_that_moves_into_the_share_has_its_features() -> None:
    counting = policy(once("b"), features={"n": feature("count", "a", over=60)})
    controls = [at(-1, [TWICE]), at(5, [TWICE], [(counting, 1.0)])]
    made = run([], said(1, "a", IN), said(6, "b", IN), controls=controls)
    assert [one["features"] for one in made] == [{"n": 1}]


def test_silence_that_began_under_the_live_version_ends_under_the_canary() -> None:
    patient = policy(sequence(do("a"), no("b", quiet=5)))
    other = policy(sequence(do("a"), no("b", quiet=5)), priority=60)
    controls = [at(-1, [patient]), at(3, [patient], [(other, 0.5)])]
    events = [said(0, "a", one) for one in (IN, OUT)] + [said(20, "c", one) for one in (IN, OUT)]
    assert fates(run([], *events, controls=controls)) == [
        (IN, "canary", "intervene", brief(other)),
        (OUT, "live", "intervene", brief(patient)),
    ]


def test_another_salt_makes_another_share() -> None:
    salted = msgspec.structs.replace(FREE, salt="pepper")
    other = inside(0.5, salt="pepper")
    (leaver,) = [one for one in inside(0.5) if one not in other][:1]
    controls: list[Control] = [
        at(-1, [TWICE], [(THRICE, 0.5)]),
        SettingsApplied(START + seconds(5), salted, "test", "test"),
    ]
    events = [said(moment, "a", leaver) for moment in (0, 1, 6, 7)]
    assert fates(run([], *events, controls=controls)) == [
        (leaver, "live", "intervene", brief(TWICE))
    ]


# -- shadow beside live ----------------------------------------------------------------------------


def test_a_version_in_shadow_has_progress_and_acts_of_its_own() -> None:
    live, other = policy(sequence(do("a", times=2)), cooldown=60), SAME
    events = [said(moment, "a", IN) for moment in range(4)]
    made = run([], *events, controls=[at(-1, [live], shadow=[other])])
    assert fates(made) == [
        (IN, "live", "intervene", brief(live)),
        (IN, "shadow", "intervene", brief(other)),
        (IN, "live", "cooldown", brief(live)),
        (IN, "shadow", "intervene", brief(other)),
    ]


@pytest.mark.parametrize("other", [SAME, THRICE, policy(once("a"))])
def test_a_version_in_shadow_changes_nothing_live(other: Policy) -> None:
    events = [said(moment, kind, IN) for moment, kind in enumerate("aabaacaaab")]
    alone = run([], *events, controls=[at(-1, [TWICE])])
    beside = run([], *events, controls=[at(-1, [TWICE], shadow=[other])])
    assert [one for one in beside if one["mode"] == "live"] == alone
    assert len(beside) > len(alone)


def test_a_version_out_of_shadow_takes_over_the_live_progress_or_else_its_own() -> None:
    first = at(-1, [TWICE], shadow=[SAME])
    made = run([], said(0, "a", IN), said(2, "a", IN), controls=[first, at(1, [SAME])])
    assert fates(made) == [(IN, "live", "intervene", brief(SAME))]
    first = at(-1, [TWICE], shadow=[THRICE])
    events = [said(moment, "a", IN) for moment in (0, 2, 3)]
    made = run([], *events, controls=[first, at(1, [TWICE], [(THRICE, 1.0)])])
    assert fates(made) == [(IN, "canary", "intervene", brief(THRICE))]


# -- running ---------------------------------------------------------------------------------------

STEPS = [
    at(0, [TWICE], shadow=[THRICE]),
    at(0, [TWICE], [(THRICE, 0.2)]),
    at(0, [TWICE], [(THRICE, 0.6)], [SAME]),
    at(0, [TWICE]),
    at(0, [TWICE], [(THRICE, 0.4)]),
    at(0, [THRICE]),
    at(0, [TWICE]),
]


def deployed(
    *, restarts: bool, together: int
) -> tuple[list[Decision], list[Control], MemoryLog, MemoryLog]:
    """What a stage decides while versions come and go, and what governed it."""
    signals, own = MemoryLog(), MemoryLog()
    stage = Stage(signals, own)
    stage.apply([SettingsApplied(0, FREE, "test", "test")])
    for number, step in enumerate(STEPS):
        stage.apply([step])
        lines = [
            json.dumps(said(10 * number + moment, "a", one)).encode()
            for moment in (0, 1, 2)
            for one in SUBJECTS[number:]
        ]
        records = [one for some in History(Path("h"), lines) for one in some]
        for start in range(0, len(records), together):
            some = records[start : start + together]
            signals.commit([streams.signals(some)], tick=some[-1].received)
            while stage.step():
                pass
            if restarts:
                if start:
                    stage.rest()
                stage = Stage(signals, own)
    made = [
        entry.decision
        for batch in own.follow(streams.DECISIONS)
        for entry in streams.read_decisions(batch)
    ]
    return made, stage.governing, signals, own


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("together", [7, 50])
def test_a_backtest_as_deployed_decides_what_was_decided_live(
    restarts: bool, together: int
) -> None:
    made, controls, signals, _ = deployed(restarts=restarts, together=together)
    engine, again = Engine(), list[Decision]()
    engine.keep(features_of(controls))
    for control in controls:
        engine.control(control)
    for batch in signals.follow(streams.SIGNALS):
        again += [one for _, one in engine.process(streams.read_signals(batch))]
    assert {one.mode for one in made} == {"live", "canary", "shadow"}
    assert made == again


def test_restarts_and_batch_sizes_change_nothing() -> None:
    def by_subject(made: list[Decision]) -> dict[str, list[bytes]]:
        return {
            name: [msgspec.json.encode(one) for one in made if one.subject == name]
            for name in SUBJECTS
        }

    first = by_subject(deployed(restarts=False, together=50)[0])
    assert by_subject(deployed(restarts=True, together=3)[0]) == first


def test_a_snapshot_knows_how_subjects_were_parted() -> None:
    engine = Engine()
    for control in opening(Bundle(policies=(TWICE,)), FREE):
        engine.control(control)
    engine.control(at(0, [TWICE], [(THRICE, 0.5)]))
    engine.tick(START + SECOND)
    again = Engine.restore(decode_state(encode_state(engine.snapshot())))
    assert again.header() == engine.header()
    assert again.header().partings[0].share == 0.5


def test_transitions_and_flags_change_no_decision() -> None:
    told = Transition(
        received=START, number=1, artifact="policy", name="p", version="v", before="draft",
        after="validated", by="ann", why="first",
    )  # fmt: skip
    flags = FlagsApplied(START, {"banner": True}, "ann", "test")
    made = run([TWICE], said(1, "a", IN), said(2, "a", IN), controls=[told, flags])
    assert fates(made) == [(IN, "live", "intervene", brief(TWICE))]


def test_the_engine_stands_where_its_subject_stands() -> None:
    engine = Engine(DecideSettings())
    engine.control(at(0, [TWICE], [(THRICE, 0.5)], [SAME]))
    events = [json.dumps(said(1, "a", one)).encode() for one in (IN, OUT)]
    for records in History(Path("h"), events):
        engine.process(records)
    standing = {name: engine.standing(name, "p", START + 2 * SECOND) for name in (IN, OUT)}
    modes = {name: found[0].mode for name, found in standing.items() if found[0]}
    assert modes == {IN: "canary", OUT: "live"}
    progress = {name: len(found[2][None].best) for name, found in standing.items()}
    assert progress == {IN: 2, OUT: 1}
