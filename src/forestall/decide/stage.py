"""The worker's stage: runs the engine over the log, one transaction a step.

Each step reads signals after the cursor, decides, and appends the decisions together with the new
cursor. Snapshots are written in rounds while deciding goes on: a header, and the subjects that had
events since the last round, a few with each step. A restart loads the newest finished round,
decides again what lies between it and the cursor without writing it twice, and goes on. Only
decisions and finished rounds wait for the disk: a cursor that a loss of power sets back is made
good the same way.
"""

from collections.abc import Iterable, Sequence

import msgspec
import structlog

from forestall.contracts.control import Control
from forestall.contracts.decision import Decided
from forestall.decide.backtest import features_of
from forestall.decide.engine import Engine
from forestall.decide.snapshot import decode_state, encode_state
from forestall.log import streams
from forestall.log.port import BUCKETS, Batch, Log, Piece, bucket
from forestall.policy.language.model import Feature

TICKED = "worker-tick"
"""The name of the cursor that holds the newest tick that made decisions."""

SNAPSHOT = "engine"
"""The name under which a round's header is kept beside the streams."""

AT_ONCE = 200
"""Signals decided in one go. While a round is written as many subjects are packed after them, for
which what comes next waits some two milliseconds."""

PIECES = 500
"""So many packed subjects are written at once."""

FORMAT = 5
"""Of snapshots; raised when what they hold changes its meaning."""

_log = structlog.get_logger("worker")


class Rest(msgspec.Struct, frozen=True):
    """A round's header: the engine's state but the subjects, as of a position in the signals, and
    the size of the batch there. One of another ``format`` is not read."""

    position: int
    count: int
    state: bytes
    round: int = 0
    format: int = 0


