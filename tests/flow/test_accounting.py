"""The accounting of a whole server: what came in, what was decided on, and what waits."""

import re
from pathlib import Path

from running import Server, cloud_event, running, until


def figures(server: Server) -> dict[str, float]:
    """Every sample of ``/metrics`` of the front door and the worker, by name and labels."""
    text = server.client.get("/metrics").text
    found = re.findall(r"^(forestall_(?:ingest|decide)\S*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_what_came_in_and_what_was_decided_agree_exactly(tmp_path: Path) -> None:
    with running(tmp_path, {}) as server:
        at_home = cloud_event(1, "home.viewed", "alice", data={})
        visit = {**cloud_event(2, "home.viewed", ""), "anonymousid": "visitor-0123456789"}
        late = {**cloud_event(3, "home.viewed", "alice"), "time": "2020-01-01T00:00:00Z"}
        bad = {**cloud_event(4, "home.viewed", "alice"), "time": "1970-01-01T00:00:00Z"}
        joined = {
            **cloud_event(5, "forestall.identify", "alice", data={"traits": {}}),
            "anonymousid": "visitor-0123456789",
        }
        answer = server.send([at_home, visit, late, bad, joined, at_home])
        verdicts = [entry["verdict"] for entry in answer.json()["verdicts"]]
        assert verdicts == [
            "accepted", "accepted", "late", "quarantined", "accepted", "duplicate",
        ]  # fmt: skip

        def settled() -> dict[str, float] | None:
            now = figures(server)
            done = now['forestall_decide_events_total{result="decided"}'] >= 4
            return now if done and not now["forestall_decide_pending_events"] else None

        now = until(settled)
        came = {
            verdict: now[f'forestall_ingest_events_total{{verdict="{verdict}"}}']
            for verdict in ("accepted", "duplicate", "quarantined", "shed")
        }
        assert now["forestall_ingest_received_total"] == sum(came.values()) == 6
        assert now["forestall_ingest_joins_total"] == 1
        results = {
            result: now[f'forestall_decide_events_total{{result="{result}"}}']
            for result in ("decided", "late", "duplicate")
        }
        assert results == {"decided": 4, "late": 1, "duplicate": 0}
        assert came["accepted"] + 1 == sum(results.values())
