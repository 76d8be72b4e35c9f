"""``forestall model``: train, show and compare models of how likely an outcome is."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from forestall.cli import model_text
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.durations import span
from forestall.cli.model_source import Source, decided, logged
from forestall.cli.writing import write
from forestall.contracts.errors import UnreadableInput
from forestall.decide.history import History
from forestall.measure.examples import Among, asked, examples
from forestall.measure.model import InvalidModel, Model, canonical, decode, version
from forestall.policy.deployment import load_bundle

app = typer.Typer(
    name="model",
    help="Models of how likely an outcome is: train, show, compare.",
    no_args_is_help=True,
)

SUFFIX = ".model.json"


DataArgument = Annotated[
    Path,
    typer.Argument(
        help="A server's data folder, or with --policies a history (NDJSON or Parquet).",
        show_default=False,
    ),
]
PoliciesOption = Annotated[
    Path | None,
    typer.Option(
        help="Decide over the history with these policies first, as `backtest` does.",
        show_default=False,
    ),
]
AmongOption = Annotated[
    Among | None,
    typer.Option(
        help="untreated: decisions that did nothing; holdout: those of customers who are kept aside"
        " from everything; all: treated ones too, which the treatment may have changed."
        " A history is taken whole, a data folder untreated.",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Where chance starts: the same gives the same.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
FileArgument = Annotated[Path, typer.Argument(help=f"A model's file (*{SUFFIX}).")]


@app.command("train")
def train(
    data: DataArgument,
    name: Annotated[str, typer.Option(help="The model's name, which policies ask for.")],
    policy: Annotated[str, typer.Option(help="The policy whose decisions it learns from.")],
    out: Annotated[Path, typer.Option(help=f"The file to write, NAME{SUFFIX}.")],
    outcome: Annotated[
        str, typer.Option(metavar="TYPE", help="The event that it tells beforehand.")
    ] = "forestall.ticket.opened",
    horizon: Annotated[
        int,
        span("How long after a decision it still counts."),
    ] = "7d",  # type: ignore[assignment]
    policies: PoliciesOption = None,
    among: AmongOption = None,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model of "will the outcome follow this decision?", and say how good it is.

    It learns from the logged features of past decisions, is calibrated on later ones and tested on
    the newest. Exit code 1: it is not fit for use, and its file says so.
    """
    from forestall.measure.training import train as trained

    if not out.name.endswith(SUFFIX):
        raise typer.BadParameter(f"the file must end with {SUFFIX}", param_hint="--out")
    source = _source(data, policies, config)
    question, definitions = asked(
        source.controls,
        policy=policy,
        outcome=outcome,
        horizon=horizon,
        among=among or source.among,
    )
    found = examples(question, source.happenings, source.end)
    model = trained(name, question, found, definitions=definitions, seed=seed)
    write(out, canonical(model))
    if as_json:
        typer.echo(msgspec.json.encode({"version": version(model), **model.evidence}).decode())
    else:
        model_text.show(Console(), model)
        typer.echo(f"Written to {out}.")
    raise typer.Exit(0 if model.evidence["passed"] else 1)


@app.command("show")
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show what a model reads, what each value adds, and how it did when it was tested."""
    model = _read(file)
    if as_json:
        told = {"version": version(model), **msgspec.to_builtins(model)}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        model_text.show(Console(), model)


@app.command("evaluate")
def evaluate(
    file: FileArgument,
    data: DataArgument,
    policies: PoliciesOption = None,
    among: AmongOption = None,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test a model on decisions later than those it learned from, beside the models in the log.

    The champion is the one in force, a challenger one in shadow: both left their probabilities in
    the log. Exit code 1: something speaks against using the model of FILE.
    """
    from forestall.measure.challenge import compare

    model = _read(file)
    source = _source(data, policies, config)
    question, _ = asked(
        source.controls,
        policy=model.policy,
        outcome=model.outcome,
        horizon=model.horizon,
        among=among or source.among,
    )
    found = examples(question, source.happenings, source.end)
    compared = compare(found.found, model, seed)
    if as_json:
        typer.echo(msgspec.json.encode(compared).decode())
    else:
        model_text.compare(Console(), compared)
    mine = next(one for one in compared.contenders if one.version == version(model))
    raise typer.Exit(1 if mine.why else 0)


def _source(data: Path, policies: Path | None, config: Path | None) -> Source:
    if policies is None:
        return logged(data)
    settings = settings_for(config)
    return decided(History(data), load_bundle(policies, settings), settings.decide)


def _read(file: Path) -> Model:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read: {error.strerror}") from None
    try:
        return decode(raw)
    except InvalidModel as error:
        raise InvalidModel(f"{file}: {error}") from None
