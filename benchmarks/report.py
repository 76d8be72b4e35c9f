"""Results on disk and in the documents: ``results.json``, and a table between two markers."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.figures import Result, number
from benchmarks.machine import Machine

BEGIN = "<!-- bench table begins -->"
END = "<!-- bench table ends -->"


class Bench(msgspec.Struct, frozen=True):
    """The results of one benchmark, and the median fsync (milliseconds) while it ran."""

    name: str
    runs: int
    fsync_ms: float
    load: float
    results: list[Result]


class Report(msgspec.Struct, frozen=True):
    """All that was measured on one machine; ``benches`` are in the order of their names."""

    machine: Machine
    benches: list[Bench] = []

    def including(self, bench: Bench) -> "Report":
        """This report with ``bench`` in the place of an older one of that name."""
        others = [one for one in self.benches if one.name != bench.name]
        return Report(self.machine, sorted([*others, bench], key=lambda one: one.name))


def load(path: Path, machine: Machine) -> Report:
    """The report in ``path`` if it is of ``machine``; else an empty one.

    A file of another shape, from an older version, counts as none.
    """
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (FileNotFoundError, msgspec.ValidationError):
        return Report(machine)
    return report if report.machine == machine else Report(machine)


def save(path: Path, report: Report) -> None:
    """Write ``report`` to ``path``, in lines that compare well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def markdown(report: Report) -> str:
    """The report as Markdown: the machine, and a table of all figures, those with goals first."""
    results = [result for bench in report.benches for result in bench.results]
    lines = [
        f"Measured on: {report.machine.words}. Medians of "
        f"{min((bench.runs for bench in report.benches), default=0)} runs or more, each in fresh "
        f"processes; in brackets the lowest and the highest. {_surroundings(report.benches)}",
        "",
        "| goal | what | measured | target | met |",
        "|---|---|---|---|---|",
        *(_row(result) for result in sorted(results, key=_place)),
    ]
    return "\n".join(lines) + "\n"


def _surroundings(benches: Iterable[Bench]) -> str:
    fsyncs = sorted(bench.fsync_ms for bench in benches)
    if not fsyncs:
        return "Nothing has been measured."
    return f"An fsync took {number(fsyncs[0])} to {number(fsyncs[-1])} ms meanwhile."


def _place(result: Result) -> tuple[bool, int, str, bool]:
    """Goals in their order, what has a target first; then what has no goal."""
    digits = "".join(filter(str.isdigit, result.id))
    return not result.id, int(digits or 0), result.bench, result.met is None


def _row(result: Result) -> str:
    met = {True: "yes", False: "**no**", None: ""}[result.met]
    unit = f" {result.unit}" if result.unit else ""
    spread = f"({number(result.low)} to {number(result.high)})"
    measured = f"{number(result.median)}{unit} {spread}"
    cells = (result.id, result.what, measured, result.target, met)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def between_markers(page: str, table: str) -> str:
    """``page`` with ``table`` between the markers, which it must have: ``ValueError``."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{table}{END}{after}"
