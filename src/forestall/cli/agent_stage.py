"""What ``forestall agent eval`` and ``forestall agent try`` need besides a case."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import structlog
from structlog.typing import EventDict

from forestall.cli.deployment import DEFAULT, settings_for
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import day_of
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings, load_settings
from forestall.policy.actions.folder import Declarations, load_declarations
from forestall.policy.actions.model import Agent

if TYPE_CHECKING:
    from forestall.intervene.agents.trial import Stage

NO_MODEL = "none"
"""What ``--model`` says for the composer."""


def declared(settings: Settings) -> Declarations:
    """What the deployment declares. Raises ``InvalidFile``."""
    if settings.file is None:
        raise UnreadableInput(
            f"there is no {DEFAULT} here; name one with --config, or run in the folder that holds it"
        )
    if settings.actions is None:
        raise UnreadableInput(f"{settings.file} names no [actions] folder, so there are no agents")
    return load_declarations(settings.actions, settings)


def agent_of(declarations: Declarations, name: str) -> Agent:
    """The agent ``name``. Raises ``UnreadableInput`` where there is none."""
    agent = declarations.agents.get(name)
    if agent is None:
        known = ", ".join(declarations.agents) or "none"
        raise UnreadableInput(f"no agent is declared as {name!r} (known: {known})")
    return agent


def declared_by_instructions(declarations: Declarations, name: str) -> Agent:
    """The same, and one that is no Python function."""
    agent = agent_of(declarations, name)
    if agent.way is not None:
        raise UnreadableInput(
            f"{name} is a Python function; run it with `forestall action run {name}`"
        )
    return agent


def model_of(settings: Settings, agent: Agent, wanted: str | None) -> str | None:
    """The model to ask: the one wanted, or the agent's own; none: the composer.

    Raises ``UnreadableInput`` for one that the settings do not have.
    """
    if wanted is None:
        return agent.model
    if wanted == NO_MODEL:
        return None
    if wanted not in settings.language_models:
        known = ", ".join(settings.language_models) or "no model"
        raise UnreadableInput(f"--model {wanted}: the settings have {known}")
    return wanted


def settings_of(config: Path | None, *, secrets: bool) -> Settings:
    """The settings, with secrets only where somebody is really asked. Raises ``InvalidSettings``."""
    return load_settings(config or DEFAULT) if secrets else settings_for(config)


def _unrecorded(_logger: object, _method: str, event: EventDict) -> EventDict:
    from forestall.intervene.agents.trial import RECORDED

    if event.get("model") == RECORDED:
        raise structlog.DropEvent
    return event


@contextmanager
def quiet() -> Iterator[None]:
    """Only warnings are told, and not where the answer is printed; of a model whose answers a case
    records there are none, as they are what the case is about."""
    before = structlog.get_config()
    structlog.configure(
        processors=[_unrecorded, *before["processors"]],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


@asynccontextmanager
async def staged(
    settings: Settings,
    agent: str,
    model: str | None,
    *,
    clock: Clock,
    live: bool = False,
    demanded: bool = False,
) -> "AsyncIterator[Stage]":
    """Everything that trials of ``agent`` with ``model`` need, closed at the end.

    Where the model has no key the composer answers, unless it is ``demanded``: then this raises
    ``UnreadableInput``.

    Calls of models are noted in a file of their own, which is thrown away: a trial spends nothing of
    the server's day. With ``live`` lookups really are asked.
    """
    from forestall.context.knowledge.index import library_of
    from forestall.context.knowledge.runbooks import current, load_runbooks
    from forestall.intervene.agents.ledger import LEDGER_FILE, Ledger
    from forestall.intervene.agents.trial import Stage, with_model

    day = day_of(clock())
    runbooks = {} if settings.runbooks is None else load_runbooks(settings.runbooks)
    async with AsyncExitStack() as stack:
        stack.enter_context(quiet())
        folder = stack.enter_context(TemporaryDirectory(prefix="forestall-trial-"))
        ledger = Ledger(Path(folder) / LEDGER_FILE)
        stack.callback(ledger.close)
        models, behind = {}, None
        if model is not None or live:
            from forestall.channels.outbound import outbound
            from forestall.intervene.actions.load import load_workshop
            from forestall.intervene.agents.provider import language_models

            client = await stack.enter_async_context(outbound(settings.outbound))
            if model is not None:
                section = {model: settings.language_models[model]}
                models = language_models(section, client)
                if demanded and not models:
                    raise UnreadableInput(
                        f"set [language_models.{model}] key, or take --model none"
                    )
            if live:
                aside = msgspec.structs.replace(settings, data=Path(folder))
                workshop = load_workshop(aside, client=client, clock=clock)
                behind = await stack.enter_async_context(workshop)
        yield Stage(
            settings=settings,
            declarations=with_model(declared(settings), agent, model),
            ledger=ledger,
            clock=clock,
            models=models,
            search=library_of(runbooks, day, settings.knowledge),
            runbooks=current(runbooks, day),
            behind=behind,
        )
