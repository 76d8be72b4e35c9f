"""Shares of subjects, and what models say, each worked out in the plainest way."""

import hashlib
import json
import math
from fractions import Fraction
from typing import Any


def in_holdout(salt: str, subject: str, share: float) -> bool:
    """Whether the subject lies in the share kept aside under ``salt``."""
    digest = hashlib.sha256(f"{salt}:{subject}".encode()).digest()
    return Fraction(int.from_bytes(digest[:8], "big"), 2**64) < Fraction(share)


def opinion(content: bytes, features: dict[str, Any]) -> tuple[float, dict[str, float]] | None:
    """The probability that a model gives and what each feature added; none where it is no model."""
    try:
        model = json.loads(content)
        added = {one["name"]: contribution(one, features) for one in model["features"]}
    except (ValueError, KeyError, TypeError):
        return None
    score = model["intercept"]
    for value in added.values():
        score += value
    calibration = model["calibration"]
    if calibration["type"] == "platt":
        odds = calibration["slope"] * score + calibration["shift"]
        small = math.exp(-abs(odds))
        probability = 1 / (1 + small) if odds >= 0 else small / (1 + small)
    else:
        passed = sum(edge < score for edge in calibration["edges"])
        probability = calibration["probabilities"][passed]
    return round(probability, 6), added


def contribution(feature: dict[str, Any], features: dict[str, Any]) -> float:
    """What one feature adds to the log-odds."""
    value = features.get(feature["name"])
    found: float
    if isinstance(value, str):
        found = feature["values"].get(value, feature["other"])
    elif isinstance(value, int | float):
        found = feature["steps"][sum(edge < value for edge in feature["edges"])]
    else:
        found = feature["missing"]
    return found
