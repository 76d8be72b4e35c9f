"""One at a time by key."""

import asyncio

import pytest

from forestall.channels.helpdesk.turns import Turns

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_same_name_is_held_by_one_at_a_time() -> None:
    turns, inside, most = Turns(), 0, 0

    async def hold() -> None:
        nonlocal inside, most
        async with turns.turn("a"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(hold() for _ in range(5)))
    assert most == 1


async def test_other_names_do_not_wait() -> None:
    turns = Turns()
    async with turns.turn("a"), asyncio.timeout(60), turns.turn("b"):
        pass


async def test_who_fails_or_gives_up_lets_go_and_nothing_is_left_behind() -> None:
    turns = Turns()
    with pytest.raises(KeyError):
        async with turns.turn("a"):
            raise KeyError
    async with turns.turn("a"):
        waiting = asyncio.create_task(_take(turns))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(60), turns.turn("a"):
        pass
    assert not turns._locks
    assert not turns._wanted


async def _take(turns: Turns) -> None:
    async with turns.turn("a"):
        pass
