"""Waiting for something that may not come."""

import asyncio

from forestall.kernel.clock import within


def test_a_wait_ends_with_its_time_or_with_what_it_waits_for() -> None:
    async def main() -> list[bool]:
        event = asyncio.Event()
        waiting = asyncio.create_task(within(event, 3600))
        in_vain = await within(event, 0.001)
        event.set()
        return [in_vain, await waiting, await within(event, 3600)]

    assert asyncio.run(main()) == [False, True, True]
