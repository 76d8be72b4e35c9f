"""Webhooks after the Standard Webhooks specification 1.0.0 (standardwebhooks.com).

``POST`` of ``{"type", "timestamp", "data"}`` with ``webhook-id`` (the key, the same in every
attempt, so receivers can drop repetitions), ``webhook-timestamp`` and ``webhook-signature``.
Any 2xx is success; 410 parks the endpoint; everything else is tried again with growing pauses.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import httpx
import msgspec
import structlog
from prometheus_client import Counter, Gauge

from forestall.channels.addresses import BlockedAddress
from forestall.channels.base import Deduplication, Delivery, Reason
from forestall.channels.endpoint import endpoint, retry_after
from forestall.channels.parking import Health, HealthStore, Patience, after_failure
from forestall.contracts.instants import SECOND, format_time
from forestall.contracts.intervention import Case, Message
from forestall.kernel.clock import Clock, Tokens
from forestall.kernel.settings import Webhook
from forestall.kernel.telemetry import METRICS, Trace, child_traceparent

LARGEST_REQUEST = 256_000
LARGEST_RESPONSE = 16_000
LONGEST_PAUSE = 60.0
"""Seconds; a longer ``Retry-After`` ends the delivery, which says when to come again."""

DELIVERIES = Counter(
    "forestall_webhook_deliveries",
    "Webhook deliveries, by how they ended",
    ("endpoint", "outcome"),
    registry=METRICS,
)
ATTEMPTS = Counter(
    "forestall_webhook_attempts", "Webhook requests sent", ("endpoint",), registry=METRICS
)
PARKED = Gauge(
    "forestall_webhook_parked", "1 where the endpoint is parked", ("endpoint",), registry=METRICS
)

_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_log = structlog.get_logger(__name__)


class _Attempt(msgspec.Struct, frozen=True):
    """How one request ended."""

    reason: Reason
    detail: str
    status: int | None = None
    uncertain: bool = False
    retry_after: int | None = None


class WebhookChannel:
    """One endpoint. Share the ``client`` between endpoints; no redirect is followed.

    ``now`` is wall time (signatures, parking), ``log_time`` what ``Message.expires`` is counted
    in. ``chance`` gives numbers in [0, 1) for jitter. Raises ``InvalidWebhook``.
    """

    deduplication: Deduplication = "dedupes"

    def __init__(
        self,
        name: str,
        webhook: Webhook,
        *,
        client: httpx.AsyncClient,
        health: HealthStore,
        now: Clock,
        log_time: Clock,
        chance: Callable[[], float],
        new_id: Tokens,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._endpoint = endpoint(name, webhook)
        self._client = client
        self._health = health
        self._now = now
        self._log_time = log_time
        self._chance = chance
        self._new_id = new_id
        self._patience = patience or Patience()
        self._sleep = sleep
        PARKED.labels(name).set(health.load(name).parked is not None)

    async def send(self, message: Message, key: str) -> Delivery:
        """Post ``forestall.message``, never after it expired; see ``Channel.send``."""
        data = msgspec.to_builtins(message)
        created, expires = format_time(message.created), format_time(message.expires)
        data.update(created=created, expires=expires)
        body = _body("forestall.message", created, data)
        return await self._deliver(body, key, message.traceparent, message.expires)

    async def hand_over(self, case: Case, key: str) -> Delivery:
        """Post ``forestall.case``; see ``Desk.hand_over``."""
        trace = str(Trace(case.trace, self._new_id()[:16])) if case.trace else None
        return await self._deliver(_body("forestall.case", case.at, case), key, trace, None)

    async def _deliver(
        self, body: bytes, key: str, trace: str | None, expires: int | None
    ) -> Delivery:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot be a webhook-id: 1 to 256 visible ASCII characters")
        parked = self._health.load(self.name).parked is not None
        PARKED.labels(self.name).set(parked)
        if len(body) > LARGEST_REQUEST:
            delivery = Delivery(
                outcome="failed", reason="too-large", detail=f"{len(body)} bytes of JSON"
            )
        elif parked:
            detail = f"[webhooks.{self.name}] is parked; mend the endpoint, then unpark it"
            delivery = Delivery(outcome="failed", reason="parked", detail=detail, again=True)
        else:
            delivery = await self._try(body, key, trace, expires)
        DELIVERIES.labels(self.name, delivery.outcome).inc()
        return delivery

    async def _try(self, body: bytes, key: str, trace: str | None, expires: int | None) -> Delivery:
        """Attempt after attempt, until one is answered well or there is no sense in another."""
        uncertain = False
        for number in range(1, self._endpoint.attempts + 1):
            if expires is not None and expires <= self._log_time():
                return Delivery(outcome=_missed(uncertain), reason="expired", attempts=number - 1)
            attempt = await self._attempt(body, key, trace)
            uncertain = uncertain or attempt.uncertain
            pause = self._pause(number, attempt.retry_after)
            over = attempt.reason in ("delivered", "gone", "blocked-address")
            hopeless = over or pause > LONGEST_PAUSE
            if hopeless or number == self._endpoint.attempts:
                break
            await self._sleep(pause)
        if attempt.reason == "delivered":
            self._recovered()
            return Delivery(
                outcome="delivered", reason="delivered", attempts=number, status=attempt.status
            )
        self._failed(attempt)
        return Delivery(
            outcome=_missed(uncertain),
            reason=attempt.reason,
            detail=attempt.detail,
            attempts=number,
            status=attempt.status,
            again=True,
            retry_after=attempt.retry_after,
        )

    async def _attempt(self, body: bytes, key: str, trace: str | None) -> _Attempt:
        ATTEMPTS.labels(self.name).inc()
        timeout = self._endpoint.timeout
        headers = {"content-type": "application/json", "user-agent": "forestall"}
        headers |= self._endpoint.headers(key, body, self._now())
        if trace is not None:
            headers["traceparent"] = child_traceparent(trace, self._new_id)
        request = self._client.build_request(
            "POST", self._endpoint.url, content=body, headers=headers, timeout=timeout
        )
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.send(request, stream=True, follow_redirects=False)
                try:
                    await _drain(response)
                finally:
                    await response.aclose()
        except BlockedAddress as error:
            return _Attempt("blocked-address", str(error))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return _Attempt("unreachable", _named(error))
        except (TimeoutError, httpx.TimeoutException):
            return _Attempt("timeout", f"no answer in {timeout:g} s", uncertain=True)
        except httpx.HTTPError as error:
            return _Attempt("unreachable", _named(error), uncertain=True)
        return self._judged(response)

    def _judged(self, response: httpx.Response) -> _Attempt:
        status = response.status_code
        if response.is_success:
            return _Attempt("delivered", "", status)
        return _Attempt(
            "gone" if status == 410 else "refused",
            f"answered {status}",
            status,
            retry_after=retry_after(response.headers.get("retry-after"), self._now()),
        )

    def _pause(self, number: int, asked: int | None) -> float:
        """Seconds after the attempt ``number``: 1, 2, 4, ... up to 60, half of it by chance.

        What ``Retry-After`` asked for is a lower bound.
        """
        backoff = min(LONGEST_PAUSE, 2.0 ** (number - 1)) * (0.5 + self._chance() / 2)
        return max(backoff, (asked or 0) / SECOND)

    def _recovered(self) -> None:
        if self._health.load(self.name) != Health():
            self._health.save(self.name, Health())

    def _failed(self, last: _Attempt) -> None:
        before = self._health.load(self.name)
        gone = last.reason == "gone"
        after = after_failure(before, self._now(), last.detail, self._patience, gone=gone)
        self._health.save(self.name, after)
        if after.parked is not None and before.parked is None:
            PARKED.labels(self.name).set(1)
            _log.error("webhook endpoint parked", endpoint=self.name, why=after.why)


def unpark(name: str, store: HealthStore) -> bool:
    """Believe in an endpoint again, as somebody has mended it; whether it was parked."""
    was = store.load(name).parked is not None
    store.save(name, Health())
    return was


def parked(store: HealthStore) -> dict[str, Health]:
    """The endpoints that are parked, for reports."""
    return {name: health for name, health in store.all().items() if health.parked is not None}


def _missed(uncertain: bool) -> Literal["failed", "uncertain"]:
    return "uncertain" if uncertain else "failed"


def _body(kind: str, at: str, data: Any) -> bytes:
    return msgspec.json.encode({"type": kind, "timestamp": at, "data": data})


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


async def _drain(response: httpx.Response) -> None:
    """Read a short answer, so that the connection can be used again; leave a long one."""
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > LARGEST_RESPONSE:
            return
