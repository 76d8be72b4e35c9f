"""Both clients by one suite: with a thread, and in an event loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from clientsuite import ClientSuite
from forestall.client import AsyncClient, Client, Counts, Options


class Threaded:
    def __init__(self, client: Client) -> None:
        self.client = client

    def call(self, verb: str, *given: Any, **more: Any) -> None:
        getattr(self.client, verb)(*given, **more)

    def flush(self, timeout: float | None = None) -> bool:
        return self.client.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        return self.client.close(timeout)

    @property
    def counts(self) -> Counts:
        return self.client.counts

    def shown(self) -> str:
        return repr(vars(self.client))


class Looped:
    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self.client, self.loop = client, loop

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    def call(self, verb: str, *given: Any, **more: Any) -> None:
        async def said() -> None:
            await getattr(self.client, verb)(*given, **more)

        self.run(said())

    def flush(self, timeout: float | None = None) -> bool:
        return bool(self.run(self.client.flush(timeout)))

    def close(self, timeout: float | None = None) -> bool:
        return bool(self.run(self.client.close(timeout)))

    @property
    def counts(self) -> Counts:
        async def read() -> Counts:
            return self.client.counts

        counts: Counts = self.run(read())
        return counts

    def shown(self) -> str:
        return repr(vars(self.client))


class TestClient(ClientSuite):
    @staticmethod
    @contextmanager
    def drive(host: str, key: str, options: Options, **more: Any) -> Iterator[Threaded]:
        with Client(host, key, options, **more) as client:
            yield Threaded(client)


async def rest() -> None:
    """End what still runs in the loop, as ``asyncio.run`` does."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class TestAsyncClient(ClientSuite):
    @staticmethod
    @contextmanager
    def drive(host: str, key: str, options: Options, **more: Any) -> Iterator[Looped]:
        client = AsyncClient(host, key, options, **more)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        driven = Looped(client, loop)
        try:
            driven.run(client.__aenter__())
            yield driven
            driven.run(client.__aexit__(None, None, None))
        finally:
            driven.run(rest())
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()
