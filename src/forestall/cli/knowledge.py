"""``forestall knowledge``: runbooks and help articles, checked, imported, searched."""

import datetime
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from forestall.cli import knowledge_gaps, knowledge_import, knowledge_search
from forestall.cli.contracts import Json, show_problems
from forestall.cli.days import OnOption, day_named
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.context.knowledge.lint import Around
from forestall.context.knowledge.lint import lint as lint_folder
from forestall.context.knowledge.runbooks import markdown_files
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.errors import Problem, UnreadableInput
from forestall.contracts.folders import require_some
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import load_declarations
from forestall.policy.bundle import read_policies
from forestall.policy.language.model import Guide, Policy
from forestall.policy.language.sites import playbook_steps

app = typer.Typer(
    help="Runbooks and help articles: find mistakes, import, search, and see what is missing.",
    no_args_is_help=True,
)

app.add_typer(knowledge_import.app, name="import")
app.command("gaps")(knowledge_gaps.gaps)
app.command("search")(knowledge_search.search)


@app.command()
def lint(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="The folder; that of [runbooks] if left out."),
    ] = None,
    on: OnOption = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Tell every mistake in runbooks and articles, with file, line and column.

    Checked against the deployment's catalogue, policies and actions where there are settings. Exit
    code 1 when there is an error, 0 when there are warnings at most, 2 where there is no document.
    """
    settings = settings_for(config)
    folder = folder or settings.runbooks
    if folder is None:
        raise UnreadableInput("name a folder, or set [runbooks] folder in forestall.toml")
    if not folder.is_dir():
        raise UnreadableInput(
            f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}"
        )
    require_some(markdown_files(folder), folder, "document (*.md)")
    number, problems = lint_folder(folder, _around(settings, day_named(on)))
    problems += _without(settings)
    show_problems(problems, as_json=as_json, good=f"documents checked: {number}")


def _around(settings: Settings, today: datetime.date) -> Around:
    """What the deployment has besides. Raises ``InvalidFile`` where that has mistakes itself."""
    if settings.file is None:
        return Around(day=today)
    policies = _policies(settings)
    signals: frozenset[str] | None = None
    if settings.contracts is not None and policies is not None:
        types = load_catalogue(settings.contracts).types
        signals = frozenset([*types, *(policy.name for policy in policies)])
    shown: dict[str, list[str]] = defaultdict(list)
    for policy in policies or ():
        for name in _shows(policy):
            shown[name].append(policy.name)
    if settings.actions is None or not settings.actions.is_dir():
        actions, products = None, frozenset[str]()
    else:
        declared = load_declarations(settings.actions, settings)
        actions = frozenset(declared.actions)
        searched = (one.knowledge for one in declared.agents.values() if one.knowledge)
        products = frozenset(name for topics in searched for name in topics.products)
    return Around(
        day=today,
        signals=signals,
        actions=actions,
        shown={name: tuple(those) for name, those in shown.items()},
        products=products,
    )


def _without(settings: Settings) -> list[Problem]:
    """Says that there are no actions to hold the documents against, where there should be some."""
    if settings.actions is None or settings.actions.is_dir():
        return []
    message = "there is no such folder, so actions and products of agents are not checked"
    hint = "make it, or set [actions] folder in forestall.toml"
    where = str(settings.actions)
    return [Problem(where, 1, 1, "actions-folder", message, hint, severity="warning")]


def _policies(settings: Settings) -> list[Policy] | None:
    """The policies of the folder; none where it has mistakes, which ``policy lint`` tells."""
    if settings.policies is None or not settings.policies.is_dir():
        return []
    policies, problems = read_policies([settings.policies])
    return None if any(one.severity == "error" for one in problems) else policies


def _shows(policy: Policy) -> list[str]:
    """The runbooks that it shows, each once."""
    steps = (node.step for _, node in playbook_steps(policy) if isinstance(node.step, Guide))
    return sorted({step.runbook for step in steps if step.runbook is not None})
