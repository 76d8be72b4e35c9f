"""HTTP operations against a server that keeps orders and cannot recognise a repeated key by itself."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.instants import SECOND
from forestall.intervene.jobs import Job
from forestall.kernel.settings import Api, Credential, Outbound
from workshops import CANARY, workshop

pytestmark = pytest.mark.anyio

API = """
openapi: 3.0.3
components:
  securitySchemes:
    basic: {type: http, scheme: basic}
    header: {type: apiKey, in: header, name: X-Api-Key}
paths:
  /orders/{order}:
    parameters: [{name: order, in: path, required: true, schema: {type: string}}]
    get: {operationId: getOrder, security: [{header: []}]}
    put:
      operationId: putOrder
      security: [{basic: []}]
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, properties: {state: {}, ref: {}}}}}
    delete: {operationId: deleteOrder, security: [{basic: []}]}
  /refs/{ref}:
    parameters: [{name: ref, in: path, required: true, schema: {type: string}}]
    get: {operationId: getRef, security: [{header: []}]}
"""
DECLARED = """
apiVersion: forestall/v1
kind: Lookup
metadata: {name: order}
spec:
  input: {type: object, required: [order], properties: {order: {type: string}}}
  output: {state: /state, ref: /ref, lines: /lines}
  http: {api: orders, operation: getOrder, credential: orders}
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: by-ref}
spec:
  input: {type: object, required: [ref], properties: {ref: {type: string}}}
  output: {state: /state, order: /order, number: /number}
  http: {api: orders, operation: getRef, credential: orders}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: set-state}
spec:
  risk: low
  input:
    type: object
    required: [order, state]
    properties: {order: {type: string}, state: {type: string}, extra: {}}
  output: {number: /number}
  deduplication: lookup
  find: {lookup: by-ref, with: {ref: key}, if: fields.state == arguments.state}
  dry_run: describe
  execute:
    http:
      api: orders
      operation: putOrder
      credential: orders
      key_header: X-Request-Id
      with: {order: arguments.order, state: arguments.state, ref: key}
      done: [418]
      refused: [299]
  verify:
    lookup: order
    with: {order: arguments.order}
    if: fields.state == arguments.state
    every: 20ms
    within: 300ms
  undo:
    http: {api: orders, operation: deleteOrder, credential: orders, with: {order: "string(result.number)"}}
