"""The gateway: the ASGI app at which every event comes in.

What it does not know it hands to ``fallback``. An event request is read, split, checked letter by
letter, submitted to the committer, and answered once that says it is durable.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import format_time, parse_duration
from forestall.ingest import counting, glance, quarantine, scripts, splitting
from forestall.ingest.admit import Rules, admit
from forestall.ingest.commit import Closed, Committer, Outcome
from forestall.ingest.exchange import (
    App,
    Gone,
    Receive,
    Refuse,
    Request,
    Response,
    Scope,
    Send,
    json,
    media_type,
    problem,
    read_json,
    respond,
)
from forestall.ingest.letter import ESSENTIAL, Admitted, Answer, Letter, Refusal, Refused, Sender
from forestall.ingest.placing import Desk
from forestall.ingest.sources import READERS, segment
from forestall.ingest.writers import Writers, credential
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import exposition
from forestall.log.port import LogFull
from forestall.privacy import tokens
from forestall.privacy.vault import Identity

Handler = Callable[[Request], Awaitable[Response]]

EVENTS = "/v1/events"
RETRY_AFTER = {"retry-after": "1"}
SHORTEST_ANONYMOUS_ID = 16
MOST_EVENTS = 2_500


class Opening(msgspec.Struct, frozen=True):
    """What is known of a batch once its headers are read: who sends it, and how it must begin."""

    sender: Sender
    first: bytes
    traceparent: str | None


class Gateway:
    """The ASGI app. It shares nothing between requests but the committer."""

    def __init__(
        self,
        settings: Settings,
        *,
        writers: Writers,
        rules: Rules,
        committer: Committer,
        desk: Desk,
        clock: Clock,
        fallback: App | None = None,
    ) -> None:
        self._settings = settings
        self._writers = writers
        self._rules = rules
        self._glance = glance.Glance(rules)
        self._committer = committer
        self._desk = desk
        self._clock = clock
        self._fallback = fallback
        self._routes: dict[str, tuple[str, Handler]] = {
            "/healthz": ("GET", self._health),
            "/readyz": ("GET", self._ready),
            "/metrics": ("GET", self._metrics),
            EVENTS: ("POST", self._events),
            "/v1/anonymous-tokens": ("POST", self._anonymous_token),
            "/v1/quarantine/retries": ("POST", self._retry),
            "/beacon/v1/batch": ("POST", self._calls(None)),
            **{f"/v1/{path}": ("POST", self._calls(None)) for path in segment.BATCHES},
            **{f"/v1/{path}": ("POST", self._calls(c)) for path, c in segment.CALLS.items()},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = self._route(scope["path"]) if scope["type"] == "http" else None
        if route is not None:
            await self._answer(Request(scope, receive), send, *route)
        elif self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif scope["type"] == "http":
            refuse = Refuse(404, "not-found", f"nothing is served at {scope['path']}")
            await respond(send, problem(refuse), {})

    @property
    def largest(self) -> int:
        """Bytes that a request may have."""
        return self._settings.ingest.max_batch_bytes

    def opening(self, headers: Sequence[tuple[bytes, bytes]]) -> Opening | None:
        """What the headers of a ``POST /v1/events`` say of a batch that may be taken at once; none
        where it needs the whole way."""
        texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        kind = media_type(texts)
        if not _UNUSUAL.isdisjoint(texts) or not splitting.is_batch(b"[", kind, texts):
            return None
        sender = self._writers.find(credential(texts, {}))
        if sender is None:
            return None
        first = b"" if splitting.is_batch(b"", kind, texts) else b"["
        return Opening(sender, first, texts.get("traceparent"))

    def at_once(
        self, opening: Opening, body: bytes, answer: Callable[[Response | None], None]
    ) -> bool:
        """Take a plain batch of ``/v1/events`` all of which passes at a glance, or shed it, and
        call ``answer`` once there is one; or do nothing and say no, since it needs the whole way.
        """
        if len(body) > self.largest or not body.startswith(opening.first):
            return False
        if not self._committer.has_room(1, len(body)):
            return self._shed_at_once(body, answer)
        sights = glance.read(body, self._rules)
        if not sights or not self._room_for(len(sights), len(body)):
            return False
        seen = self._glance.admit(
            sights,
            opening.sender,
            self._clock(),
            opening.traceparent,
            printable=glance.printable(body),
        )
        letters = [one for one in seen if one is not None]
        if len(letters) < len(seen):
            return False
        try:
            self._committer.put(
                letters, len(body), lambda outcome: answer(self._told(outcome, seen))
            )
        except Closed:
            return False
        counting.RECEIVED.inc(len(seen))
        return True

    def _shed_at_once(self, body: bytes, answer: Callable[[Response | None], None]) -> bool:
        if glance.may_be_control(body):
            return False
        try:
            self._shed(splitting.count(body))
        except Refuse as refuse:
            counting.REFUSED.labels(refuse.code).inc()
            answer(problem(refuse))
        return True

    def _told(self, outcome: Outcome, letters: Sequence[object]) -> Response | None:
        """What to answer to a batch of which all came to ``outcome``."""
        if isinstance(outcome, LogFull):
            counting.SHED.inc(len(letters))
            refuse = _full()
            counting.REFUSED.labels(refuse.code).inc()
            return problem(refuse)
        if outcome is None:
            return None
        return json(202, {**counting.count(outcome), "verdicts": outcome})

    def _route(self, path: str) -> tuple[str, Handler] | None:
        return ("GET", self._script) if path.startswith(scripts.PREFIX) else self._routes.get(path)

    async def _answer(self, request: Request, send: Send, method: str, handler: Handler) -> None:
        cross = self._cross_origin(request)
        if request.method == "OPTIONS" and cross:
            await respond(send, Response(204), {**cross, **_PREFLIGHT})
            return
        try:
            if request.method not in (method, "HEAD" if method == "GET" else method):
                raise Refuse(405, "method-not-allowed", f"send {method}, please", {"allow": method})
            response = await handler(request)
        except Refuse as refuse:
            counting.REFUSED.labels(refuse.code).inc()
            response = problem(refuse)
        except Closed as error:
            response = problem(Refuse(503, error.code, str(error), RETRY_AFTER))
        except Gone:
            return
        await respond(send, response, cross)

    def _cross_origin(self, request: Request) -> dict[str, str]:
        """CORS headers for a page from elsewhere; keys and tokens are no cookies. A page may read
        when to come back, and our time."""
        origin, allowed = request.headers.get("origin"), self._settings.ingest.cors_origins
        if origin is None or not ("*" in allowed or origin in allowed):
            return {}
        if "*" in allowed:
            return {"access-control-allow-origin": "*", **_EXPOSED}
        return {"access-control-allow-origin": origin, "vary": "origin", **_EXPOSED}

    async def _script(self, request: Request) -> Response:
        return scripts.script(request)

    async def _health(self, _request: Request) -> Response:
        return json(200, {"status": "ok"})

    async def _ready(self, _request: Request) -> Response:
        if not self._committer.healthy:
            raise Refuse(503, "not-ready", "events cannot be written now", RETRY_AFTER)
        return json(200, {"status": "ready", "queued": self._committer.queued})

    async def _metrics(self, _request: Request) -> Response:
        counting.QUEUED.set(self._committer.queued)
        body, content_type = exposition()
        return Response(200, body, content_type)

    async def _events(self, request: Request) -> Response:
        body = await request.body(self._settings.ingest.max_batch_bytes)
        sender = self._sender(credential(request.headers, request.query))
        arrived, trace = self._clock(), request.headers.get("traceparent")

        def letters() -> list[Letter]:
            pieces = splitting.events(body, request.media_type, request.headers)
            proof, doubt = self._proof(request)
            return [
                Letter(piece, sender, arrived, proof=proof, doubt=doubt, traceparent=trace)
                for piece in pieces
            ]

        if splitting.is_batch(body, request.media_type, request.headers):
            answers, counts = await self._take_batch(body, letters, (sender, arrived, trace))
        else:
            answers, counts = await self._take(letters(), len(body))
        return json(202, {**counts, "verdicts": answers})

    def _calls(self, call: str | None) -> Handler:
        """The handler of one Segment call, or of a batch of them."""

        async def handle(request: Request) -> Response:
            body = await request.body(self._settings.ingest.max_batch_bytes)
            shown = credential(request.headers, request.query)
            if shown is not None:
                self._sender(shown)
            pieces, envelope = splitting.calls(body, batched=call is None)
            sender = self._sender(shown or envelope.write_key)
            proof, doubt = self._proof(request)
            arrived, trace = self._clock(), request.headers.get("traceparent")
            letters = [
                Letter(
                    piece,
                    sender,
                    arrived,
                    "segment",
                    proof,
                    doubt,
                    trace,
                    call,
                    envelope.sent_at,
                )
                for piece in pieces
            ]
            answers, counts = await self._take(letters, len(body))
            return json(200, {"success": True, **counts, "verdicts": answers})

        return handle

    async def _take_batch(
        self, body: bytes, letters: Callable[[], list[Letter]], by: tuple[Sender, int, str | None]
    ) -> tuple[list[Answer], dict[str, int]]:
        """``_take`` for a batch: most events pass at a glance; the letters of the others are made
        when one of them needs it."""
        sights = None
        if self._committer.has_room(1, len(body)):
            sights = glance.read(body, self._rules)
        elif not glance.may_be_control(body):
            self._shed(splitting.count(body))
        if sights is None or not self._room_for(len(sights), len(body)):
            return await self._take(letters(), len(body))
        counting.RECEIVED.inc(len(sights))
        seen = self._glance.admit(sights, *by, printable=glance.printable(body))
        checked: list[Admitted | Refusal] = [one for one in seen if one is not None]
        if len(checked) < len(seen):
            pairs = zip(seen, letters(), strict=True)
            checked = [one or admit(letter, self._rules) for one, letter in pairs]
        answers = await self._submit(checked, len(body))
        return answers, counting.count(answers)

    def _room_for(self, events: int, size: int) -> bool:
        return events <= MOST_EVENTS and self._committer.has_room(events, size)

    async def _take(
        self, letters: Sequence[Letter], size: int
    ) -> tuple[list[Answer], dict[str, int]]:
        """Check and submit; the answers once they are durable. Counts every event exactly once."""
        if len(letters) > MOST_EVENTS:
            raise _too_many()
        counting.RECEIVED.inc(len(letters))
        if not self._committer.has_room(len(letters), size):
            return await self._take_essential(letters)
        checked = [admit(letter, self._rules) for letter in letters]
        answers = await self._submit(checked, size)
        return answers, counting.count(answers)

    def _shed(self, events: int) -> None:
        """Refuse a request of so many events, none of which says consent or opt-out."""
        if events > MOST_EVENTS:
            raise _too_many()
        counting.RECEIVED.inc(events)
        counting.SHED.inc(events)
        raise _overloaded()

    async def _take_essential(
        self, letters: Sequence[Letter]
    ) -> tuple[list[Answer], dict[str, int]]:
        """Above the high-water mark: take what says consent or opt-out, shed the rest. What is
        refused is shed too, so that the queue cannot be filled with claims to be essential."""
        found = [
            (letter, checked)
            for letter in letters
            if _essential(letter) and isinstance(checked := admit(letter, self._rules), Admitted)
        ]
        counting.SHED.inc(len(letters) - len(found))
        size = sum(len(letter.raw) for letter, _ in found)
        answers = await self._submit([checked for _, checked in found], size)
        counts = counting.count(answers)
        if len(found) < len(letters):
            raise _overloaded()
        return answers, counts

    async def _submit(
        self, checked: Sequence[Admitted | Refusal], size: int, released: Sequence[str] = ()
    ) -> list[Answer]:
        if not checked:
            return []
        try:
            return await self._committer.submit(checked, size, released=released)
        except LogFull:
            counting.SHED.inc(len(checked))
            raise _full() from None
        except Closed:
            counting.SHED.inc(len(checked))
            raise

    def _sender(self, shown: str | None) -> Sender:
        sender = self._writers.find(shown)
        if sender is None:
            raise Refuse(
                401,
                "unknown-key",
                "no write key, or one that this server does not know",
                {"www-authenticate": 'Basic realm="forestall"'},
            )
        return sender

    def _proof(self, request: Request) -> tuple[Identity | None, str | None]:
        """Whom the request's subject token names, or why it is not believed."""
        given, secret = request.headers.get("forestall-subject-token"), self._settings.tokens.secret
        if given is None:
            return None, None
        if secret is None:
            return None, "this server has no [tokens] secret to check a subject token with"
        try:
            token = tokens.verify(given, secret, self._clock())
        except ForestallError as error:
            return None, str(error)
        if token.subject_id is not None:
            return Identity("user", token.subject_id), None
        return Identity("anonymous", token.anonymous_id or ""), None

    async def _anonymous_token(self, request: Request) -> Response:
        """A token for a visitor: with a fresh anonymous id, or for one nobody signed in with."""
        body = await request.body(self._settings.ingest.max_event_bytes)
        self._sender(credential(request.headers, request.query))
        secret = self._settings.tokens.secret
        if secret is None:
            raise Refuse(501, "no-token-secret", "this server has no [tokens] secret to sign with")
        anonymous = read_json(body or b"{}", _Visitor).anonymous_id or self._desk.ids()
        if not SHORTEST_ANONYMOUS_ID <= len(anonymous) <= 256:
            raise Refuse(422, "weak-anonymous-id", "an anonymous id has 16 to 256 characters")
        if await self._committer.ask(lambda: self._signed_in(anonymous)):
            raise Refuse(
                403, "signed-in", "somebody signed in with this id; their backend signs a token"
            )
        now = self._clock()
        lifetime = parse_duration(self._settings.tokens.anonymous_lifetime)
        token = tokens.sign_anonymous(anonymous, secret, now, lifetime)
        expires = format_time(now + lifetime)
        return json(201, {"token": token, "anonymousId": anonymous, "expires": expires})

    def _signed_in(self, anonymous: str) -> bool:
        pseudonym = self._desk.vault.resolve("anonymous", anonymous)
        return pseudonym is not None and self._desk.vault.owned(pseudonym)

    async def _retry(self, request: Request) -> Response:
        """Check quarantined letters once more, by the rules in force now."""
        body = await request.body(self._settings.ingest.max_batch_bytes)
        if not self._sender(credential(request.headers, request.query)).internal:
            raise Refuse(403, "internal-only", "retry with `forestall quarantine retry`")
        wanted = read_json(body, _Retry)
        numbers = None if wanted.all else wanted.ids
        found = await self._committer.ask(
            lambda: list(quarantine.entries(self._desk.connection, self._desk.keys, numbers))
        )
        answers: list[Answer] = []
        for start in range(0, len(found), 500):
            some = found[start : start + 500]
            counting.RECEIVED.inc(len(some))
            checked = [_as_then(admit(entry.letter, self._rules), entry) for entry in some]
            size = sum(len(entry.letter.raw) for entry in some)
            some_answers = await self._submit(checked, size, [entry.id for entry in some])
            counting.count(some_answers)
            answers += some_answers
        verdicts = [
            {"entry": entry.id, **msgspec.to_builtins(answer)}
            for entry, answer in zip(found, answers, strict=True)
        ]
        return json(200, {"verdicts": verdicts})


