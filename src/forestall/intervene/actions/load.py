"""A workshop from a deployment's settings, and anew when its declarations change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import structlog

from forestall.contracts.errors import ForestallError, InvalidFile, Problem
from forestall.intervene.actions.calls import Calls
from forestall.intervene.actions.live import LiveAgents
from forestall.intervene.actions.notes import NOTES_FILE, Notes
from forestall.intervene.actions.python import UnknownFunction
from forestall.intervene.actions.workshop import ActionWorkshop
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings
from forestall.kernel.settings.stamps import Stamp, stamp
from forestall.policy.actions.folder import Declarations, load_declarations
from forestall.policy.actions.live import load_managed
from forestall.policy.actions.prompts import beside

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def load_workshop(
    settings: Settings,
    *,
    client: httpx.AsyncClient,
    clock: Clock,
    watch: float | None = None,
) -> AsyncIterator[ActionWorkshop]:
    """The workshop of a deployment, closed at the end.

    ``client`` is the one way out (``channels.outbound``), ``clock`` wall time. Every ``watch`` seconds
    it looks whether the declarations changed and uses them from then on; the last good ones stay
    while they have mistakes. The agents of a managed deployment are the live versions of its
    registry. A deployment without a folder of actions has a workshop that knows nothing. Raises ``InvalidFile`` with every mistake of the declarations, and ``McpMissing``.
    """
    async with AsyncExitStack() as stack:
        settings.data.mkdir(parents=True, exist_ok=True)
        agents = LiveAgents(settings.data) if settings.lifecycle.managed else None
        if agents is not None:
            stack.callback(agents.close)

        def stamp() -> object:
            return _stamp(settings.actions), agents and agents.look()

        began = stamp()
        declared = _declared(settings, agents, client, clock, stack)
        notes = Notes(settings.data / NOTES_FILE)
        stack.callback(notes.close)
        workshop = ActionWorkshop(*declared, notes=notes, clock=clock)

        async def keep_watching(pause: float) -> None:
            seen = began
            while True:
                await asyncio.sleep(pause)
                now = stamp()
                if now == seen:
                    continue
                seen = now
                try:
                    workshop.use(*_declared(settings, agents, client, clock, stack))
                    _log.info("declarations of actions reloaded")
                except ForestallError as error:
                    _log.error(
                        "declarations have mistakes; the last good ones stay", problems=str(error)
                    )

        if watch is not None and settings.actions is not None:
            watching = asyncio.create_task(keep_watching(watch))
            stack.push_async_callback(_ended, watching)
        yield workshop


def _declared(
    settings: Settings,
    agents: LiveAgents | None,
    client: httpx.AsyncClient,
    clock: Clock,
    stack: AsyncExitStack,
) -> tuple[Declarations, Calls]:
    """What is declared, and the calls for it; what they start runs until the end, as jobs may be
    under way."""
    folder = settings.actions
    if folder is None:
        declarations = Declarations()
    elif agents is None:
        declarations = load_declarations(folder, settings)
    else:
        declarations = load_managed(folder, settings, agents.look())
    for one in declarations.unusable:
        _log.error(
            "the live version of an agent cannot be used here",
            agent=one.agent,
            version=one.version,
            problems="; ".join(map(str, one.problems)),
            instead=one.instead,
        )
    try:
        calls = Calls(declarations, settings, client=client, now=clock)
    except UnknownFunction as error:
        problem = Problem(str(folder), 1, 1, "unknown-function", str(error))
        raise InvalidFile([problem]) from None
    stack.push_async_callback(calls.aclose)
    return declarations, calls


def _stamp(folder: Path | None) -> Stamp:
    """Names, sizes and times of change of the folder's files and of the prompts beside it; equal
    means nothing changed."""
    folders = () if folder is None else (folder, beside(folder))
    return stamp(sorted(file for one in folders for file in one.rglob("*")))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
