"""What is known is kept up to date while the server runs, and what has expired is told."""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forestall.app.knowing import keep_reading, open_stock, tell
from forestall.context.knowledge.stock import Stock
from forestall.contracts.errors import InvalidFile
from forestall.contracts.instants import DAY, parse_time
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import METRICS

NOW = parse_time("2026-06-01T12:00:00Z")
TEXT = (
    "---\nid: {name}\ntitle: A title\nversion: 1\nowner: us\nreview_by: {day}\n---\n"
    "## Customer\n{words}\n"
)


def write(folder: Path, name: str, *, day: str = "2027-01-31", words: str = "Hello.") -> None:
    folder.mkdir(exist_ok=True)
    whole = folder / f"{name}.new"
    whole.write_text(TEXT.format(name=name, day=day, words=words))
    whole.rename(folder / f"{name}.md")


def counted(state: str) -> float | None:
    return METRICS.get_sample_value("forestall_knowledge_documents", {"state": state})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_deployment_without_runbooks_knows_nothing() -> None:
    assert open_stock(Settings()).runbooks == {}


def test_mistakes_at_the_start_are_told_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("no front matter")
    with pytest.raises(InvalidFile, match="front matter"):
        open_stock(Settings(runbooks=tmp_path))


def test_changes_are_used_and_broken_files_stay_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, "a")
    stock = open_stock(Settings(runbooks=tmp_path))
    used: list[dict[str, str]] = []

    def use(now: Stock) -> None:
        used.append({name: str(one.customer) for name, one in now.runbooks.items()})

    async def read() -> None:
        stop = asyncio.Event()
        reading = asyncio.create_task(keep_reading(stock, use, lambda: NOW, stop, every=0.01))
        await until(lambda: len(used) == 1)
        write(tmp_path, "b", words="Hello again.")
        await until(lambda: "b" in used[-1])
        (tmp_path / "a.md").write_text("no front matter any more")
        await until(lambda: counted("broken") == 1)
        stop.set()
        await reading

    with capture_logs() as lines:
        asyncio.run(read())
    assert sorted(used[-1]) == ["a", "b"]
    assert counted("current") == 2
    told = [line["event"] for line in lines]
    assert "runbooks reloaded" in told
    assert "runbooks have mistakes; the last good ones stay" in told


def test_what_expires_while_the_server_runs_is_told_once(tmp_path: Path) -> None:
    write(tmp_path, "a", day="2026-06-01")
    write(tmp_path, "b")
    stock = open_stock(Settings(runbooks=tmp_path))
    days, used = [0], list[list[str]]()

    async def read() -> None:
        stop = asyncio.Event()

        def now() -> int:
            return NOW + days[0] * DAY

        def use(stock: Stock) -> None:
            used.append(sorted(stock.current))

        reading = asyncio.create_task(keep_reading(stock, use, now, stop, every=0.01))
        await until(lambda: used == [["a", "b"]])
        days[0] = 1
        await until(lambda: used[-1] == ["b"])
        days[0] = 2
        await until(lambda: stock.day.day == 3)
        stop.set()
        await reading

    with capture_logs() as lines:
        asyncio.run(read())
    assert len(used) == 2
    warned = [line["documents"] for line in lines if line["log_level"] == "warning"]
    assert warned == [["a"]]
    assert (counted("current"), counted("expired")) == (1, 1)


def test_what_had_expired_at_the_start_is_told_too(tmp_path: Path) -> None:
    write(tmp_path, "a", day="2020-01-01")
    stock = open_stock(Settings(runbooks=tmp_path))
    stock.look(datetime.date(2026, 6, 1))
    with capture_logs() as lines:
        tell(stock)
    assert [line["documents"] for line in lines] == [["a"]]
