"""Does the model that a policy asks exist, and does the policy declare what that model reads?"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from forestall.contracts.errors import Problem
from forestall.contracts.nearest import did_you_mean
from forestall.policy.language.sites import Examined


class _Feature(msgspec.Struct, frozen=True):
    name: str


class Reads(msgspec.Struct, frozen=True):
    """What a model reads: features by name, and how those were declared that it learned from, in
    canonical form, where that is known. (Of a model's content, which has more; ``measure.model``.)
    """

    name: str
    features: tuple[_Feature, ...]
    definitions: dict[str, Any] = {}


def models_in(contents: Iterable[bytes]) -> dict[str, Reads]:
    """What models read, by name, from their contents; what is no model is left out."""
    found = {}
    for content in contents:
        try:
            one = _decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        found[one.name] = one
    return found


def badly_asked(one: Examined, models: Mapping[str, Reads] | None) -> Iterator[Problem]:
    """Problems with the model that a policy asks; none where models are not known (None)."""
    policy = one.located.policy
    if models is None or policy.model is None:
        return
    place, name = one.located.place("spec", "model", "name"), policy.model.name
    model = models.get(name)
    if model is None:
        yield one.problem(
            place,
            "unknown-model",
            f"there is no model `{name}` here; until one is in force the policy never acts",
            did_you_mean(name, models),
            "warning",
        )
        return
    for feature in model.features:
        declared = policy.features.get(feature.name)
        if declared is None:
            yield one.problem(
                place,
                "model-reads",
                f"the model `{name}` reads the feature `{feature.name}`, which is not declared"
                " under `features`",
                did_you_mean(feature.name, policy.features),
            )
        elif feature.name in model.definitions and (
            msgspec.json.decode(msgspec.json.encode(declared)) != model.definitions[feature.name]
        ):
            yield one.problem(
                place,
                "model-skew",
                f"the feature `{feature.name}` is declared otherwise than where the model `{name}`"
                " learned it",
                "train the model anew, or declare a feature of another name",
                "warning",
            )


_decoder = msgspec.json.Decoder(Reads)
