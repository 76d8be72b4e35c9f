"""The app process: what it does beside carrying out."""

import asyncio

from forestall.app.effects import keep_watching


def test_the_console_is_kept_up_to_date_although_nobody_looks() -> None:
    async def watched() -> int:
        stop, looks = asyncio.Event(), 0
        loop = asyncio.get_running_loop()

        def poll() -> None:
            nonlocal looks
            looks += 1
            loop.call_soon_threadsafe(stop.set)

        await asyncio.wait_for(keep_watching(poll, stop), 10)
        return looks

    assert asyncio.run(watched()) == 1
