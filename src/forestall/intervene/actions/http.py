"""Calls of HTTP operations: a request from arguments after the OpenAPI document, and its answer.

What a status means follows RFC 9110, unless the declaration says otherwise: 2xx is done, 404 and 410
missing, 408, 425, 429 and 503 a matter of time, other 3xx and 4xx a refusal. Any other 5xx leaves it
open whether an unsafe request was carried out. A header for the key follows
draft-ietf-httpapi-idempotency-key-header.
"""

import base64
import re
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from forestall.channels.addresses import BlockedAddress
from forestall.channels.endpoint import retry_after
from forestall.channels.outbound import ENCODING, TOTAL, TooLarge
from forestall.intervene.actions.answers import Answer, BadArguments, Ended
from forestall.intervene.actions.credentials import MASK, Credentials, Secret
from forestall.kernel.clock import Clock
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Http
from forestall.policy.actions.openapi import SAFE, Operation

LARGEST_BODY = 256_000

_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")
_TIME = frozenset([408, 425, 429, 503])
_MISSING = frozenset([404, 410])


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request without its credential; ``credential`` is the header that will carry it."""

    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, Any] | None = None
    credential: str | None = None

    def shown(self) -> dict[str, Any]:
        """What a person may see of it: all of it, but the secret."""
        headers = (
            self.headers if self.credential is None else {**self.headers, self.credential: MASK}
        )
        shown: dict[str, Any] = {"method": self.method, "url": self.url, "headers": headers}
        return shown if self.body is None else {**shown, "body": self.body}


def build(
    way: Http, operation: Operation, address: str, values: dict[str, Any], key: str | None
) -> Request:
    """The request for ``values`` by parameter or property; null leaves one out.

    Raises ``BadArguments``.
    """
    path, query, headers = operation.path, list[tuple[str, str]](), dict[str, str]()
    for parameter in operation.parameters:
        value = values.get(parameter.name)
        if value is None:
            if parameter.required and parameter.name != way.key_header:
                raise BadArguments(f"`{parameter.name}` is needed and missing")
        elif parameter.where == "path":
            path = path.replace("{" + parameter.name + "}", _segment(parameter.name, value))
        elif parameter.where == "query":
            query += _pairs(parameter.name, value, explode=parameter.explode)
        else:
            headers[parameter.name] = _header(parameter.name, value)
    placed = {parameter.name for parameter in operation.parameters}
    body: dict[str, Any] | None = None
    if operation.takes_body:
        wanted = {name: one for name, one in values.items() if name not in placed}
        if operation.body is not None:
            wanted = {name: one for name, one in wanted.items() if name in operation.body}
        body = {name: one for name, one in wanted.items() if one is not None}
        if missing := sorted(operation.body_required - body.keys()):
            raise BadArguments(f"`{missing[0]}` is needed and missing")
    if key is not None and operation.method not in SAFE:
        headers[way.key_header] = _header("key", key)
    url = address + path + (f"?{urlencode(query)}" if query else "")
    if len(url) > 8_000:
        raise BadArguments("the address is longer than 8,000 characters")
    security = operation.security.header if operation.security else "Authorization"
    credential = security if way.credential is not None else None
    return Request(
        method=operation.method, url=url, headers=headers, body=body, credential=credential
    )


class HttpCalls:
    """Sends requests over ``client``, the one way out. ``now`` is wall time, for ``Retry-After``."""

    def __init__(
        self,
        declarations: Declarations,
        client: httpx.AsyncClient,
        credentials: Credentials,
        now: Clock,
    ) -> None:
        self._declarations, self._client = declarations, client
        self._credentials, self._now = credentials, now

    def request(self, way: Http, values: dict[str, Any], key: str | None) -> Request:
        """The request that would be sent. Raises ``BadArguments``."""
        operation = self._declarations.operations[way.api, way.operation]
        return build(way, operation, self._declarations.addresses[way.api], values, key)

    async def call(
        self, way: Http, values: dict[str, Any], key: str | None, seconds: float
    ) -> Answer:
        """Send it, and judge the answer. Raises ``BadArguments``."""
        request = self.request(way, values, key)
        operation = self._declarations.operations[way.api, way.operation]
        headers = {"accept": "application/json", **request.headers}
        content = None
        if request.body is not None:
            content = msgspec.json.encode(request.body)
            headers["content-type"] = "application/json"
            if len(content) > LARGEST_BODY:
                raise BadArguments(f"the body is longer than {LARGEST_BODY:,} bytes")
        secret = self._credentials.secret(way.credential)
        if secret is not None and request.credential is not None:
            headers[request.credential] = _spoken(operation, secret)
        safe = operation.method in SAFE
        try:
            response = await self._client.request(
                request.method,
                request.url,
                content=content,
                headers=headers,
                follow_redirects=False,
                extensions={TOTAL: seconds},
            )
        except BlockedAddress as error:
            return Answer(ended="blocked-address", detail=str(error))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(ended="unreachable", detail=_named(error))
        except httpx.TimeoutException as error:
            return Answer(ended="timeout", detail=_named(error))
        except TooLarge as error:
            return Answer(ended="refused" if safe else "uncertain", detail=str(error))
        except httpx.HTTPError as error:
            return Answer(ended="unreachable" if safe else "uncertain", detail=_named(error))
        return self._judged(way, response, safe=safe)

    def _judged(self, way: Http, response: httpx.Response, *, safe: bool) -> Answer:
        status = response.status_code
        ended = meaning(way, status, safe=safe)
        body = None
        if ENCODING not in response.extensions:
            try:
                body = msgspec.json.decode(response.content)
            except (msgspec.DecodeError, RecursionError):
                body = None
        asked = retry_after(response.headers.get("retry-after"), self._now())
        detail = f"answered {status}"
        if 300 <= status < 400:
            detail += ", and redirects are not followed"
        return Answer(ended=ended, body=body, detail=detail, status=status, retry_after=asked)


def meaning(way: Http, status: int, *, safe: bool) -> Ended:
    """What a status means for a request that is ``safe`` (changes nothing) or not."""
    if status in way.refused:
        return "refused"
    if status in way.retry or (status in _TIME and status not in way.done):
        return "busy"
    if status in way.done or 200 <= status < 300:
        return "done"
    if status in _MISSING:
        return "missing"
    if status >= 500:
        return "busy" if safe else "uncertain"
    return "refused"


def _spoken(operation: Operation, secret: Secret) -> str:
    security = operation.security
    if security is None:
        return f"Bearer {secret.reveal()}"
    if security.basic:
        return security.prefix + base64.b64encode(secret.reveal().encode()).decode()
    return security.prefix + secret.reveal()


def _segment(name: str, value: Any) -> str:
    text = _text(name, value)
    if text in ("", ".", "..") or any(ord(one) < 32 for one in text):
        raise BadArguments(f"`{name}` cannot stand in an address")
    return quote(text, safe="")


def _pairs(name: str, value: Any, *, explode: bool) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        return [(name, _text(name, value))]
    texts = [_text(name, one) for one in value]
    return [(name, one) for one in texts] if explode else [(name, ",".join(texts))]


def _header(name: str, value: Any) -> str:
    text = _text(name, value)
    if not _HEADER_VALUE.fullmatch(text):
        raise BadArguments(f"`{name}` cannot stand in a header")
    return text


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
            raise BadArguments(f"`{name}` is no text that can be sent")
        return value
    if isinstance(value, dict | list):
        raise BadArguments(f"`{name}` has to be a single value")
    return msgspec.json.encode(value).decode()


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
