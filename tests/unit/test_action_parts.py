"""The small parts: requests and what statuses mean, functions, notes, the cache, fields of answers."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from forestall.contracts.errors import InvalidFile
from forestall.contracts.instants import DAY, MINUTE, SECOND
from forestall.intervene.actions.answers import BadArguments, fields_of
from forestall.intervene.actions.cache import Cache
from forestall.intervene.actions.credentials import Credentials
from forestall.intervene.actions.http import build, meaning
from forestall.intervene.actions.mcp import McpMissing
from forestall.intervene.actions.notes import KEPT, ByHand, Notes
from forestall.intervene.actions.python import PythonCalls, UnknownFunction, found
from forestall.intervene.jobs import Job
from forestall.kernel.settings import McpServer
from forestall.policy.actions.model import Function, Http, Rate
from forestall.policy.actions.openapi import Operation, Parameter, Security
from workshops import workshop

WAY = Http(api="a", operation="x")
OPERATION = Operation(
    id="x",
    method="POST",
    path="/a/{id}/b",
    parameters=(
        Parameter("id", "path", required=True),
        Parameter("many", "query"),
        Parameter("joined", "query", explode=False),
        Parameter("X-Tenant", "header"),
    ),
    takes_body=True,
    body=frozenset(["amount", "note"]),
    body_required=frozenset(["amount"]),
    security=Security(),
)


def test_a_request_has_everything_in_its_place() -> None:
    values = {
        "id": "p/1 ?#%ü",
        "many": [1, True, "x y"],
        "joined": ["a", "b"],
        "X-Tenant": "t",
        "amount": 5,
        "note": None,
        "other": "left out",
    }
    request = build(WAY, OPERATION, "https://api.example/v1", values, "key-1")
    assert request.method == "POST"
    assert request.url == (
        "https://api.example/v1/a/p%2F1%20%3F%23%25%C3%BC/b?many=1&many=true&many=x+y&joined=a%2Cb"
    )
    assert request.headers == {"X-Tenant": "t", "Idempotency-Key": "key-1"}
    assert request.body == {"amount": 5}
    assert request.credential is None
    assert request.shown()["body"] == {"amount": 5}


def test_a_request_that_changes_nothing_has_no_key_and_no_body() -> None:
    operation = Operation(id="x", method="GET", path="/x")
    request = build(WAY, operation, "https://a", {"extra": 1}, "key")
    assert (request.headers, request.body, request.url) == ({}, None, "https://a/x")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"amount": 1}, "`id` is needed"),
        ({"id": "x"}, "`amount` is needed"),
        ({"id": ["x"], "amount": 1}, "single value"),
        ({"id": "..", "amount": 1}, "cannot stand in an address"),
        ({"id": "", "amount": 1}, "cannot stand in an address"),
        ({"id": "x", "amount": 1, "X-Tenant": "a\r\nevil: 1"}, "cannot stand in a header"),
        ({"id": "x", "amount": 1, "X-Tenant": "ü"}, "cannot stand in a header"),
        ({"id": "x", "amount": 1, "many": [{"a": 1}]}, "single value"),
        ({"id": "x" * 9000, "amount": 1}, "longer than"),
        ({"id": "\ud800", "amount": 1}, "no text"),
    ],
)
def test_what_cannot_be_sent_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(BadArguments, match=why) as caught:
        build(WAY, OPERATION, "https://a", values, "k")
    assert "evil" not in str(caught.value)


@given(st.text(max_size=50))
def test_no_value_leaves_its_place_in_the_address(text: str) -> None:
    try:
        request = build(WAY, OPERATION, "https://a.example", {"id": text, "amount": 1}, "k")
    except BadArguments:
        return
    assert request.url.startswith("https://a.example/a/")
    assert request.url.endswith("/b")
    assert request.url.count("/") == 5
    assert not set(request.url) & set("?#\\ ")


@pytest.mark.parametrize(
    ("status", "safe", "ended"),
    [
        (200, False, "done"), (202, False, "done"), (204, True, "done"), (301, False, "refused"),
        (400, False, "refused"), (401, False, "refused"), (404, True, "missing"),
        (409, False, "refused"), (410, True, "missing"), (422, False, "refused"),
        (408, False, "busy"), (425, False, "busy"), (429, False, "busy"), (503, False, "busy"),
        (500, False, "uncertain"), (502, False, "uncertain"), (504, False, "uncertain"),
        (500, True, "busy"),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, safe: bool, ended: str) -> None:
    assert meaning(WAY, status, safe=safe) == ended


def test_a_declaration_may_say_what_statuses_mean() -> None:
    way = Http(
        api="a",
        operation="x",
        done=frozenset([409, 503]),
        refused=frozenset([202, 500]),
        retry=frozenset([423]),
    )
    ended = [meaning(way, status, safe=False) for status in (409, 503, 202, 500, 423)]
    assert ended == ["done", "done", "refused", "refused", "busy"]


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", {"a": {"b/c": [1, {"~": 2}]}, "": 3}),
        ("/a/b~1c/0", 1),
        ("/a/b~1c/1/~0", 2),
        ("/", 3),
        ("/a/b~1c/2", None),
        ("/a/b~1c/x", None),
        ("/nothing/there", None),
    ],
)
def test_a_field_is_where_its_pointer_leads(pointer: str, value: Any) -> None:
    body = {"a": {"b/c": [1, {"~": 2}]}, "": 3}
    assert fields_of(body, {"field": pointer}) == {"field": value}


def test_the_cache_is_bounded_and_forgets_by_age() -> None:
    now = [100]
    cache = Cache(lambda: now[0], most=2)
    cache.put("l", {"a": 1, "b": 2}, {"x": 1})
    assert cache.get("l", {"b": 2, "a": 1}, 10) == {"x": 1}
    assert cache.get("m", {"a": 1, "b": 2}, 10) is None
    assert cache.get("l", {"a": 1}, 10) is None
    now[0] += 10
    assert cache.get("l", {"a": 1, "b": 2}, 10) is None
    assert cache.get("l", {"a": 1, "b": 2}, 11) == {"x": 1}
    now[0] -= 50
    assert cache.get("l", {"a": 1, "b": 2}, 11) is None, "a clock that went back is no answer"
    for number in range(5):
        cache.put("l", {"a": number}, {})
    assert len(cache) == 2
    assert cache.get("l", {"a": 4}, 1) == {}
    assert cache.get("l", {"a": 2}, 1) is None


def test_a_rate_is_a_sliding_window(tmp_path: Path) -> None:
    notes, rate = Notes(tmp_path / "notes.db"), Rate(2, MINUTE)
    assert notes.admit("a", "k1", rate, 0) is None
    assert notes.admit("a", "k2", rate, 20 * SECOND) is None
    assert notes.admit("a", "k3", rate, 30 * SECOND) == 30 * SECOND
    assert notes.admit("a", "k1", rate, 30 * SECOND) is None, "a repetition counts once"
    assert notes.admit("b", "k3", rate, 30 * SECOND) is None, "each action has its own"
    notes.close()
    again = Notes(tmp_path / "notes.db")
    assert again.admit("a", "k3", rate, 59 * SECOND) == SECOND
    assert again.admit("a", "k3", rate, 60 * SECOND) is None
    assert again.admit("a", "k4", rate, 60 * SECOND) == 20 * SECOND
    again.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_no_window_ever_holds_more_than_the_rate_allows(gaps: list[int]) -> None:
    admitted, now, rate = [], 0, Rate(3, 60)
    with TemporaryDirectory() as folder, closing(Notes(Path(folder) / "notes.db")) as notes:
        for number, gap in enumerate(gaps):
            now += gap
            wait = notes.admit("a", f"k{number}", rate, now)
            if wait is None:
                admitted.append(now)
            else:
                assert 0 < wait <= 60
            assert sum(one > now - 60 for one in admitted) <= 3


def test_how_to_undo_is_remembered_for_a_month(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.db")
    notes.keep_undo("k1", {"charge": "c1"}, DAY)
    notes.begin("k1", DAY)
    assert notes.undo("k1") == {"charge": "c1"}
    assert notes.has_begun("k1")
    assert notes.undo("k2") is None
    notes.did_not_happen("k1")
    assert not notes.has_begun("k1")
    notes.begin("k1", DAY)
    notes.keep_undo("k2", {}, DAY + KEPT + 1)
    notes.begin("k2", DAY + KEPT + 1)
    assert notes.undo("k1") is None
    assert not notes.has_begun("k1")
    notes.forget_undo("k2")
    assert notes.undo("k2") is None
    notes.close()


def test_runs_by_hand_are_remembered(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.db")
    for at in (1, 2):
        notes.note_by_hand(ByHand(at, "a", f"k{at}", "ann", "because", "done"))
    assert [one.at for one in notes.by_hand()] == [2, 1]
    assert notes.by_hand(1)[0] == ByHand(2, "a", "k2", "ann", "because", "done")
    notes.close()


THREADS: list[str] = []


def in_a_thread(arguments: dict[str, Any], *, key: str, dry: bool, credential: None) -> Any:
    THREADS.append(threading.current_thread().name)
    return {"got": [arguments, key, dry, credential]}


async def in_the_loop(arguments: dict[str, Any], **_: Any) -> Any:
    THREADS.append(threading.current_thread().name)
    return None if arguments.get("nothing") else {"odd": object()}


async def slow(_: dict[str, Any], **__: Any) -> None:
    await asyncio.Event().wait()


def called(name: str, arguments: dict[str, Any], seconds: float = 30.0) -> Any:
    call = f"{__name__}:{name}"
    sys.modules.setdefault(__name__, sys.modules[__name__])
    calls = PythonCalls([call], Credentials({}))
    return asyncio.run(calls.call(Function(call=call), arguments, "k", seconds, dry=True))


def test_functions_are_called_in_the_loop_or_in_a_thread() -> None:
    THREADS.clear()
    answer = called("in_a_thread", {"a": 1})
    assert (answer.ended, answer.body) == ("done", {"got": [{"a": 1}, "k", True, None]})
    assert called("in_the_loop", {"nothing": True}).ended == "missing"
    odd = called("in_the_loop", {})
    assert (odd.ended, odd.body) == ("done", None)
    assert THREADS == ["action", "MainThread", "MainThread"]
    assert called("slow", {}, 0.05).ended == "timeout"


@pytest.mark.parametrize("call", ["no.such.module:f", "json:nothing", "json:__name__"])
def test_a_function_that_is_not_there_is_told(call: str) -> None:
    with pytest.raises(UnknownFunction, match=call.split(":")[0]):
        found(call)


AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: guess}
spec:
  input: {type: object, properties: {text: {type: string}}}
  output: {topic: /topic}
  python: {call: "guessing:guess"}
"""


