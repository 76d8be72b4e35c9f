"""``forestall policy diff``: what a change of policies means, in words and in decisions."""

import gc
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from forestall.cli.deployment import ConfigOption, settings_for
from forestall.contracts.control import Control, SwitchesApplied
from forestall.contracts.decision import Decision
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.event import Record
from forestall.decide.backtest import BEGINNING, opening
from forestall.decide.difference import (
    NOTHING,
    Difference,
    Samples,
    Totals,
    compare,
    verdict,
    why,
)
from forestall.decide.history import History
from forestall.kernel.settings import Settings
from forestall.policy.bundle import Bundle
from forestall.policy.deployment import load_bundle
from forestall.policy.language.changes import Change, changes


class Format(StrEnum):
    """How the answer is written."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


class Row(msgspec.Struct, frozen=True):
    """One total: how many moments of a policy became what."""

    policy: str
    old: str
    new: str
    moments: int


class Example(msgspec.Struct, frozen=True):
    """One customer and moment; ``features`` are those of each set's decision, by name."""

    policy: str
    subject: str
    key: str | None
    at: str
    old: str
    new: str
    old_why: str
    new_why: str
    matched: tuple[str, ...]
    features: dict[str, list[Any]]


class Decisions(msgspec.Struct, frozen=True):
    """What deciding both ways over a history came to; ``gained`` and ``lost`` are interventions."""

    events: int
    old: int
    new: int
    gained: int
    lost: int
    totals: tuple[Row, ...]
    examples: tuple[Example, ...]


class Report(msgspec.Struct, frozen=True):
    """The whole answer; ``decisions`` is none where no history was given."""

    changes: tuple[Change, ...]
    decisions: Decisions | None

    @property
    def differs(self) -> bool:
        """Whether decisions differ, or, where none were compared, the policies' meaning."""
        if self.decisions is not None:
            return bool(self.decisions.totals)
        return any(change.matters for change in self.changes)


def diff(
    old: Annotated[Path, typer.Argument(help="The policies as they are: a file or a folder.")],
    new: Annotated[Path, typer.Argument(help="The policies as they would be.")],
    events: Annotated[
        Path | None,
        typer.Option(
            help="Decide both ways over this history: NDJSON of CloudEvents, a .parquet archive, "
            "or a server's data folder."
        ),
    ] = None,
    config: ConfigOption = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TEXT,
    examples: Annotated[
        int, typer.Option(min=0, help="How many customers and moments to show.")
    ] = 10,
) -> None:
    """Say what a change of policies means, in words, and which decisions it makes different.

    Exit code 1 when decisions differ over the history (without one: when the policies' meaning
    differs), 0 when nothing does, 2 when an input cannot be used.
    """
    settings = settings_for(config)
    bundles = _loaded(old, settings), _loaded(new, settings)
    changed = tuple(changes(bundles[0].policies, bundles[1].policies))
    decisions = None
    if events is not None:
        before, after = ([*opening(one, settings.decide), _switches(settings)] for one in bundles)
        decisions = _decided(before, after, events, settings, examples)
    report = Report(changed, decisions)
    if form is Format.JSON:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        lines = _markdown(report) if form is Format.MARKDOWN else _text(report)
        typer.echo("\n".join(lines))
    if report.differs:
        raise typer.Exit(1)


def _loaded(path: Path, settings: Settings) -> Bundle:
    try:
        return load_bundle(path, settings)
    except InvalidFile as error:
        raise UnreadableInput(str(error)) from None


def _switches(settings: Settings) -> Control:
    switches = settings.switches
    return SwitchesApplied(
        BEGINNING, switches.off, switches.everything_off, "files", "from the beginning"
    )


def _decided(
    old: Sequence[Control],
    new: Sequence[Control],
    events: Path,
    settings: Settings,
    limit: int,
) -> Decisions:
    totals, samples = Totals(), Samples(limit)
    gc.disable()
    for found in compare(old, new, History(events), settings.decide, totals):
        samples.add(found)
    chosen = samples.chosen()
    records = _records(events, {one.decision.subject for one in chosen})
    return Decisions(
        events=totals.events,
        old=totals.old,
        new=totals.new,
        gained=totals.gained,
        lost=totals.lost,
        totals=tuple(Row(*row, moments) for row, moments in sorted(totals.rows.items())),
        examples=tuple(
            _example(one, why(one, old, new, records[one.decision.subject], settings.decide))
            for one in chosen
        ),
    )


