"""A workshop over declarations written in a test, with a way out to loopback only."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from forestall.channels.outbound import outbound
from forestall.contracts.instants import SECOND
from forestall.intervene.actions.load import load_workshop
from forestall.intervene.actions.workshop import ActionWorkshop
from forestall.intervene.jobs import Job, JobKind, Outcome
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Outbound, Settings

CANARY = "canary-8f2e61c0d9"
"""The secret of every credential; it may turn up nowhere."""


class Scene:
    """A workshop with a key for each job that is not given one."""

    def __init__(self, workshop: ActionWorkshop, settings: Settings) -> None:
        self.workshop, self.settings = workshop, settings
        self._count = 0

    async def do(
        self,
        kind: JobKind,
        name: str,
        arguments: dict[str, Any],
        *fields: str,
        key: str | None = None,
        dry: bool = False,
        **more: Any,
    ) -> Outcome:
        self._count += 1
        timeout = more.pop("timeout", 60 * SECOND)
        job = Job(kind=kind, name=name, arguments=arguments, fields=fields, timeout=timeout, **more)
        outcome = await self.workshop.perform(job, key or f"key-{self._count}", dry=dry)
        assert CANARY not in repr(msgspec.to_builtins(outcome))
        return outcome

    async def find(self, name: str, arguments: dict[str, Any], key: str) -> Outcome | None:
        return await self.workshop.find(Job(kind="action", name=name, arguments=arguments), key)


@asynccontextmanager
async def workshop(
    folder: Path,
    declarations: Path | str | None = None,
    *,
    clock: Callable[[], int] = wall_clock,
    client: httpx.AsyncClient | None = None,
    watch: float | None = None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """A workshop of ``declarations``: a folder, or the text of one file."""
    if isinstance(declarations, str):
        (folder / "actions").mkdir(exist_ok=True)
        (folder / "actions" / "all.yaml").write_text(declarations)
        declarations = folder / "actions"
    made = Settings(data=folder / "data", actions=declarations, **settings)
    if not made.outbound.allow:
        made = msgspec.structs.replace(made, outbound=Outbound(allow=("127.0.0.1",)))
    async with (
        client or outbound(made.outbound) as opened,
        load_workshop(made, client=opened, clock=clock, watch=watch) as loaded,
    ):
        yield Scene(loaded, made)
