"""Whom a pause stops, and for how long."""

from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.instants import HOUR, SECOND
from forestall.intervene.pauses import Pause, Pauses, Scope, holding
from forestall.intervene.store import Store

NOW = 1_700_000_000 * SECOND


def pause(scope: Scope = "everything", what: str | None = None, **changes: Any) -> Pause:
    return Pause(
        **{
            "id": f"{scope}-{what}",
            "scope": scope,
            "what": what,
            "by": "cat",
            "why": "a wrong price",
            "since": NOW,
            **changes,
        }
    )


def stops(one: Pause, subject: str = "s1", policy: str = "card", **traits: Any) -> bool:
    return holding([one], NOW, subject=subject, policy=policy, traits=traits) is not None


def test_a_pause_stops_what_it_names() -> None:
    assert stops(pause())
    assert stops(pause("customer", "s1"))
    assert stops(pause("policy", "card"))
    assert stops(pause("account", "acme"), account="acme")
    assert stops(pause("account", "7"), account=7)


@pytest.mark.parametrize(
    "other",
    [
        pause("customer", "s2"),
        pause("customer", "card"),
        pause("policy", "s1"),
        pause("policy", "other"),
        pause("account", "acme"),
        pause("account", "s1"),
        pause("account", "None"),
    ],
)
def test_and_nothing_else(other: Pause) -> None:
    assert not stops(other)
    assert not stops(other, account=None)
    assert not stops(other, account="another")


def test_a_pause_ends_by_time_or_by_hand() -> None:
    assert stops(pause(until=NOW + 1))
    assert not stops(pause(until=NOW))
    assert not stops(pause(ended=NOW))
    assert pause(until=NOW + HOUR).holds(NOW + HOUR - 1)
    assert not pause(until=NOW + HOUR).holds(NOW + HOUR)


def test_the_first_that_holds_is_named() -> None:
    known = [pause("customer", "s2"), pause(ended=NOW), pause("policy", "card"), pause()]
    found = holding(known, NOW, subject="s1", policy="card", traits={})
    assert found == known[2]


def test_pauses_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    pauses = Pauses(store.database)
    one, other = pause("customer", "s1"), pause("policy", "card", until=NOW + HOUR, since=NOW + 1)
    pauses.add(one)
    pauses.add(other)
    assert pauses.get(one.id) == one
    assert pauses.get("nothing") is None
    assert pauses.all() == [one, other]
    pauses.end(one.id, NOW + 5)
    assert pauses.all() == [other]
    assert [found.ended for found in pauses.all(past=True)] == [NOW + 5, None]
    store.close()


def test_a_pause_follows_its_customer(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    pauses = Pauses(store.database)
    pauses.add(pause("customer", "anon"))
    pauses.add(pause("policy", "anon"))
    with store.transaction():
        store.join("anon", "s1")
    assert [(one.scope, one.what) for one in pauses.all()] == [
        ("customer", "s1"),
        ("policy", "anon"),
    ]
    store.close()
