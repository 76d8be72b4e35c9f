"""Putting the gateway together, and running it until told to stop."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.errors import ForestallError
from forestall.ingest import past, quarantine
from forestall.ingest.admit import Rules
from forestall.ingest.commit import Committer
from forestall.ingest.exchange import App
from forestall.ingest.gateway import Gateway
from forestall.ingest.lane import Heads, Lane
from forestall.ingest.placing import Desk
from forestall.ingest.writers import Writers, internal_key
from forestall.kernel.clock import Clock, Tokens, random_id, wall_clock
from forestall.kernel.settings import Settings
from forestall.log.sqlite import SqliteLog
from forestall.privacy import door
from forestall.privacy.keys import load_keys
from forestall.privacy.tokens import check_secret
from forestall.privacy.vault import Vault

GRACE_SECONDS = 10

_NOT_OURS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
"""What a system says to an address that it does not have."""


class AddressInUse(ForestallError):
    """Something listens at ``[server] host`` and ``port`` already; stop it, or set another
    ``port``."""

    code = "address-in-use"


class AddressUnusable(ForestallError):
    """``[server] host`` is no address of this machine, or ``port`` is one at which this user may
    not listen."""

    code = "address-unusable"


class Built(msgspec.Struct, frozen=True):
    """A gateway ready to run: its app, its committer, its log."""

    app: Gateway
    committer: Committer
    log: SqliteLog


def gateway_file(settings: Settings) -> Path:
    """The file of signals, identities, door and quarantine; the gateway alone writes it."""
    return settings.data / "gateway.db"


def build_gateway(
    settings: Settings,
    *,
    clock: Clock = wall_clock,
    ids: Tokens = random_id,
    acts_of: past.ActsOf | None = None,
    fallback: App | None = None,
    log: SqliteLog | None = None,
    committed: Callable[[], object] = lambda: None,
) -> Built:
    """The gateway of a deployment; makes the data folder and its keys where they are missing.

    ``acts_of`` gives what a joining device brings (default: from the worker's decisions beside
    it), ``fallback`` answers paths that are not ours, ``committed`` is called after each commit, on
    the thread that made it. Raises
    ``VaultLocked``, ``InvalidFile`` (contracts), ``WeakSecret``, ``LogUnreadable``.
    """
    if settings.tokens.secret is not None:
        check_secret(settings.tokens.secret)
    catalogue = load_catalogue(settings.contracts)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = load_keys(settings.data, ids, create=True)
    log = log or SqliteLog(gateway_file(settings))
    with log.transaction() as connection:
        vault = Vault(connection, keys, ids)
        vault.lay()
        door.lay(connection)
        quarantine.lay(connection)
    desk = Desk(
        log,
        connection,
        vault,
        keys,
        ids,
        acts_of or past.acts_in(settings.data / "worker.db"),
        settings.decide.lateness,
        settings.ingest.clock,
    )
    committer = Committer(
        log,
        desk,
        clock,
        max_events=settings.ingest.queue_events,
        max_bytes=settings.ingest.queue_bytes,
        committed=committed,
    )
    app = Gateway(
        settings,
        writers=Writers(settings.keys, internal_key(settings.data, ids, create=True)),
        rules=Rules(
            catalogue, keys.token, settings.contracts is not None, settings.ingest.max_event_bytes
        ),
        committer=committer,
        desk=desk,
        clock=clock,
        fallback=fallback,
    )
    return Built(app, committer, log)


def listen(host: str, port: int, setting: str = "port") -> socket.socket:
    """A socket bound to ``host`` and ``port`` (0: any free one), which ``[server]`` has as
    ``setting``. Raises ``AddressInUse`` and ``AddressUnusable``."""
    try:
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
        except (OSError, TypeError):
            bound.close()
            raise
    except (OSError, TypeError) as error:
        raise unusable(error, host, port, setting) from None
    return bound


def unusable(
    error: OSError | TypeError, host: str, port: int, setting: str
) -> AddressInUse | AddressUnusable:
    """Why nothing can listen there, and what to do about it. A ``TypeError`` is what Python says to
    what can be no host's name."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, TypeError | socket.gaierror) or number in _NOT_OURS:
        return AddressUnusable(
            f"[server] host = {host!r}: not an address of this machine; set it to 127.0.0.1 (this"
            " machine alone may connect), 0.0.0.0 (every machine that can reach this one may), or"
            " one of its own addresses"
        )
    if number == errno.EACCES:
        return AddressUnusable(
            f"[server] {setting} = {port}: this user may not listen there; set it to 1024 or more"
        )
    return AddressInUse(
        f"{host}:{port}: {error.strerror}; stop what listens there, or set [server] {setting}"
    )


async def serve_gateway(
    built: Built,
    bound: socket.socket,
    stop: asyncio.Event,
    *,
    started: Callable[[], None] = lambda: None,
    protocol: type[Lane] = Lane,
) -> None:
    """Serve on ``bound`` until ``stop``; then finish requests, write what waits, close the log.

    ``started`` is called once requests are taken; connections speak ``protocol``. Installs no
    signal handlers. Raises whatever ended the committer, since without it nothing can be accepted.
    """
    try:
        with built.log.checkpoints_beside():
            await _serve(built, bound, stop, started, protocol)
    finally:
        built.log.close()


async def _serve(
    built: Built,
    bound: socket.socket,
    stop: asyncio.Event,
    started: Callable[[], None],
    protocol: type[Lane],
) -> None:
    protocol = type(protocol.__name__, (protocol,), {"gateway": built.app, "heads": Heads()})
    server = Server(built.app, GRACE_SECONDS, protocol)
    committing = asyncio.create_task(built.committer.run())
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    stopping = asyncio.create_task(stop.wait())
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        started()
        await asyncio.wait({committing, serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        await serving
        built.committer.close()
        try:
            await committing
        finally:
            stopping.cancel()


class Server(uvicorn.Server):
    """Uvicorn as both our servers run it, without signal handlers of its own: whoever runs it says
    when to stop. Open answers then get ``grace`` seconds."""

    def __init__(
        self, app: App, grace: int, protocol: type[HttpToolsProtocol] = HttpToolsProtocol
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                backlog=2048,
                timeout_graceful_shutdown=grace,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
