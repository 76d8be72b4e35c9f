"""Gathers what a case is made of, from the tables, the logs and the door."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol
from urllib.parse import quote

from forestall.context.knowledge.runbooks import Runbook
from forestall.contracts.catalogue import Catalogue
from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.shape import Shape
from forestall.decide.masking import Path, reads
from forestall.intervene.case import MOST_EVENTS, MOST_HYPOTHESES, Material
from forestall.intervene.running import Running
from forestall.intervene.store import Store
from forestall.log.port import Log
from forestall.log.streams import DECISIONS, SIGNALS, read_decisions, read_signals
from forestall.policy.language.model import Policy
from forestall.policy.language.step_reads import step_reads
from forestall.privacy.door import DoorState

LOOK_BACK = 200
"""Batches of a subject that are searched, newest first."""


class Door(Protocol):
    """Consent and opt-out as the gateway last heard them."""

    def state(self, subject: str) -> DoorState:
        """What the subject said."""


class Gatherer:
    """Looks everything up that ``build_case`` wants. ``decisions`` holds other conclusions about a
    customer, ``personal`` says which fields of an event type are personal, ``links`` are addresses
    by name, in which ``{customer}``, ``{intervention}`` and ``{policy}`` stand for theirs.
    ``policy`` gives a policy by version; until it is set, no event tells its fields."""

    def __init__(
        self,
        store: Store,
        signals: Log,
        *,
        decisions: Log | None = None,
        door: Door | None = None,
        personal: Mapping[str, frozenset[str]] | None = None,
        links: Mapping[str, str] | None = None,
    ) -> None:
        self._store, self._signals, self._decisions = store, signals, decisions
        self._door, self._personal, self._links = door, personal or {}, links or {}
        self.policy: Callable[[str], Policy] | None = None

    def material(self, state: Running, runbooks: Iterable[Runbook], reply: str | None) -> Material:
        """What is known of the intervention ``state`` by now."""
        decision, title = self._store.decision(state.id)
        return Material(
            state=state,
            decision=decision,
            title=title,
            history=self._store.history(state.id),
            messages=self._store.messages_of(state.id),
            effects=self._store.effects.of(state.id),
            records=self._records(state),
            others=self._others(state),
            reads=self._reads(state.version),
            personal=self._personal,
            traits=self._store.traits(state.subject),
            standing=None if self._door is None else self._door.state(state.subject),
            runbooks=tuple(runbooks),
            reply=reply,
            links=dict(self._linked(state)),
        )

    def _reads(self, version: str) -> frozenset[Path]:
        if self.policy is None:
            return frozenset()
        try:
            policy = self.policy(version)
            return reads(policy, DecideSettings()) | step_reads(policy)
        except KeyError:
            return frozenset()

    def _linked(self, state: Running) -> Iterator[tuple[str, str]]:
        named = {"customer": state.subject, "intervention": state.id, "policy": state.policy}
        for name, link in self._links.items():
            for word, value in named.items():
                link = link.replace("{" + word + "}", quote(value, safe=""))
            yield name, link

    def _records(self, state: Running) -> list[Record]:
        """The newest events of the customer, oldest first; also of who they were before."""
        found: list[Record] = []
        subjects = {state.subject, *state.former}
        for place in newest(self._signals, SIGNALS, subjects):
            for batch in self._signals.read(SIGNALS, after=place - 1, limit=1):
                found += [one for one in reversed(read_signals(batch)) if one.subject in subjects]
            if len(found) >= MOST_EVENTS:
                break
        return found[::-1]

    def _others(self, state: Running) -> list[Decision]:
        """The newest decisions about the customer, oldest first."""
        if self._decisions is None:
            return []
        found: list[Decision] = []
        subjects = {state.subject, *state.former}
        for place in newest(self._decisions, DECISIONS, subjects):
            for batch in self._decisions.read(DECISIONS, after=place - 1, limit=1):
                made = [one.decision for one in reversed(read_decisions(batch))]
                found += [one for one in made if one.subject in subjects]
            if len(found) > MOST_HYPOTHESES:
                break
        return found[::-1]


def newest(log: Log, stream: str, subjects: Iterable[str]) -> list[int]:
    """The newest positions at which something of these subjects lies, newest first."""
    places = {place for one in subjects for place in list(log.of_subject(stream, one))[-LOOK_BACK:]}
    return sorted(places, reverse=True)[:LOOK_BACK]


def personal_fields(catalogue: Catalogue) -> dict[str, frozenset[str]]:
    """By event type, the fields of ``data`` in which something is not plainly kept."""
    found: dict[str, frozenset[str]] = {}
    for contract in catalogue:
        names = {name for name, one in contract.shape.properties.items() if not _plain(one)}
        found[contract.type] = found.get(contract.type, frozenset()) | names
    return found


def _plain(shape: Shape) -> bool:
    inner = [*shape.properties.values(), shape.rest, shape.items]
    return shape.privacy == "keep" and all(one is None or _plain(one) for one in inner)
