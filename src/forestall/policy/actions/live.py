"""The agents of a managed deployment: the live versions of the registry, held against its folder.

Lookups and actions are the folder's. A live version that cannot be used here gives way to the newest
version that was live before and can be, and is told.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.errors import InvalidFile, Problem
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations, Judge, Unusable, read_folder
from forestall.policy.actions.model import Agent
from forestall.policy.actions.prompts import with_prompt
from forestall.policy.actions.read import Located, read_declarations
from forestall.policy.language.document import Mapping as Node
from forestall.policy.language.document import Place, Source
from forestall.policy.language.reader import Fields


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an agent: its meaning as JSON (``Agent.meaning``), and what people wrote."""

    name: str
    version: str
    content: bytes
    source: str = ""
    title: str = ""


class Live(msgspec.Struct, frozen=True):
    """What is live: the versions of each agent, the live one first and after it those that were live
    before, newest first; and the texts of the prompts. Both by name."""

    agents: dict[str, tuple[Version, ...]] = {}
    prompts: dict[str, str] = {}


def load_managed(folder: Path, settings: Settings, live: Live) -> Declarations:
    """What ``folder`` declares, with the live agents in place of its own.

    Raises ``InvalidFile`` for mistakes in the folder's other declarations.
    """
    held = _Held(folder, settings)
    agents: dict[str, Agent] = {}
    unusable = []
    for name, versions in live.agents.items():
        told: list[tuple[Problem, ...]] = []
        for version in versions:
            try:
                agent, problems = held.judged(located(version), live.prompts)
            except InvalidFile as error:
                told.append(tuple(error.problems))
                continue
            if not problems:
                agents[name] = agent
                break
            told.append(problems)
        if told:
            instead = versions[len(told)].version if name in agents else None
            unusable.append(
                Unusable(agent=name, version=versions[0].version, problems=told[0], instead=instead)
            )
    return msgspec.structs.replace(
        held.judge.declarations(), agents=agents, managed=True, unusable=tuple(unusable)
    )


def judging(
    folder: Path, settings: Settings, prompts: Mapping[str, str]
) -> Callable[[Located], tuple[Problem, ...]]:
    """What is wrong with an agent in a deployment. Raises as ``load_managed`` does."""
    held = _Held(folder, settings)
    return lambda one: held.judged(one, prompts)[1]


def located(version: Version) -> Located:
    """An agent of the registry, with the places of what people wrote as far as that is known.

    Raises ``InvalidFile`` for one that is not as agents are now.
    """
    file = f"{version.name}@{version.version[:8]}"
    if version.source:
        found, source = read_declarations(version.source, file)
        agents = [one for one in found if isinstance(one.declaration, Agent)]
        if len(agents) == 1 and not source.problems and _same(agents[0].declaration, version):
            return agents[0]
    try:
        plain = msgspec.json.decode(version.content, type=dict[str, Any])
        agent = msgspec.convert({**plain, "title": version.title or version.name}, Agent)
    except msgspec.DecodeError as error:
        raise InvalidFile([Problem(file, 1, 1, "unusable-agent", str(error))]) from None
    nothing = Fields(Source("", file), Node({}, Place(1, 1)), "")
    return Located(agent, nothing, nothing)


def _same(one: Any, version: Version) -> bool:
    return bool(msgspec.json.encode(one.meaning, order="sorted") == version.content)


class _Held:
    """The folder without its agents, for agents to be held against."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        found, sources = read_folder(folder)
        self.judge = Judge(
            folder, settings, [one for one in found if not isinstance(one.declaration, Agent)]
        )
        self.judge.judge()
        problems = {problem for source in sources for problem in source.problems}
        if problems:
            raise InvalidFile(sorted(problems))
        agents = [one.declaration for one in found if isinstance(one.declaration, Agent)]
        self._functions = {one.way.call for one in agents if one.way is not None}

    def judged(self, one: Located, prompts: Mapping[str, str]) -> tuple[Agent, tuple[Problem, ...]]:
        """The agent with its prompt's text, and what is wrong with it here.

        A function answers only if an agent of the folder names it too: which code may run as one
        comes with the server, not by promotion, and an action's code is none.
        """
        source = one.spec.source
        before = len(source.problems)
        one = with_prompt(one, prompts)
        agent = one.declaration
        assert isinstance(agent, Agent)  # noqa: S101
        if agent.way is not None and agent.way.call not in self._functions:
            message = f"no agent in the folder of [actions] names the function `{agent.way.call}`"
            one.problem(("python", "call"), "unknown-function", message)
        self.judge.agent(one, agent)
        return agent, tuple(dict.fromkeys(source.problems[before:]))
