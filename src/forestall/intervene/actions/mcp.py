"""Calls of tools of MCP servers, by the official client.

A server is started when it is first needed and spoken to over its standard input and output, or
called over streamable HTTP, by the one way out and with a session for each call. The idempotency key travels in the request's ``_meta`` and, where the declaration names one,
in an argument. Needs the extra ``mcp``.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec

from forestall.channels.addresses import BlockedAddress
from forestall.channels.bridge import bridge
from forestall.contracts.errors import ForestallError
from forestall.intervene.actions.answers import Answer, Ended
from forestall.intervene.actions.credentials import MASK, Credentials
from forestall.kernel.settings import McpServer
from forestall.policy.actions.model import Tool

_REFUSALS = frozenset([-32600, -32601, -32602])
"""JSON-RPC: not a request, no such method, bad parameters; nothing was done."""

KEY_META = "forestall/idempotency-key"
"""Where in ``_meta`` of a request the key stands."""


class McpMissing(ForestallError):
    """A declaration uses an MCP server, and the package ``mcp`` is not installed.

    Install ``forestall[mcp]``.
    """

    code = "mcp-missing"
    exit_code = 2


class McpCalls:
    """Calls tools of ``servers``; over HTTP through ``client``. Raises ``McpMissing``."""

    def __init__(
        self,
        servers: Mapping[str, McpServer],
        client: httpx.AsyncClient,
        credentials: Credentials,
    ) -> None:
        self._servers, self._client, self._credentials = servers, client, credentials
        self._started: dict[str, _Started] = {}
        if servers:
            _installed()

    def request(self, way: Tool, values: dict[str, Any], key: str | None) -> dict[str, Any]:
        """What would be sent, as a person may see it."""
        server = self._servers[way.server]
        shown: dict[str, Any] = {
            "server": way.server,
            "to": server.url or " ".join(server.command),
            "tool": way.tool,
            "arguments": _keyed(way, values, key),
        }
        return shown if server.credential is None else {**shown, "credential": MASK}

    async def aclose(self) -> None:
        """Stop the servers that were started."""
        for started in list(self._started.values()):
            await started.stop()
        self._started.clear()

    async def call(
        self, way: Tool, values: dict[str, Any], key: str | None, seconds: float
    ) -> Answer:
        """Call the tool once."""
        asked = _Asked()
        arguments = _keyed(way, values, key)
        try:
            async with asyncio.timeout(seconds):
                if self._servers[way.server].url is None:
                    client = await self._running(way.server)
                    return await _called(client, way, arguments, key, asked)
                async with AsyncExitStack() as stack:
                    client = await self._connected(way.server, seconds, asked, stack)
                    return await _called(client, way, arguments, key, asked)
        except TimeoutError:
            await self._give_up(way.server)
            ended: Ended = "timeout" if asked.tool else "unreachable"
            return Answer(ended=ended, detail=f"{way.server} gave no answer in time")
        except Exception as error:  # noqa: BLE001
            await self._give_up(way.server)
            return _broken(way, error, asked)

    async def _running(self, name: str) -> Any:
        """The client of a started server; it is started if it is not running."""
        started = self._started.get(name)
        if started is None or started.over:
            server = self._servers[name]
            started = self._started[name] = _Started(server, self._credentials)
        return await started.client()

    async def _give_up(self, name: str) -> None:
        """A server that broke, or is busy with a call that nobody waits for, is started anew."""
        started = self._started.pop(name, None)
        if started is not None:
            await started.stop()

    async def _connected(
        self, name: str, seconds: float, asked: "_Asked", stack: AsyncExitStack
    ) -> Any:
        """A client of a server that is called over HTTP."""
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        server = self._servers[name]
        secret = self._credentials.secret(server.credential)
        headers = {} if secret is None else {"authorization": f"Bearer {secret.reveal()}"}
        transport = bridge(self._client, asked.failed, seconds)
        http = httpx2.AsyncClient(transport=transport, headers=headers, trust_env=False)
        await stack.enter_async_context(http)
        streams = streamable_http_client(server.url or "", http_client=http)
        return await stack.enter_async_context(Client(streams, cache=None))


class _Started:
    """A started server and the session with it, which one task opens and closes.

    It is stopped by a scope of anyio, whose cancelling lets the client end the process; the plain
    cancelling of a task would leave it running.
    """

    def __init__(self, server: McpServer, credentials: Credentials) -> None:
        self._server, self._credentials = server, credentials
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._run())

    @property
    def over(self) -> bool:
        """Whether the server ended."""
        return self._task.done()

    async def client(self) -> Any:
        """The client, when the server is ready. Raises what starting it raised."""
        return await asyncio.shield(self._ready)

    async def stop(self) -> None:
        """Stop the server; after a few seconds, by force."""
        self._stopping.set()
        if not self._ready.done():
            self._scope.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        from mcp import Client
        from mcp.client.stdio import StdioServerParameters, stdio_client

        server = self._server
        secret = self._credentials.secret(server.credential)
        environment = {server.variable: secret.reveal()} if secret and server.variable else {}
        command, *rest = server.command
        started = StdioServerParameters(command=command, args=rest, env=environment)
        try:
            with self._scope, Path(server.log or os.devnull).open("a", encoding="utf-8") as log:
                async with Client(stdio_client(started, errlog=log), cache=None) as client:
                    self._ready.set_result(client)
                    await self._stopping.wait()
        except Exception as error:  # noqa: BLE001
            self._settle(error)
        self._settle(ConnectionAbortedError("stopped before it was ready"))

    def _settle(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()


async def _called(
    client: Any, way: Tool, arguments: dict[str, Any], key: str | None, asked: "_Asked"
) -> Answer:
    from mcp import MCPError

    asked.tool = True
    try:
        meta: Any = None if key is None else {KEY_META: key}
        result = await client.call_tool(way.tool, arguments, meta=meta)
    except MCPError as error:
        if error.code not in _REFUSALS:
            raise
        return Answer(ended="refused", detail=f"{way.server} answered error {error.code}")
    return _judged(way, result)


class _Asked:
    """How far a call came: whether the tool was asked, what broke the network first, and whether
    anything broke after it was sent."""

    def __init__(self) -> None:
        self.tool = False
        self.lost = False
        self.failure: httpx.HTTPError | None = None

    def failed(self, error: httpx.HTTPError) -> None:
        """Note what the network did."""
        self.failure = self.failure or error
        self.lost = self.lost or not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


def _keyed(way: Tool, values: dict[str, Any], key: str | None) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value is not None}
    return given if key is None or way.key_argument is None else {**given, way.key_argument: key}


def _judged(way: Tool, result: Any) -> Answer:
    if result.is_error:
        return Answer(ended="refused", detail=f"the tool {way.tool} reports an error")
    body = result.structured_content
    if body is None:
        texts = [part.text for part in result.content if part.type == "text"]
        try:
            body = msgspec.json.decode("".join(texts)) if texts else None
        except (msgspec.DecodeError, RecursionError):
            body = None
    if isinstance(body, dict) and set(body) == {"result"}:
        body = body["result"]
    missing = body is None and not result.content
    return Answer(ended="missing" if missing else "done", body=body)


def _broken(way: Tool, error: Exception, asked: _Asked) -> Answer:
    """Whatever the client's task groups raise, said in our words."""
    if isinstance(asked.failure, BlockedAddress):
        return Answer(ended="blocked-address", detail=str(asked.failure))
    detail = f"{way.server}: {type(asked.failure or error).__name__}"
    if not asked.tool or (asked.failure is not None and not asked.lost):
        return Answer(ended="unreachable", detail=detail)
    slow = isinstance(asked.failure, httpx.TimeoutException)
    return Answer(ended="timeout" if slow else "uncertain", detail=detail)


def _installed() -> None:
    """The package is there, and keeps to itself what servers send: it may hold secrets."""
    try:
        import mcp
    except ImportError:
        raise McpMissing("a declaration uses an MCP server; install forestall[mcp]") from None
    for name in (mcp.__name__, "httpx2", "httpcore2", "client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
