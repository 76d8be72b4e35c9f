"""``[canary]`` in ``forestall.toml``: steps and guardrails, and what is said of mistakes."""

from pathlib import Path

import pytest

from forestall.contracts.instants import HOUR, MINUTE
from forestall.kernel.settings import (
    Guardrail,
    InvalidSettings,
    Settings,
    Step,
    load_settings,
    parse_steps,
)
from forestall.kernel.settings.reading import GUARDED
from forestall.measure.canary import DEFAULTS


def load(folder: Path, text: str) -> Settings:
    (folder / "forestall.toml").write_text(text)
    return load_settings(folder / "forestall.toml")


def test_steps_are_shares_with_least_times() -> None:
    assert parse_steps(("1% for 1h", "12.5 % for 90m")) == (
        Step(0.01, HOUR),
        Step(0.125, 90 * MINUTE),
    )


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('["5%"]', "'5%' is not a share and a time"),
        ('["5% for soon"]', "'soon' is not a duration"),
        ('["0% for 1h"]', "a share lies above 0% and below 100%"),
        ('["100% for 1h"]', "a share lies above 0% and below 100%"),
        ('["5% for 1h", "5% for 2h"]', "greater than that of the step before"),
    ],
)
def test_a_step_that_cannot_be_is_named(tmp_path: Path, steps: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=r"canary\.steps: ") as caught:
        load(tmp_path, f"[canary]\nsteps = {steps}\n")
    assert said in str(caught.value)


def test_guardrails_are_read(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
        [canary.guardrails.complaints]
        event = "complaint.filed"
        margin = 0.001
        [canary.guardrails.latency]
        off = true
        """,
    )
    assert found.canary.guardrails == {
        "complaints": Guardrail(event="complaint.filed", margin=0.001),
        "latency": Guardrail(off=True),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[canary.guardrails.complaints]\nmargin = 0.1", "complaints: give `event`"),
        (
            '[canary.guardrails.x]\nevent = "a"\nlatency = true',
            "x: give either `event` or `latency`",
        ),
        ("[canary.guardrails.tickets]\nmargin = -1", "margin"),
        ("[canary.guardrails.tickets]\ntolerance = 0", "tolerance"),
    ],
)
def test_a_guardrail_that_cannot_be_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_the_names_that_need_nothing_set_are_those_of_the_usual_guardrails() -> None:
    assert tuple(one.name for one in DEFAULTS) == GUARDED
