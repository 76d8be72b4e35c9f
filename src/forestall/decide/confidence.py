"""What models say of a candidate, and which of them judges it (policy language, section 6). Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from forestall.contracts.control import ModelsApplied
from forestall.contracts.decision import Confidence, Mode
from forestall.measure.assign import in_holdout
from forestall.measure.model import InvalidModel, Model, decode, predict
from forestall.policy.language.model import Policy


class Entry(msgspec.Struct, frozen=True):
    """A model in force: its ``content`` is JSON text."""

    name: str
    version: str
    mode: Mode
    share: float
    content: bytes


class Models(msgspec.Struct, frozen=True):
    """The models in force, and what holds in place of the thresholds in policies, by policy."""

    entries: tuple[Entry, ...] = ()
    thresholds: dict[str, float] = {}

    def threshold(self, policy: Policy) -> float:
        """What the probability must reach; 0 for a policy that asks no model."""
        if policy.model is None:
            return 0.0
        return self.thresholds.get(policy.name, policy.model.threshold)

    def ask(
        self, policy: Policy, subject: str, features: Mapping[str, Any], salt: str
    ) -> tuple[Confidence, ...]:
        """What the models that ``policy`` names say: first the one that judges, then one in shadow.

        For its share of subjects one in canary judges in place of the one that is live. A model
        whose content is none is not in force: the gate fails closed.
        """
        if policy.model is None:
            return ()
        name = policy.model.name
        by_mode = {one.mode: one for one in self.entries if one.name == name}
        canary = by_mode.get("canary")
        if canary is None or not in_holdout(f"{salt}:{name}:model-canary", subject, canary.share):
            canary = by_mode.get("live")
        asked = (canary, by_mode.get("shadow"))
        said = (_said(one, features) for one in asked if one is not None)
        return tuple(one for one in said if one is not None)


def models_of(record: ModelsApplied) -> Models:
    """What a control record puts in force."""
    entries = tuple(
        Entry(one.name, one.version, one.mode, one.share, bytes(one.content))
        for one in record.models
    )
    return Models(entries, record.thresholds)


def _said(entry: Entry, features: Mapping[str, Any]) -> Confidence | None:
    model = _decoded(entry.content)
    if model is None:
        return None
    probability, contributions = predict(model, features)
    return Confidence(entry.name, entry.version, entry.mode, probability, contributions)


@lru_cache(maxsize=256)
def _decoded(content: bytes) -> Model | None:
    try:
        return decode(content)
    except InvalidModel:
        return None
