"""A real server for tests: ``forestall serve`` on free ports of loopback, in a folder of its own."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from commands import forestall
from forestall.kernel.clock import monotonic

SECRET = "0123456789abcdef0123456789abcdef"
SETTINGS = """
[server]
port = {port}
[policies]
folder = "policies"
[outbound]
allow = ["127.0.0.1"]
[tokens]
secret = "{secret}"
[[keys]]
name = "backend"
key = "server-key"
origin = "server"
[[keys]]
name = "web"
key = "browser-key"
origin = "browser"
"""


_tries = itertools.count(os.getpid())


def free_port() -> int:
    """A port nobody listens on, and nobody will take before it is used: below those that the system
    gives to connections, and of a range that other workers of the tests leave alone."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in _tries:
        port = 10_000 + worker % 4 * 5_000 + number % 5_000
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always another number")


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first truthy answer of ``holds``; fails the test if there is none in time. It asks ever
    less often: who asks takes the processor from those that it waits for."""
    deadline, pause = monotonic() + seconds, 0.01
    while monotonic() < deadline:
        answer = holds()
        if answer:
            return answer
        time.sleep(pause)
        pause = min(pause * 1.2, 0.1)
    raise AssertionError(f"not within {seconds} s: {holds}")


class Server:
    """One supervised server. ``client`` sends with the server key."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "forestall.toml"
        self.policies = folder / "policies"
        self.policies.mkdir(parents=True, exist_ok=True)
        self.config.write_text(SETTINGS.format(port=self.port, secret=SECRET) + more)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", auth=("server-key", ""), timeout=10
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "serve.log"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it and wait until all three processes work."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forestall", "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log,
            )
        until(self.ready, 60)

    def ready(self) -> bool:
        """Whether it accepts, decides and carries out."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            overview = self.client.get("/console/overview.json")
            return self.client.get("/readyz").status_code == overview.status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Stop it as an init system would; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def children(self) -> dict[str, int]:
        """Process ids by role."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {}
        for pid in children.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"--role" in words:
                found[words[words.index(b"--role") + 1].decode()] = int(pid)
        return found

    def kill(self, role: str) -> None:
        """Kill one process with -9 and wait until the supervisor has put another in its place."""
        old = until(lambda: self.children().get(role))
        os.kill(old, signal.SIGKILL)
        until(lambda: self.children().get(role) not in (None, old))

    def send(self, events: Sequence[dict[str, Any]]) -> httpx.Response:
        """Send CloudEvents in one batch."""
        return self.client.post(
            "/v1/events",
            json=list(events),
            headers={"content-type": "application/cloudevents-batch+json"},
        )

    def overview(self) -> dict[str, Any]:
        """What the console is told, once the app process is up."""

        def answered() -> dict[str, Any] | None:
            answer = self.client.get("/console/overview.json")
            return answer.json() if answer.status_code == 200 else None

        found: dict[str, Any] = until(answered)
        return found

    def settled(self) -> bool:
        """Whether everything accepted is decided; not while the app process is away."""
        return bool(self.overview().get("settled"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What ``forestall`` with ``arguments`` answers beside the server, in its folder. It runs in
        this process: only ``apart`` pays for one of its own."""
        return forestall(self.folder, *arguments)

    def apart(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What ``forestall`` with ``arguments`` answers in a process of its own, as in a shell."""
        command = [sys.executable, "-m", "forestall", *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )


@contextmanager
def running(folder: Path, policies: dict[str, str], more: str = "") -> Iterator[Server]:
    """A running server with these policy files; stopped and checked for tracebacks at the end."""
    server = Server(folder, more)
    for name, text in policies.items():
        (server.policies / name).write_text(text)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            assert server.stop() == 0, server.log.read_text()
        server.client.close()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def cloud_event(number: int, event_type: str, subject: str, **more: Any) -> dict[str, Any]:
    """A CloudEvent with a time of its own."""
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "test",
        "type": event_type,
        "subject": subject,
        **more,
    }
