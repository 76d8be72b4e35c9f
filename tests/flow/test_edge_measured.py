"""The report of a server whose pages decide a share: what it would be if the server decided all."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import forestall
from flow.test_edge import BATCH, Page, decided
from forestall.contracts.decision import Decided
from forestall.contracts.edge import DECIDED
from forestall.contracts.instants import DAY, HOUR, SECOND, format_time, parse_time
from forestall.decide.backtest import features_of
from forestall.decide.engine import Engine
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.reading import Folder
from forestall.measure.trails import TICKET
from running import Server, cloud_event, running, until

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: lost, title: Help who is lost, owner: web}
spec:
  edge: true
  when: {event: page.failed}
  holdout: 0.4
  cooldown: 1d
  in_conversation: allow
  playbook: [{guide: {text: "Lost?", channel: inapp}}]
"""
SETTINGS = """
[ingest]
clock = "event"
[decide]
salt = "measured"
holdout = 0.3
"""
BEGIN = parse_time("2024-05-01T12:00:00Z")
CUSTOMERS, DECIDING = 600, 60
"""Customers, and those of them whose page decides: the first, in either visit."""

VISITS = (0, 3 * DAY)


def send(server: Server, page: Page, *events: tuple[int, str, int, dict[str, Any]]) -> None:
    """When, what, of whom and with which data; from the customers' backend."""
    made = [
        cloud_event(next(page.numbers), kind, f"c{who}", time=format_time(at), data=data)
        for at, kind, who, data in events
    ]
    for start in range(0, len(made), 200):
        answer = server.client.post("/v1/events", json=made[start : start + 200], headers=BATCH)
        assert {one["verdict"] for one in answer.json()["verdicts"]} == {"accepted"}


def visit(server: Server, pages: list[Page], start: int) -> None:
    """Everybody's page fails. Who has a page that decides is told of by it, in front of that."""
    policy = pages[0].bundle()["lost"]
    for number, page in enumerate(pages):
        at = start + number * SECOND
        told, failed = page.decides(policy, at, **outcome(page.given()["holdout"]))
        verdicts = page.tell(told, failed | {"type": "page.failed"})
        assert [one["verdict"] for one in verdicts] == ["accepted", "accepted"]
    later = range(len(pages), CUSTOMERS)
    send(server, pages[0], *((start + one * SECOND, "page.failed", one, {}) for one in later))


def outcome(holdout: dict[str, Any]) -> dict[str, Any]:
    """What a page of that pass decides, where no gate refuses."""
    for reason, inside in {
        "policy_holdout": holdout["policies"]["lost"],
        "global_holdout": holdout["global"],
    }.items():
        if inside:
            return {"outcome": "holdout", "reason": reason}
    return {"outcome": "intervene"}


def tickets(start: int) -> Iterator[tuple[int, str, int, dict[str, Any]]]:
    """Every third customer writes, some twice."""
    for hours in (5, 30):
        for one in range(0, CUSTOMERS, 3 if hours == 5 else 9):
            said = {"ticket": f"{one}-{start}-{hours}", "channel": "chat"}
            yield start + hours * HOUR + one * SECOND, TICKET, one, said


def without_pages(data: Path, made: Path) -> None:
    """A data folder of the same events without what pages told, all decided by the server's engine."""
    made.mkdir()
    source, engine = Folder(data), Engine()
    signals, worker = SqliteLog(made / "gateway.db"), SqliteLog(made / "worker.db")
    controls = source.controls()
    engine.keep(features_of(controls))
    for one in controls:
        engine.control(one)
    worker.commit([streams.control(controls)])
    for batch in source.signals.follow(streams.SIGNALS):
        kept = [one for one in streams.read_signals(batch) if one.type != DECIDED]
        (position,) = signals.commit([streams.signals(kept)])
        entries = [
            Decided(position, order, kept[order // 2].received, one)
            for order, one in engine.process(kept)
        ]
        if entries:
            worker.commit([streams.decisions(entries)])
    signals.commit(tick=source.signals.tick())
    for log in (source, signals, worker):
        log.close()


@pytest.mark.timeout(240)
def test_what_pages_decide_changes_no_number_of_the_report(tmp_path: Path) -> None:
    with running(tmp_path, {"lost.yaml": POLICY}, SETTINGS) as server:
        public = Page(server, "nobody").public
        pages = [Page(server, f"c{number}", public) for number in range(DECIDING)]
        everybody = range(CUSTOMERS)
        send(server, pages[0], *((BEGIN - DAY + one, "page.viewed", one, {}) for one in everybody))
        for start in VISITS:
            visit(server, pages, BEGIN + start)
            send(server, pages[0], *tickets(BEGIN + start))
        send(server, pages[0], (BEGIN + 40 * DAY, "page.viewed", 0, {}))
        until(server.settled)
        assert server.stop() == 0
    _who_decided(server)
    alone = tmp_path / "alone"
    without_pages(server.data, alone)
    for more in ([], ["--policy", "lost"]):
        with_pages, by_server = (report(tmp_path, folder, *more) for folder in ("data", "alone"))
        told = with_pages.pop("events") - by_server.pop("events")
        assert told == len(VISITS) * DECIDING, "what pages told are events too"
        assert with_pages == by_server
    (own,) = (one for one in with_pages["experiments"] if one["kind"] == "policy")
    assert sum(own["counted"].values()) > 300
    # Of a thousand splits by chance one is so uneven that no number is told.
    assert own["figures"] or own["refused"]["code"] == "sample-ratio"


def report(folder: Path, data: str, *more: str) -> dict[str, Any]:
    """The report on a data folder."""
    made = forestall(folder, "report", data, "--json", *more)
    assert made.stdout, made.stderr
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def _who_decided(server: Server) -> None:
    """Pages decided for theirs in all arms, and the server for the others; once each."""
    fates = Counter((one.get("edge", False), one["reason"] or "none") for one in decided(server))
    acts = [(one["subject"], one["at"]) for one in decided(server) if one["outcome"] != "suppress"]
    assert len(acts) == len(set(acts)) == len(VISITS) * CUSTOMERS
    assert fates[False, "cooldown"] == sum(fates[True, arm] for arm in ARMS) == 2 * DECIDING
    assert all(fates[page, arm] for page in (True, False) for arm in ARMS)


ARMS = ("none", "policy_holdout", "global_holdout")
