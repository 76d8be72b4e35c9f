"""The door: the later statement stands, and of equals the stricter."""

import sqlite3
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from forestall.kernel.database.files import open_database
from forestall.privacy import door
from forestall.privacy.door import Consent, Door, DoorState, OptOut


@pytest.fixture
def connection() -> sqlite3.Connection:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    door.lay(opened)
    return opened


def test_order_of_arrival_does_not_matter(connection: sqlite3.Connection) -> None:
    said = [
        ("forestall.optout", 5, {}),
        ("forestall.optin", 5, {}),
        ("forestall.optin", 4, {}),
        ("forestall.consent.granted", 7, {"purpose": "support"}),
        ("forestall.consent.withdrawn", 6, {"purpose": "support"}),
        ("forestall.consent.withdrawn", 3, {"purpose": "ads"}),
        ("forestall.consent.granted", 3, {"purpose": "ads"}),
        ("forestall.consent.granted", 9, {}),
        ("forestall.ticket.opened", 9, {"purpose": "ads"}),
    ]
    for number, order in enumerate(permutations(said, len(said))):
        if number % 5000:
            continue
        for type_, time, data in order:
            door.note(connection, str(number), type_, time, data)
        assert door.read(connection, str(number)) == DoorState(
            OptOut(True, 5), {"support": Consent(True, 7), "ads": Consent(False, 3)}
        )
    connection.close()


def test_joining_takes_the_stricter_side(connection: sqlite3.Connection) -> None:
    for subject, out, time in (("a", "optout", 5), ("b", "optin", 9)):
        door.note(connection, subject, f"forestall.{out}", time, {})
    for subject, purpose, said, time in (
        ("a", "support", "withdrawn", 1),
        ("b", "support", "granted", 8),
        ("a", "ads", "granted", 1),
        ("b", "ads", "withdrawn", 0),
        ("a", "new", "granted", 2),
        ("a", "both", "granted", 2),
        ("b", "both", "granted", 1),
    ):
        door.note(connection, subject, f"forestall.consent.{said}", time, {"purpose": purpose})
    door.join(connection, "a", "b")
    assert door.read(connection, "b") == DoorState(
        OptOut(True, 5),
        {
            "support": Consent(False, 1),
            "ads": Consent(False, 0),
            "new": Consent(True, 2),
            "both": Consent(True, 2),
        },
    )
    door.join(connection, "nobody", "b")
    door.join(connection, "b", "empty")
    assert door.read(connection, "empty") == door.read(connection, "b")
    connection.close()


def test_what_a_state_allows() -> None:
    granted = DoorState(None, {"support": Consent(True, 1)})
    assert granted.allows("support", require_consent=True)
    assert not granted.allows("ads", require_consent=True)
    assert granted.allows("ads", require_consent=False)
    out = DoorState(OptOut(True, 1), {"support": Consent(True, 1)})
    assert not out.allows("support", require_consent=False)
    assert not DoorState(OptOut(False, 1)).opted_out


def test_another_process_reads_what_was_committed(tmp_path: Path) -> None:
    writer = open_database(tmp_path / "g.db")
    door.lay(writer)
    with Door(tmp_path / "g.db") as reader:
        assert reader.state("s") == DoorState()
        door.note(writer, "s", "forestall.optout", 1, {})
        assert reader.state("s").opted_out
    writer.close()
    with pytest.raises(sqlite3.OperationalError):
        Door(tmp_path / "missing.db")


def test_who_may_have_said_no_is_named_once_and_in_order(tmp_path: Path) -> None:
    writer = open_database(tmp_path / "gateway.db")
    door.lay(writer)
    with Door(tmp_path / "gateway.db") as reader:
        assert reader.stops(0) == (0, [])
        door.note(writer, "ann", "forestall.optout", 1, {})
        door.note(writer, "bob", "forestall.consent.withdrawn", 1, {"purpose": "support"})
        door.note(writer, "cat", "forestall.consent.granted", 1, {"purpose": "support"})
        door.note(writer, "dan", "forestall.optin", 1, {})
        upto, subjects = reader.stops(0)
        assert subjects == ["ann", "bob"]
        assert reader.stops(upto) == (upto, [])
        door.note(writer, "ann", "forestall.optout", 2, {})
        assert reader.stops(upto)[1] == ["ann"]
        assert reader.stops(0)[1] == ["bob", "ann"]
        door.join(writer, "bob", "eve")
        assert reader.stops(upto)[1] == ["ann", "bob", "eve"]
    writer.close()


def test_many_who_said_no_come_in_parts(tmp_path: Path) -> None:
    writer = open_database(tmp_path / "gateway.db")
    door.lay(writer)
    for number in range(door.STOPS_AT_ONCE + 3):
        door.note(writer, f"s{number:04}", "forestall.optout", 1, {})
    with Door(tmp_path / "gateway.db") as reader:
        upto, first = reader.stops(0)
        assert len(first) == door.STOPS_AT_ONCE
        assert len(reader.stops(upto)[1]) == 3
    writer.close()


@pytest.mark.parametrize("first", ["join", "no"])
def test_whoever_somebody_turned_out_to_be_speaks_for_them(tmp_path: Path, first: str) -> None:
    writing = open_database(tmp_path / "gateway.db")
    door.lay(writing)
    steps: dict[str, Callable[[], None]] = {
        "join": lambda: door.join(writing, "anonymous", "user"),
        "no": lambda: door.note(writing, "user", "forestall.optout", 5, {}),
    }
    steps.pop(first)()
    with Door(tmp_path / "gateway.db") as reader:
        after, _ = reader.stops(0)
        for step in steps.values():
            step()
        assert reader.state("anonymous").opted_out
        assert reader.state("user").opted_out
        assert set(reader.stops(after)[1]) == {"anonymous", "user"}
        door.join(writing, "user", "account")
        after, _ = reader.stops(after)
        withdrawn = {"purpose": "support"}
        door.note(writing, "account", "forestall.consent.withdrawn", 7, withdrawn)
        assert sorted(reader.stops(after)[1]) == ["account", "anonymous", "user"]
        for subject in ("anonymous", "user", "account"):
            assert reader.state(subject) == DoorState(
                OptOut(True, 5), {"support": Consent(False, 7)}
            )
    writing.close()
