"""Drift: where a folder, the registry and what is in force say different things. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from forestall.contracts.control import Control, ModelsApplied, PoliciesApplied
from forestall.policy.lifecycle import Kind, State
from forestall.policy.plan import Item, Kept, content_of, hashed

What = Literal["unknown", "retired", "absent", "not-in-force", "on-its-way"]

WORDS: Final[dict[What, str]] = {
    "unknown": "the registry does not know the folder's version: apply it",
    "retired": "the folder has a version that is retired",
    "absent": "it is live, and not in the folder",
    "not-in-force": "what is in force is not what should be",
    "on-its-way": "the folder's version is not live yet",
}
"""What each sort of drift means."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about which the three differ; each version is empty where there is none.

    ``state`` is that of the folder's version in the registry. What is ``on-its-way`` was applied,
    and waits to be promoted: that is a difference, but nothing to mend.
    """

    kind: Kind
    name: str
    what: What
    folder: str = ""
    live: str = ""
    in_force: str = ""
    state: str = ""

    @property
    def wrong(self) -> bool:
        """Whether somebody has to do something about it."""
        return self.what != "on-its-way"


class Force(msgspec.Struct, frozen=True):
    """The live versions that the control stream says are in force, by kind and name."""

    versions: dict[tuple[Kind, str], str]

    @classmethod
    def of(cls, controls: Iterable[Control]) -> "Force":
        """What the newest records of ``controls`` say."""
        found: dict[tuple[Kind, str], str] = {}
        for record in controls:
            if isinstance(record, PoliciesApplied):
                found = {key: version for key, version in found.items() if key[0] != "policy"}
                found |= {
                    ("policy", one.name): one.version
                    for one in record.policies
                    if one.mode == "live"
                }
            elif isinstance(record, ModelsApplied):
                found = {key: version for key, version in found.items() if key[0] == "policy"}
                found |= {
                    ("model", one.name): one.version for one in record.models if one.mode == "live"
                }
                found |= {
                    ("threshold", name): hashed(content_of(value))
                    for name, value in record.thresholds.items()
                }
        return cls(found)


FORCED: Final[tuple[Kind, ...]] = ("policy", "model", "threshold")
"""The kinds that the control stream tells of."""


def drift(items: Sequence[Item], kept: Sequence[Kept] | None, force: Force) -> list[Drift]:
    """Every difference, by kind and name. ``kept`` is what the registry keeps, none where files are
    in force as they are saved. Kinds that the folder does not have are left alone, but policies."""
    folder = {(item.kind, item.name): item.version for item in items}
    states = {(one.kind, one.name, one.version): one.state for one in kept or ()}
    live = {(one.kind, one.name): one.version for one in kept or () if one.state == "live"}
    kinds = {"policy", *(item.kind for item in items)}
    names = {*folder, *(key for key in (*live, *force.versions) if key[0] in kinds)}
    return [
        msgspec.structs.replace(
            one,
            kind=key[0],
            name=key[1],
            folder=folder.get(key, ""),
            live=live.get(key, ""),
            in_force=force.versions.get(key, ""),
        )
        for key in sorted(names)
        for one in _of(key, folder, live if kept is not None else None, force, states)
    ]


def _of(
    key: tuple[Kind, str],
    folder: dict[tuple[Kind, str], str],
    live: dict[tuple[Kind, str], str] | None,
    force: Force,
    states: dict[tuple[Kind, str, str], State | None],
) -> Iterator[Drift]:
    kind, name = key
    here = folder.get(key, "")
    if live is None:
        if kind == "policy" and here != force.versions.get(key, ""):
            yield Drift(kind=kind, name=name, what="not-in-force" if here else "absent")
        return
    if kind in FORCED and live.get(key, "") != force.versions.get(key, ""):
        yield Drift(kind=kind, name=name, what="not-in-force")
    if here == live.get(key, ""):
        return
    state = states.get((kind, name, here))
    what: What
    if not here:
        what = "absent"
    elif state is None:
        what = "unknown"
    else:
        what = "retired" if state == "retired" else "on-its-way"
    yield Drift(kind=kind, name=name, what=what, state=state or "")
