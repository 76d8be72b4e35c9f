"""How a deployment stands: drift between folder, registry and what is in force; reviews overdue."""

import datetime
from pathlib import Path
from typing import Any

from forestall.context.knowledge.runbooks import load_runbooks
from forestall.contracts.errors import InvalidFile
from forestall.contracts.instants import SECOND
from forestall.decide.history import deployed_controls
from forestall.kernel.settings import Settings
from forestall.measure.model import canonical, decode
from forestall.policy.actions.folder import Declarations, load_declarations
from forestall.policy.actions.live import load_managed
from forestall.policy.bundle import read_policies
from forestall.policy.drift import Drift, Force, drift
from forestall.policy.language.model import Policy
from forestall.policy.plan import Item, policy_in
from forestall.policy.reviews import Review
from forestall.policy.shelf import live_in, shelf
from forestall.policy.sources import contents, read_folder


def read_model(raw: bytes) -> tuple[str, bytes]:
    """A model file's name and canonical content. Raises ``InvalidModel``."""
    model = decode(raw)
    return model.name, canonical(model)


def drifted(settings: Settings, folder: Path | None = None) -> list[Drift]:
    """Every difference; ``folder`` is that of ``[policies]`` unless one is named.

    Raises ``InvalidFile`` where the folder cannot be read as what it should be, and
    ``UnreadableInput`` without a folder or a data folder.
    """
    folder = folder or settings.policies
    items: tuple[Item, ...] = ()
    if folder is not None:
        found = contents(read_folder(folder), read_model)
        errors = [one for one in found.problems if one.severity == "error"]
        if errors:
            raise InvalidFile(errors)
        items = found.items
    kept = shelf(settings.data).kept() if settings.lifecycle.managed else None
    return drift(items, kept, Force.of(deployed_controls(settings.data)))


def reviews(settings: Settings) -> list[Review]:
    """Everything of a deployment that has a day of review. Raises ``InvalidFile``."""
    found = [_of("policy", one) for one in _policies(settings)]
    if settings.actions is not None:
        declared = _declared(settings.actions, settings)
        for kind, those in (
            ("lookup", declared.lookups),
            ("agent", declared.agents),
            ("action", declared.actions),
        ):
            found += [_of(kind, one) for one in those.values()]
    if settings.runbooks is not None:
        found += [
            Review(one.kind, one.id, one.owner, one.review_by)
            for one in load_runbooks(settings.runbooks).values()
        ]
    return [one for one in found if one is not None]


def _declared(folder: Path, settings: Settings) -> Declarations:
    """What the folder declares; of a managed deployment with the live agents."""
    if settings.lifecycle.managed:
        return load_managed(folder, settings, live_in(settings.data))
    return load_declarations(folder, settings)


def _of(kind: str, one: Any) -> Review | None:
    return None if one.review_by is None else Review(kind, one.name, one.owner, one.review_by)


def _policies(settings: Settings) -> list[Policy]:
    """The policies in force: of a managed deployment as the registry has them, where it has their
    text, and else as the files have them."""
    written: list[Policy] = []
    if settings.policies is not None and settings.policies.is_dir():
        written, _ = read_policies([settings.policies])
    if not settings.lifecycle.managed:
        return written
    known, files = shelf(settings.data), {one.name: one for one in written}
    there = {(one.name, one.version): (one, source) for one, source in known.artifacts}
    found = []
    for held in known.standing.in_force():
        if held.kind != "policy":
            continue
        artifact, source = there[held.name, held.version]
        policy = policy_in(source, artifact.content)
        found.append(policy if source else files.get(held.name, policy))
    return found


def today(clock: int) -> datetime.date:
    """The day (UTC) of a wall time in microseconds."""
    return datetime.datetime.fromtimestamp(clock // SECOND, datetime.UTC).date()
