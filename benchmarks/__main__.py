"""Run the benchmarks named, or all but the long ones, several times each; write and show results."""

import argparse
import os
import pkgutil
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import benchmarks
from benchmarks.figures import Result, number, summarise
from benchmarks.machine import describe
from benchmarks.once import Run
from benchmarks.report import Bench, Report, between_markers, load, markdown, save

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "explanation" / "speed.md"
RUNS, QUICK_RUNS = 5, 3
LIMIT = 3600.0
"""Seconds that one run may take."""

LONG = "_long"
"""How the name of a benchmark ends that is run only when it is named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all ran, 1 when one failed. Targets that are missed are told, not punished."""
    names = [
        module.name.removeprefix("bench_")
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name.startswith("bench_")
    ]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(names))
    parser.add_argument(
        "--quick", action="store_true", help="small runs, three of each, kept apart"
    )
    parser.add_argument("--runs", type=int, help=f"how many runs of each (default {RUNS})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    runs = options.runs or (QUICK_RUNS if options.quick else RUNS)
    path = CACHE / "quick.json" if options.quick else RESULTS
    machine = describe()
    done: list[Bench] = []
    wanted = options.names or [name for name in names if not name.endswith(LONG)]
    failed = []
    for name in wanted:
        bench = _measured(name, runs, options.quick)
        if bench is None:
            failed.append(name)
            continue
        done.append(bench)
        save(path, load(path, machine).including(bench))
    if not options.quick and done:
        PAGE.write_text(between_markers(PAGE.read_text(), markdown(load(path, machine))))
    _show(Report(machine, done), as_json=options.json)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured(name: str, runs: int, quick: bool) -> Bench | None:
    found: list[Run] = []
    load_before = os.getloadavg()[0]
    columns = TextColumn("{task.description:12}"), BarColumn(20), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=runs)
        for _ in range(runs):
            run = _once(name, quick)
            if run is None:
                return None
            found.append(run)
            progress.advance(task)
    return Bench(
        name,
        runs,
        round(median(run.fsync_ms for run in found), 3),
        round(load_before, 2),
        summarise(name, [run.figures for run in found]),
    )


def _once(name: str, quick: bool) -> Run | None:
    """One run in a fresh process; none, with its last words shown, when it fails."""
    folder = CACHE / "tmp" / f"{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.once", name, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            capture_output=True,
            timeout=LIMIT,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=Run)
    except subprocess.CalledProcessError as error:
        print(error.stderr.decode(errors="replace")[-4000:], file=sys.stderr)
    except (subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        print(f"{name}: {error}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(report).decode())
        return
    table = Table("goal", "what", title=report.machine.words, title_justify="left")
    for column in ("median", "lowest", "highest"):
        table.add_column(column, justify="right")
    for column in ("unit", "target", "met"):
        table.add_column(column)
    for bench in report.benches:
        for result in bench.results:
            table.add_row(*_cells(result))
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cells(result: Result) -> tuple[str, ...]:
    spread = (number(value) for value in (result.median, result.low, result.high))
    met = {True: "yes", False: "NO", None: ""}[result.met]
    return (result.id, result.what, *spread, result.unit, result.target, met)


if __name__ == "__main__":
    sys.exit(main())
