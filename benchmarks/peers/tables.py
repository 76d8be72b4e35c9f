"""The peers' figures as Markdown."""

from benchmarks.figures import number
from benchmarks.report import Report


def markdown(report: Report) -> str:
    """A line on the machine, then a table; in brackets the lowest and the highest of the rounds."""
    lines = [
        "# Forestall and its peers",
        "",
        "Written by `make bench-peers`; [what is compared, and how](peers/README.md).",
        f"Measured on: {report.machine.words}.",
        "",
        "| peer | what | measured | target | met |",
        "|---|---|---|---|---|",
    ]
    for bench in report.benches:
        for result in bench.results:
            met = {True: "yes", False: "**no**", None: ""}[result.met]
            measured = (
                f"{number(result.median)} {result.unit} "
                f"({number(result.low)} to {number(result.high)})"
            )
            cells = (
                f"{bench.name}, {bench.runs} rounds",
                result.what,
                measured,
                result.target,
                met,
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
