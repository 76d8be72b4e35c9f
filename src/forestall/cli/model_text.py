"""What ``forestall model`` tells on a terminal: tables, and a reliability plot of characters."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forestall.contracts.instants import format_duration, format_time
from forestall.measure.model import Feature, Isotonic, Model, version
from forestall.measure.statistics import Estimate

if TYPE_CHECKING:
    from forestall.measure.calibration import Evaluation, Group, Sample, Score
    from forestall.measure.challenge import Comparison

WIDTH = 40
STEPS = 8
"""How many of a feature's values are shown."""


def show(console: Console, model: Model) -> None:
    """Print what a model is, and how it did."""

    def say(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    horizon = format_duration(model.horizon)
    say(f"{model.name} {version(model)[:12]}: {model.outcome} within {horizon} of {model.policy}")
    kind = "isotonic" if isinstance(model.calibration, Isotonic) else "Platt's"
    say(f"{len(model.features)} features, {kind} calibration")
    if model.features:
        console.print(_features(model))
    if not model.evidence:
        say("It was not tested.")
        return
    _evidence(console, say, model)


def _evidence(console: Console, say: Callable[[str], None], model: Model) -> None:
    from forestall.measure.calibration import Evaluation

    try:
        found = msgspec.convert(model.evidence, Evaluation)
    except msgspec.ValidationError as error:
        say(f"Its evidence cannot be read: {error}.")
        return
    for what in ("trained", "calibrated", "tested"):
        say(f"{what} on {_sample(getattr(found, what))}")
    if found.left_out:
        aside = (f"{count:,} {what.replace('_', ' ')}" for what, count in found.left_out.items())
        say(f"left out: {', '.join(aside)} (decisions among: {found.among})")
    console.print(_scores(found))
    say(f"A perfectly calibrated model would show a calibration error of {found.noise:.4f} here.")
    _plot(say, found.groups)
    if found.passed:
        say("Fit for use: it tells cases apart, and better than saying the same of everybody.")
    for why in found.why:
        say(f"Not fit for use: {why}.")
    mine, plain = found.model.brier.value, found.logistic.brier.value
    if mine is not None and plain is not None and plain < mine:
        say("A plain logistic regression did better here.")


def _sample(one: "Sample") -> str:
    since, until = format_time(one.since)[:10], format_time(one.until)[:10]
    return (
        f"{one.decisions:,} decisions of {one.subjects:,} customers, {one.outcomes:,} with the"
        f" outcome, {since} to {until}"
    )


def _scores(found: "Evaluation") -> Table:
    table = _table("", "AUC", "Brier score", "calibration error", "gain over constant")
    for name in ("model", "constant", "logistic"):
        table.add_row(name, *_row(getattr(found, name)))
    return table


def _row(score: "Score") -> list[str]:
    return [_estimate(one) for one in (score.auc, score.brier, score.calibration_error, score.gain)]


def _features(model: Model) -> Table:
    """The features by how far apart the log-odds are that they can add."""
    table = Table("feature", "adds to the log-odds")
    for one in sorted(model.features, key=_reach, reverse=True):
        table.add_row(escape(one.name), escape(_adds(one)))
    return table


def _reach(feature: Feature) -> float:
    added = (*feature.steps, *feature.values.values(), feature.other, feature.missing)
    return max(added) - min(added)


def _adds(feature: Feature) -> str:
    pairs = zip(feature.edges, feature.steps[:-1], strict=True)
    told = [f"to {edge:g}: {step:+.2f}" for edge, step in pairs]
    if feature.edges:
        told.append(f"above: {feature.steps[-1]:+.2f}")
        if len(told) > STEPS:
            told = [*told[: STEPS // 2], "…", *told[-STEPS // 2 :]]
    texts = [f"{text}: {added:+.2f}" for text, added in feature.values.items()]
    if texts:
        told += [*texts[:STEPS], *(["…"] if len(texts) > STEPS else [])]
        told.append(f"other: {feature.other:+.2f}")
    return ", ".join([*told, f"missing: {feature.missing:+.2f}"])


def _plot(say: Callable[[str], None], groups: Sequence["Group"]) -> None:
    """A line for each group: where the model's mean is (|) and where the share of the outcome (o)."""
    top = max((max(one.said, one.happened) for one in groups), default=0) or 1
    say(f"reliability, 0 to {top:.2f}: | what it said, o what happened, X both")
    for one in groups:
        line = [" "] * (WIDTH + 1)
        said, happened = (round(WIDTH * part / top) for part in (one.said, one.happened))
        line[said], line[happened] = "|", "o"
        if said == happened:
            line[said] = "X"
        say(f"  {one.said:.3f} {one.happened:.3f} {''.join(line)} {one.decisions:,}")


def compare(console: Console, found: "Comparison") -> None:
    """Print how the contenders did on the same decisions; ``error`` is the calibration error."""
    console.print(escape(f"on {_sample(found.tested)}"), highlight=False, soft_wrap=True)
    table = _table("model", "mode", "AUC", "Brier score", "error", "gain", "lead")
    for one in found.contenders:
        lead = "" if one.lead is None else _estimate(one.lead.gain)
        name = f"{one.name}\n{one.version[:12]}"
        table.add_row(escape(name), one.mode, *_row(one.score), lead)
    console.print(table)
    told = "error: calibration error; gain: Brier score better than the constant's in hindsight"
    console.print(f"{told}; lead: than the champion's", highlight=False, soft_wrap=True)
    for one in found.contenders:
        for why in one.why:
            told = f"{one.name} {one.version[:12]}: {why}."
            console.print(escape(told), highlight=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        left = column in ("", "model", "mode")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table


def _estimate(one: Estimate) -> str:
    if one.value is None:
        return "unknown"
    if one.low is None or one.high is None:
        return f"{one.value:.4f}"
    return f"{one.value:.4f}\n{one.low:.4f} to {one.high:.4f}"
