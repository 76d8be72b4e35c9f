"""An orchestrator from a deployment's settings, joined to its workshop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from forestall.context.knowledge.passages import Search
from forestall.intervene.actions.workshop import ActionWorkshop
from forestall.intervene.agents.ledger import LEDGER_FILE, Ledger
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.intervene.agents.provider import language_models
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings


@asynccontextmanager
async def open_agents(
    settings: Settings,
    workshop: ActionWorkshop,
    *,
    client: httpx.AsyncClient,
    clock: Clock,
    search: Search | None = None,
) -> AsyncIterator[Orchestrator]:
    """What answers for the agents of ``workshop``, until the end.

    ``client`` is the one way out, ``clock`` wall time; ``search`` may be changed by ``use``. Raises
    ``AgentsMissing``, ``UnusableModel`` and ``PresidioMissing``.
    """
    ledger = Ledger(settings.data / LEDGER_FILE)
    try:
        models = language_models(settings.language_models, client)
        orchestrator = Orchestrator(
            settings, workshop, ledger, models=models, clock=clock, search=search
        )
        workshop.answers = orchestrator
        yield orchestrator
    finally:
        workshop.answers = None
        ledger.close()
