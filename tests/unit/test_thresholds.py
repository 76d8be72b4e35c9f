"""Proposed thresholds: what they make up for, when there is none, and how they are written."""

import msgspec
import numpy as np
import pytest
import yaml

from forestall.contracts.control import (
    Control,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
)
from forestall.contracts.decision import Mode
from forestall.measure.claims import EVERYBODY, Calibration, Watched
from forestall.measure.thresholds import InForce, Proposal, in_force, proposals, written
from watched import START

KEY = ("help", "churn", "m1", EVERYBODY)
NOW = {"help": InForce("churn", "m1", 0.3)}


def watched(
    seed: int = 1, *, shift: float = 0.0, slope: float = 1.0, cases: int = 20_000, top: float = 3
) -> Watched:
    chance = np.random.default_rng(seed)
    odds = chance.uniform(-4, top, cases)
    happened = chance.random(cases) < 1 / (1 + np.exp(-(slope * odds + shift)))
    found = Watched(1, 200)
    for said, yes in zip((1 / (1 + np.exp(-odds))).tolist(), happened.tolist(), strict=True):
        found.bins[min(int(said * 200), 199), yes] += 1
    return found


def alarm(alarm: bool = True, segment: str = EVERYBODY, version: str = "m1") -> Calibration:
    return Calibration(
        policy="help",
        model="churn",
        version=version,
        segment=segment,
        decisions=20_000,
        said=0.25,
        happened=0.4,
        evidence=10.0,
        needed=5.0,
        enough=True,
        alarm=alarm,
    )


def proposed(one: Watched, now: dict[str, InForce] | None = None) -> list[Proposal]:
    return proposals([alarm()], {KEY: one}, NOW if now is None else now)


@pytest.mark.parametrize(
    ("shift", "slope"), [(1.0, 1.0), (-1.0, 1.0), (0.0, 0.6), (0.5, 1.5), (-0.4, 0.8)]
)
def test_it_acts_from_the_same_real_probability_on(shift: float, slope: float) -> None:
    (found,) = proposed(watched(shift=shift, slope=slope))
    odds = np.log(found.threshold / (1 - found.threshold))
    assert 1 / (1 + np.exp(-(slope * odds + shift))) == pytest.approx(0.3, abs=0.02)
    assert (found.policy, found.model, found.version, found.present) == ("help", "churn", "m1", 0.3)
    assert "20,000 decisions" in found.why


def test_without_an_alarm_nothing_is_proposed() -> None:
    assert proposals([alarm(False)], {KEY: watched(shift=1)}, NOW) == []


def test_an_alarm_of_a_segment_proposes_nothing() -> None:
    assert proposals([alarm(segment="plan=pro")], {KEY: watched(shift=1)}, NOW) == []


def test_only_the_version_in_force_counts() -> None:
    assert proposals([alarm(version="m0")], {KEY: watched(shift=1)}, NOW) == []
    assert proposed(watched(shift=1), {}) == []


def test_next_to_no_change_is_not_proposed() -> None:
    assert proposed(watched(shift=0.0, cases=100_000)) == []


def test_a_model_that_says_nothing_any_more_gets_no_threshold() -> None:
    assert proposed(watched(slope=0.0, shift=0.5)) == []


def test_a_threshold_beyond_what_was_ever_said_is_not_proposed() -> None:
    """Said up to 0.12 only, and too much by far: 0.3 would be reached above."""
    assert proposed(watched(shift=-2.0, top=-2)) == []


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_that_lets_all_or_none_through_stays(threshold: float) -> None:
    assert proposed(watched(shift=1), {"help": InForce("churn", "m1", threshold)}) == []


def applied(*policies: tuple[str, Mode, str | None]) -> PoliciesApplied:
    def one(name: str, mode: Mode, model: str | None) -> PolicyInForce:
        asks = None if model is None else {"name": model, "threshold": 0.3}
        return PolicyInForce(
            name, "v1", msgspec.Raw(msgspec.json.encode({"name": name, "model": asks})), mode
        )

    return PoliciesApplied(START, tuple(one(*each) for each in policies), {}, "t", "")


def models(thresholds: dict[str, float], *names: tuple[str, str, Mode]) -> ModelsApplied:
    content = msgspec.Raw(b"{}")
    there = tuple(ModelInForce(name, version, content, mode) for name, version, mode in names)
    return ModelsApplied(START, there, thresholds, "t", "")


def test_the_thresholds_in_force_are_those_that_the_log_ends_with() -> None:
    controls: list[Control] = [
        applied(("old", "live", "churn")),
        models({"other": 0.9}, ("churn", "m0", "live")),
        applied(
            ("help", "live", "churn"),
            ("other", "live", "churn"),
            ("tried", "shadow", "churn"),
            ("plain", "live", None),
            ("lost", "live", "gone"),
        ),
        models({"other": 0.7}, ("churn", "m1", "live"), ("churn", "m2", "shadow")),
    ]
    assert in_force(controls) == {
        "help": InForce("churn", "m1", 0.3),
        "other": InForce("churn", "m1", 0.7),
    }
    assert in_force([]) == {}


def proposal(policy: str, threshold: float = 0.2) -> Proposal:
    return Proposal(
        policy=policy,
        model="m",
        version="v",
        present=0.3,
        threshold=threshold,
        why="model m drifted",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "# model m drifted\nhelp: 0.2\n"),
        ("other: 0.5", "other: 0.5\n# model m drifted\nhelp: 0.2\n"),
        ("help: 0.3\nother: 0.5\n", "# model m drifted\nhelp: 0.2\nother: 0.5\n"),
        ("# kept\n'help' : 0.3  # gone\n", "# kept\n# model m drifted\nhelp: 0.2\n"),
        ("helped: 0.3\n", "helped: 0.3\n# model m drifted\nhelp: 0.2\n"),
    ],
)
def test_a_proposal_is_written_in_its_place(text: str, found: str) -> None:
    assert written(text, [proposal("help")]) == found


def test_what_is_written_can_be_read_and_keeps_the_rest() -> None:
    text = "a: 0.1\nhelp: 0.3\nb: 0.4\n"
    found = yaml.safe_load(written(text, [proposal("help"), proposal("new", 0.6)]))
    assert found == {"a": 0.1, "help": 0.2, "b": 0.4, "new": 0.6}


def test_writing_twice_changes_nothing() -> None:
    once = written("other: 0.5\nhelp: 0.3\n", [proposal("help")])
    assert written(once, [proposal("help")]) == once
