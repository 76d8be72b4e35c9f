"""Quarantine from end to end: kept encrypted, listed, shown, and let in after a fix."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from forestall.cli.quarantine import app
from forestall.contracts.errors import ForestallError
from forestall.contracts.event import decode_data
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.kernel.settings import Settings
from serving import BROWSER, SERVER, Counters, Running, event, running, settings, verdicts

NOW = parse_time("2026-03-01T12:00:00Z")
PAID = {
    "x-owner": "shop",
    "x-origins": ["browser", "server"],
    "type": "object",
    "properties": {"amount": {"type": "number"}, "coupon": {"type": "string"}},
    "required": ["amount"],
}


def deployment(folder: Path) -> Settings:
    (folder / "contracts").mkdir()
    contract(folder, "order.paid", PAID)
    return settings(folder, contracts=folder / "contracts")


def contract(folder: Path, type_: str, schema: Any) -> None:
    (folder / "contracts" / f"{type_}.v1.json").write_bytes(msgspec.json.encode(schema))


@contextmanager
def commands(folder: Path, server: Running | None = None) -> Iterator[Any]:
    """Runs ``forestall quarantine`` against ``server``, or against nothing."""
    port = server.base.rpartition(":")[2] if server else "1"
    config = folder / "forestall.toml"
    config.write_text(f'[server]\nport = {port}\n[contracts]\nfolder = "contracts"\n')
    runner = CliRunner()

    def run(*arguments: str) -> tuple[int, str]:
        outcome = runner.invoke(app, [*arguments, "--config", str(config)])
        if isinstance(outcome.exception, ForestallError):
            return outcome.exception.exit_code, str(outcome.exception)
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
        return outcome.exit_code, outcome.output

    yield run


def test_events_come_in_after_a_fix_with_their_time_id_and_origin(tmp_path: Path) -> None:
    plain = deployment(tmp_path)
    with running(plain, clock=lambda: NOW) as server:
        batch = [
            event("1", "order.paid", data={"amount": "five"}),
            event("2", "order.lost", data={"why": "x"}),
            event("3", "order.paid", data={"amount": 5}),
        ]
        told = verdicts(server.post("/v1/events", batch, BROWSER))
        assert told == ["invalid-data", "unknown-contract", "accepted"]
        assert verdicts(server.post("/v1/events", batch[:1], BROWSER)) == ["invalid-data"]
        call = {"messageId": "4", "userId": "u1", "event": "Order Lost", "properties": {"why": "y"},
                "timestamp": "2026-03-01T11:59:00Z", "sentAt": "2026-03-01T11:59:50Z"}  # fmt: skip
        assert verdicts(server.post("/v1/track", call)) == ["unknown-contract"]
    with commands(tmp_path) as run:
        code, text = run("list", "--json")
        assert code == 0
        entries = json.loads(text)
        assert {(e["event"], e["code"], e["key"], e["path"]) for e in entries} == {
            ("1", "invalid-data", "web", "/data/amount"),
            ("2", "unknown-contract", "web", "/type"),
            ("4", "unknown-contract", "shop", "/type"),
        }
        assert {e["received"] for e in entries} == {"2026-03-01T12:00:00.000000Z"}
        assert "order" in run("list")[1]
        first = next(e["entry"] for e in entries if e["event"] == "1")
        shown = json.loads(run("show", first)[1])
        assert json.loads(shown["sent"]) == batch[0]
        assert shown["origin"] == "browser"
        assert run("show", "nothing") == (1, "There is no entry nothing in quarantine.\n")
        code, text = run("retry", "--all")
        assert code == 1
        assert "forestall serve" in text
    contract(tmp_path, "order.lost", {**PAID, "properties": {"why": {}}, "required": []})
    with running(plain, clock=lambda: NOW + 600 * SECOND) as server:
        counters = Counters()
        with commands(tmp_path, server) as run:
            code, text = run("retry", first, "missing")
            assert code == 1
            assert f"{first} quarantined: invalid-data: " in text
            assert "There is no entry missing in quarantine." in text
            code, text = run("retry", "--all", "--json")
            assert code == 1
            retried = {one["id"]: one["verdict"] for one in json.loads(text)}
            assert retried == {"1": "quarantined", "2": "late", "4": "late"}
            assert len(json.loads(run("list", "--json")[1])) == 1
        assert counters.since() == {
            "received": 4, "accepted": 2, "duplicate": 0, "quarantined": 2, "shed": 0, "late": 2,
        }  # fmt: skip
        contract(tmp_path, "order.paid", {**PAID, "properties": {"amount": {}}})
        records = {record.id: record for record in server.records()}
    assert decode_data(records["2"].data) == {"why": "x"}
    assert (records["2"].origin, records["4"].origin) == ("browser", "server")
    assert format_time(records["2"].time) == "2026-03-01T12:00:00.000000Z"
    assert format_time(records["4"].time) == "2026-03-01T11:59:10.000000Z"
    assert records["4"].source == "segment:shop"
    with running(plain, clock=lambda: NOW) as server, commands(tmp_path, server) as run:
        assert run("retry", "--all")[0] == 0
        assert run("retry", "--all") == (0, "")
        assert run("list")[1] == "The quarantine is empty.\n"
        assert json.loads(run("list", "--json")[1]) == []
        assert verdicts(server.post("/v1/events", batch, BROWSER)) == ["duplicate"] * 3


def test_retrying_is_for_those_who_have_the_data_folder(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        answer = server.post("/v1/quarantine/retries", {"all": True})
        assert (answer.status_code, answer.json()["code"]) == (403, "internal-only")
        assert server.post("/v1/quarantine/retries", {"all": True}, None).status_code == 401
        key = (server.settings.data / "internal.key").read_text()
        answer = server.post("/v1/quarantine/retries", {"all": 5}, key)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-json")


def test_a_stolen_control_event_stays_out_however_often_it_is_retried(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        assert verdicts(server.post("/v1/events", event("1", "forestall.optout"), BROWSER)) == [
            "subject-token-required"
        ]
        with commands(tmp_path, server) as run:
            code, text = run("retry", "--all")
        assert code == 1
        assert "subject-token-required" in text
        assert server.records() == []


def test_ids_that_look_like_markup_are_listed_as_they_are(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        sent = [event("[/x]", "Payment Failed"), event("[red]", "Payment Failed"), {"id": 7}]
        assert verdicts(server.post("/v1/events", sent)) == ["invalid-envelope"] * 3
        with commands(tmp_path, server) as run:
            code, text = run("list")
    assert code == 0
    assert "[/x]" in text
    assert "[red]" in text
    assert "None" not in text


def test_the_way_to_the_server_is_no_proxys_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings(tmp_path)) as server:
        assert verdicts(server.post("/v1/events", event("1", "Payment Failed"))) == [
            "invalid-envelope"
        ]
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        with commands(tmp_path, server) as run:
            code, text = run("retry", "--all")
    assert code == 1
    assert "quarantined: invalid-envelope" in text


def test_bytes_that_are_no_text_are_kept_and_shown(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        body = b'[{"id":"1","source":"s","type":"a","subject":"u","data":{"t":"\xff"}}]'
        answer = server.post("/v1/events", body)
        assert verdicts(answer) == ["invalid-json"]
        (told,) = answer.json()["verdicts"]
        assert told["message"].endswith("byte 6 (0xFF) is not UTF-8; encode it as UTF-8")
        with commands(tmp_path, server) as run:
            (entry,) = json.loads(run("list", "--json")[1])
            assert "\\xff" in json.loads(run("show", entry["entry"])[1])["sent"]


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "x", "--all"], ["list"]])
def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: list[str]) -> None:
    with commands(tmp_path) as run:
        code, text = run(*arguments)
    assert code == 2
    assert text
    assert SERVER not in text


def test_the_oldest_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forestall.ingest.quarantine.KEPT", 3)
    with running(deployment(tmp_path)) as server, commands(tmp_path, server) as run:
        for number in range(5):
            server.post("/v1/events", [event(str(number), "order.lost", data={})])
        code, told = run("list", "--json")
        assert code == 0
        assert sorted(entry["event"] for entry in json.loads(told)) == ["2", "3", "4"]
