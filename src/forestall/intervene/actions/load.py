"""A workshop from a deployment's settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from forestall.contracts.errors import InvalidFile, Problem
from forestall.intervene.actions.calls import Calls
from forestall.intervene.actions.notes import NOTES_FILE, Notes
from forestall.intervene.actions.python import UnknownFunction
from forestall.intervene.actions.workshop import ActionWorkshop
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations, load_declarations


@asynccontextmanager
async def load_workshop(
    settings: Settings, *, client: httpx.AsyncClient, clock: Clock
) -> AsyncIterator[ActionWorkshop]:
    """The workshop of a deployment, with the functions it calls imported; closed at the end.

    ``client`` is the one way out (``channels.outbound``), ``clock`` wall time. A deployment without
    a folder of actions has a workshop that knows nothing. Raises ``InvalidFile`` with every mistake
    of the declarations, and ``McpMissing``.
    """
    folder = settings.actions
    declarations = Declarations() if folder is None else load_declarations(folder, settings)
    try:
        calls = Calls(declarations, settings, client=client, now=clock)
    except UnknownFunction as error:
        raise InvalidFile([Problem(str(folder), 1, 1, "unknown-function", str(error))]) from None
    settings.data.mkdir(parents=True, exist_ok=True)
    notes = Notes(settings.data / NOTES_FILE)
    try:
        yield ActionWorkshop(declarations, calls, notes=notes, clock=clock)
    finally:
        await calls.aclose()
        notes.close()
