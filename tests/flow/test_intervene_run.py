"""The whole loop of the app process over two logs, and the command that looks at it."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
import uvicorn
from typer.testing import CliRunner

from flow.intake import Intake, verdicts
from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import OpenDoor, Vendor
from forestall.channels.base import Channels
from forestall.cli import interventions as command
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import Case
from forestall.intervene.run import AlreadyRunning, Interventions, open_interventions
from forestall.intervene.store import StoreMissing

DECLINES = (
    event("payment.declined", 0, order_id="o1"),
    event("payment.declined", 10, order_id="o2"),
)


class Loopback:
    """A gateway on loopback that takes reports into the world's log, and has it decided."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.intake = Intake()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        newest = self.world.signals.received("signals")
        count, records = self.intake.take(body, newest)
        if records:
            self.world.accept(*records)
            self.world.decide()
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": msgspec.json.encode(verdicts(count))})


def opened(world: World, port: int, vendor: Vendor) -> AbstractAsyncContextManager[Interventions]:
    return open_interventions(
        world.folder,
        signals=world.signals,
        decisions=world.decisions,
        runbooks=world.runbooks,
        channels=Channels([vendor]),
        queues={"payments": vendor},
        door=OpenDoor(),
        gateway=f"http://127.0.0.1:{port}",
        key="k",
        clock=lambda: START + 10**6 * SECOND,
        ids=lambda: "an-id",
        event_clock=True,
    )


def test_from_a_decision_to_people_and_back(tmp_path: Path) -> None:
    """Guidance is shown, the wait runs out, the case leaves by DBOS, and the log hears of it."""
    world, vendor = World(tmp_path, DECLINED_TWICE), Vendor()
    world.store.close()

    async def main() -> None:
        config = uvicorn.Config(Loopback(world), port=0, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with opened(world, port, vendor) as app:
            running = asyncio.create_task(app.run())
            world.accept(*DECLINES)
            world.decide()
            while not app.inbox.after("s1", None, app.now()):
                await asyncio.sleep(0.005)
            (message,) = app.inbox.after("s1", None, app.now())
            app.shown(message.id, app.now())
            while not app.settled:
                await asyncio.sleep(0.005)
            world.tick(15 * 60)
            while app.store.newest(1)[0].outcome == "running":
                await asyncio.sleep(0.005)
            while not app.settled:
                await asyncio.sleep(0.005)
            with pytest.raises(AlreadyRunning, match="another app process"):
                async with opened(world, port, vendor):
                    pass
            app.stop()
            await running
        server.should_exit = True
        await serving

    asyncio.run(main())
    ((_, case),) = vendor.got
    assert isinstance(case, Case)
    assert [taken.what for taken in case.taken] == ["started", "shown"]
    types = [
        record.type.rpartition(".")[2]
        for batch in world.signals.follow("signals")
        for record in msgspec.json.decode(batch.payload, type=list[Record])
        if record.type.startswith("forestall.")
    ]
    assert types == ["started", "shown", "escalated"]

    runner = CliRunner()
    listed = runner.invoke(command.app, ["list", "--data", str(tmp_path), "--json"])
    (one,) = msgspec.json.decode(listed.output)
    assert (one["outcome"], one["subject"]) == ("escalated", "s1")
    assert [taken["what"] for taken in one["taken"]] == ["started", "shown", "escalated"]
    table = runner.invoke(command.app, ["list", "--data", str(tmp_path), "--subject", "s1"])
    assert "card-declined" in table.output
    none = runner.invoke(command.app, ["list", "--data", str(tmp_path), "--subject", "s2"])
    assert "card-declined" not in none.output
    shown = runner.invoke(command.app, ["show", one["id"][:8], "--data", str(tmp_path)])
    assert "outcome       escalated" in shown.output
    assert "shown step 1" in shown.output
    whole = runner.invoke(command.app, ["show", one["id"], "--data", str(tmp_path), "--json"])
    assert msgspec.json.decode(whole.output) == {**one, "inferences": []}
    missing = runner.invoke(command.app, ["show", "nothing", "--data", str(tmp_path)])
    assert isinstance(missing.exception, UnreadableInput)


def test_a_folder_without_interventions_is_named(tmp_path: Path) -> None:
    answer = CliRunner().invoke(command.app, ["list", "--data", str(tmp_path)])
    assert isinstance(answer.exception, StoreMissing)
    assert "start `forestall serve` first" in str(answer.exception)


def test_the_disk_being_full_for_a_while_ends_nothing(tmp_path: Path) -> None:
    """The loop waits and goes on; what failed is done then, once."""
    world = World(tmp_path, DECLINED_TWICE)
    world.store.close()
    troubles = 0

    async def main() -> None:
        nonlocal troubles
        async with opened(world, 9, Vendor()) as app:
            run = app.store.database.run
            limit = run(sa.text("PRAGMA page_count")).scalar_one()
            run(sa.text(f"PRAGMA max_page_count = {limit}"))
            running = asyncio.create_task(app.run())
            for n in range(40):
                world.accept(
                    event("payment.declined", n, f"s{n}", order_id="o" * 900),
                    event("payment.declined", n + 0.5, f"s{n}", order_id="o" * 900),
                )
            world.decide()
            await asyncio.sleep(0.2)
            assert not running.done()
            troubles = len(app.store.newest(100))
            run(sa.text("PRAGMA max_page_count = 100000"))
            while len(app.store.newest(100)) < 40:
                await asyncio.sleep(0.01)
            app.stop()
            await running

    asyncio.run(main())
    assert troubles == 0, "what could not be committed was not there"


@pytest.mark.parametrize("broken", ["_heed", "_reporter.run", "tickets.run"])
def test_nothing_goes_on_without_a_part_that_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    async def breaks(*_: object) -> None:
        await asyncio.sleep(0)
        raise RuntimeError(broken)

    async def main() -> None:
        async with opened(World(tmp_path, DECLINED_TWICE), 9, Vendor()) as interventions:
            whole, _, method = broken.rpartition(".")
            part = getattr(interventions, whole) if whole else interventions
            monkeypatch.setattr(part, method, breaks)
            async with asyncio.timeout(30):
                await interventions.run()

    with pytest.raises(RuntimeError, match=broken):
        asyncio.run(main())
