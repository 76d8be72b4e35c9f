"""Holding an agent's grants against what is declared, and its model against the settings."""

from collections.abc import Mapping

from forestall.contracts.nearest import did_you_mean
from forestall.kernel.settings import Settings
from forestall.policy.actions.judging import inputs, judge_names, judge_reads
from forestall.policy.actions.model import Action, Agent, Grant, Lookup
from forestall.policy.actions.read import Located

RISKS = ("low", "medium", "high")
"""From the least to the greatest."""

ANSWERING = ("propose", "fill")
"""The tools by which a model answers."""


def judge_agent(
    one: Located,
    agent: Agent,
    lookups: Mapping[str, Lookup],
    actions: Mapping[str, Action],
    settings: Settings,
) -> None:
    """Note what is granted and does not exist or does not fit, and a model that is not set up."""
    if agent.model is not None and agent.model not in settings.language_models:
        hint = did_you_mean(agent.model, settings.language_models)
        message = f"the settings have no [language_models.{agent.model}]"
        one.problem(("model",), "unknown-model", message, hint)
    for name, source in agent.mood.items():
        judge_reads(one, ("mood", name), source, {})
    granted = [lookups[grant.name] for grant in agent.lookups if grant.name in lookups]
    fields = frozenset(field for lookup in granted for field in lookup.output)
    for index, grant in enumerate(agent.lookups):
        if grant.name in ANSWERING:
            message = (
                f"`{grant.name}` is how a model answers, so no lookup can be granted by that name"
            )
            one.problem(("lookups", str(index), "lookup"), "bad-name", message)
        _grant(one, ("lookups", str(index)), "lookup", grant, lookups, fields)
    for index, grant in enumerate(agent.actions):
        path = ("actions", str(index))
        _grant(one, path, "action", grant, actions, fields)
        action = actions.get(grant.name)
        if action is not None and RISKS.index(action.risk) > RISKS.index(agent.risk):
            message = (
                f"the action `{grant.name}` is of risk {action.risk},"
                f" and this agent plans up to {agent.risk}"
            )
            hint = f"do not grant it, or write `risk: {action.risk}`"
            one.problem((*path, "action"), "too-risky", message, hint)


def _grant(
    one: Located,
    path: tuple[str, str],
    kind: str,
    grant: Grant,
    targets: Mapping[str, Lookup] | Mapping[str, Action],
    fields: frozenset[str],
) -> None:
    target = targets.get(grant.name)
    if target is None:
        hint = did_you_mean(grant.name, targets)
        message = f"there is no {kind} `{grant.name}`"
        one.problem((*path, kind), f"unknown-{kind}", message, hint)
        return
    known, required = inputs(target)
    what = f"the {kind} `{grant.name}`"
    judge_names(one, path, grant.arguments, known, required - {*grant.chooses}, what)
    for name, source in grant.arguments.items():
        judge_reads(one, (*path, "with", name), source, {"fields": fields})
    for index, name in enumerate(grant.chooses):
        place = (*path, "chooses", str(index))
        if name in grant.arguments:
            message = f"`{name}` stands in `with`, so the agent cannot choose it"
            one.problem(place, "bad-value", message, "leave it in one of the two")
        elif known is not None and name not in known:
            message = f"{what} takes no `{name}`"
            one.problem(place, "unknown-argument", message, did_you_mean(name, known))
        elif name not in target.input.get("properties", {}):
            message = f"the schema of {what} does not say what `{name}` may be"
            hint = "write it under `properties`, so that what is chosen can be checked"
            one.problem(place, "unknown-argument", message, hint)
