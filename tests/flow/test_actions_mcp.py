"""Tools of a real MCP server, written with the official package, over stdio and streamable HTTP."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.instants import SECOND
from forestall.intervene.actions.mcp import KEY_META
from forestall.kernel.settings import Credential, McpServer, Outbound
from running import free_port
from workshops import CANARY, workshop

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

DESK = Path(__file__).parents[1] / "mcp_desk.py"
DECLARED = """
apiVersion: forestall/v1
kind: Lookup
metadata: {name: token-state}
spec:
  input: {type: object, required: [customer], properties: {customer: {type: string}}}
  output: {valid: /valid}
  timeout: 60s
  mcp: {server: desk, tool: token_state}
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: shout}
spec:
  input: {type: object, properties: {text: {type: string}}}
  output: {text: /said}
  timeout: 60s
  mcp: {server: desk, tool: shout}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: reissue}
spec:
  risk: medium
  input:
    type: object
    required: [customer]
    properties: {customer: {type: string}, mode: {type: string}}
  output: {token: /token, echo: /echo}
  timeout: 60s
  deduplication: dedupes
  dry_run: describe
  execute: {mcp: {server: desk, tool: reissue, key_argument: key}}
  verify:
    {lookup: token-state, with: {customer: arguments.customer}, if: fields.valid == true, every: 50ms, within: 1s}
  undo: {mcp: {server: desk, tool: revoke, with: {customer: arguments.customer}}}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: no-such-tool}
spec:
  risk: low
  input: {type: object}
  timeout: 60s
  dry_run: describe
  execute: {mcp: {server: desk, tool: nonsense}}
  verify: {lookup: token-state, with: {customer: "'c'"}, if: fields.valid == true}
"""
USERS = ("token-state", "shout", "reissue", "no-such-tool")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def serving(state: Path) -> Iterator[str]:
    """The desk over HTTP."""
    port = free_port()
    command = [sys.executable, str(DESK), str(state), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(3000):
            assert process.poll() is None
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["stdio", "http"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings of a deployment with the desk, started or called."""
    state = tmp_path / "state.jsonl"
    if request.param == "stdio":
        command = (sys.executable, str(DESK), str(state))
        server = McpServer(command=command, credential="desk", variable="DESK_TOKEN")
        yield {
            "mcp": {"desk": server},
            "credentials": {"desk": Credential(CANARY, ("mcp:desk",), USERS)},
        }
    else:
        with serving(state) as url:
            server = McpServer(url=url, credential="desk")
            credential = Credential(CANARY, ("127.0.0.1",), USERS)
            yield {"mcp": {"desk": server}, "credentials": {"desk": credential}}


def did(folder: Path) -> list[dict[str, Any]]:
    state = folder / "state.jsonl"
    return [json.loads(line) for line in state.read_text().splitlines()] if state.exists() else []


async def test_an_action_is_carried_out_and_verified(tmp_path: Path, desk: dict[str, Any]) -> None:
    async with workshop(tmp_path, DECLARED, **desk) as scene:
        before = await scene.do("enrich", "token-state", {"customer": "c1"}, "valid")
        outcome = await scene.do(
            "action", "reissue", {"customer": "c1"}, "token", "echo", key="k-1"
        )
    assert before.fields == {"valid": False}
    assert outcome.outcome == "done", outcome
    assert outcome.fields["token"] == "t-k-1"
    assert outcome.fields["echo"] in (None, "***")
    (call,) = did(tmp_path)
    assert call["key"] == "k-1"
    assert call["meta"][KEY_META] == "k-1"
    started = desk["mcp"]["desk"].command
    assert call["secret"] == (CANARY if started else None)


async def test_what_cannot_be_verified_is_undone(tmp_path: Path, desk: dict[str, Any]) -> None:
    async with workshop(tmp_path, DECLARED, **desk) as scene:
        outcome = await scene.do("action", "reissue", {"customer": "c2", "mode": "lie"})
    assert (outcome.outcome, outcome.reason, outcome.undone) == ("failed", "verification", True)
    assert [one["tool"] for one in did(tmp_path)] == ["reissue-lie", "revoke"]


