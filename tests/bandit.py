"""The Open Bandit data (Saito, Aihara, Matsutani and Narita, 2020), small version, as rounds.

``make data`` fetches the file; nothing of the package that it is packed in is imported. Items on a
page of three positions, chosen at random; the policy to evaluate is Bernoulli Thompson sampling
with the prior of the shop's own, published in the same file.
"""

import csv
import io
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import yaml

from forestall.measure.evaluation import Floats, Rounds, Whole, crossfit

ITEMS = 80
POSITIONS = 3
SEED = 12345
SIMULATED = 100_000

_FILE = Path(__file__).parents[1] / ".cache" / "data" / "obp-0.4.1-py3-none-any.whl"
_RANDOM = "obp/dataset/obd/random/all"


def rounds() -> Rounds:
    """The rounds of the campaign "all", with cross-fitted predictions (three folds)."""
    assert _FILE.exists(), "run `make data` first: it fetches the Open Bandit data"
    with ZipFile(_FILE) as wheel:
        log = _table(wheel, f"{_RANDOM}/all.csv")
        items = _table(wheel, f"{_RANDOM}/item_context.csv")
        prior = yaml.safe_load(wheel.read("obp/policy/conf/prior_bts.yaml"))["all"]
    log.sort(key=lambda row: row["timestamp"])
    taken = np.array([int(row["item_id"]) for row in log])
    position = np.array([int(row["position"]) for row in log]) - 1
    reward = np.array([float(row["click"]) for row in log])
    logged = np.array([float(row["propensity_score"]) for row in log])
    behaviour = np.full((len(log), ITEMS), 1 / ITEMS)
    assert np.array_equal(logged, behaviour[:, 0])
    users = np.column_stack([_one_hot(log, f"user_feature_{at}") for at in range(4)])
    goods = np.column_stack(
        [
            *(_numbered(items, f"item_feature_{at}") for at in (1, 2, 3)),
            [float(row["item_feature_0"]) for row in items],
        ]
    )
    return Rounds(
        taken=taken,
        reward=reward,
        behaviour=behaviour,
        target=thompson(prior["alpha"], prior["beta"])[:, position].T,
        predicted=crossfit(
            lambda rows, actions: np.column_stack([users[rows], goods[actions]]),
            taken,
            reward,
            ITEMS,
            _folds(len(log), 3),
            position,
        ),
    )


def thompson(alpha: list[float], beta: list[float]) -> Floats:
    """How often each item comes first, second and third when each draws its rate from its beta
    distribution: ``(items, positions)``, simulated."""
    chance = np.random.RandomState(SEED)
    counts = np.zeros((ITEMS, POSITIONS))
    for _ in range(10):
        drawn = chance.beta(alpha, beta, size=(SIMULATED // 10, ITEMS))
        best = np.argsort(-drawn, axis=1)[:, :POSITIONS]
        for place in range(POSITIONS):
            counts[:, place] += np.bincount(best[:, place], minlength=ITEMS)
    return counts / SIMULATED


def _table(wheel: ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(wheel.read(name).decode())))


def _one_hot(rows: list[dict[str, str]], name: str) -> Floats:
    """A column for each value but the first."""
    values = sorted({row[name] for row in rows})[1:]
    return np.array([[row[name] == value for value in values] for row in rows], dtype=float)


def _numbered(rows: list[dict[str, str]], name: str) -> list[float]:
    values = sorted({row[name] for row in rows})
    return [float(values.index(row[name])) for row in rows]


def _folds(count: int, parts: int) -> Whole:
    order = np.arange(count)
    np.random.RandomState(SEED).shuffle(order)
    fold = np.zeros(count, dtype=np.int64)
    for number, rows in enumerate(np.array_split(order, parts)):
        fold[rows] = number
    return fold
