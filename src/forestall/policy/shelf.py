"""The registry as others read it: every version with its state in a set and what people wrote."""

from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from forestall.policy.actions.live import Live, Version
from forestall.policy.lifecycle import KINDS, Artifact, Held, Kind, Set, Standing
from forestall.policy.plan import Kept
from forestall.policy.store import REGISTRY_FILE, Registry, RegistryMissing

SOURCE: Final = "source"
"""The finding that holds what people wrote, where it changed and the version did not."""


class Shelf(msgspec.Struct, frozen=True):
    """The registry at one moment, as a set sees it. ``artifacts`` are in the order they were put."""

    standing: Standing = Standing()
    artifacts: tuple[tuple[Artifact, str], ...] = ()
    set: Set = "blue"

    def kept(self) -> list[Kept]:
        """Every version with its state and what people wrote last."""
        found = []
        for one, source in self.artifacts:
            place = self.standing.place(self.set, one.kind, one.name, one.version)
            found.append(
                Kept(
                    kind=one.kind,
                    name=one.name,
                    version=one.version,
                    content=one.content,
                    source=source,
                    state=None if place is None else place.state,
                )
            )
        return found

    def live(self, kind: Kind) -> list[tuple[Artifact, str]]:
        """The live versions of a kind, with what people wrote."""
        live = {
            (one.kind, one.name, one.version)
            for one in self.standing.in_force(self.set)
            if one.mode == "live"
        }
        return [
            (one, source)
            for one, source in self.artifacts
            if one.kind == kind and (one.kind, one.name, one.version) in live
        ]


def shelf(data: Path, set_: Set | None = None) -> Shelf:
    """What the registry in the data folder ``data`` keeps; nothing where there is none. The active
    set, unless one is named."""
    try:
        registry = Registry(data / REGISTRY_FILE, read_only=True)
    except RegistryMissing:
        return Shelf()
    with closing(registry):
        return shelf_of(registry, set_)


def shelf_of(registry: Registry, set_: Set | None = None) -> Shelf:
    """The same for a registry that is open."""
    standing = registry.standing()
    return Shelf(standing, tuple(_artifacts(registry)), set_ or standing.active)


def live_in(data: Path, set_: Set | None = None) -> Live:
    """The live agents and prompts of the registry in ``data``; nothing where there is none."""
    try:
        registry = Registry(data / REGISTRY_FILE, read_only=True)
    except RegistryMissing:
        return Live()
    with closing(registry):
        return live_of(registry, set_)


def live_of(registry: Registry, set_: Set | None = None) -> Live:
    """The same for a registry that is open. Raises ``ContentDamaged``."""
    standing = registry.standing()
    of = set_ or standing.active
    held = [one for one in standing.in_force(of) if one.mode == "live"]
    return Live(
        {one.name: _versions(registry, of, one) for one in held if one.kind == "agent"},
        {
            one.name: str(msgspec.json.decode(found.content).get("text", ""))
            for one in held
            if one.kind == "prompt"
            and (found := registry.artifact("prompt", one.name, one.version)) is not None
        },
    )


def _versions(registry: Registry, set_: Set, held: Held) -> tuple[Version, ...]:
    """The live version and those that were live before it, newest first."""
    lives = registry.standing().lives.get((set_, held.kind, held.name), ())
    found = [
        registry.artifact(held.kind, held.name, version)
        for version in dict.fromkeys((held.version, *reversed(lives)))
    ]
    return tuple(
        Version(
            name=one.name,
            version=one.version,
            content=one.content,
            source=_written(registry, one),
            title=one.title,
        )
        for one in found
        if one is not None
    )


def written(registry: Registry, kind: Kind, name: str, version: str) -> str | None:
    """What people wrote last of a version, empty where that is not known; none without the version."""
    artifact = registry.artifact(kind, name, version)
    return None if artifact is None else _written(registry, artifact)


def _artifacts(registry: Registry) -> list[tuple[Artifact, str]]:
    return [
        (one, _written(registry, one))
        for kind in KINDS
        for name in (registry.names(kind) if kind != "flag" else ())
        for one in registry.versions(kind, name)
    ]


def _written(registry: Registry, one: Artifact) -> str:
    newer = registry.findings(one.kind, one.name, one.version).get(SOURCE)
    return one.source if newer is None else str(newer.evidence.get("source", ""))
