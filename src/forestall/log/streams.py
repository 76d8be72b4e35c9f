"""Which streams there are, what they hold, and how items become batches and come back."""

from collections.abc import Iterable, Sequence

import msgspec

from forestall.contracts.control import Control
from forestall.contracts.decision import Decided
from forestall.contracts.event import Record
from forestall.log.port import Append, Batch

SIGNALS = "signals"
"""Accepted events of all subjects, written by the gateway: lists of ``Record``."""

DECISIONS = "decisions"
"""Decisions, written by the worker: lists of ``Decided``."""

CONTROL = "control"
"""Control records of the deployment, written by the worker: lists of ``Control``."""

DECIDED = "worker"
"""The worker's cursor: the newest signals batch that has been decided."""

COUNTED = "counters"
"""The name under which the worker keeps its counters beside the streams."""


_records = msgspec.json.Decoder(list[Record])
_decided = msgspec.json.Decoder(list[Decided])
_control = msgspec.json.Decoder(list[Control])
encode = msgspec.json.Encoder().encode


def signals(records: Sequence[Record], pairs: Sequence[tuple[str, str]] = ()) -> Append:
    """The batch of ``records``, which are in log order and not empty; ``pairs`` are the subject and
    identity of each, where the caller has them."""
    return Append(
        SIGNALS,
        records[-1].received,
        len(records),
        encode(records),
        pairs or [(record.subject, f"{record.source}\x00{record.id}") for record in records],
    )


def decisions(decided: Sequence[Decided]) -> Append:
    """The batch of ``decided``, which is not empty."""
    return Append(
        DECISIONS,
        decided[-1].noticed,
        len(decided),
        encode(decided),
        [(entry.decision.subject, entry.decision.id) for entry in decided],
    )


def control(records: Sequence[Control]) -> Append:
    """The batch of control ``records``, which is not empty."""
    return Append(CONTROL, records[-1].received, len(records), encode(records))


def read_signals(batch: Batch) -> list[Record]:
    """The records of a signals batch."""
    return _records.decode(batch.payload)


def written(ids: Iterable[str]) -> list[bytes]:
    """Event ids as they stand in the payload of a signals batch: what holds none of them, has none of
    these events, and need not be read."""
    return [encode(one) for one in ids]


def read_decisions(batch: Batch) -> list[Decided]:
    """The entries of a decisions batch."""
    return _decided.decode(batch.payload)


def read_control(batch: Batch) -> list[Control]:
    """The control records of a control batch."""
    return _control.decode(batch.payload)
