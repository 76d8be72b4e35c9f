"""Where a server listens: on an IPv6 address too, and its app process on this machine only."""

import socket
from pathlib import Path

import httpx
import pytest

from running import SETTINGS, Server, cloud_event, until

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards, owner: payments}
spec:
  when: {event: payment.declined}
  playbook:
    - guide: {text: "Try another card", channel: inapp}
"""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        pytest.param(
            "::1", "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
        ),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 what people write
    ],
)
def test_all_processes_find_each_other_wherever_the_gateway_listens(
    tmp_path: Path, host: str, asked: str
) -> None:
    server = Server(tmp_path)
    assert "[server]\n" in SETTINGS
    settings = server.config.read_text().replace("[server]\n", f'[server]\nhost = "{host}"\n')
    server.config.write_text(settings)
    (server.policies / "declined.yaml").write_text(POLICY)
    server.client.close()
    server.client = httpx.Client(
        base_url=f"http://{asked}:{server.port}", auth=("server-key", ""), timeout=10
    )
    server.start()
    try:
        sent = server.send([cloud_event(1, "payment.declined", "alice", data={})])
        assert sent.status_code == 202
        until(lambda: server.overview()["interventions"]["by_state"].get("started"))
        assert (server.data / "app.address").read_text().startswith("http://127.0.0.1:")
    finally:
        assert server.stop() == 0
        server.client.close()
    assert "Traceback" not in server.log.read_text()
    assert f"http://{f'[{host}]' if ':' in host else host}:{server.port}" in server.log.read_text()
