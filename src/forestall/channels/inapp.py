"""In-app messages: the hub of the event streams that open pages hold, as bare ASGI.

``GET /v1/stream`` gives one subject's messages as server-sent events: first ``current`` (the ids
that still hold), then every ``message`` after ``Last-Event-ID``, then what comes, and ``withdraw``
for what no longer holds. Who is asking says a subject token; nobody sees another's messages.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    MutableMapping,
    Sequence,
)
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from forestall.channels.base import Deduplication, Delivery
from forestall.channels.feed import (
    HEARTBEAT,
    OPENING,
    PATH,
    Feed,
    Rounds,
    Withdrawal,
    current_event,
    message_event,
    withdraw_event,
)
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import Message
from forestall.kernel.clock import Clock
from forestall.kernel.database.tables import TROUBLE, first_line
from forestall.kernel.telemetry import METRICS
from forestall.privacy.tokens import (
    LEEWAY,
    SubjectToken,
    TokenExpired,
    TokenInvalid,
    check_secret,
    verify,
)

_log = structlog.get_logger(__name__)

PROBLEMS = "https://forestall.dev/problems/"
UNKNOWN_YET = 1.0
"""Seconds between looks for a visitor whose first event has not arrived yet."""

STREAMS = Gauge("forestall_inapp_streams", "Event streams that are open", registry=METRICS)
SENT = Counter("forestall_inapp_messages", "Messages written to event streams", registry=METRICS)
DROPPED = Counter(
    "forestall_inapp_dropped_readers", "Event streams ended as too slow", registry=METRICS
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class MessageStore(Protocol):
    """Where the hub finds messages when a page connects."""

    def after(self, subject: str, last_id: str | None, now: int) -> Sequence[Message]:
        """The subject's messages after ``last_id`` in order, all where it is None or unknown,
        without those that are withdrawn or expired at log time ``now``."""


class _Refused(Exception):
    """The request is answered with problem details (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


class Hub:
    """The streams of this process; also the channel ``inapp``. Used on one event loop only.

    ``identify`` gives the pseudonym of a token's identity, None while it has none, and raises
    ``TokenInvalid`` where the token no longer stands for anybody. ``now`` is wall
    time (tokens), ``log_time`` what ``Message.expires`` is counted in. Pages of ``origins`` may
    connect from elsewhere (``*``: any). ``sent`` hears of each message handed to a page and the log
    time of it. ``heartbeat`` is in seconds, ``backlog`` the entries that a
    reader may fall behind. Raises ``WeakSecret``.
    """

    name = "inapp"
    deduplication: Deduplication = "dedupes"

    def __init__(
        self,
        *,
        messages: MessageStore,
        identify: Callable[[SubjectToken], str | None],
        secret: str,
        now: Clock,
        log_time: Clock,
        origins: Collection[str] = (),
        sent: Callable[[Message, int], object] = lambda _message, _now: None,
        heartbeat: float = 15.0,
        backlog: int = 64,
        streams: int = 10_000,
        streams_per_subject: int = 20,
    ) -> None:
        check_secret(secret)
        self._messages = messages
        self._identify = identify
        self._secret = secret
        self._now = now
        self._log_time = log_time
        self._origins = frozenset(origins)
        self._sent = sent
        self._heartbeat = heartbeat
        self._backlog = backlog
        self._streams = streams
        self._streams_per_subject = streams_per_subject
        self._feeds: dict[str, set[Feed]] = defaultdict(set)
        self._open: set[Feed] = set()
        self._rounds = Rounds()

    async def send(self, message: Message, key: str) -> Delivery:  # noqa: ARG002 (its id is the key)
        """Publish; who is not connected finds it in the store. See ``Channel.send``."""
        self.publish(message.subject, message)
        return Delivery(outcome="delivered", reason="delivered", attempts=1)

    def publish(self, subject: str, message: Message) -> None:
        """Tell the subject's open pages. The store has the message already."""
        self._tell(subject, message)

    def withdraw(self, subject: str, interventions: Sequence[str] | None = None) -> None:
        """Have the subject's pages remove the messages of these interventions; None means all."""
        self._tell(subject, Withdrawal(interventions is None, tuple(interventions or ())))

    def reconnect(self, subject: str) -> None:
        """End the subject's streams: it and another became one, as which its pages come back, and
        to whose messages those of the other now belong."""
        for feed in self._feeds.get(subject, ()):
            feed.close()

    def close(self) -> None:
        """End all streams, so that the server can shut down; pages come back by themselves."""
        for feed in self._open:
            feed.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the module."""
        if scope["type"] != "http":
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        cross = self._cross_origin(headers.get(b"origin"))
        try:
            if scope["path"] != PATH:
                raise _Refused(404, "not-found", f"there is only {PATH} here")
            if scope["method"] == "OPTIONS" and cross:
                await _answer(send, 204, cross | _PREFLIGHT)
                return
            if scope["method"] != "GET":
                raise _Refused(405, "method-not-allowed", f"{PATH} is read with GET", allow="GET")
            await self._stream(scope, headers, cross, receive, send)
        except _Refused as refused:
            body = {
                "type": f"{PROBLEMS}{refused.code}",
                "title": HTTPStatus(refused.status).phrase,
                "status": refused.status,
                "detail": refused.detail,
                "code": refused.code,
            }
            more = {"content-type": "application/problem+json", "cache-control": "no-store"}
            await _answer(send, refused.status, more | refused.headers | cross, body)

    def _cross_origin(self, origin: str | None) -> dict[str, str]:
        """The CORS headers for a page of that origin, empty where it may not read answers."""
        if origin is None or not ({origin, "*"} & self._origins):
            return {}
        exposed = {"access-control-expose-headers": "retry-after"}
        return {"access-control-allow-origin": origin, "vary": "origin", **exposed}

    async def _stream(
        self,
        scope: Scope,
        headers: dict[bytes, str],
        cross: dict[str, str],
        receive: Receive,
        send: Send,
    ) -> None:
        if b"origin" in headers and not cross:
            raise _Refused(403, "origin-not-allowed", "pages of this origin may not connect")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        token = self._token(headers.get(b"authorization"), query.get("token"))
        last_id = headers.get(b"last-event-id") or query.get("last_event_id") or None
        wait = {"retry-after": "5"}
        if len(self._open) >= self._streams:
            raise _Refused(503, "too-many-streams", "this server holds no more streams", **wait)
        try:
            subject = self._identify(token)
        except TokenInvalid as error:
            raise _Refused(401, error.code, str(error), **_CHALLENGE) from None
        if subject and len(self._feeds.get(subject, ())) >= self._streams_per_subject:
            detail = f"a subject has at most {self._streams_per_subject} streams at a time"
            raise _Refused(429, "too-many-streams", detail, **wait)
        async with self._opened(token, receive) as feed:
            head = _encoded(_STREAM | cross)
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await _chunk(send, OPENING)
            if subject is None:
                subject = await self._known(feed, token, send)
            if subject is not None:
                await self._tell_all(feed, subject, last_id, send)
            await send({"type": "http.response.body", "body": b""})

    async def _known(self, feed: Feed, token: SubjectToken, send: Send) -> str | None:
        """The pseudonym of a visitor, once the first event came; None if the stream ended before."""
        subject = None
        while subject is None and not feed.closed:
            self._rounds.after(UNKNOWN_YET, feed)
            await feed.next()
            await _chunk(send, HEARTBEAT)
            with contextlib.suppress(TokenInvalid):
                subject = self._identify(token)
        return subject

    def _token(self, authorization: str | None, given: str | None) -> SubjectToken:
        scheme, _, credentials = (authorization or "").partition(" ")
        text = credentials.strip() if scheme.lower() == "bearer" else given
        if not text:
            detail = "bring a subject token: Authorization: Bearer TOKEN, or ?token=TOKEN"
            raise _Refused(401, "token-missing", detail, **_CHALLENGE)
        try:
            return verify(text, self._secret, self._now())
        except (TokenExpired, TokenInvalid) as error:
            raise _Refused(401, error.code, str(error), **_CHALLENGE) from None

    @contextlib.asynccontextmanager
    async def _opened(self, token: SubjectToken, receive: Receive) -> AsyncIterator[Feed]:
        """A feed that closes when the client leaves or its token's time is over."""
        feed = Feed(self._backlog)
        watcher = asyncio.create_task(_close_when_left(feed, receive))
        seconds = (token.expires + LEEWAY - self._now()) / SECOND
        timer = asyncio.get_running_loop().call_later(seconds, feed.close)
        self._open.add(feed)
        STREAMS.set(len(self._open))
        try:
            yield feed
        finally:
            timer.cancel()
            watcher.cancel()
            self._open.discard(feed)
            STREAMS.set(len(self._open))

    async def _tell_all(self, feed: Feed, subject: str, last_id: str | None, send: Send) -> None:
        """What the store has, then what comes; each message once, none after it expired."""
        now = self._log_time()
        try:
            holding = self._messages.after(subject, None, now)
            missed = self._messages.after(subject, last_id, now) if last_id else holding
        except TROUBLE as error:
            _log.error("messages cannot be read; pages come back for them", why=first_line(error))
            return
        feed.begin(holding, missed)
        with self._joined(subject, feed):
            await _chunk(send, current_event(holding))
            self._rounds.after(self._heartbeat, feed)
            while not feed.closed:
                entry = await feed.next()
                now = self._log_time()
                if entry is None:
                    self._rounds.after(self._heartbeat, feed)
                    await _chunk(send, HEARTBEAT)
                elif isinstance(entry, Withdrawal):
                    await _chunk(send, withdraw_event(entry))
                elif entry.expires > now:
                    SENT.inc()
                    await _chunk(send, message_event(entry, now))
                    self._sent(entry, now)

    @contextlib.contextmanager
    def _joined(self, subject: str, feed: Feed) -> Iterator[None]:
        """Among the subject's feeds while it lasts."""
        self._feeds[subject].add(feed)
        try:
            yield
        finally:
            self._feeds[subject].discard(feed)
            if not self._feeds[subject]:
                del self._feeds[subject]

    def _tell(self, subject: str, entry: Message | Withdrawal) -> None:
        for feed in self._feeds.get(subject, ()):
            if not feed.offer(entry):
                DROPPED.inc()


_CHALLENGE = {"www-authenticate": "Bearer"}
_STREAM = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}
_PREFLIGHT = {
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "authorization, last-event-id, cache-control",
    "access-control-max-age": "86400",
}


async def _close_when_left(feed: Feed, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    feed.close()


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


async def _chunk(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _answer(
    send: Send, status: int, headers: dict[str, str], body: dict[str, Any] | None = None
) -> None:
    content = b"" if body is None else msgspec.json.encode(body)
    length = {"content-length": str(len(content))}
    await send(
        {"type": "http.response.start", "status": status, "headers": _encoded(headers | length)}
    )
    await send({"type": "http.response.body", "body": content})
