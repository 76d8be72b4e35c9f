"""Request Tracker 5 through its REST 2 interface (https://docs.bestpractical.com/rt/5.0.7/RT/REST2.html).

A ticket is found by the tag in its subject. RT has no key that it would accept once only, so a
ticket is looked up before it is made, and again after that: of two made at the same moment the
younger is merged into the older. Changes are RT's transactions, whose numbers are the cursor.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import httpx
import msgspec
import structlog

from forestall.channels.addresses import BlockedAddress
from forestall.channels.base import Deduplication, Delivery, Reason
from forestall.channels.endpoint import retry_after
from forestall.channels.helpdesk.port import (
    ChangeKind,
    Changes,
    HelpdeskUnavailable,
    InvalidHelpdesk,
    TicketChange,
    score_of,
    tag,
    tag_in,
    tagged,
)
from forestall.channels.helpdesk.text import Limits, render
from forestall.channels.helpdesk.turns import Turns
from forestall.contracts.instants import DAY, SECOND, format_time, parse_duration, parse_time
from forestall.contracts.intervention import Case
from forestall.kernel.clock import Clock
from forestall.kernel.settings import RequestTracker

LIMITS = Limits(subject=200, body=60_000)
"""RT keeps 200 characters of a subject; bodies could be longer, but nobody reads them."""

AT_ONCE = 100
"""Transactions read in one request."""

_OVERLAP = 25
"""Transactions read again each time: a number may become visible after a higher one."""

_OWNER_TYPES = ("Set", "Take", "Give", "Steal", "Force")
_TYPES = ("Create", "Status", "CustomField", *_OWNER_TYPES)
_T = TypeVar("_T")
_BUSY = (429, 502, 503, 504)
_log = structlog.get_logger(__name__)


class _Failed(Exception):
    """A request did not do what it should; ``delivery`` says how."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(delivery.detail)
        self.delivery = delivery


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class _Queue(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="Name", default="")


class _CustomField(msgspec.Struct, frozen=True):
    id: str
    name: str
    values: list[str] = []


class _Ticket(msgspec.Struct, frozen=True, rename="pascal"):
    id: str = msgspec.field(name="id")
    subject: str = ""
    status: str = ""
    owner: _Named = _Named()
    queue: _Queue = _Queue()
    custom_fields: list[_CustomField] | Literal[""] = []

    def field(self, name: str | None) -> str | None:
        """The first value of a custom field, if it has one."""
        fields = [one for one in self.custom_fields or () if one.name == name]
        return next((value for one in fields for value in one.values if value), None)


class _Transaction(msgspec.Struct, frozen=True, rename="pascal"):
    id: str = msgspec.field(name="id")
    type: str
    object_id: str
    created: str
    field: str | None = None
    old_value: str | None = None
    new_value: str | None = None
    creator: _Named = _Named()


class _Found(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]


