"""The registry: every version under change control, every transition, every request for a second.

One SQLite file, ``registry.db`` in the data folder. Rows are only ever added, but that a request is
answered. The app process is its only writer; others open it read-only. Belongs to one thread.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy import func, insert, select, update

from forestall.contracts.control import Transition
from forestall.contracts.errors import ForestallError
from forestall.contracts.refusals import NotThere, OwnRequest, TooLate, because
from forestall.kernel.database.tables import Database, first_line
from forestall.policy.changing import Known, before_live, binding, check_rights, needs_second, plan
from forestall.policy.consequences import (
    Leaving,
    Running,
    depends,
    effective,
    leaving,
    names,
    running_rule,
    with_running,
)
from forestall.policy.lifecycle import (
    RISKS,
    SETS,
    Actor,
    Artifact,
    Ask,
    Change,
    Finding,
    Held,
    Kind,
    Risk,
    Rules,
    Set,
    Standing,
    fold,
    intact,
)
from forestall.policy.registry_tables import artifacts, findings, metadata, requests, transitions

REGISTRY_FILE = "registry.db"
"""Where the registry lies, in the data folder."""

ADOPTED = "adopted when management began"
"""Why what was in force before there was a registry is live."""

Status = Literal["open", "seconded", "declined", "void"]


class RegistryMissing(ForestallError):
    """There is no registry here yet: no server of this deployment has managed anything."""

    code = "registry-missing"
    exit_code = 2


class RegistryUnusable(ForestallError):
    """`registry.db` is damaged, or is not there although something was decided in it; restore the
    newest copy of it and restart the server. What was in force stays in force."""

    code = "registry-unusable"


class ContentDamaged(ForestallError):
    """The content of a version is not what its hash says; restore the registry from a copy."""

    code = "content-damaged"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that waits for a second person, bound by the hash ``binding`` to everything that
    it was asked about. Times are wall times in microseconds."""

    id: int
    ask: Ask
    binding: str
    by: str
    at: int
    why: str
    evidence: dict[str, Any] = {}
    status: Status = "open"
    answered_by: str | None = None
    answered_at: int | None = None
    answer: str | None = None


Outcome = tuple[Transition, ...] | Request
"""What came of an ask: transitions, or a request that waits for a second person."""

_encode = msgspec.json.Encoder().encode
_asks = msgspec.json.Decoder(Ask)
_PLAIN = Rules()
_NEWEST = select(func.coalesce(func.max(transitions.c.number), 0))
_SINCE = (
    select(transitions)
    .where(transitions.c.number > sa.bindparam("after"))
    .order_by(transitions.c.number)
)
_OPEN = select(requests).where(requests.c.status == "open").order_by(requests.c.id)
_VERSIONS = (
    select(artifacts)
    .where(artifacts.c.kind == sa.bindparam("kind"), artifacts.c.name == sa.bindparam("name"))
    .order_by(artifacts.c.seq)
)
_ONE = _VERSIONS.where(artifacts.c.version == sa.bindparam("version"))
_LAST = (
    _VERSIONS.with_only_columns(artifacts.c.version)
    .order_by(None)
    .order_by(artifacts.c.seq.desc())
    .limit(1)
)
_FOUND = (
    select(findings)
    .where(
        findings.c.kind == sa.bindparam("kind"),
        findings.c.name == sa.bindparam("name"),
        findings.c.version == sa.bindparam("version"),
    )
    .order_by(findings.c.seq)
)


def _none_known(_policy: str, _version: str) -> int:
    return 0


