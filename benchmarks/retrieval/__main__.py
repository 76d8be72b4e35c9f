"""Measure retrieval on public questions and answers; write and show what was found."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Result, number, summarise
from benchmarks.machine import Machine, describe
from benchmarks.report import between_markers
from benchmarks.retrieval.asking import Finding, ask
from benchmarks.retrieval.collections import for_choosing, for_results
from benchmarks.retrieval.scores import LEVEL, RESAMPLES, Quality, Score
from benchmarks.retrieval.speed import SEARCHES, measure
from forestall.context.knowledge.embeddings import load_embeddings

ROOT = Path(__file__).parents[2]
DATA = ROOT / ".cache" / "retrieval"
JSON = ROOT / "benchmarks" / "retrieval.json"
TABLE = ROOT / "benchmarks" / "retrieval.md"
PAGE = ROOT / "docs" / "explanation" / "retrieval.md"
RUNS = 5


class Retrieval(msgspec.Struct, frozen=True):
    """All that was found on one machine."""

    machine: Machine
    runs: int
    findings: list[Finding]
    speed: list[Result]


def main(arguments: Sequence[str] | None = None) -> int:
    """Always 0: a target that is missed is told, not punished."""
    parser = argparse.ArgumentParser(prog="make bench-retrieval", description=__doc__)
    parser.add_argument(
        "--development", action="store_true", help="the collections for choosing; writes nothing"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of the speed (%(default)s)")
    options = parser.parse_args(arguments)
    chosen = for_choosing(DATA) if options.development else for_results(DATA)
    embeddings = load_embeddings()
    findings = [ask(one, chosen, embeddings) for one in chosen]
    english = [one for one in chosen if one.language == "en"]
    speed = [
        result
        for how in (None, embeddings)
        for result in summarise("retrieval", [measure(english, how) for _ in range(options.runs)])
    ]
    found = Retrieval(describe(), options.runs, findings, speed)
    print(markdown(found))
    if not options.development:
        JSON.write_text(json.dumps(msgspec.to_builtins(found), indent=1) + "\n")
        TABLE.write_text("# Retrieval\n\n" + markdown(found))
        PAGE.write_text(between_markers(PAGE.read_text(), markdown(found)))
    return 0


def markdown(found: Retrieval) -> str:
    """The tables: what was found, what has no answer, and how fast."""
    lines = [
        f"In brackets the {LEVEL} % interval, by {RESAMPLES:,} bootstrap resamples of the "
        "questions.",
        "",
        "| collection | questions | search | recall@1 | recall@5 | MRR |",
        "|---|---|---|---|---|---|",
        *(row for one in found.findings for row in _rows(one)),
        "",
        "| collection | own questions without an answer | questions of others | refused |",
        "|---|---|---|---|",
        *(
            f"| {_name(one)} | {one.unanswered:.1%} of {one.questions} | "
            f"{one.foreign or ''} | {f'{one.refused:.1%}' if one.foreign else ''} |"
            for one in found.findings
        ),
        "",
        f"Measured on: {found.machine.words}. Medians of {found.runs} runs of {SEARCHES:,} "
        "searches; in brackets the lowest and the highest.",
        "",
        "| what | measured | target | met |",
        "|---|---|---|---|",
        *(_speed_row(one) for one in found.speed),
    ]
    return "\n".join(lines) + "\n"


def _rows(finding: Finding) -> list[str]:
    start = f"| {_name(finding)} | {finding.questions} "
    rows = [f"{start}| words (BM25) | {_cells(finding.words)} |"]
    if finding.fused is not None and finding.gain is not None:
        rows.append(f"{start}| words and meaning, fused | {_cells(finding.fused)} |")
        rows.append(f"{start}| gained by fusion | {_cells(finding.gain, sign='+')} |")
    return rows


def _name(finding: Finding) -> str:
    return f"{finding.name}, {finding.language}"


def _cells(quality: Quality, sign: str = "") -> str:
    return " | ".join(_cell(one, sign) for one in (quality.recall_1, quality.recall_5, quality.mrr))


def _cell(score: Score, sign: str) -> str:
    return f"{score.mean:{sign}.3f} ({score.low:{sign}.3f} to {score.high:{sign}.3f})"


def _speed_row(result: Result) -> str:
    met = {True: "yes", False: "**no**", None: ""}[result.met]
    measured = (
        f"{number(result.median)} {result.unit} ({number(result.low)} to {number(result.high)})"
    )
    return f"| {result.what} | {measured} | {result.target} | {met} |"


if __name__ == "__main__":
    sys.exit(main())