def _records(events: Path, subjects: set[str]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {subject: [] for subject in subjects}
    for records in History(events) if subjects else ():
        for record in records:
            if record.subject in found:
                found[record.subject].append(record)
    return found


def _example(one: Difference, reasons: tuple[str, str]) -> Example:
    shown = one.decision
    return Example(
        policy=shown.policy,
        subject=shown.subject,
        key=shown.key,
        at=shown.at,
        old=verdict(one.old),
        new=verdict(one.new),
        old_why=reasons[0],
        new_why=reasons[1],
        matched=shown.matched,
        features={
            name: [_feature(one.old, name), _feature(one.new, name)]
            for name in sorted({*_features(one.old), *_features(one.new)})
        },
    )


def _features(decision: Decision | None) -> dict[str, Any]:
    return {} if decision is None else decision.features


def _feature(decision: Decision | None, name: str) -> Any:
    return _features(decision).get(name)


# -- text and Markdown -----------------------------------------------------------------------------


def _text(report: Report) -> Iterator[str]:
    yield "What changed"
    for change in report.changes:
        yield f"  {change.policy}: {change.kind}"
        yield from (f"    - {words}" for words in change.words)
        yield from (f"    - {words} (changes no decision)" for words in change.besides)
    if not report.changes:
        yield "  nothing"
    found = report.decisions
    if found is None:
        return
    yield from ("", "Decisions", f"  {_summary(found)}")
    yield from (
        f"  {row.moments:>7,}  {row.policy}: {row.old} -> {row.new}" for row in found.totals
    )
    if found.examples:
        yield from ("", f"Examples ({len(found.examples)})")
    for one in found.examples:
        yield f"  {one.at}  {one.subject}  {_named(one)}: {one.old} -> {one.new}"
        yield f"    old: {one.old_why}"
        yield f"    new: {one.new_why}"
        yield f"    events: {', '.join(one.matched)}"
        yield from (f"    {words}" for words in _featured(one))


def _markdown(report: Report) -> Iterator[str]:
    yield from ("## What changed", "")
    for change in report.changes:
        yield f"* **{change.policy}**: {change.kind}"
        yield from (f"    * {words}" for words in change.words)
        yield from (f"    * {words} (changes no decision)" for words in change.besides)
    if not report.changes:
        yield "Nothing."
    found = report.decisions
    if found is None:
        return
    yield from ("", "## Decisions", "", _summary(found))
    if found.totals:
        yield from ("", "| policy | old | new | moments |", "|---|---|---|---:|")
        for row in found.totals:
            yield f"| {row.policy} | {row.old} | {row.new} | {row.moments:,} |"
    if found.examples:
        yield from ("", "## Examples", "")
    for one in found.examples:
        yield (
            f"* `{one.at}` {_code(one.subject)}, **{one.policy}**{_key(one)}: {one.old} → {one.new}"
        )
        yield f"    * old: {_plain(one.old_why)}"
        yield f"    * new: {_plain(one.new_why)}"
        yield f"    * events: {', '.join(_code(event) for event in one.matched)}"
        yield from (f"    * {_plain(words)}" for words in _featured(one))


def _summary(found: Decisions) -> str:
    moments = sum(row.moments for row in found.totals)
    compared = (
        f"{found.events:,} events; {found.old:,} decisions by the old, {found.new:,} by the new."
    )
    if not moments:
        return f"{compared} None differs."
    return (
        f"{compared} {moments:,} differ: {found.gained:,} interventions are new, "
        f"{found.lost:,} are gone."
    )


def _featured(one: Example) -> Iterator[str]:
    for name, (old, new) in one.features.items():
        if NOTHING in (one.old, one.new) or old == new:
            yield f"{name} = {old if one.new == NOTHING else new}"
        else:
            yield f"{name} = {old} -> {new}"


def _named(one: Example) -> str:
    return f"{one.policy}{_key(one)}"


def _key(one: Example) -> str:
    return "" if one.key is None else f" for {one.key}"


def _code(text: str) -> str:
    shown = text.replace("`", "'").replace("\n", " ")
    return f"`{shown}`"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
