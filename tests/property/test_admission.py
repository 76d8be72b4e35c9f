"""Batch sizes and restarts change nothing at the door: the same letters give the same log."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.event import decode_data
from forestall.contracts.instants import format_time, parse_time
from forestall.ingest import past, quarantine
from forestall.ingest.admit import Rules, admit
from forestall.ingest.letter import Letter, Sender
from forestall.ingest.placing import Desk, Sorter
from forestall.kernel.clock import random_id
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, read_signals, signals
from forestall.privacy import door
from forestall.privacy.keys import Keys
from forestall.privacy.vault import Vault

START = parse_time("2026-03-01T12:00:00Z")
KEYS = Keys(b"m" * 32)
RULES = Rules(load_catalogue(), KEYS.token, strict=False)
SENDER = Sender("shop", "server")

letters = st.fixed_dictionaries(
    {
        "id": st.sampled_from("abcdef"),
        "type": st.sampled_from(
            ["page.viewed", "forestall.identify", "forestall.optout", "forestall.optin"]
        ),
        "time": st.integers(0, 900).map(lambda s: format_time(START + s * 1_000_000)),
        "data": st.just({"traits": {"email": "a@b.c", "plan": "x"}}),
        "source": st.just("s"),
    },
    optional={
        "subject": st.sampled_from(["u1", "u2", ""]),
        "anonymousid": st.sampled_from(["a1", "a2"]),
    },
)


def run(batches: Sequence[Sequence[dict[str, Any]]]) -> tuple[list[Any], list[Any], set[Any]]:
    """Verdicts, records without chance in them, and what the door says."""
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "g.db")
        with log.transaction() as connection:
            vault = Vault(connection, KEYS, random_id)
            vault.lay()
            door.lay(connection)
            quarantine.lay(connection)
        connection.execute("PRAGMA synchronous = OFF")
        desk = Desk(
            log, connection, vault, KEYS, random_id, lambda _: past.Acts(), 300_000_000, "event"
        )
        verdicts = []
        for batch in batches:
            admitted = [admit(Letter(msgspec.json.encode(e), SENDER, START), RULES) for e in batch]
            with log.transaction():
                sorter = Sorter(desk, START, log.received(SIGNALS))
                verdicts += [answer.verdict for answer in sorter.take(admitted)]
                if sorter.records:
                    log.commit([signals(sorter.records)])
        records = [record for batch in log.follow(SIGNALS) for record in read_signals(batch)]
        names: dict[str, int] = {}
        plain = []
        for record in records:
            data = decode_data(record.data)
            if "from" in data:
                data["from"] = names[data["from"]]
            subject = names.setdefault(record.subject, len(names))
            plain.append((record.id, record.type, subject, record.time, record.received, data))
        said = {(names[s], door.read(connection, s).opted_out) for s in names}
        log.close()
    return verdicts, plain, said


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.lists(letters, max_size=25), st.lists(st.integers(1, 6), min_size=1))
def test_how_letters_are_batched_changes_nothing(
    sent: list[dict[str, Any]], sizes: list[int]
) -> None:
    batches, start = [], 0
    for index in range(len(sent)):
        size = sizes[index % len(sizes)]
        if start < len(sent):
            batches.append(sent[start : start + size])
            start += size
    whole = run([sent])
    assert run(batches) == whole
    verdicts, records, _ = whole
    kept = [record for record in records if record[1] != "forestall.alias"]
    assert len(verdicts) == len(sent)
    assert sum(verdict in ("accepted", "late") for verdict in verdicts) == len(kept)
    received = [record[4] for record in records]
    assert received == sorted(received)
    again = run([*batches, sent])[0][len(sent) :]
    assert {v for v, one in zip(again, sent, strict=True) if one.get("subject") == "u1"} <= {
        "duplicate",
        "quarantined",
    }
