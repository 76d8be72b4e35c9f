"""Opens the shop: serves it on loopback beside a Forestall server that runs already.

To try it by hand, where a deployment serves: ``python -m examples.shop.opening --config forestall.toml``.
"""

import argparse
import asyncio
import contextlib
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import httpx
import uvicorn

from examples.shop.storefront import UNLUCKY, Place, Storefront
from forestall.client import Client, Options
from forestall.contracts.errors import ForestallError
from forestall.kernel.clock import random_id
from forestall.kernel.settings import Settings, load_settings
from forestall.policy.edge_key import EdgeKey

HOST, PORT = "127.0.0.1", 8083
BEAT = 3.0
"""Seconds between two beats of the shop's clock: where log time follows events, it would stand still
while nobody clicks."""


class Shop:
    """Serves the shop while it is entered, in a thread of its own.

    ``settings`` are those of the Forestall server. Port 0 takes any free one. Entering raises
    ``OSError`` if the port is taken, and ``httpx.HTTPError`` if the server or its SDK is not there.
    """

    def __init__(self, settings: Settings, port: int = PORT) -> None:
        self._settings = settings
        self._port = port
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """The shop's address, without a slash at its end."""
        return f"http://{HOST}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        settings = self._settings
        host = settings.server.url
        keys = {key.origin: key.key for key in settings.keys}
        with httpx.Client(base_url=host, timeout=10, trust_env=False) as server:
            try:
                snippet = server.get("/sdk/snippet.js").raise_for_status().text
            except httpx.ConnectError:
                raise OSError(
                    f"no server answers at {host}; start it with `forestall serve`"
                ) from None
        try:
            self._socket = socket.create_server((HOST, self._port))
        except OSError as error:
            raise OSError(f"{HOST}:{self._port}: {error.strerror}; name another port") from None
        self._client = Client(host, keys["server"], Options(source="/shop", linger=0.02))
        edge = EdgeKey(settings.data, random_id).public
        place = Place(host, keys["browser"], settings.tokens.secret or "", snippet, edge)
        config = uvicorn.Config(
            Storefront(place, self._client), log_config=None, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._remember()
        for work in (self._serve, self._beat):
            thread = threading.Thread(target=work)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join()
        self._socket.close()
        self._client.close()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _remember(self) -> None:
        """What happened before the shop opened: some customers met an error page yesterday."""
        yesterday = datetime.now(UTC) - timedelta(hours=20)
        for customer in UNLUCKY:
            data = {"session": "yesterday"}
            self._client.track(customer, "page.failed", data, at=yesterday)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self._client.track("shop", "shop.ticked")


def main() -> int:
    """Serve until Ctrl-C; 0, or 1 where it cannot be opened."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--config", type=Path, default=Path("forestall.toml"))
    words.add_argument("--port", type=int, default=PORT)
    given = words.parse_args()
    try:
        with Shop(load_settings(given.config), given.port) as shop:
            print(f"shop on {shop.url}/", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    except (OSError, httpx.HTTPError, ForestallError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