class _Visitor(msgspec.Struct, rename="camel"):
    anonymous_id: str | None = None


class _Retry(msgspec.Struct):
    ids: list[str] = []
    all: bool = False


_UNUSUAL = frozenset({"content-encoding", "origin", "forestall-subject-token"})
_LONGER = {"retry-after": "10"}
_EXPOSED = {"access-control-expose-headers": "date, retry-after"}
_PREFLIGHT: Mapping[str, str] = {
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": (
        "authorization, content-type, content-encoding, x-write-key, forestall-subject-token,"
        " traceparent, anonymousid"
    ),
    "access-control-max-age": "86400",
}


def _too_many() -> Refuse:
    return Refuse(413, "too-many-events", f"a request has at most {MOST_EVENTS} events")


def _full() -> Refuse:
    return Refuse(507, "log-full", "the disk is full and nothing was kept; send again", _LONGER)


def _overloaded() -> Refuse:
    return Refuse(
        429,
        "overloaded",
        "too many events wait to be written; consent and opt-out were taken; send again",
        RETRY_AFTER,
    )


def _essential(letter: Letter) -> bool:
    """Whether it says consent or opt-out, which is never shed."""
    try:
        return READERS[letter.form](letter).type in ESSENTIAL
    except Refused:
        return False


def _as_then(checked: Admitted | Refusal, entry: quarantine.Entry) -> Admitted | Refusal:
    """A letter without a time of its own happened when it first came."""
    if isinstance(checked, Admitted) and checked.time is None:
        return msgspec.structs.replace(checked, time=entry.received)
    return checked