async def test_a_tool_that_refuses_did_nothing(tmp_path: Path, desk: dict[str, Any]) -> None:
    async with workshop(tmp_path, DECLARED, **desk) as scene:
        outcome = await scene.do("action", "reissue", {"customer": "c3", "mode": "refuse"})
        unknown = await scene.do("action", "no-such-tool", {})
    assert (outcome.outcome, outcome.reason) == ("failed", "refused")
    assert (unknown.outcome, unknown.reason) == ("failed", "refused")
    assert did(tmp_path) == []


async def test_a_tool_that_hangs_or_dies_leaves_it_open(
    tmp_path: Path, desk: dict[str, Any]
) -> None:
    async with workshop(tmp_path, DECLARED, **desk) as scene:
        assert (await scene.do("enrich", "token-state", {"customer": "c4"})).outcome == "done"
        hung = await scene.do(
            "action", "reissue", {"customer": "c4", "mode": "hang"}, timeout=10 * SECOND
        )
        assert (hung.outcome, hung.reason, hung.again) == ("uncertain", "timeout", True)
        died = await scene.do("action", "reissue", {"customer": "c5", "mode": "die"})
    assert died.outcome == "uncertain"
    assert [one["tool"] for one in did(tmp_path)] == ["reissue-hang", "reissue-die"]


async def test_a_dry_run_shows_the_call_and_makes_none(
    tmp_path: Path, desk: dict[str, Any]
) -> None:
    async with workshop(tmp_path, DECLARED, **desk) as scene:
        outcome = await scene.do("action", "reissue", {"customer": "c1"}, key="k", dry=True)
    assert outcome.outcome == "done"
    request = outcome.evidence["request"]
    assert (request["tool"], request["arguments"]) == ("reissue", {"customer": "c1", "key": "k"})
    assert request["credential"] == "***"
    assert did(tmp_path) == []


async def test_a_dry_run_may_be_a_tool_of_its_own(tmp_path: Path, desk: dict[str, Any]) -> None:
    trial = (
        "dry_run: {mcp: {server: desk, tool: token_state, with: {customer: arguments.customer}}}"
    )
    declared = DECLARED.replace(
        "dry_run: describe\n  execute: {mcp: {server: desk, tool: reissue",
        (f"{trial}\n  execute: {{mcp: {{server: desk, tool: reissue"),
    )
    async with workshop(tmp_path, declared, **desk) as scene:
        outcome = await scene.do("action", "reissue", {"customer": "c1"}, dry=True)
    assert (outcome.outcome, outcome.evidence["dry_run"]) == ("done", "asked")
    assert outcome.evidence["request"]["tool"] == "token_state"
    assert did(tmp_path) == []


async def test_a_server_that_is_not_there_was_never_asked(tmp_path: Path) -> None:
    servers = {
        "desk": McpServer(command=("/nowhere/at/all",)),
        "other": McpServer(url=f"http://127.0.0.1:{free_port()}/mcp"),
    }
    for name, server in servers.items():
        declared = DECLARED.replace("server: desk", f"server: {name}")
        async with workshop(tmp_path, declared, mcp={name: server}) as scene:
            outcome = await scene.do("action", "reissue", {"customer": "c1"})
        assert (outcome.outcome, outcome.reason, outcome.again) == ("failed", "unreachable", True)


async def test_a_server_on_loopback_has_to_be_allowed(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "mcp": {"desk": McpServer(url="http://127.0.0.1:9/mcp")},
        "outbound": Outbound(allow=("crm.internal",)),
    }
    async with workshop(tmp_path, DECLARED, **settings) as scene:
        outcome = await scene.do("action", "reissue", {"customer": "c1"})
    assert (outcome.outcome, outcome.reason) == ("failed", "blocked-address")


async def test_a_started_server_writes_its_log_where_the_settings_say(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "desk.log"
    command = (sys.executable, str(DESK), str(tmp_path / "state.jsonl"))
    for server in (McpServer(command=command), McpServer(command=command, log=str(log))):
        async with workshop(tmp_path, DECLARED, mcp={"desk": server}) as scene:
            outcome = await scene.do("enrich", "shout", {"text": "hi"}, "text")
        assert outcome.outcome == "done"
    assert "canary on standard error" in log.read_text()
    assert "canary on standard error" not in capfd.readouterr().err
