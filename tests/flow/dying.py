"""Lives of a process in which an agent answers, and dies by SIGKILL at a given point.

The points lie before and after everything that is noted, and after every answer of the model. A life
without death says in a file how the agent answered. ``nursery`` is what runs in the child.
"""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from assisting import helping
from certificates import trust_nobody
from forestall.intervene.agents.asking import Ask, LanguageModel, Said
from forestall.intervene.agents.ledger import Ledger

NURSERY = "from flow.dying import nursery; nursery()"
MOST = 40
"""More points there are not, unless lives end otherwise."""

_NOTED = ("begin", "said", "failed", "keep")


class _Mortal:
    """A model after each of whose answers there is a point."""

    def __init__(self, model: LanguageModel, point: Callable[[], None]) -> None:
        self._model, self._point = model, point

    async def ask(self, ask: Ask) -> Said:
        said = await self._model.ask(ask)
        self._point()
        return said


def nursery() -> None:
    """``URL FOLDER``: until a life ends by itself, one that dies at the next point, and one after it."""
    trust_nobody()
    for module in ("pydantic_ai.direct", "pydantic_ai.models.openai", "anyio._backends._asyncio"):
        importlib.import_module(module)  # once, not in every life
    url, folder = sys.argv[1], Path(sys.argv[2])
    number, alive = 0, False
    while not alive and number < MOST:
        number += 1
        alive = _life(url, folder / f"{number}", number, dies_at=number)
        _life(url, folder / f"{number}", number, dies_at=0)
    sys.stdout.write(str(number - 1))


def _life(url: str, folder: Path, number: int, *, dies_at: int) -> bool:
    """Whether it ended by itself."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        folder.mkdir(exist_ok=True)
        asyncio.run(_live(url, folder, number, dies_at))
        status = 0
    finally:
        os._exit(status)


async def _live(url: str, folder: Path, number: int, dies_at: int) -> None:
    passed = 0

    def point() -> None:
        nonlocal passed
        passed += 1
        if passed == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in _NOTED:
        setattr(Ledger, name, _around(getattr(Ledger, name), point))
    async with helping(folder, url) as shop:
        models = shop.orchestrator.models
        shop.orchestrator.models = {name: _Mortal(one, point) for name, one in models.items()}
        given = {"payment": f"p{number}", "text": "My card was declined."}
        outcome = await shop.do(given=given, key=f"effect-{number}")
    if not dies_at:
        (folder / "outcome.json").write_bytes(msgspec.json.encode(outcome))


def _around(method: Callable[..., Any], point: Callable[[], None]) -> Callable[..., Any]:
    def around(*arguments: Any) -> Any:
        point()
        result = method(*arguments)
        point()
        return result

    return around
