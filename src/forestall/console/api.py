"""The operators' HTTP API: approvals, grants, commands, pauses, reviews, records. Bare ASGI.

Every request shows a person's bearer token. What comes in and goes out is JSON; whoever is refused
hears why in problem details after RFC 9457. ``ROUTES`` says what there is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Literal, TypeVar

import msgspec

from forestall.console import views
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import parse_duration
from forestall.contracts.intervention import Command
from forestall.contracts.refusals import NotThere, OwnRequest, ReasonMissing, RoleMissing, TooLate
from forestall.ingest.exchange import (
    Gone,
    Receive,
    Refuse,
    Request,
    Response,
    Scope,
    Send,
    json,
    problem,
    read_json,
    respond,
)
from forestall.intervene.approvals import Status
from forestall.intervene.approving import Approving
from forestall.intervene.authority import People, UnknownPerson, Who
from forestall.intervene.commanding import Commanding
from forestall.intervene.pauses import Scope as PauseScope
from forestall.intervene.records import Records
from forestall.intervene.reviews import Reviewing
from forestall.kernel.database.tables import TROUBLE

T = TypeVar("T")

STATUS: dict[type[ForestallError], int] = {
    UnknownPerson: 401,
    RoleMissing: 403,
    OwnRequest: 403,
    NotThere: 404,
    TooLate: 409,
    ReasonMissing: 422,
}
"""The HTTP status of each refusal."""

LARGEST = 20_000
"""Bytes that a request body may have."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_ID = "(?P<id>[0-9a-zA-Z_.:-]{1,200})"
_Forever = 10 * 365 * 24 * 3_600_000_000


class Office(msgspec.Struct, frozen=True):
    """Those who do what the API takes."""

    people: People
    approving: Approving
    commanding: Commanding
    reviewing: Reviewing
    records: Records


class _Decision(msgspec.Struct, forbid_unknown_fields=True):
    verdict: Literal["approved", "declined"]
    reason: str


class _Grant(msgspec.Struct, forbid_unknown_fields=True, rename={"lasts": "for"}):
    action: _Name
    budget: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    lasts: str
    reason: str
    policy: _Name | None = None
    limits: dict[str, float] = {}


class _Because(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


class _Pause(msgspec.Struct, forbid_unknown_fields=True, rename={"lasts": "for"}):
    scope: PauseScope
    reason: str
    what: _Name | None = None
    lasts: str | None = None


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    command: Command
    reason: str
    undo: bool = False


class _Sample(msgspec.Struct, forbid_unknown_fields=True):
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    seed: _Name


class _Review(msgspec.Struct, forbid_unknown_fields=True):
    accepted: bool
    reason: str


class Call(msgspec.Struct, frozen=True):
    """One request of somebody who is known; ``name`` is the id in its path."""

    who: Who
    name: str
    query: dict[str, str]
    body: bytes

    def read(self, shape: type[T]) -> T:
        """The body as ``shape``. Raises ``Refuse``."""
        return read_json(self.body, shape)


def _approvals(office: Office, call: Call) -> Response:
    wanted = call.query.get("status", "open")
    try:
        status = msgspec.convert(None if wanted == "all" else wanted, Status | None)
    except msgspec.ValidationError as error:
        raise Refuse(400, "invalid-query", f"status: {error}") from None
    return json(200, {"approvals": [views.line(one) for one in office.approving.newest(status)]})


def _approval(office: Office, call: Call) -> Response:
    approval = office.approving.get(call.name)
    return json(200, views.approval(approval, office.approving.waiting(approval)))


def _decide(office: Office, call: Call) -> Response:
    asked = call.read(_Decision)
    after = office.approving.decide(call.who, call.name, asked.verdict, asked.reason)
    return json(201, views.approval(after, office.approving.waiting(after)))


def _receipt(office: Office, call: Call) -> Response:
    return json(200, office.approving.receipt(call.name))


def _key(office: Office, _call: Call) -> Response:
    return Response(200, office.approving.public_key.encode(), "application/x-pem-file")


def _grants(office: Office, _call: Call) -> Response:
    return json(200, {"grants": [views.grant(one) for one in office.approving.grants()]})


def _give(office: Office, call: Call) -> Response:
    asked = call.read(_Grant)
    given = office.approving.add_grant(
        call.who,
        asked.action,
        budget=asked.budget,
        lasts=_duration(asked.lasts),
        reason=asked.reason,
        policy=asked.policy,
        limits=asked.limits,
    )
    return json(201, views.grant(given))


def _revoke(office: Office, call: Call) -> Response:
    reason = call.read(_Because).reason
    return json(201, views.grant(office.approving.revoke_grant(call.who, call.name, reason)))


def _pauses(office: Office, call: Call) -> Response:
    past = call.query.get("past") == "true"
    known = office.commanding.pauses(past=past)
    return json(200, {"pauses": [views.pause(one) for one in known]})


def _pause(office: Office, call: Call) -> Response:
    asked = call.read(_Pause)
    if (asked.what is None) != (asked.scope == "everything"):
        raise Refuse(400, "invalid-json", "`what` names the customer, account or policy to pause")
    lasts = None if asked.lasts is None else _duration(asked.lasts)
    made = office.commanding.pause(call.who, asked.scope, asked.what, asked.reason, lasts=lasts)
    return json(201, {**views.pause(made), "met": office.commanding.met(made)})


def _resume(office: Office, call: Call) -> Response:
    reason = call.read(_Because).reason
    return json(201, views.pause(office.commanding.resume(call.who, call.name, reason)))


def _command(office: Office, call: Call) -> Response:
    asked = call.read(_Command)
    if asked.undo and asked.command != "stop":
        raise Refuse(400, "invalid-json", "`undo` goes with the command `stop`")
    told = office.commanding.command(
        call.who, call.name, asked.command, asked.reason, undo=asked.undo
    )
    return json(202, {"intervention": told, "command": asked.command})


def _reviews(office: Office, call: Call) -> Response:
    judged = {"open": False, "judged": True}.get(call.query.get("state", "all"))
    return json(
        200,
        {
            "reviews": [views.review(one) for one in office.reviewing.all(judged=judged)],
            "numbers": office.reviewing.numbers(),
        },
    )


def _sample(office: Office, call: Call) -> Response:
    asked = call.read(_Sample)
    picked = office.reviewing.sample(call.who, asked.share, asked.seed)
    return json(201, {"reviews": [views.review(one) for one in picked]})


def _judge(office: Office, call: Call) -> Response:
    asked = call.read(_Review)
    after = office.reviewing.judge(
        call.who, call.name, accepted=asked.accepted, reason=asked.reason
    )
    return json(201, views.review(after))


def _records(office: Office, call: Call) -> Response:
    try:
        limit = min(max(int(call.query.get("limit", "50")), 1), 10_000)
    except ValueError:
        raise Refuse(400, "invalid-query", "limit: not a number") from None
    found = office.records.newest(limit, about=call.query.get("about"))
    return json(200, {"records": [views.record(one) for one in found]})


def _duration(text: str) -> int:
    try:
        return min(parse_duration(text), _Forever)
    except ValueError as error:
        raise Refuse(400, "invalid-json", f"for: {error}") from None


Handler = Callable[[Office, Call], Response]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/approvals", _approvals),
    ("GET", "/v1/approvals/key", _key),
    ("GET", "/v1/approvals/{id}", _approval),
    ("POST", "/v1/approvals/{id}/decisions", _decide),
    ("GET", "/v1/approvals/{id}/receipt", _receipt),
    ("GET", "/v1/grants", _grants),
    ("POST", "/v1/grants", _give),
    ("POST", "/v1/grants/{id}/revocation", _revoke),
    ("GET", "/v1/pauses", _pauses),
    ("POST", "/v1/pauses", _pause),
    ("POST", "/v1/pauses/{id}/end", _resume),
    ("POST", "/v1/interventions/{id}/commands", _command),
    ("GET", "/v1/reviews", _reviews),
    ("POST", "/v1/reviews/samples", _sample),
    ("POST", "/v1/reviews/{id}/verdict", _judge),
    ("GET", "/v1/records", _records),
)
"""Method, path and handler of everything there is."""


