"""Endpoints that keep failing retire themselves: the state is a record, the rule is pure.

An endpoint is parked when it answers 410 Gone, or when ``failures`` deliveries in a row failed
over at least ``over``. A person unparks it once it is mended.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from forestall.contracts.instants import HOUR
from forestall.kernel.database.files import open_database

HEALTH_FILE = "endpoints.db"
"""Where in the data folder a server keeps the health of its endpoints."""


class Health(msgspec.Struct, frozen=True):
    """How an endpoint does: failed deliveries in a row, since when, and whether it is parked.

    ``since`` is the first of those failures, ``parked`` the moment of parking, in microseconds.
    """

    failures: int = 0
    since: int | None = None
    parked: int | None = None
    why: str | None = None


class Patience(msgspec.Struct, frozen=True):
    """When to give an endpoint up: that many failures in a row, over that long (microseconds)."""

    failures: int = 10
    over: int = HOUR


def after_failure(
    health: Health, now: int, why: str, patience: Patience, *, gone: bool = False
) -> Health:
    """The health after one more delivery failed; ``gone`` parks at once."""
    since = now if health.since is None else health.since
    failures = health.failures + 1
    spent = failures >= patience.failures and now - since >= patience.over
    parked = health.parked if health.parked is not None else (now if gone or spent else None)
    return Health(failures, since, parked, why)


class HealthStore(Protocol):
    """Keeps the health of endpoints by name."""

    def load(self, name: str) -> Health:
        """The health of that endpoint; of one never heard of, good."""

    def save(self, name: str, health: Health) -> None:
        """Keep it durably."""

    def all(self) -> dict[str, Health]:
        """Every endpoint that is not simply well."""


class MemoryHealth:
    """A ``HealthStore`` that lives as long as the object."""

    def __init__(self) -> None:
        self._health: dict[str, Health] = {}

    def load(self, name: str) -> Health:
        """See ``HealthStore.load``."""
        return self._health.get(name, Health())

    def save(self, name: str, health: Health) -> None:
        """See ``HealthStore.save``."""
        self._health[name] = health

    def all(self) -> dict[str, Health]:
        """See ``HealthStore.all``."""
        return {name: health for name, health in self._health.items() if health != Health()}


class SqliteHealth:
    """A ``HealthStore`` in the table ``endpoints`` of the file ``path``; several processes may."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS endpoints (name TEXT PRIMARY KEY, health TEXT NOT NULL)"
        )

    def load(self, name: str) -> Health:
        """See ``HealthStore.load``."""
        return self.all().get(name, Health())

    def save(self, name: str, health: Health) -> None:
        """See ``HealthStore.save``."""
        if health == Health():
            self._connection.execute("DELETE FROM endpoints WHERE name = ?", (name,))
        else:
            self._connection.execute(
                "INSERT OR REPLACE INTO endpoints VALUES (?, ?)",
                (name, msgspec.json.encode(health).decode()),
            )

    def all(self) -> dict[str, Health]:
        """See ``HealthStore.all``."""
        rows = self._connection.execute("SELECT name, health FROM endpoints ORDER BY name")
        return {name: msgspec.json.decode(text, type=Health) for name, text in rows.fetchall()}

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
