"""Effects through DBOS: one workflow an attempt, taken up after a crash, never run twice."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import DELIVERED, DOWN, Around, Vendor
from forestall.channels.base import Channels, Delivery
from forestall.contracts.intervention import Case, Message
from forestall.intervene.deliver import Deliveries
from forestall.intervene.effects import AT_ONCE, AT_ONCE_EACH, Effects
from forestall.intervene.store import Store

GUIDED = DECLINED_TWICE.replace("channel: inapp", "channel: hook")


def begin(folder: Path, subjects: int = 1) -> World:
    """A world in which so many customers are to be guided through a webhook."""
    world = World(folder, GUIDED)
    for n in range(subjects):
        world.accept(
            event("payment.declined", n, f"s{n}", order_id="o1"),
            event("payment.declined", n + 0.5, f"s{n}", order_id="o1"),
        )
    world.settle()
    return world


async def until(condition: Callable[[], bool], effects: Effects) -> None:
    """Start what waits until ``condition()``; a test's timeout bounds it."""
    while not condition():
        await effects.start_waiting()
        await asyncio.sleep(0.002)


def effects_of(world: World, vendor: Vendor, seconds: float = 60) -> tuple[Effects, Around]:
    around = Around(START, vendor)
    around.seconds = seconds
    deliveries = Deliveries(world.store, around.surroundings)
    return Effects(deliveries, database=world.folder / "dbos.db", identity="test"), around


def test_each_effect_is_carried_out_once_and_remembered(tmp_path: Path) -> None:
    async def main() -> None:
        world, vendor = begin(tmp_path, 2 * AT_ONCE), Vendor()
        effects, _ = effects_of(world, vendor)
        assert await effects.start_waiting() is False, "only being launched"
        await until(lambda: world.told().count("shown 1") == 2 * AT_ONCE, effects)
        assert await effects.start_waiting() is False
        await effects.close()
        assert len({key for key, _ in vendor.got}) == len(vendor.got) == 2 * AT_ONCE
        assert await effects.start_waiting() is False, "closed"

    asyncio.run(main())
    connection = sqlite3.connect(tmp_path / "dbos.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    done = "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS' AND executor_id = ?"
    assert connection.execute(done, ("app-test",)).fetchone() == (2 * AT_ONCE,)
    connection.close()


def test_a_restart_repeats_nothing_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def run(seconds: float, done: Callable[[], bool]) -> None:
        effects, _ = effects_of(world, vendor, seconds)
        await until(done, effects)
        await effects.start_waiting()
        await effects.close()

    world, vendor = begin(tmp_path), Vendor(DOWN, DELIVERED)
    asyncio.run(run(60, lambda: bool(vendor.got)))
    world.restart()
    asyncio.run(run(70, lambda: "shown 1" in world.told()))
    world.restart()
    asyncio.run(run(80, lambda: True))
    assert world.told() == ["started", "shown 1"]
    assert len({key for key, _ in vendor.got}) == 1
    assert len(vendor.got) == 2


class Slow(Vendor):
    """Takes for ever to answer, until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()

    async def send(self, message: Message, key: str) -> Delivery:
        self.got.append((key, message))
        await self.answer.wait()
        return DELIVERED


def test_closing_lets_a_delivery_under_way_end(tmp_path: Path) -> None:
    async def main() -> None:
        world, vendor = begin(tmp_path), Slow()
        effects, _ = effects_of(world, vendor)
        await until(lambda: bool(vendor.got), effects)
        closing = asyncio.create_task(effects.close())
        await asyncio.sleep(0)
        vendor.answer.set()
        await closing
        assert world.told() == ["started", "shown 1"]

    asyncio.run(main())


CHILD = """
import asyncio, sys
from pathlib import Path
from flow.intervening import World
from flow.test_intervene_effects import Dying, begin_case, effects_of

async def main(folder):
    world = begin_case(folder)
    effects, _ = effects_of(world, Dying(folder), 16 * 60)
    while True:
        await effects.start_waiting()
        await asyncio.sleep(0.01)

asyncio.run(main(Path(sys.argv[1])))
"""


class Dying(Vendor):
    """Writes down that it was asked, and never answers."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def hand_over(self, case: Case, key: str) -> Delivery:
        assert not case.possibly_doubled
        (self.folder / "asking").write_text(key)
        (self.folder / "asking").rename(self.folder / "asked")
        await asyncio.sleep(3600)
        raise AssertionError


def begin_case(folder: Path) -> World:
    """A world in which a case is to be handed to people."""
    world = World(folder, DECLINED_TWICE)
    world.settle(
        event("payment.declined", 0, order_id="o1"), event("payment.declined", 1, order_id="o1")
    )
    world.tick(15 * 60)
    world.settle()
    return world


def test_a_case_survives_kill_9_in_the_middle_and_is_marked(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=Path(__file__).parents[1]
    )
    try:
        while not (tmp_path / "asked").exists():
            assert child.poll() is None
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    world = World.__new__(World)
    world.folder = tmp_path
    vendor = Vendor()

    async def main() -> None:
        world.store = Store(tmp_path / "app.db")
        effects, around = effects_of(world, vendor, 16 * 60)
        while not vendor.got:
            await effects.start_waiting()
            around.seconds += 1
            await asyncio.sleep(0.002)
        await effects.close()

    asyncio.run(main())
    ((key, case),) = vendor.got
    assert key == (tmp_path / "asked").read_text()
    assert isinstance(case, Case)
    assert case.possibly_doubled
    assert world.told()[-1] == "escalated 3"


@pytest.mark.timeout(30)
def test_many_waiting_effects_never_exceed_what_runs_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        world, vendor = begin(tmp_path, AT_ONCE + 4), Slow()
        effects, _ = effects_of(world, vendor)
        await until(lambda: len(vendor.got) >= AT_ONCE_EACH, effects)
        for _ in range(20):
            await effects.start_waiting()
        assert len(vendor.got) == AT_ONCE_EACH
        vendor.answer.set()
        await until(lambda: len(vendor.got) == AT_ONCE + 4, effects)
        await effects.close()

    asyncio.run(main())


TWO_CHANNELS = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: both, title: Both, owner: web}
spec:
  when: {event: page.failed}
  playbook:
    - guide: {text: "Sorry.", channel: hook}
    - guide: {text: "Sorry.", channel: spare}
"""


@pytest.mark.timeout(30)
def test_a_channel_that_hangs_leaves_room_for_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        world, hanging, spare = World(tmp_path, TWO_CHANNELS), Slow(), Vendor()
        spare.name = "spare"
        world.settle(*(event("page.failed", n, f"s{n}") for n in range(3 * AT_ONCE)))
        around = Around(START, hanging)
        around.seconds = 60
        channels = Channels([hanging, spare])
        surroundings = msgspec.structs.replace(around.surroundings, channels=channels)
        deliveries = Deliveries(world.store, surroundings)
        effects = Effects(deliveries, database=tmp_path / "dbos.db", identity="test")
        await until(lambda: len(spare.got) == 3 * AT_ONCE, effects)
        assert len(hanging.got) == AT_ONCE_EACH
        hanging.answer.set()
        await effects.close()

    asyncio.run(main())