class Extension(msgspec.Struct, frozen=True):
    """More that the API takes: method, path and handler, the HTTP status of each refusal, and the
    bytes that a body may have."""

    routes: Sequence[tuple[str, str, Callable[[Call], Response]]]
    status: Mapping[type[ForestallError], int]
    largest: int = LARGEST


class Api:
    """The application: what the office does, and the extensions."""

    def __init__(self, office: Office, *more: Extension) -> None:
        own = [(method, path, partial(handler, office)) for method, path, handler in ROUTES]
        self._people = office.people
        self._status = STATUS | {kind: code for one in more for kind, code in one.status.items()}
        self._routes = [
            (method, re.compile(path.replace("{id}", _ID)), handler, one.largest)
            for one in (Extension(own, STATUS), *more)
            for method, path, handler in one.routes
        ]
        self._roots = frozenset(
            path.split("/")[2]
            for routes in (own, *(one.routes for one in more))
            for _, path, _ in routes
        )

    def serves(self, path: str) -> bool:
        """Whether a path belongs to this API."""
        parts = path.split("/")
        return len(parts) > 2 and parts[1] == "v1" and parts[2] in self._roots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            response = await self._answer(Request(scope, receive))
        except Refuse as refuse:
            response = problem(refuse)
        except Gone:
            return
        await respond(send, response, {"cache-control": "no-store"})

    async def _answer(self, request: Request) -> Response:
        try:
            who = self._people.find(_token(request.headers))
            handler, name, largest = self._route(request.method, request.path)
            body = await request.body(largest)
            if b"\\u0000" in body or any("\x00" in value for value in request.query.values()):
                raise Refuse(400, "nul-byte", "a NUL byte; leave it out")
            return handler(Call(who, name, request.query, body))
        except ForestallError as error:
            headers = {"www-authenticate": "Bearer"} if isinstance(error, UnknownPerson) else {}
            raise Refuse(
                self._status.get(type(error), 500), error.code, str(error), headers
            ) from None
        except TROUBLE:
            raise Refuse(503, "not-ready", "the database does not work now; send again") from None

    def _route(self, method: str, path: str) -> tuple[Callable[[Call], Response], str, int]:
        allowed = []
        for known, pattern, handler, largest in self._routes:
            found = pattern.fullmatch(path)
            if found is not None and known == method:
                return handler, found.groupdict().get("id", ""), largest
            if found is not None:
                allowed.append(known)
        if allowed:
            raise Refuse(
                405,
                "method-not-allowed",
                f"send {allowed[0]}, please",
                {"allow": ", ".join(allowed)},
            )
        raise Refuse(404, "not-found", f"nothing is served at {path}")


def _token(headers: dict[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
