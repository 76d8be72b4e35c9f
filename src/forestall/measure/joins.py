"""Joins: pseudonyms that turned out to be one person's. Pure."""

from collections.abc import Iterator
from typing import Final

from forestall.contracts.event import Record, decode_data

ALIAS: Final = "forestall.alias"


def former(record: Record) -> str | None:
    """The pseudonym that ``record``, a ``forestall.alias``, joins into its subject."""
    data = decode_data(record.data)
    name = data.get("from") if isinstance(data, dict) else None
    return name if isinstance(name, str) and name != record.subject else None


class Joins:
    """Which pseudonyms became which; iterating gives the former ones, in the order of the log."""

    def __init__(self) -> None:
        self._into: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._into)

    def __len__(self) -> int:
        return len(self._into)

    def take(self, record: Record) -> None:
        """Take a ``forestall.alias``. Where two were joined in a circle, the newest one holds."""
        name, subject = former(record), record.subject
        if name is None:
            return
        if name in self._path(subject):
            self._into.pop(subject, None)
        self._into[name] = subject

    def survivor(self, subject: str) -> str:
        """The pseudonym that the person behind ``subject`` has now."""
        for survivor in self._path(subject):
            subject = survivor
        return subject

    def _path(self, subject: str) -> Iterator[str]:
        """The pseudonyms from ``subject`` on, each joined into the next."""
        yield subject
        while (into := self._into.get(subject)) is not None:
            subject = into
            yield subject