class Stage:
    """The engine between two logs: ``signals`` (read) and ``own`` (decisions, control, cursor)."""

    def __init__(self, signals: Log, own: Log) -> None:
        self._signals = signals
        self._own = own
        self._engine = Engine()
        self._round = 0
        self._header: bytes | None = None
        self._packed: list[tuple[str, bytes]] = []
        self._restore()

    @property
    def engine(self) -> Engine:
        """The engine, for reading its counters."""
        return self._engine

    @property
    def position(self) -> int:
        """The signals batch up to which everything is decided."""
        return self._position

    def apply(self, records: Sequence[Control]) -> None:
        """Append control records, stamped just after everything decided so far, and obey them."""
        now = max(self._engine.received + 1, self._own.received(streams.CONTROL))
        stamped = [msgspec.structs.replace(record, received=now) for record in records]
        self._own.commit([streams.control(stamped)])
        self._govern(stamped)

    def keep(self, features: set[Feature]) -> None:
        """Maintain ``features`` until a set of policies after the next round, although nothing in
        force needs them yet: what needs them soon is then in force at once. Those that are new are
        brought up from the log, which takes as long as reading it."""
        new = features - self._engine.features
        self._engine.keep(features - new)
        if new:
            self._fill(new)

    def step(self, limit: int = 64) -> bool:
        """Decide on up to ``limit`` batches, or on the log's tick; whether there was anything."""
        tick = self._signals.tick()
        batches = self._signals.read(streams.SIGNALS, after=self._position, limit=limit)
        decided: list[Decided] = []
        for batch in batches:
            decided += self._decide(batch)
        if not batches:
            self._pack(AT_ONCE)
        if len(batches) < limit:
            decided += self._tick(tick)
        worked = bool(batches or decided or self._header is not None)
        if worked:
            self._commit(decided)
        if self._engine.population.full and self._header is None:
            self._begin_round()
        return worked

    @property
    def governing(self) -> list[Control]:
        """Every control record so far, in order."""
        return self._history

    def note(self, name: str, value: bytes) -> None:
        """Leave a note beside the log for other processes to read (see ``Log.snapshot``)."""
        self._own.commit(snapshots={name: value})

    def rest(self) -> None:
        """Write a whole round, so that the next start is quick."""
        self._finish_round()
        self._begin_round()
        self._finish_round()

    def _finish_round(self) -> None:
        while self._header is not None:
            self._pack(AT_ONCE)
            self._commit([])

    def _decide(self, batch: Batch) -> list[Decided]:
        records = streams.read_signals(batch)
        made = []
        for start in range(0, len(records), AT_ONCE):
            some = records[start : start + AT_ONCE]
            made += [(2 * start + order, one) for order, one in self._engine.process(some)]
            self._pack(len(some))
        self._position, self._count = batch.position, batch.count
        return [
            Decided(
                batch.position, order, records[min(order // 2, batch.count - 1)].received, made_one
            )
            for order, made_one in made
        ]

    def _tick(self, tick: int) -> list[Decided]:
        decided = [
            Decided(self._position, 2 * self._count, tick, decision)
            for decision in self._engine.tick(tick)
        ]
        if decided:
            self._ticked = tick
        return decided

    def _pack(self, limit: int) -> None:
        """Get ready some of what the round writes, between signals, so that none waits long; where
        that is much, write it at once: what a round wrote counts only once it is finished."""
        self._packed += self._engine.population.pack_some(limit)
        if len(self._packed) >= PIECES:
            self._own.commit(pieces=self._pieces(), durable=False)

    def _pieces(self) -> list[Piece]:
        """What is packed and not yet written."""
        packed, self._packed = self._packed, []
        return [Piece(name, self._round, content) for name, content in packed]

    def _commit(self, decided: Sequence[Decided]) -> None:
        snapshots = {streams.COUNTED: msgspec.json.encode(self._engine.counters)}
        if self._header is not None and not self._engine.population.closing:
            snapshots[SNAPSHOT], self._header = self._header, None
        self._own.commit(
            [streams.decisions(decided)] if decided else [],
            cursors={streams.DECIDED: self._position, TICKED: self._ticked},
            snapshots=snapshots,
            pieces=self._pieces(),
            durable=bool(decided) or SNAPSHOT in snapshots,
        )

    def _begin_round(self) -> None:
        """From here on write what the engine knows now, as it is now."""
        self._engine.release()
        self._round += 1
        state = encode_state(self._engine.header())
        rest = Rest(self._position, self._count, state, self._round, FORMAT)
        self._header = msgspec.msgpack.encode(rest)
        self._engine.end_generation()

    # -- starting --------------------------------------------------------------------------------

    def _restore(self) -> None:
        self._position = self._count = 0
        self._ticked = self._own.cursor(TICKED)
        self._load()
        self._own.drop_after(self._round)
        self._engine.population.save_in_buckets(BUCKETS, bucket)
        controls = [
            record
            for batch in self._own.follow(streams.CONTROL)
            for record in streams.read_control(batch)
        ]
        self._history = [c for c in controls if c.received <= self._engine.received]
        self._govern([c for c in controls if c.received > self._engine.received])
        until = self._own.cursor(streams.DECIDED)
        for batch in self._signals.follow(streams.SIGNALS, after=self._position):
            if batch.position > until:
                break
            self._decide(batch)
        self._engine.tick(self._ticked)

    def _load(self) -> None:
        """Take up the newest finished round; one that cannot be read is made good from the log."""
        saved = self._own.snapshot(SNAPSHOT)
        if saved is None:
            return
        try:
            rest = msgspec.msgpack.decode(saved, type=Rest)
            if rest.format != FORMAT:
                raise msgspec.ValidationError(f"format {rest.format} is not {FORMAT}")
            state = decode_state(rest.state)
            subjects = dict(self._own.pieces(rest.round))
            self._engine = Engine.restore(msgspec.structs.replace(state, subjects=subjects))
        except msgspec.DecodeError as error:
            _log.warning("the snapshot cannot be read; deciding all again", why=str(error))
            return
        self._position, self._count, self._round = rest.position, rest.count, rest.round

    def _govern(self, records: Iterable[Control]) -> None:
        for record in records:
            self.keep(features_of([record]))
            self._history.append(record)
            self._engine.control(record)

    def _fill(self, features: set[Feature]) -> None:
        """Bring new features up to where the engine stands, from what the log retains."""
        past = Engine()
        past.keep(features)
        for record in self._history:
            past.control(record)
        for batch in self._signals.follow(streams.SIGNALS):
            if batch.position > self._position:
                break
            past.process(streams.read_signals(batch))
        past.tick(self._engine.received)
        self._engine.adopt(past, features)
