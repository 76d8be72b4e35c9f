"""A backtest over a Parquet file: on one core, on two, and DuckDB asking the same of the same file.

Here over a million events; ``bench_backtest_long`` takes ten. All are commands that start anew and take turns. With one process, we get one core; with two, and
for DuckDB's two threads, there are two. DuckDB answers the windows of the 20 policies as window
functions (``peers/duckdb/windows.sql``) once from the very file that we read, whose ``data`` it
has to parse, and once from a file that holds nothing but the columns that the windows need.
"""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks import workload
from benchmarks.figures import Figure
from benchmarks.peers.environment import python_of
from benchmarks.peers.questions import COLUMNS

QUICK = {"events": 300_000}

_SQL = Path(__file__).parent / "peers" / "duckdb" / "windows.sql"
_ASK = """
import sys, duckdb
with duckdb.connect(config={"threads": 2, "temp_directory": sys.argv[1]}) as database:
    print(len(database.execute(sys.stdin.read()).fetchall()))
"""
_FILE = "SELECT * FROM read_parquet('{path}')"
_PARSED = """SELECT seq, happened, type, subject, fields.* FROM (
    SELECT row_number() OVER () AS seq, time AS happened, type, subject,
        from_json(data, '{shape}') AS fields
    FROM read_parquet('{path}'))"""
_KINDS = {"text": "VARCHAR", "int": "BIGINT", "double": "DOUBLE"}


class Spent(msgspec.Struct, frozen=True):
    """What a command took: seconds by the clock and of the processor, and the bytes of memory that
    its largest process held at most."""

    wall: float
    cpu: float
    peak: int


def run(events: int = workload.EVENTS) -> list[Figure]:
    """Each way once, on the first ``events`` of the workload; and a tenth of them for memory."""
    of = f"{events / 1e6:g} M events"
    cores = sorted(os.sched_getaffinity(0))[:2]
    whole, tenth = history(events), history(events // 10)
    python = python_of("duckdb")
    with TemporaryDirectory() as folder:
        columns = Path(folder) / "columns.parquet"
        _spent([python, "-c", _ASK, folder], cores, _extracted(whole, columns))
        small = _spent(_ours(tenth, 1), cores[:1])
        one = _spent(_ours(whole, 1), cores[:1])
        two = _spent(_ours(whole, 2), cores)
        same = _spent([python, "-c", _ASK, folder], cores, _windows(_parsed(whole)))
        easier = _spent(
            [python, "-c", _ASK, folder], cores, _windows(_FILE.replace("{path}", str(columns)))
        )
    more = (one.peak - small.peak) / (events - events // 10)
    return [
        Figure(
            f"backtest of {of} on 2 cores, of the speed on one",
            one.wall / two.wall,
            "",
            "F7",
            at_least=1.6,
        ),
        Figure(
            f"backtest of {of} on 2 cores, of the speed of DuckDB's window functions on the same file",
            same.wall / two.wall,
            "",
            "F7",
            at_least=1.0,
        ),
        Figure(
            f"backtest of {of} on 2 cores, of the speed of DuckDB on extracted columns",
            easier.wall / two.wall,
            "",
            "F7",
        ),
        Figure(f"backtest of {of}, memory for each event more", more, "bytes", "F7"),
        *_spendings(f"backtest of {of} on one core", events, one),
        *_spendings(f"backtest of {of} on 2 cores", events, two),
        *_spendings(f"DuckDB's windows on {of}, the same file", events, same),
        *_spendings(f"DuckDB's windows on {of}, extracted columns", events, easier),
    ]


def _spendings(what: str, events: int, spent: Spent) -> list[Figure]:
    return [
        Figure(what, events / spent.wall, "events/s", "F7"),
        Figure(f"{what}, processor time", 1e6 * spent.cpu / events, "µs/event", "F7"),
        Figure(f"{what}, memory of its largest process", spent.peak / 1e6, "MB", "F7"),
    ]


def history(events: int) -> Path:
    """A Parquet file with the first ``events`` of the workload, kept from run to run."""
    path = workload.CACHE / f"history-{workload.VERSION}-{events}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        workload.write_parquet(unfinished, events)
        unfinished.rename(path)
    return path


def _ours(path: Path, jobs: int) -> list[str | Path]:
    return [
        sys.executable, "-m", "forestall", "backtest", workload.POLICIES, path,
        "--jobs", str(jobs), "--json",
    ]  # fmt: skip


def _parsed(path: Path) -> str:
    """The history as the windows read it, with the fields of ``data`` that they name."""
    shape = ", ".join(f'"{name}": "{_KINDS[kind]}"' for name, kind in COLUMNS.items())
    return _PARSED.replace("{shape}", f"{{{shape}}}").replace("{path}", str(path))


def _extracted(path: Path, columns: Path) -> str:
    return f"COPY ({_parsed(path)}) TO '{columns}' (COMPRESSION zstd)"


def _windows(events: str) -> str:
    before, _, after = _SQL.read_text().partition("(SELECT * FROM read_parquet('{events}'))")
    if not after:
        raise ValueError(f"{_SQL} no longer begins with the events")
    return f"{before}({events}){after}"


def _spent(
    command: Sequence[str | Path], cores: Collection[int], given: str | None = None
) -> Spent:
    """Run a command on ``cores`` with ``given`` as its input. Raises ``CalledProcessError``."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    started = time.perf_counter()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=sys.stderr
        )
    finally:
        os.sched_setaffinity(0, allowed)
    if process.stdin is None:
        raise ValueError("the process was started without its pipe")
    process.stdin.write((given or "").encode())
    process.stdin.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Spent(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
