"""``forestall knowledge gaps`` over a data folder: the deployment's own knowledge, policies, agents."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flow.intervening import START, applied, event
from forestall.cli.knowledge_gaps import gaps
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY
from forestall.log import streams
from forestall.log.sqlite import SqliteLog

app = typer.Typer()
app.command("gaps")(gaps)

SETTINGS = """
[runbooks]
folder = "runbooks"
[knowledge]
searches = {"help.searched" = "query"}
"""
RUNBOOK = """---
id: card-declined
title: Your card was declined
version: 3
owner: payments
review_by: {review_by}
---
## Customer
Most banks decline a card when a number is mistyped or a limit is reached.
"""
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: cards, title: Cards}
spec:
  when: {event: declined}
  playbook:
    - guide: {text: "Hello", channel: inapp}
    - guide: {runbook: card-declined, channel: inapp}
---
apiVersion: forestall/v1
kind: Policy
metadata: {name: slow, title: Slow}
spec:
  when: {event: slow}
  playbook:
    - escalate: {queue: payments}
---
apiVersion: forestall/v1
kind: Policy
metadata: {name: planned, title: Planned}
spec:
  when: {event: asked}
  playbook:
    - plan: {agent: helper, with: {text: event.data.text}, queue: payments}
"""
VERSIONS = {one.name: one.version for one in applied(POLICY).policies}


def told(what: str, seconds: float, subject: str, policy: str, **more: Any) -> Record:
    data = {"intervention": f"i-{subject}", "policy": policy, "version": VERSIONS[policy], **more}
    return event(f"forestall.intervention.{what}", seconds, subject, **data)


def search(seconds: float, subject: str, query: str) -> Record:
    return event("help.searched", seconds, subject, query=query)


RECORDS = [
    search(-40 * DAY / 1e6, "old", "crocodile leather"),
    search(1, "a", "why was my card declined"),
    search(2, "a", "gift voucher balance for eve@example.com"),
    search(3, "b", "gift voucher balance"),
    search(3, "c", "balance of a gift voucher"),
    search(3, "d", "gift voucher balance"),
    told("shown", 4, "a", "cards", step=2),
    told("dismissed", 5, "a", "cards", step=2),
    told("shown", 4, "b", "cards", step=1),
    told("dismissed", 5, "b", "cards", step=1),
    told("escalated", 6, "c", "slow"),
    told("failed", 6, "d", "planned", step=1, reason="bad-arguments"),
    told("escalated", 7, "d", "planned"),
    event("forestall.knowledge.voted", 7, "b", runbook="card-declined", version=3, helpful=False),
]


def deployment(folder: Path, *records: Record, settings: str = SETTINGS) -> None:
    (folder / "forestall.toml").write_text(settings)
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "card.md").write_text(RUNBOOK.format(review_by="2030-01-01"))
    data = folder / "data"
    data.mkdir()
    signals, own = SqliteLog(data / "gateway.db"), SqliteLog(data / "worker.db")
    own.commit([streams.control([applied(POLICY)])])
    now = START + DAY
    signals.commit([streams.signals(records)] if records else [], tick=now)
    own.close()
    signals.close()


def run(folder: Path, *arguments: str) -> Any:
    words = ["--data", str(folder / "data"), "--config", str(folder / "forestall.toml")]
    return CliRunner().invoke(app, [*words, *arguments])


