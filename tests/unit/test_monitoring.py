"""Looking for drift while serving: what is told, and that no trouble of it reaches the server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from forestall.app import monitoring
from forestall.app.monitoring import keep_looking, look
from forestall.kernel.settings import InvalidSettings, Monitor, Settings, load_settings
from forestall.kernel.telemetry import METRICS
from watched import WEEK, controls, decided, record, write


def settings(tmp_path: Path, later: float, every: str = "24h") -> Settings:
    """A deployment whose customers' feature is higher by ``later`` in the second week."""
    chance = np.random.default_rng(1)
    values = chance.normal(0, 1, (2, 300))
    values[1] += later
    happened = [
        decided(
            week * WEEK + 0.1 + at * 0.5, f"c{week}-{at}", features={"x": float(values[week, at])}
        )
        for week in (0, 1)
        for at in range(300)
    ]
    file = tmp_path / "forestall.toml"
    file.write_text(f'[server]\ndata = "data"\n[monitor]\nevery = "{every}"\n')
    found = load_settings(file)
    write(found.data, [record(0, "page.viewed"), *happened], controls(), 2 * WEEK)
    return found


def gauge(part: str) -> float | None:
    return METRICS.get_sample_value("forestall_monitor_alarms", {"part": part})


def looks(result: str) -> float:
    return METRICS.get_sample_value("forestall_monitor_looks_total", {"result": result}) or 0.0


def test_an_alarm_is_a_line_of_the_log_and_a_gauge(tmp_path: Path) -> None:
    before = looks("alarms")
    with capture_logs() as lines:
        assert asyncio.run(look(settings(tmp_path, later=1.5))) == "alarms"
    (line,) = lines
    assert (line["event"], line["part"], line["log_level"]) == ("drift", "population", "warning")
    assert (line["finding"]["policy"], line["finding"]["feature"]) == ("help", "x")
    assert gauge("population") == 1
    assert gauge("streams") == 0
    assert looks("alarms") == before + 1


def test_a_quiet_look_takes_the_alarm_back(tmp_path: Path) -> None:
    monitoring.ALARMS.labels("population").set(3)
    with capture_logs() as lines:
        assert asyncio.run(look(settings(tmp_path, later=0.0))) == "quiet"
    assert lines == []
    assert gauge("population") == 0


def owned(owner: str) -> float | None:
    return METRICS.get_sample_value("forestall_monitor_stream_alarms", {"owner": owner})


def test_alarms_about_streams_are_counted_by_who_owns_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [
        {"type": "payment.failed", "owner": owner, "check": check, "alarm": alarm}
        for owner, check, alarm in (
            ("payments", "volume", True),
            ("payments", "nulls", True),
            ("web", "volume", True),
            ("care", "freshness", False),
        )
    ]

    def found(streams: list[dict[str, Any]]) -> None:
        told = {"calibration": [], "population": [], "outcomes": [], "streams": streams}

        async def monitored(_: Settings) -> tuple[int, bytes, bytes]:
            return int(bool(streams)), json.dumps(told).encode(), b""

        monkeypatch.setattr(monitoring, "_monitored", monitored)
        with capture_logs() as lines:
            asyncio.run(look(Settings(data=tmp_path)))
        owners = [line["finding"]["owner"] for line in lines]
        assert owners == [one["owner"] for one in streams if one["alarm"]]

    found(streams)
    assert [owned(name) for name in ("payments", "web", "care")] == [2, 1, None]
    found(streams[2:])
    assert [owned(name) for name in ("payments", "web")] == [None, 1]
    found([])
    assert owned("web") is None


def test_a_look_that_fails_is_told_and_nothing_more(tmp_path: Path) -> None:
    before = looks("failed")
    with capture_logs() as lines:
        assert asyncio.run(look(Settings(data=tmp_path / "nowhere"))) == "failed"
    assert "not a server's data folder" in lines[0]["why"]
    assert looks("failed") == before + 1


def test_a_look_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with capture_logs() as lines:
        assert asyncio.run(look(settings(tmp_path, later=0.0), seconds=0.01)) == "failed"
    assert "more than 0 s" in lines[0]["why"]


def test_it_looks_at_the_interval_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, seen = asyncio.Event(), []

    async def count(found: Settings) -> None:
        seen.append(found)
        if len(seen) == 3:
            stop.set()

    monkeypatch.setattr(monitoring, "look", count)
    given = Settings(data=tmp_path, monitor=Monitor(every="1ms"))
    asyncio.run(asyncio.wait_for(keep_looking(given, stop), 60))
    assert seen == [given] * 3


def test_it_never_looks_where_the_settings_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(monitoring, "look", seen.append)

    async def stopped() -> None:
        stop = asyncio.Event()
        given = Settings(data=tmp_path, monitor=Monitor(every="0s"))
        waiting = asyncio.create_task(keep_looking(given, stop))
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        await asyncio.wait_for(waiting, 60)

    asyncio.run(stopped())
    assert not seen


def test_it_stops_while_it_waits(tmp_path: Path) -> None:
    async def stopped() -> None:
        stop = asyncio.Event()
        waiting = asyncio.create_task(keep_looking(Settings(data=tmp_path), stop))
        await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(waiting, 60)

    asyncio.run(stopped())


def test_an_interval_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"monitor\.every"):
        settings(tmp_path, 0.0, every="daily")
