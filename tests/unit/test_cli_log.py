import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from forestall.cli.log import app
from forestall.contracts.control import ServiceState, SwitchesApplied
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import CloudEvent, Record
from forestall.intervene.store import Store
from forestall.log import streams
from forestall.log.port import LogMissing
from forestall.log.sqlite import SqliteLog


def record(number: int, data: bytes = b'{"sku":"a"}') -> Record:
    return Record(
        f"e-{number}",
        "https://shop.example",
        "cart.viewed",
        f"p-{number % 2}",
        number * 1_000_000,
        number * 1_000_000,
        "browser",
        msgspec.Raw(data),
    )


DECISION = Decision(
    id="d-1",
    policy="card-declined",
    version="v",
    mode="live",
    subject="p-1",
    key=None,
    at="1970-01-01T00:00:03.000000Z",
    outcome="suppress",
    reason="cooldown",
    matched=("e-3",),
    features={},
    explanation="Helped a minute ago.",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as a server leaves it: three batches of signals, a decision, two controls."""
    gateway = SqliteLog(tmp_path / "gateway.db")
    gateway.commit([streams.signals([record(1), record(2)])])
    gateway.commit([streams.signals([record(3)])])
    gateway.commit([streams.signals([record(4), record(5), record(6)])], tick=6_000_000)
    gateway.close()
    worker = SqliteLog(tmp_path / "worker.db")
    worker.commit(
        [
            streams.control(
                [
                    SwitchesApplied(1, ("p",), False, "anna", "too chatty"),
                    ServiceState(2, "payments", "degraded"),
                ]
            ),
            streams.decisions([Decided(2, 1, 3_000_000, DECISION)]),
        ],
        cursors={"worker": 3, "worker-tick": 3_000_000},
        snapshots={"engine": b"123"},
    )
    worker.close()
    store = Store(tmp_path / "app.db")
    with store.transaction():
        store.move("signals", 2)
        store.move("decisions", 1)
    store.close()
    return tmp_path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines(*arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]


def test_tail_shows_the_newest_signals_oldest_first(folder: Path) -> None:
    shown = run("tail", "--data", folder, "-n", 4).stdout.splitlines()
    assert len(shown) == 4
    assert shown[0].startswith("1970-01-01T00:00:03.000000Z  cart.viewed  p-1  browser")
    assert shown[-1].endswith('{"sku":"a"}')
    assert len(run("tail", "--data", folder).stdout.splitlines()) == 6
    assert run("tail", "--data", folder, "-n", 0).stdout == ""


def test_tail_as_json_is_a_history(folder: Path) -> None:
    shown = run("tail", "--data", folder, "--json").stdout.splitlines()
    events = [msgspec.json.decode(line, type=CloudEvent) for line in shown]
    assert [event.id for event in events] == [f"e-{number}" for number in range(1, 7)]
    assert events[0].received == "1970-01-01T00:00:01.000000Z"
    assert (events[0].subject, events[0].origin) == ("p-1", "browser")
    assert events[0].data == msgspec.Raw(b'{"sku":"a"}')


def test_tail_shows_decisions_with_their_reason(folder: Path) -> None:
    (line,) = run("tail", "--data", folder, "--stream", "decisions").stdout.splitlines()
    assert "card-declined  p-1  suppress (cooldown)  Helped a minute ago." in line
    (decision,) = lines("tail", "--data", folder, "--stream", "decisions")
    assert (decision["id"], decision["reason"]) == ("d-1", "cooldown")


def test_tail_shows_control_records(folder: Path) -> None:
    switches, service = run("tail", "--data", folder, "--stream", "control").stdout.splitlines()
    assert switches.endswith("switches  off: p  by anna  too chatty")
    assert service.endswith('service  payments  "degraded"')
    assert [one["kind"] for one in lines("tail", "--data", folder, "--stream", "control")] == [
        "switches",
        "service",
    ]


def test_a_senders_escape_codes_do_not_reach_the_terminal(folder: Path) -> None:
    log = SqliteLog(folder / "gateway.db")
    log.commit([streams.signals([record(7, '{"a":"\x9b31m\u202e"}'.encode())])])
    log.close()
    shown = run("tail", "--data", folder, "-n", 1).stdout
    assert "\x9b" not in shown
    assert "\u202e" not in shown


def test_the_settings_name_the_folder(folder: Path) -> None:
    settings = folder / "forestall.toml"
    settings.write_text('[server]\ndata = "."\n')
    assert len(lines("tail", "--config", settings)) == 6


def test_following_goes_on_with_what_comes(folder: Path) -> None:
    command = "-m forestall log tail -n 1 --follow --json --data"
    follower = subprocess.Popen(
        [sys.executable, *command.split(), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert isinstance(follower.stdout, io.TextIOBase)
        assert json.loads(follower.stdout.readline())["id"] == "e-6"
        log = SqliteLog(folder / "gateway.db")
        log.commit([streams.signals([record(7), record(8)])])
        log.close()
        assert [json.loads(follower.stdout.readline())["id"] for _ in range(2)] == ["e-7", "e-8"]
        follower.send_signal(2)
        _, errors = follower.communicate(timeout=10)
        assert (follower.returncode, errors) == (0, "")
    finally:
        follower.kill()
        follower.communicate()


def test_stats_counts_each_file(folder: Path) -> None:
    gateway, worker, of_app = json.loads(run("stats", "--data", folder, "--json").stdout)
    assert gateway["file"] == "gateway.db"
    (signals,) = gateway["log"]["streams"]
    assert (signals["stream"], signals["batches"], signals["items"]) == ("signals", 3, 6)
    assert (signals["first"], signals["last"]) == (2_000_000, 6_000_000)
    assert gateway["log"]["tick"] == 6_000_000
    assert [one["stream"] for one in worker["log"]["streams"]] == ["control", "decisions"]
    assert (worker["cursors"], worker["log"]["snapshots"]) == (
        {"worker": 3, "worker-tick": 3_000_000},
        {"engine": 3},
    )
    assert (of_app["file"], of_app["cursors"]) == ("app.db", {"signals": 2, "decisions": 1})


def test_stats_for_people_names_everything(folder: Path) -> None:
    shown = run("stats", "--data", folder).stdout
    for text in ("gateway.db", "worker.db: cursors: worker 3", "signals 2, decisions 1", "control"):
        assert text in shown
    assert "worker-tick 1970-01-01T00:00:03.000000Z" in shown


def test_a_folder_without_a_log_is_told(tmp_path: Path) -> None:
    for command in ("tail", "stats"):
        with pytest.raises(LogMissing, match="start"):
            run(command, "--data", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
