"""``forestall agent eval``: labelled cases, by version, compared with the last, for people and CI."""

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, echo_json, plain
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.instants import SECOND, format_time
from forestall.kernel.clock import Clock, wall_clock

if TYPE_CHECKING:
    from forestall.intervene.agents.cases import Cases
    from forestall.intervene.agents.evaluation import Evaluation, Judged
    from forestall.intervene.agents.trial import Stage
    from forestall.intervene.agents.versions import Comparison

_NOON = datetime.time(12, tzinfo=datetime.UTC)


class UnusableCases(InvalidFile):
    """The file of cases has mistakes; each is told with its place. Mend them and run it again."""

    code = "unusable-cases"
    exit_code = 2


def evaluate(
    agent: Annotated[str, typer.Argument(help="The name of an agent.")],
    path: Annotated[Path, typer.Argument(metavar="CASES", help="A file of cases, or a folder.")],
    config: ConfigOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model of [language_models], or `none` for the composer; the agent's own if left out."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="The share that has to pass; that of the file if left out."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where results are kept, as JSON lines; beside the cases if left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge an agent by labelled cases, and compare it with its last version.

    Lookups answer what each case records, actions are only tried, and nobody is asked but the model.
    Exit code 1 when fewer cases pass than the threshold says, or one that must pass does not.
    """
    from forestall.cli import agent_results, agent_stage
    from forestall.intervene.agents.evaluation import summarise
    from forestall.intervene.agents.prompt import version
    from forestall.intervene.agents.versions import compare, last_of_another

    settings = agent_stage.settings_of(config, secrets=False)
    known = agent_stage.declared_by_instructions(agent_stage.declared(settings), agent)
    asked = agent_stage.model_of(settings, known, model)
    cases = _cases(
        path, agent, {one.name for one in known.actions}, {one.name for one in known.lookups}
    )
    if asked is not None:
        settings = agent_stage.settings_of(config, secrets=True)
    started = wall_clock()

    async def run() -> "tuple[list[Judged], bool]":
        staged = agent_stage.staged(
            settings, agent, asked, clock=_clock(cases), demanded=model is not None
        )
        async with staged as stage:
            return await _judged(stage, cases), bool(stage.models)

    judged, modelled = asyncio.run(run())
    found = summarise(
        cases,
        judged,
        at=format_time(started),
        version=version(known),
        model=asked if modelled else None,
        threshold=threshold,
    )
    place = out or agent_results.beside(path)
    kept = agent_results.read_results(place)
    last = last_of_another(kept, found)
    comparison = None if last is None else compare(last, found)
    agent_results.keep(place, found, kept)
    if as_json:
        echo_json({**msgspec.to_builtins(found), "comparison": comparison, "kept": str(place)})
    else:
        places = {case.name: f"{case.file}:{case.line}" for case in cases.cases}
        typer.echo("\n".join(text(found, comparison, places)))
    if not found.sound:
        raise typer.Exit(1)


def _cases(path: Path, agent: str, actions: set[str], lookups: set[str]) -> "Cases":
    from forestall.intervene.agents.case_file import load_cases
    from forestall.intervene.agents.cases import problems_with

    try:
        cases = load_cases(path)
    except InvalidFile as error:
        raise UnusableCases(error.problems) from None
    if cases.agent != agent:
        raise UnreadableInput(f"{path}: these cases are for the agent {cases.agent!r}")
    if problems := problems_with(cases, actions=actions, lookups=lookups):
        raise UnusableCases(problems)
    return cases


def _clock(cases: "Cases") -> Clock:
    """Noon of the day that the cases name, or now."""
    if cases.today is None:
        return wall_clock
    noon = int(datetime.datetime.combine(cases.today, _NOON).timestamp()) * SECOND
    return lambda: noon


async def _judged(stage: "Stage", cases: "Cases") -> "list[Judged]":
    from forestall.context.knowledge.runbooks import passages_of
    from forestall.intervene.actions.answers import BadArguments
    from forestall.intervene.agents.evaluation import Answer, judge
    from forestall.intervene.agents.trial import classes, tried

    agent = stage.declarations.agents[cases.agent]
    quotable = [one.text for book in stage.runbooks.values() for one in passages_of(book)]
    finders = classes(stage.settings, agent, quotable)
    found = []
    for number, case in enumerate(cases.cases):
        try:
            _, answer = await tried(
                stage,
                agent.name,
                case.given,
                f"case-{number}",
                asks=case.asks,
                lookups=case.lookups,
                spoken=case.model,
            )
        except BadArguments as error:
            answer = Answer(reason=f"bad-arguments: {error}")
        found.append(judge(case, answer, finders))
    return found


# -- text ------------------------------------------------------------------------------------------


def text(
    found: "Evaluation", comparison: "Comparison | None", places: dict[str, str]
) -> Iterator[str]:
    """An evaluation line by line: what failed first, sums, and what changed since the last."""
    for one in found.results:
        if not one.passed:
            must = "MUST " if one.must else ""
            yield f"FAIL  {must}{plain(one.name)} ({places[one.name]})"
            yield from (f"      {plain(line)}" for line in one.wrong)
    yield (
        f"{found.agent} {found.version[:8]} with {found.model or 'the composer'}:"
        f" {found.passed} of {found.total} cases passed"
        f" ({_percent(found.share)}, at least {_percent(found.threshold)}), score {found.score:.2f}"
    )
    if found.failed_must:
        yield f"{len(found.failed_must)} failed that must pass"
    if found.forbidden:
        yield f"forbidden things found: {found.forbidden}"
    if found.cost or found.tokens:
        yield f"tokens {found.tokens:,}, cost {found.cost:.4f}"
    for tag, tally in found.tags.items():
        yield f"  {tag:<20} {tally.passed:>4} of {tally.total:<4} {_percent(tally.share):>7}"
    for name, score in found.criteria.items():
        yield f"  rubric {name:<13} {score:.2f}"
    wrong = [one for one in found.confusion if one.expected != one.actual]
    for confused in wrong:
        yield f"  expected {confused.expected}, got {confused.actual}: {confused.count}"
    if comparison is not None:
        yield from _compared(comparison)


def _compared(found: "Comparison") -> Iterator[str]:
    with_ = found.model or "the composer"
    yield (
        f"since {found.before[:8]} with {with_} ({found.at[:10]}): {len(found.better)} better,"
        f" {len(found.worse)} worse, {found.same} the same (p {found.chance:.3f})"
    )
    for what in ("better", "worse", "changed", "new", "gone"):
        for name in getattr(found, what):
            yield f"  {what:<8}{plain(name)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
