"""A real ``forestall serve`` for benchmarks, in a folder of its own, and what its processes use."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SECRET = "0123456789abcdef0123456789abcdef"
KEY = "server-key"
ROLES = ("gateway", "worker", "app")
_SETTINGS = f"""
[server]
port = {{port}}
[policies]
folder = "policies"
[tokens]
secret = "{SECRET}"
[[keys]]
name = "backend"
key = "{KEY}"
origin = "server"
"""


class Served:
    """A server that runs in ``folder``, its ``port``, and its process ids by role."""

    def __init__(self, folder: Path, port: int, pids: Mapping[str, int]) -> None:
        self.folder, self.port, self.pids = folder, port, pids

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far, by role."""
        tick = os.sysconf("SC_CLK_TCK")
        found = {}
        for role, pid in self.pids.items():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[role] = (int(fields[11]) + int(fields[12])) / tick
        return found

    def memory(self) -> dict[str, float]:
        """Resident memory by role, in MB."""
        page = os.sysconf("SC_PAGE_SIZE") / 1e6
        return {
            role: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
            for role, pid in self.pids.items()
        }


@contextmanager
def served(
    folder: Path,
    policies: Mapping[str, str],
    *,
    more: str = "",
    modules: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """A server with these policy files, ``more`` of settings, and for some roles another module
    than ``forestall`` to run; stopped at the end. Raises ``RuntimeError`` if it does not start."""
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    for name, text in policies.items():
        (folder / "policies" / name).write_text(text)
    port = _free_port()
    config = folder / "forestall.toml"
    config.write_text(_SETTINGS.format(port=port) + more)
    with (folder / "serve.log").open("wb") as log:
        processes = {
            role: subprocess.Popen(
                [sys.executable, "-m", *_command(role, modules or {}), "--config", str(config)],
                stdout=log,
                stderr=log,
            )
            for role in ROLES
        }
        try:
            _await(folder, port, processes)
            yield Served(folder, port, {role: one.pid for role, one in processes.items()})
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def _command(role: str, modules: Mapping[str, str]) -> list[str]:
    return [modules[role]] if role in modules else ["forestall", "serve", "--role", role]


def _await(folder: Path, port: int, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and all(p.poll() is None for p in processes.values()):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/console/overview.json"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{(folder / 'serve.log').read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
