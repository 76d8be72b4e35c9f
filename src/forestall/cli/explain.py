"""``forestall explain``: why, or why not, for one customer, policy and moment, and what agents
concluded in the intervention that followed."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from forestall.cli.customer import become, moment, open_signals, records_of
from forestall.cli.deployment import ConfigOption, DataOption, data_for
from forestall.contracts.control import Control, PoliciesApplied
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record, decode_data
from forestall.contracts.nearest import did_you_mean
from forestall.decide.explain import explain as answer
from forestall.decide.explain import text
from forestall.decide.history import deployed_controls
from forestall.ingest.past import signals_of
from forestall.intervene import inferences
from forestall.log import streams


def explain(
    subject: Annotated[str, typer.Option(help="The customer's own id, or the pseudonym.")],
    policy: Annotated[str, typer.Option(help="The policy's name.")],
    at: Annotated[
        str | None, typer.Option(help="The moment (RFC 3339); the newest if not given.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer as JSON.")
    ] = False,
) -> None:
    """Say why a policy acted for a customer, or which gate said no and what would have to differ.

    Where it acted and an agent was asked, this shows each answer: what it planned or filled, on
    which evidence, what that took, and what was refused.

    A visitor's pseudonym stands for the customer's from the moment on at which they signed in.
    Exit code 1 when the customer is not known, 2 when no policy of that name was ever in force.
    """
    folder = data_for(data, config)
    log = open_signals(folder)
    try:
        newest = max(log.tick(), log.received(streams.SIGNALS))
        when = newest if at is None else moment(at, "--at")
        pseudonym, records = records_of(log, folder, subject)
        current = become(folder, pseudonym) if records else None
        theirs = [] if current is None else signals_of(log, current)
        reports = [*records, *theirs]
        joined = any(_joins(one, pseudonym) and one.received <= when for one in theirs)
        if current is not None and joined:
            pseudonym, records = current, theirs
    finally:
        log.close()
    if not records:
        typer.echo(f"No events of {subject!r} are in the log of {folder}.", err=True)
        raise typer.Exit(1)
    controls = deployed_controls(folder)
    _known(controls, policy)
    found = answer(controls, records, pseudonym, policy, when)
    acted = found.decision if found.answer == "yes" else None
    inferred = [] if acted is None else inferences.told(reports, acted.id)
    if as_json:
        whole = {**msgspec.to_builtins(found), "inferences": msgspec.to_builtins(inferred)}
        typer.echo(msgspec.json.encode(whole).decode())
        return
    typer.echo(text(found))
    for one in inferred:
        typer.echo("\n" + "\n".join(inferences.lines(one)))
    if acted is not None:
        for line in inferences.faulty(reports, acted.id):
            typer.echo(f"\n{line}")


def _known(controls: Sequence[Control], policy: str) -> None:
    """Raises ``UnreadableInput`` where no policy of that name was ever in force."""
    applied = (one for one in controls if isinstance(one, PoliciesApplied))
    names = sorted({one.name for record in applied for one in record.policies})
    if policy not in names:
        hint = did_you_mean(policy, names) or f"there are: {', '.join(names) or 'none'}"
        raise UnreadableInput(f"no policy {policy!r} was ever in force; {hint}")


def _joins(record: Record, former: str) -> bool:
    return record.type == "forestall.alias" and decode_data(record.data).get("from") == former
