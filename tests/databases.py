"""A real PostgreSQL for tests: Debian's, in a folder of its own, reached through a Unix socket."""

import atexit
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

_INITDB = "--auth=trust --username=postgres --encoding=UTF8 --no-locale --no-sync -D"
_FAST = ("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=60")
_numbers = itertools.count(1)


def _binaries() -> Path:
    """Where the newest server's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "tests need a PostgreSQL server: apt-get install postgresql (scripts/servers.sh)"
    return found[-1].parent


class Postgres:
    """One server. ``stop`` and ``start`` are an outage; nothing committed is lost over it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forestall-pg-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        initdb = [str(_binaries() / "initdb"), *_INITDB.split(), str(self.folder / "data")]
        self._spawn(initdb).wait()
        self.start()

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "stderr").open("ab") as errors:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                user=self._user,
                extra_groups=[] if self._user else None,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-c", "listen_addresses="]
        self._server = self._spawn([str(_binaries() / "postgres"), *where, *_FAST])
        while True:
            assert self._server.poll() is None, (self.folder / "stderr").read_text()
            try:
                psycopg.connect(host=str(self.folder), user="postgres").close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait()

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{next(_numbers)}"
        with psycopg.connect(host=str(self.folder), user="postgres", autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy TEMPLATE template0")
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def close(self) -> None:
        """Stop it for good and remove it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def postgres() -> Postgres:
    """The one server of this test process, started when it is first asked for."""
    server = Postgres()
    atexit.register(server.close)
    return server
