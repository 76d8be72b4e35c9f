"""What a registry's standing puts in force, as control records."""

from typing import Any

import msgspec

from forestall.contracts.control import (
    Control,
    FlagsApplied,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
)
from forestall.policy.lifecycle import Artifact, Held, Kind, Standing
from forestall.policy.store import Registry


def in_force(
    registry: Registry, standing: Standing, numbers: dict[str, dict[str, Any]], by: str, why: str
) -> tuple[PoliciesApplied, ModelsApplied, FlagsApplied]:
    """The records of everything that ``standing`` puts in force, their ``received`` still 0.

    ``numbers`` are the catalogue's number fields (see ``PoliciesApplied``). A threshold's content
    is a number, and its name the policy's; a flag's content is its value.
    """
    held = [
        (one, registry.artifact(one.kind, one.name, one.version)) for one in standing.in_force()
    ]
    there = [(one, artifact) for one, artifact in held if artifact is not None]
    return (
        PoliciesApplied(0, tuple(_policy(*one) for one in _of("policy", there)), numbers, by, why),
        ModelsApplied(
            0,
            tuple(_model(*one) for one in _of("model", there)),
            {one.name: float(_json(artifact)) for one, artifact in _of("threshold", there)},
            by,
            why,
        ),
        FlagsApplied(
            0, {one.name: _json(artifact) for one, artifact in _of("flag", there)}, by, why
        ),
    )


def stands(record: Control, history: list[Control]) -> bool:
    """Whether the newest of its kind in ``history`` says the same; of models and flags also where
    none ever said anything and this says nothing."""
    newest = next((old for old in reversed(history) if type(old) is type(record)), None)
    if newest is None:
        return isinstance(record, ModelsApplied | FlagsApplied) and not _says(record)
    return _content(newest) == _content(record)


def _says(record: ModelsApplied | FlagsApplied) -> bool:
    if isinstance(record, FlagsApplied):
        return bool(record.flags)
    return bool(record.models or record.thresholds)


def _content(record: Control) -> bytes:
    plain: Any = msgspec.structs.replace(record, received=0, by="", why="")
    return msgspec.json.encode(plain)


def _of(kind: Kind, held: list[tuple[Held, Artifact]]) -> list[tuple[Held, Artifact]]:
    return [one for one in held if one[0].kind == kind]


def _policy(held: Held, artifact: Artifact) -> PolicyInForce:
    return PolicyInForce(
        held.name,
        held.version,
        msgspec.Raw(artifact.content),
        mode=held.mode,
        share=held.share,
        title=artifact.title or held.name,
    )


def _model(held: Held, artifact: Artifact) -> ModelInForce:
    return ModelInForce(
        held.name, held.version, msgspec.Raw(artifact.content), mode=held.mode, share=held.share
    )


def _json(artifact: Artifact) -> Any:
    return msgspec.json.decode(artifact.content)