class Registry:
    """Opens the registry at ``path``, and makes it unless ``read_only``, which raises
    ``RegistryMissing`` where there is none; ``RegistryUnusable`` where it is damaged. All reading may
    raise ``kernel.database.tables.TROUBLE``.

    ``rules`` are those of the settings. ``running`` counts a version's running interventions, for
    the evidence of transitions that take it out of force.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        rules: Rules = _PLAIN,
        running: Running = _none_known,
    ) -> None:
        if read_only and not path.exists():
            raise RegistryMissing(
                f"{path}: there is no such file; set [lifecycle] managed and start `forestall serve`"
            )
        self.rules = rules
        self._running = running
        self._standing = Standing()
        self._database, there = _opened(path, read_only)
        if not there and read_only:
            self._database.close()
            raise RegistryMissing(f"{path}: the server has not finished making it; try again")
        if not there:
            with self._database.transaction():
                self._database.lay(metadata)

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def version(self) -> int:
        """The number of the newest transition, 0 before the first; cheap."""
        return int(self._database.run(_NEWEST).scalar_one())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is there together, or not at all. May be nested."""
        if self._database.inside:
            yield
            return
        before = self._standing
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self._standing = before
            raise

    # -- versions --------------------------------------------------------------------------------

    def put(self, artifact: Artifact) -> bool:
        """Keep a version; false if it is there already. It gets no state by that.

        Raises ``ContentDamaged``."""
        _check(artifact)
        row = asdict(artifact) | {"evidence": _encode(artifact.evidence)}
        with self.transaction():
            added = self._database.run(
                self._database.insert(artifacts).on_conflict_do_nothing(), row
            )
            self._void(artifact.at)
        return added.rowcount > 0

    def artifact(self, kind: Kind, name: str, version: str) -> Artifact | None:
        """One version. Raises ``ContentDamaged``."""
        about = {"kind": kind, "name": name, "version": version}
        row = self._database.run(_ONE, about).first()
        if row is None:
            return None
        found: Artifact = _struct(Artifact, row)
        _check(found)
        return found

    def versions(self, kind: Kind, name: str) -> list[Artifact]:
        """All versions of that name, in the order in which they were put."""
        rows = self._database.run(_VERSIONS, {"kind": kind, "name": name})
        return [_struct(Artifact, row) for row in rows]

    def names(self, kind: Kind) -> list[str]:
        """What there is of that kind, sorted."""
        asked = select(artifacts.c.name).where(artifacts.c.kind == kind).distinct()
        return sorted(self._database.run(asked).scalars())

    def found(self, finding: Finding) -> None:
        """Keep a finding, on which conditions rest, and what people agree to."""
        row = asdict(finding) | {"evidence": _encode(finding.evidence)}
        with self.transaction():
            self._database.run(insert(findings), row)
            self._void(finding.at)

    def findings(self, kind: Kind, name: str, version: str) -> dict[str, Finding]:
        """The newest finding of each sort about a version."""
        rows = self._database.run(_FOUND, {"kind": kind, "name": name, "version": version})
        return {row.what: _struct(Finding, row) for row in rows}

    # -- transitions -----------------------------------------------------------------------------

    def transitions(
        self, after: int = 0, *, kind: str | None = None, name: str | None = None
    ) -> list[Transition]:
        """Those with a number above ``after``, in order; of that kind and name if given."""
        asked = select(transitions).where(transitions.c.number > after)
        if kind is not None:
            asked = asked.where(transitions.c.artifact == kind)
        if name is not None:
            asked = asked.where(transitions.c.name == name)
        rows = self._database.run(asked.order_by(transitions.c.number))
        return [_transition(row) for row in rows]

    def standing(self) -> Standing:
        """What they amount to."""
        if self.version() != self._standing.number:
            rows = self._database.run(_SINCE, {"after": self._standing.number})
            self._standing = fold(map(_transition, rows), self._standing)
        return self._standing

    def move(
        self, ask: Ask, actor: Actor, why: str, at: int, evidence: dict[str, Any] | None = None
    ) -> Outcome:
        """Do what is asked at wall time ``at``, or keep it until a second person agrees. The same
        ask of anybody gives the same request while it waits.

        Raises ``NotThere``, ``NoSuchTransition``, ``ConditionsMissing``, ``RoleMissing`` and
        ``ReasonMissing``; nothing is changed then.
        """
        words = because(why)
        with self.transaction():
            standing, known = self.standing(), self._known(ask)
            check_rights(ask, standing, actor)
            changes = plan(ask, standing, known, self.rules, at)
            if needs_second(ask, standing, known):
                bound = binding(ask, standing, known)
                return self._asked(ask, bound, actor, words, at, evidence or {})
            return self._write(ask.set, changes, actor.name, None, words, at, evidence or {})

    def adopt(self, those: Sequence[Artifact], at: int) -> None:
        """Take over what was in force before there was a registry, as live in the set blue, by
        ``files``; does nothing once there is a transition."""
        with self.transaction():
            if self.version():
                return
            for one in those:
                self.put(one)
            changes = [
                Change(
                    artifact=one.kind, name=one.name, version=one.version, before="", after="live"
                )
                for one in those
            ]
            self._write("blue", changes, "files", None, ADOPTED, at, {})

    def _known(self, ask: Ask) -> Known:
        if ask.what == "switch":
            held = [one for one in self.standing().in_force(ask.set) if one.mode != "shadow"]
            return Known(
                risks=tuple(self._highest(self._there(one), set_) for one in held for set_ in SETS)
            )
        newest = self._database.run(_LAST, {"kind": ask.kind, "name": ask.name}).scalar()
        if newest is None:
            raise NotThere(f"there is no {ask.kind} `{ask.name}` in the registry")
        if ask.what == "rollback":
            back = before_live(ask, self.standing())
            there = None if back is None else self.artifact(ask.kind, ask.name, back)
            risk: Risk = "low" if there is None else self._highest(there, ask.set)
            return Known(newest=newest, risk=risk)
        this = self.artifact(ask.kind, ask.name, ask.version)
        if this is None:
            raise NotThere(f"there is no version {ask.version!r} of {ask.kind} `{ask.name}`")
        found = self.findings(ask.kind, ask.name, ask.version)
        return Known(newest=newest, risk=self._highest(this, ask.set), findings=found)

    def _highest(self, one: Artifact, set_: Set) -> Risk:
        """The risk of a version: its own, or that of a policy with effects that it stands in for,
        or that depends on it. A prompt is as risky as the live agents that name it. So nobody gets
        around a second person by calling it low."""
        risks = [one.risk]
        for held in effective(self.standing(), set_):
            policy = self._there(held)
            if depends(policy, one.kind, one.name):
                risks.append(policy.risk)
        if one.kind == "prompt":
            live = [held for held in self.standing().in_force(set_) if held.kind == "agent"]
            agents = [self._there(held) for held in live]
            risks += [self._highest(agent, set_) for agent in agents if names(agent, one.name)]
        return max(risks, key=RISKS.index)

    def _write(
        self,
        set_: Set,
        changes: Sequence[Change],
        by: str,
        seconded: str | None,
        why: str,
        at: int,
        evidence: dict[str, Any],
    ) -> tuple[Transition, ...]:
        before, number = self.standing(), self.version()
        written = tuple(
            Transition(
                received=0,
                number=number + place,
                artifact=change.artifact,
                name=change.name,
                version=change.version,
                before=change.before,
                after=change.after,
                share=change.share,
                set=set_,
                by=by,
                seconded=seconded,
                why=f"{why} ({change.why})" if change.why else why,
                evidence={**evidence, **change.evidence},
                at=at,
            )
            for place, change in enumerate(changes, 1)
        )
        leaving = self._leaving(before, fold(written, before))
        written = tuple(with_running(one, leaving) for one in written)
        rows = [
            {name: value for name, value in asdict(one).items() if name != "received"}
            | {"evidence": _encode(one.evidence)}
            for one in written
        ]
        if rows:
            self._database.run(insert(transitions), rows)
        self._void(at)
        return written

    def _leaving(self, before: Standing, after: Standing) -> list[Leaving]:
        rules = {
            (one.name, one.version): running_rule(self._there(one)) for one in effective(after)
        }
        return leaving(before, rules, self._running)

    def _there(self, held: Held) -> Artifact:
        found = self.artifact(held.kind, held.name, held.version)
        if found is None:
            raise NotThere(f"the registry lacks {held.kind} `{held.name}` {held.version}")
        return found

    # -- second persons --------------------------------------------------------------------------

    def pending(self) -> list[Request]:
        """Requests that wait, oldest first."""
        return [_request(row) for row in self._database.run(_OPEN)]

    def requests(self, limit: int = 100) -> list[Request]:
        """Requests of any status, newest first."""
        asked = select(requests).order_by(requests.c.id.desc()).limit(limit)
        return [_request(row) for row in self._database.run(asked)]

    def request(self, request: int) -> Request:
        """One request. Raises ``NotThere``."""
        row = self._database.run(select(requests).where(requests.c.id == request)).first()
        if row is None:
            raise NotThere(f"there is no request {request}")
        return _request(row)

    def second(self, request: int, actor: Actor, why: str, at: int) -> tuple[Transition, ...]:
        """Agree to a request, which does what it asks.

        Raises ``NotThere``, ``TooLate`` (void, or answered), ``OwnRequest``, ``RoleMissing``, and
        what ``move`` raises.
        """
        words = because(why)
        with self.transaction():
            one = self._open(request)
            standing, known = self.standing(), self._known(one.ask)
            check_rights(one.ask, standing, actor)
            if actor.machine or actor.name == one.by:
                raise OwnRequest(f"{actor.name} asked for this; somebody else has to agree")
            changes = plan(one.ask, standing, known, self.rules, at)
            self._answer(one, "seconded", actor.name, words, at)
            evidence = {**one.evidence, "request": one.id, "seconded_because": words}
            return self._write(one.ask.set, changes, one.by, actor.name, one.why, at, evidence)

    def decline(self, request: int, actor: Actor, why: str, at: int) -> Request:
        """Say no to a request; who asked may take it back. Raises as ``second`` does."""
        words = because(why)
        with self.transaction():
            one = self._open(request)
            if actor.name != one.by:
                check_rights(one.ask, self.standing(), actor)
            return self._answer(one, "declined", actor.name, words, at)

    def _open(self, request: int) -> Request:
        one = self.request(request)
        if one.status == "void":
            raise TooLate(f"void: {one.answer}; ask again")
        if one.status != "open":
            raise TooLate(f"{one.status}: by {one.answered_by}")
        return one

    def _asked(
        self, ask: Ask, bound: str, actor: Actor, why: str, at: int, evidence: dict[str, Any]
    ) -> Request:
        for waiting in self.pending():
            if waiting.binding == bound:
                return waiting
        row = {
            "ask": _encode(ask),
            "binding": bound,
            "by": actor.name,
            "at": at,
            "why": why,
            "evidence": _encode(evidence),
            "status": "open",
        }
        written = self._database.run(insert(requests).returning(*requests.c), row)
        return _request(written.one())

    def _answer(self, one: Request, status: Status, by: str, answer: str, at: int) -> Request:
        said = {"status": status, "answered_by": by, "answered_at": at, "answer": answer}
        self._database.run(update(requests).where(requests.c.id == one.id).values(**said))
        return msgspec.convert(asdict(one) | said, Request)

    def _void(self, at: int) -> None:
        """Void every open request whose subject is no longer what it was asked about."""
        for one in self.pending():
            if self._bound(one.ask) != one.binding:
                self._answer(one, "void", "registry", "what it was asked about has changed", at)

    def _bound(self, ask: Ask) -> str | None:
        try:
            return binding(ask, self.standing(), self._known(ask))
        except ContentDamaged:
            return None


def _opened(path: Path, read_only: bool) -> tuple[Database, bool]:
    """The database, and whether the tables are there."""
    try:
        database = Database(path, read_only=read_only)
        return database, database.has(artifacts)
    except sa.exc.OperationalError:
        raise
    except sa.exc.DatabaseError as error:
        raise RegistryUnusable(
            f"{path}: cannot be read: {first_line(error)}; restore the newest copy of it"
        ) from None


def _check(artifact: Artifact) -> None:
    if not intact(artifact):
        raise ContentDamaged(
            f"{artifact.kind} `{artifact.name}`: the content is not that of version"
            f" {artifact.version}"
        )


def _struct(shape: Any, row: Any) -> Any:
    fields = {name: value for name, value in row._mapping.items() if name != "seq"}
    return shape(**(fields | {"evidence": msgspec.json.decode(row.evidence)}))


def _transition(row: Any) -> Transition:
    fields = dict(row._mapping) | {"evidence": msgspec.json.decode(row.evidence)}
    return Transition(received=0, **fields)


def _request(row: Any) -> Request:
    decoded = {"ask": _asks.decode(row.ask), "evidence": msgspec.json.decode(row.evidence)}
    return Request(**(dict(row._mapping) | decoded))
