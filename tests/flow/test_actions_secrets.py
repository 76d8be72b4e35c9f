"""A canary stands in for every secret: it reaches the other side, and no log, record, error or file.

And what is only tried, or would only be described, reaches nobody: proven in a network that is not
there.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from examples.shop.payments import Payments
from forestall.contracts.instants import SECOND
from forestall.intervene.actions.credentials import Credentials, Secret
from forestall.kernel.settings import Api, Credential, McpServer
from forestall.kernel.telemetry import exposition, set_up_logging
from workshops import CANARY, workshop

pytestmark = pytest.mark.anyio

SHOP = Path(__file__).parents[2] / "examples" / "shop" / "actions"
USERS = (
    "payment",
    "tokens",
    "receipts",
    "retry-charge",
    "reissue-token",
    "resend-receipt",
    "leaky",
)
LEAKY = """
apiVersion: forestall/v1
kind: Lookup
metadata: {name: leaky}
spec:
  input: {type: object, properties: {how: {type: string}}}
  output: {said: /said, deep: /deep}
  python: {call: "leaking:look", credential: payments}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: leaky}
spec:
  risk: low
  input: {type: object, properties: {how: {type: string}}}
  output: {said: /said}
  dry_run: {argument: dry}
  precondition: {lookup: leaky, with: {how: arguments.how}, if: "true"}
  execute: {python: {call: "leaking:act", credential: payments}}
  verify: {lookup: leaky, with: {how: arguments.how}, if: "true"}
"""
MODULE = """
import base64
from forestall.intervene.actions.python import Refused

def look(arguments, *, key, dry, credential):
    coded = base64.b64encode(credential.encode()).decode()
    return {"said": f"it is {credential}", "deep": [{"coded": coded, credential: [credential]}]}

async def act(arguments, *, key, dry, credential):
    if arguments["how"] == "refuse":
        raise Refused(f"I will not tell {credential}")
    if arguments["how"] == "raise":
        raise RuntimeError(f"boom {credential}")
    return {"said": f"bearer {credential}"}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Everything logged, by us and by libraries, at the finest level."""
    stream = StringIO()
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    set_up_logging(stream=stream, level="DEBUG")
    for noisy in ("httpx", "httpcore", "mcp", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.NOTSET)
    yield stream
    logging.basicConfig(handlers=handlers, level=level, force=True)
    structlog.reset_defaults()


def secretless(folder: Path, *texts: str) -> None:
    """The canary is in none of the texts, in no file below ``folder``, in no metric."""
    for text in texts:
        assert CANARY not in text
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".py":
            assert CANARY.encode() not in file.read_bytes(), file
    assert CANARY.encode() not in exposition()[0]


async def test_a_secret_reaches_the_provider_and_nothing_else(
    tmp_path: Path, logged: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracing)
    with Payments("127.0.0.1", 0, CANARY) as provider:
        provider.add("p1")
        settings: dict[str, Any] = {
            "credentials": {"payments": Credential(CANARY, ("127.0.0.1",), USERS)},
            "apis": {"payments": Api(f"http://127.0.0.1:{provider.port}")},
        }
        async with workshop(tmp_path, SHOP, **settings) as scene:
            assert (await scene.do("enrich", "payment", {"payment": "p1"}, "status")).fields
            for trouble in ("", "error", "down", "redirect", "busy", "lie"):
                provider.trouble = {"resendReceipt": trouble} if trouble else {}  # type: ignore[dict-item]
                for dry in (False, True):
                    await scene.do(
                        "action", "resend-receipt", {"payment": "p1"}, timeout=2 * SECOND, dry=dry
                    )
            assert provider.resent, "the provider was given the right secret"
            shown = repr([scene.settings, scene.workshop, vars(scene.workshop)])
        told = logged.getvalue()
        assert "resend-receipt" in told
        assert "send_request_headers" in told, "libraries do log here"
    traced = "".join(span.to_json() for span in spans.get_finished_spans())
    secretless(tmp_path, told, shown, traced)


async def test_a_server_that_sends_the_secret_back_is_not_believed_to_be_alone(
    tmp_path: Path, logged: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaking.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    credentials = {"payments": Credential(CANARY, (), USERS)}
    async with workshop(tmp_path, LEAKY, credentials=credentials) as scene:
        found = await scene.do("enrich", "leaky", {"how": "x"}, "said", "deep")
        assert found.fields["said"] == "it is ***"
        assert found.fields["deep"] == [{"coded": "***", "***": ["***"]}]
        done = await scene.do("action", "leaky", {"how": "well"}, "said")
        assert (done.outcome, done.fields) == ("done", {"said": "bearer ***"})
        refused = await scene.do("action", "leaky", {"how": "refuse"})
        assert (refused.reason, refused.detail) == ("refused", "I will not tell ***")
        broken = await scene.do("action", "leaky", {"how": "raise"})
        assert (broken.outcome, broken.reason) == ("uncertain", "uncertain")
        assert broken.detail == "leaking:act raised RuntimeError"
        await scene.do("action", "leaky", {"how": CANARY}, dry=True)
    secretless(tmp_path, logged.getvalue())


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(CANARY)
    assert (repr(secret), str(secret), f"{secret}") == ("***", "***", "***")
    assert secret.reveal() == CANARY
    credentials = Credentials({"a": Credential(CANARY), "b": Credential(f"{CANARY}/+&x")})
    assert CANARY not in repr(credentials)
    hidden = credentials.hide([CANARY, f"x{CANARY}/+&xy", {"k": (CANARY,)}, 5, None])
    assert hidden == ["***", "x***y", {"k": ["***"]}, 5, None]
    assert credentials.hide(f"?token={CANARY}%2F%2B%26x") == "?token=***"


SHUT = """
import asyncio, json, sys
from pathlib import Path
from forestall.channels.outbound import outbound
from forestall.intervene.actions.load import load_workshop
from forestall.intervene.jobs import Job
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Api, Credential, Outbound, Settings

