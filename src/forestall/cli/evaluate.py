"""``forestall evaluate``: what would have followed, had a policy chosen otherwise?"""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption, DataArgument, data_for
from forestall.cli.durations import span
from forestall.cli.tables import print_table
from forestall.contracts.instants import format_duration
from forestall.measure.reading import Folder
from forestall.measure.statistics import Estimate
from forestall.measure.terms import plan_of

if TYPE_CHECKING:
    from forestall.measure.evaluation import Evaluated

CAVEATS = (
    "It holds for the first time that a customer meets the policy, not for what repeated messages"
    " add up to.",
    "Customers whom another gate left alone are no part of it; a policy that acts less often would"
    " also leave other policies more room.",
)


def _instead(text: str) -> str:
    if text in ("always", "never"):
        return text
    try:
        threshold = float(text)
    except ValueError:
        threshold = -1
    if not 0 <= threshold <= 1:
        raise typer.BadParameter("always, never, or a threshold between 0 and 1 such as 0.3")
    return text


def evaluate(
    policy: Annotated[str, typer.Option(help="The policy, by name.")],
    instead: Annotated[
        str,
        typer.Option(
            parser=_instead,
            metavar="WHAT",
            help="What it should have done: always or never send its message, or send it from a "
            "threshold of the model's probability on, such as 0.3.",
        ),
    ],
    data: DataArgument = None,
    config: ConfigOption = None,
    outcome: Annotated[
        str, typer.Option(metavar="TYPE", help="The event that is counted.")
    ] = "forestall.ticket.opened",
    horizon: Annotated[
        int,
        span("How long after the decision it counts."),
    ] = "7d",  # type: ignore[assignment]
    version: Annotated[
        str, typer.Option(help="Only decisions of the version that begins so.")
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(
            help="The model whose probability a threshold is about; the one that judges, unless "
            "named. One in shadow will do.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Resampling for the intervals starts here.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell from the log what would have followed, had a policy chosen otherwise.

    The log knows by which chance each customer was kept aside, so those who were can stand for
    all. Where chance had no say there is nothing to weigh, and it refuses: exit code 1.
    """
    from forestall.measure import evaluation, logged

    question = logged.Question(
        policy=policy,
        instead=logged.instead(instead),
        outcome=outcome,
        horizon=horizon,
        version=version,
        model=model,
    )
    folder = Folder(data_for(data, config))
    try:
        plan = plan_of(folder.controls())
        found = logged.read(question, folder.happenings(), plan, folder.now, seed)
    finally:
        folder.close()
    answer = evaluation.evaluate(found.rounds, seed)
    if as_json:
        told = {
            "question": question,
            "messaged": found.messaged,
            "unfinished": found.unfinished,
            "versions": found.versions,
            "found": answer if isinstance(answer, evaluation.Evaluated) else None,
            "refused": answer if isinstance(answer, evaluation.Refused) else None,
            "caveats": CAVEATS,
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    elif isinstance(answer, evaluation.Refused):
        typer.echo(f"No figure: {answer.message}.\nWhat would help: {answer.advice}.")
    else:
        typer.echo(
            f"{policy}: {answer.rounds:,} customers, {found.messaged:,} of them with a message; "
            f"{found.unfinished:,} more whose {format_duration(horizon)} are not over.\n"
            f"Of 1,000 customers, so many with {outcome} within {format_duration(horizon)}:"
        )
        _print(instead, answer)
        typer.echo("\n".join(CAVEATS))
    if isinstance(answer, evaluation.Refused):
        raise typer.Exit(1)


def _print(instead: str, answer: "Evaluated") -> None:
    table = Table("", "of 1,000", "95 % interval", box=None)
    what = instead if instead in ("always", "never") else f"from {instead} on"
    for name, one in (
        ("as logged", answer.logged),
        (f"{what}, doubly robust", answer.doubly_robust),
        (f"{what}, weighted (SNIPS)", answer.snips),
        (f"{what}, weighted (IPS)", answer.ips),
        (f"{what}, modelled", answer.direct),
        ("difference from as logged", answer.difference),
    ):
        if one is not None:
            table.add_row(name, *_figures(one))
    print_table(table)
    typer.echo(f"This tells as much as {answer.effective:,.0f} customers under it would have.")


def _figures(one: Estimate) -> tuple[str, str]:
    value = "" if one.value is None else f"{1000 * one.value:,.1f}"
    if one.low is None or one.high is None:
        return value, ""
    return value, f"{1000 * one.low:,.1f} to {1000 * one.high:,.1f}"
