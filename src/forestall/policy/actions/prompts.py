"""Prompts: texts in files of their own, which agents name in place of instructions.

They are the Markdown and plain text files below ``prompts`` beside the folder of actions.
"""

from collections.abc import Mapping
from pathlib import Path, PurePath

import msgspec

from forestall.contracts.errors import Problem
from forestall.contracts.folders import files_below
from forestall.contracts.nearest import did_you_mean
from forestall.policy.actions.agents import MOST_WORDS
from forestall.policy.actions.model import Agent
from forestall.policy.actions.read import Located

FOLDER = "prompts"
SUFFIXES = (".md", ".txt")

_HERE = ("instructions", "prompt")


def beside(actions: Path) -> Path:
    """The folder of the prompts that go with the folder ``actions``."""
    return actions.parent / FOLDER


def prompt_name(path: PurePath) -> str:
    """What the prompt in the file ``path`` (below the folder) is called: ``refunds/short.txt`` is
    ``refunds.short``."""
    return ".".join(path.with_suffix("").parts)


def read_prompts(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """The prompts below ``folder`` by name, and what is wrong with files; none without the folder.

    Raises ``UnreadableInput`` where a folder may not be looked into.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for path in files_below(folder, SUFFIXES):
        name = prompt_name(path.relative_to(folder))
        if name in found:
            message = f"another prompt is called `{name}` already"
            problems.append(Problem(str(path), 1, 1, "duplicate-name", message))
            continue
        try:
            found[name] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            problems.append(Problem(str(path), 1, 1, "prompt", "the file is not UTF-8 text"))
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
            problems.append(Problem(str(path), 1, 1, "prompt", message))
    return found, problems


def with_prompt(one: Located, prompts: Mapping[str, str]) -> Located:
    """The declaration, an agent's with the text of the prompt that it names as instructions; a
    prompt that there is not, and one that is too long, are mistakes at its name."""
    agent = one.declaration
    if not isinstance(agent, Agent) or agent.prompt is None:
        return one
    text = prompts.get(agent.prompt)
    if text is None:
        hint = did_you_mean(agent.prompt, prompts)
        one.problem(_HERE, "unknown-prompt", f"there is no prompt `{agent.prompt}`", hint)
        return one
    if len(text) > MOST_WORDS:
        message = f"the prompt `{agent.prompt}` is longer than {MOST_WORDS:,} characters"
        one.problem(_HERE, "too-large", message)
    return one._replace(declaration=msgspec.structs.replace(agent, instructions=text))
