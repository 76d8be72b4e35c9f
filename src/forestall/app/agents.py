"""Joins agents to the workshop that asks them, and to what the deployment knows."""

import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import structlog

from forestall.context.knowledge.stock import Stock
from forestall.contracts.errors import ForestallError
from forestall.intervene.actions.workshop import ActionWorkshop
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Settings

Know = Callable[[Stock], None]
"""Lets agents search what is known by now; may take a while, and be called in a thread."""

_log = structlog.get_logger("app")


@asynccontextmanager
async def join_agents(
    settings: Settings, workshop: ActionWorkshop, client: httpx.AsyncClient
) -> AsyncIterator[Know]:
    """Have the agents of ``workshop`` answered for until the end.

    Nothing is opened where the deployment has no folder of actions, so no agents. Raises
    ``AgentsMissing``, ``UnusableModel``, ``PresidioMissing``, ``EmbeddingsMissing``, and
    ``InvalidFile`` for mistakes in the synonyms.
    """
    if settings.actions is None:
        yield lambda _: None
        return
    from forestall.context.knowledge.index import library_of
    from forestall.intervene.agents.load import open_agents

    library_of({}, datetime.date.min, settings.knowledge)
    async with open_agents(settings, workshop, client=client, clock=wall_clock) as orchestrator:

        def know(stock: Stock) -> None:
            try:
                orchestrator.use(library_of(stock.runbooks, stock.day, settings.knowledge))
            except ForestallError as error:
                _log.error("knowledge cannot be searched anew", problems=str(error))

        yield know
