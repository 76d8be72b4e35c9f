"""The whole server with its tables in PostgreSQL, also over an outage of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from databases import postgres
from flow.test_stops import HOOK, Page, busy_hook
from running import cloud_event, running, until

GUIDING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: guiding, title: Guiding, owner: web}
spec:
  when: {event: page.failed}
  cooldown: 0s
  playbook:
    - guide: {text: "Sorry.", channel: inapp}
    - guide: {text: "Sorry.", channel: hook}
    - await: {event: page.viewed, for: 10m, then: helped}
"""


@pytest.mark.timeout(180)
def test_a_server_keeps_its_tables_in_postgresql_and_outlives_its_outage(tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.write_text(postgres().database())
    more = f'[database]\nurl = "file:{url}"\n'
    with (
        busy_hook() as (port, asked),
        running(tmp_path, {"guiding.yaml": GUIDING}, more + HOOK.format(port=port)) as server,
    ):

        def listed() -> list[dict[str, Any]]:
            found = server.run("interventions", "list", "--json")
            assert found.returncode == 0, found.stderr
            return msgspec.json.decode(found.stdout, type=list[dict[str, Any]])

        server.send([cloud_event(1, "page.viewed", name) for name in ("ann", "bob")])
        ann, bob = Page(server, "ann"), Page(server, "bob")
        until(lambda: ann.told("current") and bob.told("current"))
        server.send([cloud_event(2, "page.failed", "ann")])
        until(lambda: ann.told("message"))
        until(lambda: asked)
        (one,) = listed()
        assert (one["policy"], one["outcome"]) == ("guiding", "running")
        postgres().stop()
        sent = server.send(
            [cloud_event(3, "page.failed", "bob"), cloud_event(4, "page.viewed", "ann")]
        )
        assert sent.status_code == 202
        refused = server.run("interventions", "list")
        assert refused.returncode == 2
        before = len(asked)
        lost = Page(server, "ann")
        until(lambda: not lost.listening)
        assert lost.told("current") is None, "it is not told that nothing holds"
        assert "[database] url" in refused.stderr
        postgres().start()
        until(lambda: bob.told("message"), 60)
        until(lambda: [one["outcome"] for one in listed()] == ["running", "helped"], 60)
        until(lambda: len(asked) >= before + 2, 60)
        assert not (server.data / "app.db").exists()
        assert not (server.data / "dbos.db").exists()


@pytest.mark.timeout(180)
def test_a_server_that_is_started_again_at_once_finds_its_tables(tmp_path: Path) -> None:
    """PostgreSQL sees only by and by that whoever held the lock has gone."""
    more = f'[database]\nurl = "{postgres().database()}"\n'
    with running(
        tmp_path, {"guiding.yaml": GUIDING.replace("channel: hook", "channel: inapp")}, more
    ) as server:
        server.kill("app")
        until(server.ready)
        assert server.stop() == 0
        server.start()
        assert server.run("interventions", "list", "--json").stdout.strip() == "[]"