class RequestTrackerHelpdesk:
    """One queue of an RT server; see ``Helpdesk``. ``client`` makes the requests, ``now`` is wall
    time. Raises ``InvalidHelpdesk``."""

    deduplication: Deduplication = "lookup"

    def __init__(
        self, name: str, settings: RequestTracker, *, client: httpx.AsyncClient, now: Clock
    ) -> None:
        self.name, self._settings = name, settings
        self._client, self._now = client, now
        self._root = _root(name, settings.url)
        self._headers = {"authorization": f"token {settings.token}", "accept": "application/json"}
        self._seconds = parse_duration(settings.timeout) / SECOND
        if not settings.solved:
            raise InvalidHelpdesk(f"[helpdesks.{name}] solved: name at least one status")
        self._turns = Turns()
        self._rest_until = 0

    async def create(self, case: Case, key: str) -> Delivery:
        """See ``Helpdesk.create``."""
        try:
            async with self._turns.turn(key):
                known = await self._oldest(key)
                if known is None:
                    known = await self._make(case, key)
        except _Failed as failed:
            return failed.delivery
        return _delivered(known)

    async def find(self, key: str) -> str | None:
        """See ``Helpdesk.find``."""
        try:
            return await self._oldest(key)
        except _Failed as failed:
            raise _unavailable(self.name, failed) from None

    async def comment(self, ticket: str, text: str, key: str) -> Delivery:
        """See ``Helpdesk.comment``."""
        try:
            await self._note(ticket, text, key)
        except _Failed as failed:
            return failed.delivery
        return _delivered(ticket)

    async def close(self, ticket: str, text: str, key: str) -> Delivery:
        """See ``Helpdesk.close``."""
        try:
            await self._note(ticket, text, key)
            if (await self._ticket(ticket)).status not in self._settings.solved:
                await self._put(ticket, {"Status": self._settings.solved[0]})
                await self._solved_now(ticket)
        except _Failed as failed:
            return failed.delivery
        return _delivered(ticket)

    async def changes(self, since: str) -> Changes:
        """See ``Helpdesk.changes``."""
        try:
            found = await self._transactions(since)
            tickets = await self._tickets({one.object_id for one in found})
            return self._changes(since, found, tickets)
        except _Failed as failed:
            raise _unavailable(self.name, failed) from None
        except ValueError as error:
            message = f"[helpdesks.{self.name}]: RT's answer makes no sense: {error}"
            raise HelpdeskUnavailable(message) from None

    def _changes(
        self, since: str, found: list[_Transaction], tickets: Mapping[str, _Ticket]
    ) -> Changes:
        # RT counts whole seconds.
        begin = int(since[1:]) // SECOND * SECOND if since.startswith("@") else 0
        told = []
        for one in found:
            ticket, at = tickets.get(one.object_id), parse_time(one.created)
            if ticket is not None and at >= begin and self._concerns(ticket):
                told += self._told(one, ticket, at)
        last = max((int(one.id) for one in found), default=None)
        cursor = since if last is None else str(last)
        return Changes(tuple(told), cursor, more=len(found) == AT_ONCE)

    async def _make(self, case: Case, key: str) -> str:
        words = render(case, LIMITS, tagged(key))
        answer = await self._send(
            "POST",
            "ticket",
            {
                "Queue": self._settings.queue,
                "Subject": words.subject,
                "Content": words.body,
                "ContentType": "text/plain",
            },
        )
        made = _read(answer, _Named).id
        oldest = await self._oldest(key) or made
        if oldest != made:
            await self._put(made, {"MergeInto": int(oldest)})
        return oldest

    async def _oldest(self, key: str) -> str | None:
        query = f"Subject LIKE '{tagged(key)}'"
        answer = await self._get("tickets", {"query": query, "orderby": "id", "per_page": "20"})
        found = [msgspec.json.decode(one, type=_Named).id for one in _read(answer, _Found).items]
        return min(found, key=int, default=None)

    async def _ticket(self, ticket: str) -> _Ticket:
        found = await self._tickets({ticket})
        if ticket not in found:
            detail = f"RT shows no ticket {ticket}"
            raise _Failed(Delivery(outcome="failed", reason="refused", detail=detail))
        return found[ticket]

    async def _tickets(self, ids: Iterable[str]) -> dict[str, _Ticket]:
        query = " OR ".join(f"id = {int(one)}" for one in sorted(ids, key=int))
        if not query:
            return {}
        fields = {"fields": "Subject,Status,Owner,Queue,CustomFields", "fields[Queue]": "Name"}
        answer = await self._get("tickets", {"query": query, **fields, "per_page": str(AT_ONCE)})
        items = _read(answer, _Found).items
        return {one.id: one for one in (_decode(item, _Ticket) for item in items)}

    async def _transactions(self, since: str) -> list[_Transaction]:
        # Without the "[" of a tag: it would make RT read the query as JSON.
        queue = self._settings.queue.replace("\\", "\\\\").replace("'", "\\'")
        types = " OR ".join(f"Type = '{one}'" for one in _TYPES)
        if since.startswith("@"):
            # RT reads this in the time zone of its user: begin early, and leave out what is older.
            day = format_time(max(0, int(since[1:]) - DAY))[:19].replace("T", " ")
            after = f"Created > '{day}'"
        else:
            after = f"id > {max(0, int(since) - _OVERLAP)}"
        answer = await self._get(
            "transactions",
            {
                "query": f"ObjectType = 'RT::Ticket' AND {after} AND ({types})"
                f" AND (TicketQueue = '{queue}' OR TicketSubject LIKE 'case ')",
                "fields": "Type,Field,OldValue,NewValue,Created,Creator,ObjectId",
                "orderby": "id",
                "per_page": str(AT_ONCE),
            },
        )
        return [_decode(item, _Transaction) for item in _read(answer, _Found).items]

    def _concerns(self, ticket: _Ticket) -> bool:
        ours = tag_in(ticket.subject) is not None
        return ours or ticket.queue.name.lower() == self._settings.queue.lower()

    def _told(self, one: _Transaction, ticket: _Ticket, at: int) -> list[TicketChange]:
        kind, by, score = self._meaning(one, ticket)
        if kind is None:
            return []
        return [
            TicketChange(
                id=f"{self._root}transaction/{one.id}",
                kind=kind,
                ticket=ticket.id,
                at=at,
                tag=tag_in(ticket.subject),
                customer=ticket.field(self._settings.customer),
                by=by,
                score=score,
            )
        ]

    def _meaning(
        self, one: _Transaction, ticket: _Ticket
    ) -> tuple[ChangeKind | None, str | None, float | None]:
        """What a transaction says, by whom, and how satisfied that is."""
        creator, solved = one.creator.id, self._settings.solved
        if one.type == "Create":
            return "opened", creator, None
        if one.type == "Status":
            was, now = one.old_value in solved, one.new_value in solved
            change: ChangeKind | None = None if was == now else ("solved" if now else "reopened")
            return change, creator, None
        if one.type == "CustomField":
            names = {field.id: field.name for field in ticket.custom_fields or ()}
            rated = names.get(one.field or "") == self._settings.satisfaction
            score = score_of(one.new_value or "") if rated and self._settings.satisfaction else None
            return (None if score is None else "rated"), creator, score
        owner = ticket.owner.id
        taken = one.field == "Owner" and owner not in ("", "Nobody")
        return ("taken" if taken else None), owner, None

    async def _note(self, ticket: str, text: str, key: str) -> None:
        """Comment once: the comment's own subject, which RT keeps in ``Data``, carries the key."""
        mark = f"note {tag(key)}"
        async with self._turns.turn(key):
            query = (
                f"ObjectType = 'RT::Ticket' AND ObjectId = {int(ticket)}"
                f" AND Type = 'Comment' AND Data LIKE '{mark}'"
            )
            if _read(await self._get("transactions", {"query": query}), _Found).items:
                return
            note = {"Subject": mark, "Content": text[: LIMITS.body]}
            await self._send(
                "POST", f"ticket/{ticket}/comment", note | {"ContentType": "text/plain"}
            )

    async def _solved_now(self, ticket: str) -> None:
        """RT answers 200 also where it changed nothing, so look."""
        status = (await self._ticket(ticket)).status
        if status not in self._settings.solved:
            detail = f"ticket {ticket} is still {status!r}; may our user modify it?"
            raise _Failed(Delivery(outcome="failed", reason="refused", detail=detail))

    async def _get(self, path: str, parameters: Mapping[str, str]) -> httpx.Response:
        return await self._request("GET", path, params=dict(parameters))

    async def _put(self, ticket: str, values: Mapping[str, Any]) -> httpx.Response:
        return await self._send("PUT", f"ticket/{ticket}", values)

    async def _send(self, method: str, path: str, values: Mapping[str, Any]) -> httpx.Response:
        return await self._request(method, path, json=dict(values))

    async def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Raises ``_Failed`` for every answer but a good one."""
        wait = self._rest_until - self._now()
        if wait > 0:
            raise _Failed(_failed("refused", "RT asked us to wait", again=True, retry_after=wait))
        changes = method != "GET"
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._client.request(
                    method,
                    self._root + path,
                    headers=self._headers,
                    timeout=self._seconds,
                    **content,
                )
        except BlockedAddress as error:
            raise _Failed(_failed("refused", str(error))) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _Failed(_failed("unreachable", _said(error), again=True)) from None
        except (TimeoutError, httpx.TimeoutException):
            detail = f"no answer in {self._seconds:g} s"
            raise _Failed(_broken("timeout", detail, uncertain=changes)) from None
        except httpx.HTTPError as error:
            raise _Failed(_broken("unreachable", _said(error), uncertain=changes)) from None
        return self._judged(answer, uncertain=changes)

    def _judged(self, answer: httpx.Response, *, uncertain: bool) -> httpx.Response:
        status = answer.status_code
        if answer.is_success:
            return answer
        detail = f"RT answered {status}: {answer.text[:200]}"
        if status in _BUSY:
            asked = retry_after(answer.headers.get("retry-after"), self._now())
            self._rest_until = self._now() + (asked or 0)
            raise _Failed(_failed("refused", detail, again=True, retry_after=asked, status=status))
        if status >= 500:
            raise _Failed(_broken("refused", detail, uncertain=uncertain, status=status))
        raise _Failed(_failed("refused", detail, status=status))


def _root(name: str, url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidHelpdesk(f"[helpdesks.{name}] url: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidHelpdesk(f"[helpdesks.{name}] url: not of the form https://host/path")
    return f"{url.rstrip('/')}/REST/2.0/"


def _delivered(ticket: str) -> Delivery:
    return Delivery(outcome="delivered", reason="delivered", attempts=1, ticket=ticket)


def _failed(reason: Reason, detail: str, **more: Any) -> Delivery:
    return Delivery(outcome="failed", reason=reason, detail=detail, attempts=1, **more)


def _broken(reason: Reason, detail: str, *, uncertain: bool, status: int | None = None) -> Delivery:
    """The connection or the server broke on the way; ``uncertain``: perhaps after the deed."""
    return Delivery(
        outcome="uncertain" if uncertain else "failed",
        reason=reason,
        detail=detail,
        attempts=1,
        status=status,
        again=True,
    )


def _unavailable(name: str, failed: _Failed) -> HelpdeskUnavailable:
    delivery = failed.delivery
    return HelpdeskUnavailable(
        f"[helpdesks.{name}]: {delivery.detail}",
        refused=not delivery.again,
        retry_after=delivery.retry_after,
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _read(answer: httpx.Response, kind: type[_T]) -> _T:
    return _decode(answer.content, kind)


def _decode(content: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = f"RT's answer is not as it should be: {error}"
        raise _Failed(_failed("refused", detail, again=True)) from None
