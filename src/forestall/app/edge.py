"""``/v1/edge``: what pages are given to decide for themselves, as bare ASGI.

``GET /v1/edge/bundle`` is for everybody, like a script. ``GET /v1/edge/pass`` is for one customer,
who is named by a subject token in a header, never in an address. Both answers are signed. Where there
is nothing to give, the answer is 204: a refusal would be told in the page's console.

One thread reads the logs, so that only one competes with the event loop. A pass may take it long; so
each is made in parts, between which other requests have their turn.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import structlog
from prometheus_client import Counter

from forestall.context.knowledge.runbooks import Runbooks
from forestall.contracts.control import Control
from forestall.contracts.instants import MINUTE, SECOND, day_of
from forestall.decide.passes import Memory, earliest, pass_payload, transactional_versions
from forestall.ingest.exchange import (
    Receive,
    Refuse,
    Request,
    Response,
    Scope,
    Send,
    problem,
    respond,
)
from forestall.kernel.clock import Clock, Tokens
from forestall.kernel.database.tables import TROUBLE, first_line
from forestall.kernel.telemetry import METRICS
from forestall.log.port import Log, LogUnreadable
from forestall.log.streams import CONTROL, read_control
from forestall.policy.edge import Offer, in_force, offer, payload
from forestall.policy.edge_key import EdgeKey
from forestall.privacy.keys import VaultLocked
from forestall.privacy.tokens import SubjectToken, TokenExpired, TokenInvalid, verify

PREFIX: Final = "/v1/edge/"
BUNDLE, PASS = f"{PREFIX}bundle", f"{PREFIX}pass"

A_MINUTE: Final = 30
"""Passes that one customer may have in a minute: each of their tabs asks now and then."""

MOST_COUNTED: Final = 100_000

ANSWERS = Counter(
    "forestall_edge_answers",
    "Requests for bundles and passes, by their answer",
    ("what", "status"),
    registry=METRICS,
)

T = TypeVar("T")
_log = structlog.get_logger("app")


class Offered:
    """What pages may decide by now, as the control stream and the runbooks say.

    Looks at the stream again whenever it is asked, and compiles only what has changed.
    """

    def __init__(self, control: Log, runbooks: Callable[[], Runbooks], log_time: Clock) -> None:
        self._control, self._runbooks, self._log_time = control, runbooks, log_time
        self._position = 0
        self._history: list[Control] = []
        self._transactional: frozenset[str] = frozenset()
        self._made: tuple[int, Runbooks, date] | None = None
        self._offer: Offer | None = None

    def now(self) -> Offer:
        """What is offered at this moment."""
        for batch in self._control.follow(CONTROL, after=self._position):
            fresh = read_control(batch)
            self._history += fresh
            self._transactional |= transactional_versions(fresh)
            self._position = batch.position
        runbooks, day = self._runbooks(), day_of(self._log_time())
        made = self._made
        if (
            self._offer is None
            or made is None
            or made[0] != self._position
            or made[2] != day
            or made[1] is not runbooks
        ):
            self._offer = offer(in_force(self._history), runbooks, day)
            self._made = self._position, runbooks, day
        return self._offer

    @property
    def transactional(self) -> frozenset[str]:
        """The versions, ever in force, whose acts cost no budget."""
        return self._transactional


class Edge:
    """The app. ``identify`` gives the pseudonym of a token's identity, none while it has none, and
    raises ``TokenInvalid`` where the token no longer stands for anybody; ``secret`` is what tokens
    are signed with, none where there are none. Pages of ``origins`` may ask for passes."""

    def __init__(
        self,
        *,
        folder: Path,
        offered: Offered,
        memory: Memory,
        identify: Callable[[SubjectToken], str | None],
        secret: str | None,
        now: Clock,
        ids: Tokens,
        origins: Collection[str] = (),
        a_minute: int = A_MINUTE,
    ) -> None:
        self._folder, self._offered, self._memory = folder, offered, memory
        self._identify, self._secret, self._now, self._ids = identify, secret, now, ids
        self._origins = frozenset(origins)
        self._rate = _Rate(a_minute)
        self._thread = ThreadPoolExecutor(1, "edge")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._signed: tuple[str, str] = ("", "")

    def close(self) -> None:
        """Let the thread end. The logs may be closed after it."""
        self._thread.shutdown(cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        what = "bundle" if request.path == BUNDLE else "pass"
        cross = _ANYBODY if what == "bundle" else self._cross_origin(request)
        try:
            response = await self._answer(request, bool(cross))
        except Refuse as refuse:
            response = problem(refuse)
        except (*TROUBLE, LogUnreadable) as error:
            _log.error("edge requests cannot be answered now", why=first_line(error))
            response = problem(Refuse(503, "not-ready", "the log cannot be read now", _LATER))
        except VaultLocked as error:
            _log.error("edge requests cannot be answered now", why=first_line(error))
            response = problem(Refuse(503, "not-ready", "the key cannot be used now", _LATER))
        ANSWERS.labels(what, response.status).inc()
        await respond(send, response, {"cache-control": "no-store", **cross})

    def _cross_origin(self, request: Request) -> dict[str, str]:
        origin = request.headers.get("origin")
        if origin is None or not ({origin, "*"} & self._origins):
            return {}
        return {"access-control-allow-origin": origin, "vary": "origin"}

    async def _answer(self, request: Request, cross: bool) -> Response:
        if request.path not in (BUNDLE, PASS):
            raise Refuse(404, "not-found", f"there are only {BUNDLE} and {PASS} here")
        if request.method == "OPTIONS" and cross:
            return Response(204, headers=_PREFLIGHT)
        if request.method not in ("GET", "HEAD"):
            raise Refuse(405, "method-not-allowed", "send GET, please", {"allow": "GET"})
        if request.path == BUNDLE:
            return await self._in_turn(self._bundle, request)
        if "origin" in request.headers and not cross:
            raise Refuse(403, "origin-not-allowed", "pages of this origin may not ask for passes")
        return await self._pass(self._token(request))

    async def _in_turn(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    def _bundle(self, request: Request) -> Response:
        offered = self._offered.now()
        if not offered.policies:
            return Response(204, headers=_KEPT)
        said = payload(offered, self._now())
        key = EdgeKey(self._folder, self._ids)
        etag = f'"{said["revision"]}-{said["issued"] // SECOND}-{key.id}"'
        headers = {**_KEPT, "etag": etag}
        if etag in _tags(request.headers.get("if-none-match", "")):
            return Response(304, content_type=_JOSE, headers=headers)
        if self._signed[0] != etag:
            self._signed = etag, key.sign("forestall-edge-bundle", said)
        return Response(200, self._signed[1].encode(), _JOSE, headers)

    async def _pass(self, token: SubjectToken) -> Response:
        try:
            subject = await self._in_turn(self._identify, token)
        except TokenInvalid as error:
            raise Refuse(401, error.code, str(error), _CHALLENGE) from None
        if subject is None:
            return Response(204, headers=_LATER)
        if not self._rate.allows(subject, self._now()):
            raise Refuse(429, "too-many-passes", "ask for a pass when one ends", _SLOWER)
        async with self._turns.setdefault(subject, asyncio.Lock()):
            parts = self._passing(subject, token)
            answer: Response | None = None
            while answer is None:
                answer = await self._in_turn(next, parts)
            return answer

    def _passing(self, subject: str, token: SubjectToken) -> Iterator[Response | None]:
        """The answer, in parts: none, until it comes."""
        offered = self._offered.now()
        if not offered.policies:
            yield Response(204)
            return
        if token.subject_id is not None:
            who = {"subject": token.subject_id}
        else:
            who = {"anonymousid": token.anonymous_id or ""}
        now, told = self._now(), self._offered.transactional
        for known in self._memory.parts(subject, earliest(offered.settings, now)):
            if known is None:
                yield None
                continue
            said = pass_payload(offered, subject, who, known, told, now)
            text = EdgeKey(self._folder, self._ids).sign("forestall-edge-pass", said)
            yield Response(200, text.encode(), _JOSE)

    def _token(self, request: Request) -> SubjectToken:
        if self._secret is None:
            raise Refuse(501, "no-token-secret", "set [tokens] secret to give passes")
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        text = credentials.strip() if scheme.lower() == "bearer" else ""
        if not text:
            detail = "bring a subject token: Authorization: Bearer TOKEN"
            raise Refuse(401, "token-missing", detail, _CHALLENGE)
        try:
            return verify(text, self._secret, self._now())
        except (TokenExpired, TokenInvalid) as error:
            raise Refuse(401, error.code, str(error), _CHALLENGE) from None


class _Rate:
    """How many passes a customer had since the minute began; of the last customers only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def allows(self, subject: str, now: int) -> bool:
        """Whether there may be one more; counts it."""
        minute, count = self._counts.pop(subject, (0, 0))
        if minute != now // MINUTE:
            minute, count = now // MINUTE, 0
        self._counts[subject] = minute, count + 1
        if len(self._counts) > MOST_COUNTED:
            self._counts.popitem(last=False)
        return count < self._most


def _tags(known: str) -> set[str]:
    """What ``If-None-Match`` names; proxies make tags weak."""
    return {tag.strip().removeprefix("W/") for tag in known.split(",")}


_JOSE = "application/jose"
_ANYBODY = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
_KEPT = {"cache-control": "public, no-cache"}
_LATER = {"retry-after": "2"}
_SLOWER = {"retry-after": "60"}
_CHALLENGE = {"www-authenticate": "Bearer"}
_PREFLIGHT = {
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "authorization, if-none-match, cache-control",
    "access-control-max-age": "86400",
}