async def main(folder):
    users = ("payment", "tokens", "receipts", "retry-charge", "reissue-token", "resend-receipt")
    settings = Settings(
        data=folder / "data",
        actions=folder / "actions",
        outbound=Outbound(allow=("127.0.0.1",)),
        credentials={"payments": Credential("0123456789", ("127.0.0.1",), users)},
        apis={"payments": Api("http://127.0.0.1:8082")},
    )
    async with outbound(settings.outbound) as client:
        async with load_workshop(settings, client=client, clock=wall_clock) as workshop:
            for name, arguments in (
                ("resend-receipt", {"payment": "p1"}),
                ("reissue-token", {"customer": "c1"}),
                ("retry-charge", {"payment": "p1"}),
            ):
                job = Job(kind="action", name=name, arguments=arguments)
                outcome = await workshop.perform(job, "k", dry=True)
                print(json.dumps([name, outcome.outcome, outcome.reason, "request" in outcome.evidence]))
            real = await workshop.perform(Job(kind="action", name="resend-receipt", arguments={"payment": "p1"}), "k")
            print(json.dumps(["real", real.outcome, real.reason, True]))

asyncio.run(main(Path(sys.argv[1])))
"""


def isolated() -> list[str]:
    """The command that runs another in a network of its own, without any address; empty if that
    is not allowed here."""
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--net", *(["--map-root-user"] if os.geteuid() else [])]
    works = (
        unshare
        and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    )
    return command if works else []


def test_a_dry_run_is_complete_where_there_is_no_network(tmp_path: Path) -> None:
    """Where namespaces are not allowed the same holds, as nobody listens at the address."""
    (tmp_path / "actions").mkdir()
    for file in SHOP.iterdir():
        text = file.read_text().replace("dry_run: {argument: dry_run}", "dry_run: describe")
        (tmp_path / "actions" / file.name).write_text(text)
    answer = subprocess.run(
        [*isolated(), sys.executable, "-c", SHUT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("[")]
    assert lines == [
        ["resend-receipt", "done", None, True],
        ["reissue-token", "done", None, True],
        ["retry-charge", "failed", "unreachable", True],
        ["real", "failed", "unreachable", True],
    ]


async def test_a_credential_stays_with_its_server(tmp_path: Path) -> None:
    """A started server gets the one credential that is meant for it, and nothing of ours besides."""
    text = """
apiVersion: forestall/v1
kind: Lookup
metadata: {name: leaky}
spec:
  input: {type: object}
  output: {environment: /environment}
  timeout: 60s
  mcp: {server: desk, tool: environment}
"""
    server = tmp_path / "server.py"
    server.write_text(
        "import os\nfrom mcp.server.mcpserver import MCPServer\nserver = MCPServer('x')\n"
        "@server.tool()\ndef environment() -> dict:\n"
        "    return {'environment': sorted(os.environ)}\nserver.run('stdio')\n"
    )
    os.environ["FORESTALL_OTHER_SECRET"] = "other"
    try:
        desk = McpServer(
            command=(sys.executable, str(server)), credential="payments", variable="ONLY_THIS"
        )
        credentials = {"payments": Credential(CANARY, ("mcp:desk",), USERS)}
        async with workshop(tmp_path, text, mcp={"desk": desk}, credentials=credentials) as scene:
            found = await scene.do("enrich", "leaky", {}, "environment")
    finally:
        del os.environ["FORESTALL_OTHER_SECRET"]
    assert "ONLY_THIS" in found.fields["environment"]
    assert "FORESTALL_OTHER_SECRET" not in found.fields["environment"]
