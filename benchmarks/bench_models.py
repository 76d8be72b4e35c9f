"""A model's prediction: 24 features of 30 steps, contributions and all."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Figure
from forestall.measure.model import Feature, Isotonic, Model, predict

FEATURES, STEPS = 24, 30
QUICK = {"predictions": 20_000}


def run(predictions: int = 100_000) -> list[Figure]:
    """Predict for decisions with numbers, texts and missing values."""
    model, given = _model(), list(itertools.islice(_given(), 64))
    started = time.process_time()
    for number in range(predictions):
        predict(model, given[number % len(given)])
    each = (time.process_time() - started) / predictions
    return [Figure("a model's prediction", each * 1e6, "µs", id="L8", at_most=50)]


def _model() -> Model:
    steps = tuple(number / 10 for number in range(STEPS))
    features = tuple(
        Feature(f"f{number}", tuple(map(float, range(1, STEPS))), steps, {"pro": 0.5}, 0.0, 0.1)
        for number in range(FEATURES)
    )
    edges = tuple(number / 10 for number in range(50))
    return Model(
        name="bench",
        outcome="forestall.ticket.opened",
        horizon=1,
        policy="bench",
        intercept=-1.0,
        features=features,
        calibration=Isotonic(edges, tuple(number / 51 for number in range(51))),
    )


def _given() -> Iterator[dict[str, Any]]:
    for start in itertools.count():
        values = (start % 7, 3.5 + start % 11, "pro", None, start % 40)
        yield {f"f{number}": values[(start + number) % 5] for number in range(FEATURES)}
