"""``forestall policy test``: the cases in policy files, with coverage, for people and for CI."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from forestall.cli.contracts import Json
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.junit import Case, junit
from forestall.cli.writing import write
from forestall.contracts.instants import format_duration
from forestall.decide.coverage import Coverage, coverage
from forestall.decide.examine import Examined, examine
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import Settings
from forestall.policy.bundle import policy_files, read_policies, require_policies
from forestall.policy.deployment import load_bundle

_MARKS = {
    "event": " ",
    "met": " ",
    "missing": "!",
    "unexpected": "!",
    "end": " ",
}
_WORDS = {
    "event": "{}",
    "met": "{}  <- decided, as expected",
    "missing": "{}  <- expected, but not decided",
    "unexpected": "{}  <- decided, but not expected",
    "end": "{}",
}


class Result(msgspec.Struct, frozen=True):
    """A case that ran, the file it stands in, and how long it took."""

    examined: Examined
    file: str
    seconds: float


def run(
    paths: Annotated[list[Path], typer.Argument(help="Policy files, or folders of them.")],
    config: ConfigOption = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Write the results to this file as JUnit XML.")
    ] = None,
    with_coverage: Annotated[
        bool,
        typer.Option(
            "--coverage",
            help="Show how much of each policy the tests try, and what they leave untried.",
        ),
    ] = False,
    min_coverage: Annotated[
        int,
        typer.Option(min=0, max=100, help="Fail when a policy's tests try less than this percent."),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Run the tests in policy files, in simulated time, each policy by itself.

    Coverage counts the sides of steps (reached; a negative one came, or stayed away), conditions
    (true, false) and gates (passed, refused). Exit code 1 when a test fails, a policy's coverage
    is too low, or a file has mistakes, 2 where there is no policy.
    """
    for path in paths:
        require_policies(path)
    settings = settings_for(config)
    results, covered = _run(paths, settings, with_coverage or min_coverage > 0)
    failed = sum(not one.examined.passed for one in results)
    low = [one for one in covered if one.percent < min_coverage]
    if junit_file is not None:
        _write(junit_file, results, covered)
    if as_json:
        typer.echo(msgspec.json.encode(_rows(results, covered)).decode())
    else:
        for one in results:
            typer.echo("\n".join(_told(one)))
        for tried in covered:
            typer.echo("\n".join(_covered(tried, min_coverage)))
        typer.echo(f"{len(results) - failed} passed, {failed} failed")
        if low:
            names = ", ".join(one.policy for one in low)
            typer.echo(f"coverage is below {min_coverage} %: {names}")
    if failed or low:
        raise typer.Exit(1)


def _run(
    paths: list[Path], settings: Settings, wanted: bool
) -> tuple[list[Result], list[Coverage]]:
    results: list[Result] = []
    covered: list[Coverage] = []
    for path in paths:
        bundle = load_bundle(path, settings)
        files = {
            policy.name: str(file)
            for file in policy_files(path)
            for policy in read_policies([file])[0]
        }
        for policy in bundle.policies:
            started = monotonic()
            for examined in examine(bundle, policy, settings.decide):
                now = monotonic()
                results.append(Result(examined, files[policy.name], now - started))
                started = now
            if wanted:
                covered.append(coverage(bundle, policy, settings.decide))
    return results, covered


def _rows(results: list[Result], covered: list[Coverage]) -> Any:
    tests = [
        {
            "policy": one.examined.policy,
            "test": one.examined.case.name,
            "file": one.file,
            "line": one.examined.case.line,
            "passed": one.examined.passed,
            "differences": one.examined.differences,
            "decisions": [str(made) for made in one.examined.made],
        }
        for one in results
    ]
    if not covered:
        return tests
    rows = [
        {"policy": one.policy, "percent": one.percent, "untried": one.untried} for one in covered
    ]
    return {"tests": tests, "coverage": rows}


def _told(one: Result) -> Iterator[str]:
    name = f"{one.examined.policy}: {one.examined.case.name}"
    if one.examined.passed:
        yield f"ok    {name}"
        return
    yield f"FAIL  {name} ({one.file}:{one.examined.case.line})"
    yield from (f"      {line}" for line in _failure(one.examined))


def _failure(examined: Examined) -> Iterator[str]:
    yield from examined.differences
    yield "timeline:"
    entries = examined.timeline()
    times = [format_duration(entry.at) for entry in entries]
    width = max(len(time) for time in times)
    for time, entry in zip(times, entries, strict=True):
        yield f"  {_MARKS[entry.mark]} {time:>{width}} {_WORDS[entry.mark].format(entry.text)}"


def _covered(one: Coverage, least: int) -> Iterator[str]:
    low = " (too low)" if one.percent < least else ""
    yield f"{one.percent:3} % {one.policy}{low}"
    yield from (f"        {words}" for words in one.untried)


def _write(file: Path, results: list[Result], covered: list[Coverage]) -> None:
    cases = [
        Case(
            one.examined.policy,
            one.examined.case.name,
            one.seconds,
            one.file,
            one.examined.case.line,
            None if one.examined.passed else one.examined.differences[0],
            "\n".join(_failure(one.examined)),
        )
        for one in results
    ]
    properties = {one.policy: {"coverage": str(one.percent)} for one in covered}
    write(file, junit("forestall policy test", cases, properties))