@pytest.mark.anyio
async def test_an_agent_fills_fields_and_is_described_when_dry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guessing.py").write_text(
        "def guess(arguments, **_):\n    return {'topic': arguments['text'].upper()}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    async with workshop(tmp_path, AGENT) as scene:
        outcome = await scene.do("infer", "guess", {"text": "refund"}, "topic")
        dry = await scene.do("infer", "guess", {"text": "refund"}, "topic", dry=True)
        broken = await scene.do("infer", "guess", {}, "topic")
        job = Job(kind="infer", name="guess")
        assert scene.workshop.deduplication(job) == "dedupes"
        assert scene.workshop.deduplication(Job(kind="action", name="nobody")) == "neither"
    assert outcome.fields == {"topic": "REFUND"}
    assert outcome.inference is not None, "the history tells who answered"
    assert (outcome.inference.agent, outcome.inference.by) == ("guess", "function")
    assert outcome.inference.version == scene.workshop.declarations.agents["guess"].version
    assert dry.evidence["request"]["call"] == "guessing:guess"
    assert (broken.outcome, broken.again) == ("failed", True)


@pytest.mark.anyio
async def test_changed_declarations_are_used_and_broken_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    (tmp_path / "guessing_anew.py").write_text(
        "def guess(arguments, **_):\n    return {'topic': 'x'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    agent = AGENT.replace("guessing:", "guessing_anew:")
    file = tmp_path / "actions" / "all.yaml"
    async with workshop(tmp_path, agent, watch=0.01) as scene:
        file.write_text(agent.replace("name: guess", "name: second"))
        while "second" not in scene.workshop.declarations.agents:
            await asyncio.sleep(0.01)
        assert (await scene.do("infer", "second", {}, "topic")).fields == {"topic": "x"}
        assert (await scene.do("infer", "guess", {}, "topic")).reason == "refused"
        file.write_text("kind: Nonsense")
        while not any(line["log_level"] == "error" for line in logs):
            await asyncio.sleep(0.01)
        assert (await scene.do("infer", "second", {}, "topic")).outcome == "done"
        assert scene.workshop.demands("second") == 0
        file.write_text(agent.replace("name: guess", "name: third"))
        while "third" not in scene.workshop.declarations.agents:
            await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_a_missing_function_is_told_when_the_workshop_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="nowhere:guess"):
        async with workshop(tmp_path, AGENT.replace("guessing:guess", "nowhere:guess")):
            pass


@pytest.mark.anyio
async def test_without_the_package_an_mcp_server_is_told_to_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = AGENT.replace("Agent", "Lookup").replace(
        'python: {call: "guessing:guess"}', "mcp: {server: desk, tool: guess}"
    )
    desk = McpServer(url="https://desk.example/mcp")
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(McpMissing, match=r"forestall\[mcp\]"):
        async with workshop(tmp_path, text, mcp={"desk": desk}):
            pass
    async with workshop(tmp_path / "more", mcp={"desk": desk}):
        pass


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
