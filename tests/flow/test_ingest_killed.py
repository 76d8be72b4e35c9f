"""A gateway killed with -9: what it acknowledged is in the log, once."""

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx

from running import free_port
from serving import SERVER, event, logged, settings


class Gateway:
    """``forestall serve --role gateway`` as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "forestall.toml"
        self._config.write_text(
            f'[server]\nport = {self.port}\n[[keys]]\nname = "k"\nkey = "{SERVER}"\n'
            'origin = "server"\n'
        )
        self._log = (folder / "stderr").open("ab")

    def start(self) -> None:
        command = [sys.executable, "-m", "forestall", "serve", "--role", "gateway"]
        self.process = subprocess.Popen(
            [*command, "--config", str(self._config)], stderr=self._log, stdout=self._log
        )
        pause = Event()
        for _ in range(1000):
            assert self.process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                pause.wait(0.02)
        raise AssertionError("it never became ready")

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)

    def close(self) -> None:
        self._log.close()


def test_what_was_acknowledged_survives_and_nothing_is_there_twice(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.start()
    finished, acknowledged = Event(), set[str]()

    def send(sender: int) -> None:
        pause = Event()
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{gateway.port}",
            headers={"x-write-key": SERVER},
            timeout=10,
        )
        for number in range(10_000):
            if finished.is_set():
                client.close()
                return
            batch = [event(f"{sender}-{number}-{i}", subject=f"u{i}") for i in range(5)]
            while True:
                try:
                    answer = client.post("/v1/events", json=batch)
                except httpx.HTTPError:
                    pause.wait(0.02)
                    continue
                assert answer.status_code == 202
                acknowledged.update(one["id"] for one in batch)
                break

    with ThreadPoolExecutor(3) as senders:
        running = [senders.submit(send, sender) for sender in range(3)]
        for _ in range(3):
            before = len(acknowledged)
            while len(acknowledged) < before + 100:
                assert not any(one.done() for one in running)
                finished.wait(0.01)
            assert gateway.stop(signal.SIGKILL) == -9
            gateway.start()
        finished.set()
        for one in running:
            one.result()
    assert gateway.stop(signal.SIGTERM) == 0
    gateway.close()
    ids = [record.id for record in logged(settings(tmp_path))]
    assert len(ids) == len(set(ids))
    assert acknowledged <= set(ids)
    assert len({record.subject for record in logged(settings(tmp_path))}) == 5
    assert b"Traceback" not in (tmp_path / "stderr").read_bytes()
