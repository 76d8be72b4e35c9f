"""``forestall agent replay``: the answers of agents in an intervention, made again from the record."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from forestall.cli.agent_stage import declared, quiet
from forestall.cli.deployment import ConfigOption, DataOption, data_for, settings_for, tables_for
from forestall.cli.person import AsJson, echo_json, plain
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import day_of, parse_time
from forestall.intervene.effect_store import Effect
from forestall.intervene.store import Store, Summary
from forestall.kernel.clock import wall_clock

if TYPE_CHECKING:
    from forestall.intervene.agents.replay import Replayed

_LONGEST = 200


def replay(
    intervention: Annotated[
        str, typer.Argument(metavar="ID", help="The intervention's id, or enough of its start.")
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Have the agents of an intervention answer again, from recorded answers only.

    No model and no lookup is asked, and nothing is paid for. The declarations and the knowledge are
    those of now. Exit code 1 if anything that comes out differs from what was recorded, byte for
    byte; it is told what. Exit code 2 when no intervention, or more than one, has that id.
    """
    found, effects = _recorded(data, config, intervention)
    with quiet():
        replayed = asyncio.run(_replayed(data, config, found, effects))
    if as_json:
        echo_json(msgspec.to_builtins(replayed))
    elif not replayed:
        typer.echo("No agent answered in this intervention.")
    else:
        for one in replayed:
            typer.echo("\n".join(_lines(one)))
    if not all(one.same for one in replayed):
        raise typer.Exit(1)


def _recorded(data: Path | None, config: Path | None, prefix: str) -> tuple[Summary, list[Effect]]:
    store = Store(tables_for(data, config), read_only=True)
    try:
        found = store.find(prefix)
        if len(found) != 1:
            many = "more than one" if found else "no"
            raise UnreadableInput(f"there is {many} intervention whose id starts with {prefix!r}")
        return found[0], store.effects.of(found[0].id)
    finally:
        store.close()


async def _replayed(
    data: Path | None, config: Path | None, intervention: Summary, effects: list[Effect]
) -> "list[Replayed]":
    """Each answer again, over the knowledge of the day on which it was given."""
    from forestall.context.knowledge.index import library_of
    from forestall.context.knowledge.runbooks import load_runbooks
    from forestall.intervene.agents.replay import Replaying, replay

    settings = settings_for(config)
    runbooks = {} if settings.runbooks is None else load_runbooks(settings.runbooks)
    ends = {one.step: one.at for one in intervention.taken if one.what in ("filled", "failed")}
    made = []
    for effect in effects:
        day = day_of(parse_time(ends.get(effect.step, intervention.at)))
        around = Replaying(
            settings=settings,
            declarations=declared(settings),
            data=data_for(data, config),
            clock=wall_clock,
            search=library_of(runbooks, day, settings.knowledge),
        )
        made.append(await replay(around, effect))
    return [one for one in made if one is not None]


def _lines(one: "Replayed") -> Iterator[str]:
    """How one answer compares, for a terminal."""
    verdict = "the same" if one.same else "not the same"
    yield f"step {one.step}: {plain(one.agent)}: {verdict}"
    if one.why is not None:
        yield f"  {plain(one.why)}"
    for difference in one.differences:
        yield f"  {difference.what}"
        for name, value in (("recorded", difference.recorded), ("now", difference.now)):
            text = msgspec.json.encode(value).decode()
            yield f"    {name:<9} {plain(text[:_LONGEST])}"
