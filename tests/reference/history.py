"""Reading a history: which records there are, and what a deployment's control records say when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from forestall.contracts.control import (
    Control,
    DecideSettings,
    ModelsApplied,
    PoliciesApplied,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.instants import parse_time
from forestall.policy.language.canonical import from_canonical
from forestall.policy.language.model import Policy, When
from reference.expressions import Instant, Names
from reference.sharing import in_holdout

ALWAYS = -(10**30)
FOREVER = 10**30
SEVEN_DAYS = 7 * 86_400_000_000

# Each control event of a subject with the field of its data that it cannot do without.
CONTROL_EVENTS: dict[str, tuple[str, type] | None] = {
    "forestall.identify": ("traits", dict),
    "forestall.consent.granted": ("purpose", str),
    "forestall.consent.withdrawn": ("purpose", str),
    "forestall.optout": None,
    "forestall.optin": None,
    "forestall.ticket.opened": ("ticket", str),
    "forestall.ticket.reopened": ("ticket", str),
    "forestall.ticket.closed": ("ticket", str),
    "forestall.intervention.dismissed": ("policy", str),
    "forestall.intervention.helped": ("policy", str),
    "forestall.edge.decided": None,
}


@dataclass(frozen=True)
class Arrival:
    """One line of the history; ``time`` is already cut to ``received``. Microseconds."""

    id: str
    source: str
    type: str
    subject: str
    time: int
    received: int
    origin: str
    data: Any

    @property
    def controls(self) -> bool:
        """Whether the type is a control event, which is never late."""
        return self.type in CONTROL_EVENTS

    @property
    def takes_effect(self) -> bool:
        """Whether it is a control event that has the field it needs."""
        needed = CONTROL_EVENTS.get(self.type)
        if not self.controls or needed is None:
            return self.controls
        return isinstance(self.data, dict) and isinstance(self.data.get(needed[0]), needed[1])


@dataclass(frozen=True, eq=False)
class Seen:
    """An arrival that took part: neither late nor twice.

    ``t`` is its effective time, ``traits`` those of the subject at that moment, itself included.
    """

    arrival: Arrival
    position: int
    t: int
    traits: dict[str, Any]

    @property
    def names(self) -> Names:
        """What conditions see when the event arrives."""
        return self.names_at(self.t, self.traits)

    def names_at(self, now: int, traits: dict[str, Any], **more: Any) -> Names:
        """What conditions see of this event at another moment."""
        arrival = self.arrival
        event = {
            "id": arrival.id,
            "type": arrival.type,
            "source": arrival.source,
            "time": Instant(arrival.time),
            "origin": arrival.origin,
            "data": arrival.data,
        }
        return {"event": event, "subject": traits, "now": Instant(now), **more}


def read(events: Sequence[Mapping[str, Any]]) -> Iterator[Arrival]:
    """The records of a history in log order: ``received`` filled in and never going back."""
    greatest = ALWAYS
    for event in events:
        if event.get("subject") is None:
            continue
        time, received = event.get("time"), event.get("received")
        greatest = max(greatest, parse_time(received or time))  # type: ignore[arg-type]
        data = event.get("data")
        yield Arrival(
            id=event["id"],
            source=event["source"],
            type=event["type"],
            subject=event["subject"],
            time=min(parse_time(time), greatest) if time else greatest,
            received=greatest,
            origin=event.get("origin") or "server",
            data={} if data is None else data,
        )


class InForce(NamedTuple):
    """A policy as some control record (or the start) put it in force, for a ``share`` if in canary."""

    policy: Policy
    version: str
    mode: str
    share: float

    @property
    def line(self) -> tuple[str, str, bool]:
        """What pattern state belongs to: the name, the ``when``, and whether it is in shadow."""
        return self.policy.name, repr(self.policy.when), self.mode == "shadow"


class Spell(NamedTuple):
    """A stretch in which a subject had one policy's ``when``: pattern state lives in ``[start, end)``.

    ``heritage`` is the same for all versions that hand pattern state on to one another.
    """

    heritage: int
    when: When
    start: int
    end: int


@dataclass
class Deployment:
    """The control records, asked as of a moment: those with ``received`` at or before it count."""

    policies: Sequence[Policy]
    settings: DecideSettings
    controls: Sequence[Control]
    version_of: Callable[[Policy], str]

    def sets(self) -> Iterator[tuple[int, str, dict[int, list[InForce]]]]:
        """After each control record: when, the salt, and what is in force, by heritage.

        A version keeps its heritage while somebody has its line; without one of its own it takes
        over that of its ``when`` in the other kind (shadow or not), if nobody has that any more.
        """
        entries = [InForce(p, self.version_of(p), "live", 1.0) for p in self.policies]
        salt, count = self.settings.salt, 0
        held: dict[tuple[str, str, bool], int] = {}
        for at, control in ((ALWAYS, None), *((c.received, c) for c in self.controls)):
            if isinstance(control, SettingsApplied):
                salt = control.settings.salt
            elif isinstance(control, PoliciesApplied):
                entries = [
                    InForce(from_canonical(bytes(p.canonical)), p.version, p.mode, p.share)
                    for p in control.policies
                ]
            lines = {entry.line for entry in entries}
            now: dict[tuple[str, str, bool], int] = {}
            for name, when, shadow in lines:
                other = (name, when, not shadow)
                if (name, when, shadow) in held:
                    now[name, when, shadow] = held[name, when, shadow]
                elif other in held and other not in lines:
                    now[name, when, shadow] = held[other]
                else:
                    now[name, when, shadow], count = count, count + 1
            held = now
            found: dict[int, list[InForce]] = {}
            for entry in entries:
                found.setdefault(held[entry.line], []).append(entry)
            yield at, salt, found

    def settings_at(self, moment: int) -> DecideSettings:
        """The settings as of ``moment``."""
        found = self.settings
        for control in self.controls:
            if isinstance(control, SettingsApplied) and control.received <= moment:
                found = control.settings
        return found

    def killed(self, name: str, moment: int) -> bool:
        """Whether the policy, or everything, is switched off as of ``moment``."""
        off = False
        for control in self.controls:
            if isinstance(control, SwitchesApplied) and control.received <= moment:
                off = control.everything_off or name in control.off
        return off

    def services(self, moment: int) -> dict[str, Any]:
        """The state of the named services as of ``moment``."""
        return {
            control.service: control.state
            for control in self.controls
            if isinstance(control, ServiceState) and control.received <= moment
        }

    def models(self, moment: int) -> ModelsApplied | None:
        """The models in force as of ``moment``."""
        found = None
        for control in self.controls:
            if isinstance(control, ModelsApplied) and control.received <= moment:
                found = control
        return found


@dataclass
class World:
    """What one subject sees of a deployment: in a canary's share, its version and not the live one."""

    deployment: Deployment
    subject: str
    sets: list[tuple[int, dict[int, InForce]]] = field(init=False)
    spells: list[Spell] = field(init=False)

    def __post_init__(self) -> None:
        self.sets = [
            (at, dict(self._own(salt, found))) for at, salt, found in self.deployment.sets()
        ]
        self.spells = list(self._spells())

    def _own(self, salt: str, found: dict[int, list[InForce]]) -> Iterator[tuple[int, InForce]]:
        every = [entry for entries in found.values() for entry in entries]
        moved = {
            entry.policy.name
            for entry in every
            if entry.mode == "canary"
            and in_holdout(f"{salt}:{entry.policy.name}:canary", self.subject, entry.share)
        }
        for heritage, entries in found.items():
            for entry in entries:
                inside = entry.policy.name in moved
                if entry.mode == "shadow" or (entry.mode == "canary") == inside:
                    yield heritage, entry

    def _spells(self) -> Iterator[Spell]:
        for index, (start, here) in enumerate(self.sets):
            before = self.sets[index - 1][1] if index else {}
            for heritage, entry in here.items():
                if heritage in before:
                    continue
                later = [at for at, there in self.sets[index:] if heritage not in there]
                yield Spell(heritage, entry.policy.when, start, later[0] if later else FOREVER)

    def in_force(self, moment: int) -> dict[int, InForce]:
        """The policies as of ``moment``, by heritage."""
        return [entries for at, entries in self.sets if at <= moment][-1]
