"""The loop of the app process: playbooks, effects and reports, until told to stop."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import httpx
import msgspec
import structlog

from forestall.channels.base import Channels, Desk
from forestall.context.knowledge.runbooks import Runbooks
from forestall.contracts.errors import ForestallError
from forestall.intervene.carry import Approvals, Carrier, Pages
from forestall.intervene.deliver import Deliveries
from forestall.intervene.effects import Effects
from forestall.intervene.gather import Gatherer
from forestall.intervene.inbox import Inbox
from forestall.intervene.jobs import Workshop
from forestall.intervene.queues import helpdesks_of, queue_desks
from forestall.intervene.reports import Reporter
from forestall.intervene.stage import Stage
from forestall.intervene.store import Store
from forestall.intervene.surroundings import Door, Surroundings
from forestall.intervene.tickets import Casework, Tickets
from forestall.kernel.clock import Clock, Tokens, within
from forestall.kernel.database.tables import TROUBLE, first_line
from forestall.log.port import Log
from forestall.privacy.masking import Finder, find

_BUSY, _IDLE, _TROUBLED = 0.002, 0.05, 1.0
_GATHERED, _GATHER = range(16, 1_000), 0.004
"""After a step with so many events, seconds in which more may gather, as in the worker: a step costs
about as much whatever is in it."""

_TIMEOUT = httpx.Timeout(10.0)
_log = structlog.get_logger(__name__)


class AlreadyRunning(ForestallError):
    """Another app process works in this data folder; stop it first, there can only be one."""

    code = "app-running"
    exit_code = 2


class Interventions:
    """Everything of this room for one data folder; ``open_interventions`` makes it.

    ``store`` and ``inbox`` serve the console and the event-stream hub. ``now`` is the time by which
    messages expire: wall time, or log time where the deployment replays history. Whoever sets
    ``tapped`` says that there may be something new; ``run`` looks now and then anyway.
    """

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        stage: Stage,
        deliveries: Deliveries,
        effects: Effects,
        reporter: Reporter,
        inbox: Inbox,
        door: Door,
        tickets: Tickets,
        now: Clock,
    ) -> None:
        self.store, self.inbox, self.now = store, inbox, now
        self.tickets = tickets
        self._door, self._stopped = door, 0
        self._carrier = carrier
        self._stage, self._deliveries = stage, deliveries
        self._effects, self._reporter = effects, reporter
        self._stopping = asyncio.Event()
        self._shown: list[tuple[str, int]] = []
        self.tapped = asyncio.Event()

    def tell(self, pages: Pages) -> None:
        """From now on ``pages`` hear at once what is said and what is taken back."""
        self._carrier.pages = pages
        self._carrier.may_show = self.inbox.may_show

    def use(self, runbooks: Runbooks) -> None:
        """From now on what is said is taken from ``runbooks``."""
        self._carrier.runbooks = runbooks

    def shown(self, message: str, now: int) -> None:
        """The message was handed to a page at log time ``now``; that is written down soon."""
        self._shown.append((message, now))
        self.tapped.set()

    def stop(self) -> None:
        """Let ``run`` finish what is under way and return."""
        self._stopping.set()
        self.tapped.set()

    @property
    def settled(self) -> bool:
        """Whether everything decided so far is carried out and reported."""
        reported = not (self._shown or self.store.reports(1))
        return self._stage.caught_up and reported and not self._deliveries.waiting(1)

    async def run(self) -> None:
        """Carry out what is decided until ``stop``, or until one part of it breaks; it raises then
        what broke, as the others must not go on without it."""
        parts = (
            asyncio.create_task(self._heed()),
            asyncio.create_task(self._reporter.run(self._stopping)),
            asyncio.create_task(self.tickets.run(self._stopping)),
        )
        for part in parts:
            part.add_done_callback(lambda _: self.stop())
        try:
            await self._carry_on()
            with contextlib.suppress(*TROUBLE):
                self._note_shown()
        finally:
            self._stopping.set()
            await self._effects.close()
            await asyncio.gather(*parts)

    async def _carry_on(self) -> None:
        pause = _BUSY
        while not self._stopping.is_set():
            self.tapped.clear()
            try:
                busy = self._stage.step()
                behind = self._stage.behind
                gather = busy and not behind and self._stage.took in _GATHERED
                if not behind:
                    busy = await self._effects.start_waiting() or busy
                self._note_shown()
                pause = _BUSY if busy else min(pause * 1.5, _IDLE)
            except TROUBLE as error:
                _log.error("interventions wait until the disk works again", why=first_line(error))
                await within(self._stopping, _TROUBLED)
            else:
                if behind:
                    await asyncio.sleep(0)
                elif gather:
                    await within(self._stopping, _GATHER)
                else:
                    await within(self.tapped, pause)

    async def _heed(self) -> None:
        """Look for whoever said no, whatever else is slow or waits."""
        while not self._stopping.is_set():
            try:
                self._heed_stops()
            except TROUBLE as error:
                _log.error("who said no cannot be read now", why=first_line(error))
                await within(self._stopping, _TROUBLED)
            else:
                await within(self._stopping, _IDLE)

    def _heed_stops(self) -> None:
        """Whoever opted out or withdrew consent is left in peace at once, whether the worker has
        taken that in or not."""
        upto, subjects = self._door.stops(self._stopped)
        for subject in subjects:
            self._deliveries.stopped(subject)
            no_longer = self.inbox.no_longer(subject, self.now())
            if no_longer and self._carrier.pages is not None:
                self._carrier.pages.withdraw(subject, no_longer)
        self._stopped = upto

    def _note_shown(self) -> None:
        if self._shown:
            self.inbox.shown(self._shown)
            self._shown.clear()


@contextlib.asynccontextmanager
async def open_interventions(
    data: Path,
    *,
    signals: Log,
    decisions: Log,
    runbooks: Runbooks,
    channels: Channels,
    queues: Mapping[str, Desk],
    door: Door,
    gateway: str,
    key: str,
    clock: Clock,
    ids: Tokens,
    event_clock: bool = False,
    tables: Path | str | None = None,
    workshop: Workshop | None = None,
    approvals: Callable[[Store], Approvals] | None = None,
    paused: Callable[[Store], Callable[[str, str], str | None]] | None = None,
    casework: Casework | None = None,
    finder: Finder = find,
) -> AsyncIterator[Interventions]:
    """Interventions of the data folder ``data``, which this process alone may work in.

    ``signals`` and ``decisions`` are the logs of the gateway and the worker, read only. ``queues``
    says which desk takes the escalations of a queue. Reports go to the URL ``gateway`` with our own
    processes' ``key``. ``event_clock``: messages expire in log time, as history is being replayed.
    ``tables`` is the PostgreSQL URL if the tables are not to be in the data folder. ``workshop``
    does jobs; ``approvals`` and ``paused`` are made for the store; ``casework`` says what becomes
    of cases; ``finder`` finds personal data, as it does for agents.
    Raises ``AlreadyRunning``, ``StoreOutdated``, ``DatabaseUnavailable`` and ``DatabaseInUse``.
    """
    with _alone(data / "app.lock"):
        store = Store(tables or data / "app.db")
        try:
            asked = None if approvals is None else approvals(store)
            work = casework or Casework()
            known = Gatherer(
                store,
                signals,
                decisions=decisions,
                door=door,
                personal=work.personal,
                links=work.links,
            )
            carrier = Carrier(store, signals, runbooks, asked, known, finder)
            stage = Stage(signals, decisions, store, carrier)
            now = (lambda: stage.log_time) if event_clock else clock
            desks = queue_desks(queues, work.queues, store, clock)
            around = Surroundings(
                channels,
                desks,
                door,
                now,
                clock,
                stage.require_consent,
                workshop,
                needed=stage.still_needed,
            )
            if paused is not None:
                around = msgspec.structs.replace(around, paused=paused(store))
            deliveries = Deliveries(store, around)
            identity = store.identity(ids())
            remembered = data / "dbos.db" if isinstance(tables, Path | None) else tables
            effects = Effects(deliveries, database=remembered, identity=identity)
            async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
                reporter = Reporter(store, client, gateway, key)
                inbox = Inbox(store, around)
                tickets = Tickets(
                    store,
                    around,
                    helpdesks_of(desks.values()),
                    work.polls,
                    identify=work.identify,
                    publish=carrier.announce,
                )
                yield Interventions(
                    store, carrier, stage, deliveries, effects, reporter, inbox, door, tickets, now
                )
        finally:
            store.close()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock ``path``, which the system lets go when the process dies."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"{path.parent}: another app process works in this folder; stop it first"
            ) from None
        yield
    finally:
        os.close(handle)
