"""Run the benchmarks named on the command line, or all of them; figures as a table or as JSON."""

import argparse
import importlib
import os
import pkgutil
import platform
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.figures import Figure


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every benchmark ran."""
    names = [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name.startswith("bench_")
    ]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(n.removeprefix("bench_") for n in names))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    wanted = [f"bench_{name}" for name in options.names] or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    for name in wanted:
        print(f"{name.removeprefix('bench_')} ...", file=sys.stderr)
        figures += importlib.import_module(f"benchmarks.{name}").run()
    if options.json:
        print(msgspec.json.encode(figures).decode())
        return 0
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    table = Table("what", title=machine, title_justify="left")
    table.add_column("figure", justify="right")
    table.add_column("unit")
    for figure in figures:
        table.add_row(figure.what, f"{figure.value:,.1f}", figure.unit)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
