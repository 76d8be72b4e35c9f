"""A whole managed server without a way out: a version in shadow decides beside the live version of
the same policy, and makes not one attempt to reach anybody.

The server runs in a network namespace that has nothing but loopback. The kernel counts every
attempt to go anywhere else (``OutNoRoutes``), also one that fails at once: the same version, once it
is live, shows that the count would have told.
"""

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from forestall.decide.shadow_report import NothingInShadow, ShadowReport, report
from forestall.intervene.store import Store
from forestall.measure.reading import Folder
from running import Server, cloud_event, running, until

PAT = "pat-0123456789abcdefghij"
MORE = f"""
[lifecycle]
managed = true
skip = ["backtested", "canary"]
shadow = "0s"
[people.pat]
token = "{PAT}"
roles = ["author", "publisher"]
[webhooks.hook]
url = "https://1.1.1.1/hook"
secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
[queues.care]
webhook = "hook"
"""
LIVE = """apiVersion: forestall/v1
kind: Policy
metadata: {name: failed, title: Help, owner: care}
spec:
  cooldown: 1h
  when: {sequence: [{event: payment.failed, times: 2}], within: 1h}
  playbook: [{guide: {text: "Shall we help?", channel: inapp}}]
"""
ACTING = """apiVersion: forestall/v1
kind: Policy
metadata: {name: failed, title: Help, owner: care}
spec:
  cooldown: 1h
  when: {event: payment.failed}
  playbook:
    - guide: {text: "Shall we help?", channel: hook}
    - escalate: {queue: care}
"""


def isolated() -> bool:
    """Whether this machine lets anybody have a network namespace."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.timeout(240)
@pytest.mark.skipif(not isolated(), reason="no network namespaces here")
def test_nothing_leaves_while_in_shadow_and_all_of_it_once_live(tmp_path: Path) -> None:
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    ended = subprocess.run(
        ["unshare", "-rn", sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "FORESTALL_TOKEN": PAT},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["attempts_in_shadow"] == 0
    assert told["attempts_once_live"] > 0
    found = told["report"]
    assert (found["live"], found["live_acts"]) == (2, 2)
    assert (found["shadow"], found["shadow_acts"]) == (4, 2)
    assert (found["gained"], found["lost"], found["subjects"]) == (2, 2, 2)
    assert {(row["live"], row["shadow"], row["moments"]) for row in found["totals"]} == {
        ("no decision", "intervene", 2),
        ("intervene", "suppress (cooldown)", 2),
    }
    assert told["helped"] == found["live_versions"] * 2
    assert found["version"] not in told["helped"]


# -- inside the namespace --------------------------------------------------------------------------


def loopback_up() -> None:
    """Set the only interface up: SIOCSIFFLAGS with IFF_UP and IFF_RUNNING."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x41))


def attempts() -> int:
    """How often anything in this namespace tried to go where there is no way."""
    names, numbers = (
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Ip:")
    )
    return int(numbers[names.index("OutNoRoutes")])


def _token(request: httpx.Request) -> httpx.Request:
    request.headers["authorization"] = f"Bearer {PAT}"
    return request


def promote(server: Server, state: str) -> None:
    answer = server.client.post(
        "/v1/lifecycle/promotions",
        json={"name": "failed", "to": state, "reason": "as planned"},
        auth=_token,
    )
    assert answer.status_code == 201, answer.text


def apply(server: Server, folder: Path, text: str) -> None:
    (folder / "failed.yaml").write_text(text)
    words = ("apply", str(folder), "--yes", "--no-backtest", "--reason", "a new one")
    ended = server.run(*words)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def compared(server: Server) -> ShadowReport | None:
    """The report; none while nothing is in shadow."""
    folder = Folder(server.data)
    try:
        return report(folder, "failed", 10)
    except NothingInShadow:
        return None
    finally:
        folder.close()


def acted(server: Server) -> list[str]:
    """The versions that customers were helped by."""
    store = Store(server.data / "app.db", read_only=True)
    try:
        return [store.decision(one.id)[0].version for one in store.newest(10)]
    finally:
        store.close()


def scenario(folder: Path) -> dict[str, Any]:
    """What came of it: the report, attempts to get out, and by which versions anybody was helped."""
    loopback_up()
    versions = folder / "versions"
    versions.mkdir()
    with running(folder, {}, MORE) as server:
        apply(server, versions, LIVE)
        promote(server, "shadow")
        promote(server, "live")
        apply(server, versions, ACTING)
        promote(server, "shadow")
        until(lambda: compared(server), 60)
        before = attempts()
        for number, customer in enumerate(("a", "b", "a", "b")):
            server.send([cloud_event(number, "payment.failed", customer)])
        until(server.settled, 60)
        until(lambda: len(acted(server)) == 2, 60)
        found, helped, silent = compared(server), acted(server), attempts() - before
        promote(server, "live")
        until(lambda: compared(server) is None, 60)
        server.send([cloud_event(9, "payment.failed", "c")])
        until(lambda: attempts() > before + silent, 60)
        return {
            "report": msgspec.to_builtins(found),
            "helped": helped,
            "attempts_in_shadow": silent,
            "attempts_once_live": attempts() - before - silent,
        }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scenario(Path(sys.argv[1]))))