def test_gaps_of_a_deployment(tmp_path: Path) -> None:
    deployment(tmp_path, *RECORDS)
    answer = run(tmp_path, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert [(gap["about"], gap["name"], gap["customers"]) for gap in found["gaps"]] == [
        ("words", "gift voucher balance", 4),
        ("runbook", "card-declined@3", 2),
        ("policy", "slow", 1),
    ]
    words, runbook, _ = found["gaps"]
    assert (found["searches"], found["unanswered"], found["more"]) == (5, 4, 0)
    assert words["trend"] == "new"
    assert runbook["by"] == {"dismissed": 1, "voted": 1}
    assert "eve@example.com" not in answer.stdout
    assert "gift voucher balance for [email-1]" in words["examples"]


def test_they_are_printed_for_people(tmp_path: Path) -> None:
    deployment(tmp_path, *RECORDS)
    answer = run(tmp_path, "--limit", "2")
    assert answer.exit_code == 0, answer.output
    first, _, row, *_ = lines = answer.stdout.splitlines()
    assert first.endswith("4 customers; 4 of 5 searches without a good answer.")
    assert row.split()[:4] == ["4", "100", "%", "of"]
    assert "write an article or a runbook about: gift voucher balance" in row
    assert "revise card-declined@3" in answer.stdout
    assert "slow" not in answer.stdout
    assert lines[-1] == "1 more; see them with --limit"
    assert "example.com" not in answer.stdout


def test_what_expired_answers_nothing(tmp_path: Path) -> None:
    deployment(tmp_path, search(1, "a", "why was my card declined"))
    (tmp_path / "runbooks" / "card.md").write_text(RUNBOOK.format(review_by="2020-01-01"))
    found = json.loads(run(tmp_path, "--json").stdout)
    assert [gap["name"] for gap in found["gaps"]] == ["card declined"]


def test_how_far_back(tmp_path: Path) -> None:
    deployment(tmp_path, *RECORDS)
    found = json.loads(run(tmp_path, "--json", "--since", "60d").stdout)
    assert "crocodile leather" in [gap["name"] for gap in found["gaps"]]


def test_nothing_is_missing(tmp_path: Path) -> None:
    deployment(tmp_path, search(1, "a", "card declined"))
    assert run(tmp_path).stdout.startswith("No gaps since 2023-10-16; 0 of 1 searches")


def test_without_searches_in_the_settings_it_says_so(tmp_path: Path) -> None:
    deployment(tmp_path, *RECORDS, settings='[runbooks]\nfolder = "runbooks"\n')
    answer = run(tmp_path)
    assert "searches are not looked at" in answer.stdout
    assert "revise card-declined@3" in answer.stdout


def test_a_page_tells_it_all(tmp_path: Path) -> None:
    deployment(tmp_path, *RECORDS, search(9, "a", "<b>crocodile</b> leather"))
    page = tmp_path / "gaps.html"
    assert run(tmp_path, "--html", str(page)).exit_code == 0
    text = page.read_text()
    assert "<h1" in text
    assert "write an article or a runbook about: gift voucher balance" in text
    for title in ("Asked for, and not there", "Read, and no help", "Policies without words"):
        assert title in text
    assert "gift voucher balance for [email-1]" in text
    assert "&lt;b&gt;crocodile&lt;/b&gt; leather" in text
    assert "<b>" not in text
    assert "eve@example.com" not in text
    assert "<script" not in text


def test_a_page_of_one_gap_counts_as_people_do(tmp_path: Path) -> None:
    deployment(tmp_path, search(1, "a", "crocodile leather"))
    page = tmp_path / "gaps.html"
    run(tmp_path, "--html", str(page))
    assert "1 gap concerns 1 customer. The largest:" in page.read_text()
    assert "1 of 1 searches had no good answer." in page.read_text()


def test_a_page_without_searches_says_nothing_of_them_and_shortens_ids(tmp_path: Path) -> None:
    deployment(tmp_path, *RECORDS, settings='[runbooks]\nfolder = "runbooks"\n')
    page = tmp_path / "gaps.html"
    shown = json.loads(run(tmp_path, "--html", str(page), "--json").stdout)
    text = page.read_text()
    assert "searches had" not in text
    named = [one for gap in shown["gaps"] for one in gap["examples"]]
    assert named
    assert all(one[:12] in text for one in named)
    assert not any(len(one) > 12 and one in text for one in named)


def test_a_page_of_no_gaps_says_so(tmp_path: Path) -> None:
    deployment(tmp_path, search(1, "a", "card declined"))
    page = tmp_path / "gaps.html"
    run(tmp_path, "--html", str(page))
    assert "There is no gap." in page.read_text()
    assert "Read, and no help" not in page.read_text()
    nowhere = run(tmp_path, "--html", str(tmp_path / "no" / "gaps.html"))
    assert "cannot be written" in str(nowhere.exception)


@pytest.mark.parametrize("missing", ["gateway.db", "worker.db"])
def test_a_folder_of_something_else(tmp_path: Path, missing: str) -> None:
    deployment(tmp_path)
    (tmp_path / "data" / missing).unlink()
    answer = run(tmp_path)
    assert answer.exit_code != 0
    assert "not a server's data folder" in str(answer.exception)
