"""A transport for clients that speak ``httpx2``, over our one way out, which speaks ``httpx``."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from forestall.channels.outbound import TOTAL

Failed = Callable[[httpx.HTTPError], None]

_OURS = ("accept-encoding", "connection", "content-length", "host", "user-agent")
_TELLTALE = "x-stainless-"
"""How headers begin in which some vendors' clients tell of the machine they run on."""


def bridge(client: httpx.AsyncClient, failed: Failed, seconds: float | None = None) -> Any:
    """An ``httpx2.AsyncBaseTransport`` that sends by ``client``; each request has ``seconds`` (none:
    as many as the client gives). ``failed`` is told what broke. Needs the package ``httpx2``."""
    import httpx2

    def translated(error: httpx.HTTPError) -> Exception:
        failed(error)
        known = (getattr(httpx2, kind.__name__, None) for kind in type(error).__mro__)
        kind = next(kind for kind in known if kind is not None)
        made: Exception = kind(str(error))
        return made

    class Stream(httpx2.AsyncByteStream):
        def __init__(self, response: httpx.Response) -> None:
            self._response = response

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for part in self._response.aiter_raw():
                    yield part
            except httpx.HTTPError as error:
                raise translated(error) from None

        async def aclose(self) -> None:
            await self._response.aclose()

    class Bridge(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            body = await request.aread()
            outgoing = client.build_request(
                request.method,
                str(request.url),
                headers=_carried(request.headers.multi_items()),
                content=body or None,
                extensions={} if seconds is None else {TOTAL: seconds},
            )
            try:
                response = await client.send(outgoing, stream=True, follow_redirects=False)
            except httpx.HTTPError as error:
                raise translated(error) from None
            return httpx2.Response(
                response.status_code,
                headers=response.headers.multi_items(),
                stream=Stream(response),
            )

    return Bridge()


def _carried(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _OURS and not name.lower().startswith(_TELLTALE)
    ]