"""
BASIC = "Basic " + base64.b64encode(CANARY.encode()).decode()


class Orders:
    """``answers`` by method stand in for what it would do; ``requests`` is what came."""

    def __init__(self) -> None:
        self.port = 0
        self.orders: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.answers: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            raw = {
                line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:] if line
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            given = json.loads(body) if body else None
            self.requests.append((method, path, raw, given))
            answer = self.answers.get(method)
            if answer is None:
                answer = self._do(method, path.split("/")[1:], given)
            elif answer == b"lost":
                self._do(method, path.split("/")[1:], given)
                answer = b""
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _do(self, method: str, path: list[str], given: Any) -> bytes:
        match method, path:
            case "PUT", ["orders", order]:
                known = {"order": order, "number": len(self.orders) + 7, **given}
                self.orders[order] = known
                return reply(200, known)
            case "GET", ["orders", order]:
                found = self.orders.get(order)
                return reply(404, {}) if found is None else reply(200, found)
            case "GET", ["refs", ref]:
                for known in self.orders.values():
                    if known["ref"] == ref:
                        return reply(200, known)
        return reply(404, {"gone": True}) if method != "DELETE" else reply(204, None)


def reply(status: int, body: Any, *headers: str, raw: bytes | None = None) -> bytes:
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} X",
        f"content-length: {len(content)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def orders() -> AsyncIterator[Orders]:
    made = Orders()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@asynccontextmanager
async def desk(folder: Path, orders: Orders, **more: Any) -> AsyncIterator[Any]:
    (folder / "actions").mkdir(exist_ok=True)
    (folder / "actions" / "orders.openapi.yaml").write_text(API)
    users = ("order", "by-ref", "set-state")
    credentials = {"orders": Credential(CANARY, (f"127.0.0.1:{orders.port}",), users)}
    apis = {"orders": Api(f"http://127.0.0.1:{orders.port}")}
    async with workshop(folder, DECLARED, credentials=credentials, apis=apis, **more) as scene:
        yield scene


SET = {"order": "o/1", "state": "paid"}


async def test_credentials_and_keys_travel_as_declared(tmp_path: Path, orders: Orders) -> None:
    async with desk(tmp_path, orders) as scene:
        outcome = await scene.do("action", "set-state", SET, "number", key="k-1")
    assert (outcome.outcome, outcome.fields) == ("done", {"number": 7})
    put, get = orders.requests
    assert put[:2] == ("PUT", "/orders/o%2F1")
    assert put[3] == {"state": "paid", "ref": "k-1"}
    assert put[2]["authorization"] == BASIC
    assert put[2]["x-request-id"] == "k-1"
    assert get[2]["x-api-key"] == CANARY
    assert "authorization" not in get[2]
    assert "x-request-id" not in get[2]


async def test_an_uncertain_outcome_is_looked_up(tmp_path: Path, orders: Orders) -> None:
    orders.answers["PUT"] = b"lost"
    async with desk(tmp_path, orders) as scene:
        job = Job(kind="action", name="set-state", arguments=SET)
        assert scene.workshop.deduplication(job) == "lookup"
        lost = await scene.do("action", "set-state", SET, key="k-1")
        assert lost.outcome == "uncertain"
        found = await scene.find("set-state", SET, "k-1")
        assert found is not None
        assert (found.outcome, found.evidence["found"]["holds"]) == ("done", True)
        assert await scene.find("set-state", SET, "k-2") is None, "that key was never carried out"
        orders.answers["GET"] = reply(500, {})
        open_ = await scene.find("set-state", SET, "k-1")
        assert open_ is not None
        assert (open_.outcome, open_.reason) == ("uncertain", "not-found-out")
        undo = Job(kind="undo", name="set-state", arguments=SET, undoes="k-1")
        assert scene.workshop.deduplication(undo) == "neither"
        assert await scene.workshop.find(undo, "u-1") is None
    assert [one[0] for one in orders.requests].count("PUT") == 1


async def test_what_was_found_can_be_undone_after_a_restart(tmp_path: Path, orders: Orders) -> None:
    orders.answers["PUT"] = b"lost"
    async with desk(tmp_path, orders) as scene:
        await scene.do("action", "set-state", SET, key="k-1")
        assert (await scene.find("set-state", SET, "k-1")).outcome == "done"
    async with desk(tmp_path, orders) as scene:
        undone = await scene.do("undo", "set-state", SET, key="u", undoes="k-1")
        again = await scene.do("undo", "set-state", SET, key="u", undoes="k-1")
    assert (undone.outcome, undone.undone) == ("done", True)
    assert (again.outcome, again.reason) == ("failed", "bad-arguments"), "it is not known any more"
    deletes = [one for one in orders.requests if one[0] == "DELETE"]
    assert [one[1] for one in deletes] == ["/orders/7"]
    assert deletes[0][2]["idempotency-key"] == "k-1-undo"


@pytest.mark.parametrize(
    ("answer", "ended", "reason"),
    [
        (reply(418, {"number": 9}), "failed", "verification"),
        (reply(299, {}), "failed", "refused"),
        (reply(422, {}), "failed", "refused"),
        (reply(404, {}), "failed", "refused"),
        (reply(429, {}, "retry-after: 7"), "failed", "unreachable"),
        (reply(500, {}), "uncertain", "uncertain"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "uncertain", "uncertain"),
        (reply(200, None, raw=b"x" * 200_000), "uncertain", "uncertain"),
        (b"garbage\r\n\r\n", "uncertain", "uncertain"),
    ],
)
async def test_what_an_answer_comes_to(
    tmp_path: Path, orders: Orders, answer: bytes, ended: str, reason: str
) -> None:
    orders.answers["PUT"] = answer
    limits = Outbound(allow=("127.0.0.1",), max_bytes=100_000)
    async with desk(tmp_path, orders, outbound=limits) as scene:
        outcome = await scene.do("action", "set-state", SET, key="k", timeout=10 * SECOND)
    assert (outcome.outcome, outcome.reason) == (ended, reason)
    assert outcome.retry_after == (7 * SECOND if b"retry-after" in answer else None)
    assert [one[0] for one in orders.requests].count("PUT") == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, None, raw=b"<html>done</html>"),
        reply(200, None, raw=b"[" * 5000),
        reply(200, None, "content-encoding: gzip", raw=gzip.compress(b'{"number": 7}')),
        reply(204, None),
    ],
)
async def test_a_strange_body_is_no_field_and_verification_decides(
    tmp_path: Path, orders: Orders, answer: bytes
) -> None:
    orders.orders["o%2F1"] = {"order": "o/1", "state": "paid", "ref": "r"}
    orders.answers["PUT"] = answer
    async with desk(tmp_path, orders) as scene:
        outcome = await scene.do("action", "set-state", SET, "number")
    assert (outcome.outcome, outcome.fields) == ("done", {"number": None})


async def test_arguments_that_nobody_placed_are_not_sent(tmp_path: Path, orders: Orders) -> None:
    async with desk(tmp_path, orders) as scene:
        await scene.do("action", "set-state", {**SET, "extra": "private"})
    assert "private" not in repr(orders.requests)


async def test_a_repeated_key_that_is_refused_may_have_been_carried_out(
    tmp_path: Path, orders: Orders
) -> None:
    """The first attempt was lost; the second is refused, as its order is paid already."""
    orders.answers["PUT"] = b"lost"
    async with desk(tmp_path, orders) as scene:
        assert (await scene.do("action", "set-state", SET, key="k")).outcome == "uncertain"
        orders.answers["PUT"] = reply(409, {})
        again = await scene.do("action", "set-state", SET, key="k")
        assert again.outcome == "done"
        orders.answers["PUT"] = reply(503, {})
        fresh = await scene.do("action", "set-state", {"order": "o2", "state": "x"}, key="k2")
        assert (fresh.outcome, fresh.again) == ("failed", True)
