"""A deployment's folders as what should be in force: the bundle, checked against its surroundings."""

from collections import Counter
from pathlib import Path

import msgspec
import structlog

from forestall.context.knowledge.runbooks import Runbook, Runbooks, load_runbooks
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.control import (
    Control,
    FlagsApplied,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.nearest import nearest
from forestall.kernel.settings import Settings, load_settings
from forestall.kernel.settings.stamps import Stamp, stamp
from forestall.policy.actions.folder import load_declarations, offers
from forestall.policy.actions.live import Live, load_managed
from forestall.policy.actions.prompts import beside
from forestall.policy.bundle import Bundle, applied, load_folder
from forestall.policy.language.asked import Reads, models_in
from forestall.policy.language.check import ANYTHING, INAPP, Surroundings
from forestall.policy.language.offers import Offers

_log = structlog.get_logger("deployment")


def load_bundle(path: Path, settings: Settings) -> Bundle:
    """The policies in ``path``, checked against the deployment's catalogue, runbooks and queues.

    Raises ``InvalidFile`` with every mistake, ``UnreadableInput`` where there is nothing to read.
    """
    return load_folder(path, surroundings(settings))


def surroundings(settings: Settings, live: Live | None = None) -> Surroundings:
    """What policies of this deployment may name; anything where there is no settings file. Agents
    are those that are ``live``, where that is given.

    Without a catalogue any type, field and trait; without queues, runbooks, or write keys and
    webhooks in the settings any queue, runbook or channel; without a folder of actions any lookup,
    agent or action; without people any role; without a model beside the policies any model. Raises
    ``InvalidFile`` when a contract, a runbook or a declaration has mistakes.
    """
    if settings.file is None:
        return ANYTHING
    serves = bool(settings.keys or settings.webhooks)
    documents = load_runbooks(settings.runbooks) if settings.runbooks else None
    runbooks = _shown(documents or {})
    lookups, agents, actions = _offered(settings, live)
    return Surroundings(
        catalogue=load_catalogue(settings.contracts) if settings.contracts else None,
        runbooks=None if documents is None else frozenset(runbooks),
        runbook_reads={name: _needed(one) for name, one in runbooks.items()},
        articles=frozenset(documents or {}) - frozenset(runbooks),
        queues=frozenset(settings.queues) or None,
        channels=frozenset([INAPP, *settings.webhooks]) if serves else None,
        lookups=lookups,
        agents=agents,
        actions=actions,
        roles=Counter(role for one in settings.people.values() for role in one.roles) or None,
        models=_models(settings.policies),
    )


def _models(folder: Path | None) -> dict[str, Reads] | None:
    """What the models beside the policies read; none where there is none."""
    files = sorted(folder.rglob("*.model.json")) if folder and folder.is_dir() else []
    return models_in(file.read_bytes() for file in files) or None


def _shown(runbooks: Runbooks) -> Runbooks:
    """Those that policies may show; articles are none."""
    return {name: one for name, one in runbooks.items() if one.customer is not None}


def _needed(runbook: Runbook) -> frozenset[str]:
    """The fields without which a runbook's words have a gap."""
    parts = (part for one in runbook.templates() for part in one.reads())
    return frozenset(part.path for part in parts if part.default is None)


def _offered(
    settings: Settings, live: Live | None
) -> tuple[Offers | None, Offers | None, Offers | None]:
    if settings.actions is None:
        return None, None, None
    if live is not None:
        return offers(load_managed(settings.actions, settings, live))
    return offers(load_declarations(settings.actions, settings))


class Wanted(msgspec.Struct, frozen=True):
    """What a deployment's files say should be in force. Where it is managed the bundle has no
    policies: what is in force is then in the registry."""

    bundle: Bundle
    settings: Settings

    def differences(self, in_force: list[Control]) -> list[Control]:
        """Control records (their ``received`` still 0) that turn ``in_force`` into this."""
        wanted: list[Control] = [
            SettingsApplied(0, self.settings.decide, "files", "settings changed")
        ]
        if not self.settings.lifecycle.managed:
            wanted.append(applied(self.bundle, 0, "files", "policies changed"))
        changed = [record for record in wanted if not _stands(record, in_force)]
        return [
            *switched(self.settings, in_force),
            *flagged(self.settings, in_force),
            *changed,
        ]


def switched(settings: Settings, in_force: list[Control]) -> list[Control]:
    """The control record that puts the kill switches of ``settings`` in force, if they are not."""
    switches = settings.switches
    record = SwitchesApplied(0, switches.off, switches.everything_off, "files", "switches changed")
    return [] if _stands(record, in_force) else [record]


def flagged(settings: Settings, in_force: list[Control]) -> list[Control]:
    """The control record that puts the flags of ``settings`` in force, if they are not; none where
    the deployment is managed, whose flags are in the registry."""
    known = any(isinstance(old, FlagsApplied) for old in in_force)
    if settings.lifecycle.managed or not (known or settings.flags.values):
        return []
    record = FlagsApplied(0, settings.flags.values, "files", "flags changed")
    return [] if _stands(record, in_force) else [record]


def _stands(record: Control, in_force: list[Control]) -> bool:
    newest = next((old for old in reversed(in_force) if type(old) is type(record)), None)
    return newest is not None and _content(newest) == _content(record)


def _content(record: Control) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(record, received=0, by="", why=""))


def read_deployment(config: Path) -> Wanted:
    """What the files of the deployment at ``config`` want. Raises what reading them raises.

    Warns in the log where ``[switches] off`` names a policy that is not there: it stops nothing.
    """
    settings = load_settings(config, secrets=False)
    folder = settings.policies
    if settings.lifecycle.managed:
        catalogue = surroundings(settings, Live()).catalogue
        numbers = {} if catalogue is None else catalogue.numbers
        return Wanted(Bundle(numbers=numbers), settings)
    bundle = load_bundle(folder, settings) if folder else Bundle()
    names = {policy.name for policy in bundle.policies}
    for name in settings.switches.off:
        if name not in names:
            _log.warning(
                "[switches] off names a policy that is not there, so this switches nothing off",
                policy=name,
                did_you_mean=nearest(name, sorted(names)),
            )
    return Wanted(bundle, settings)


def fingerprint(config: Path, settings: Settings) -> Stamp:
    """Names, sizes and times of change of every file that matters; equal means nothing changed."""
    folders = [settings.policies, settings.contracts, settings.runbooks, settings.actions]
    if settings.actions is not None:
        folders.append(beside(settings.actions))
    files = [config, *(file for folder in folders if folder for file in sorted(folder.rglob("*")))]
    return stamp(files)
