"""Passages: the pieces of knowledge that are searched, shown to agents, and cited."""

from typing import Literal, Protocol

import msgspec


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One section of a runbook or article. ``cite`` names it for ever: ``card-declined@3#customer``.

    ``text`` is what it says, in plain words. ``products`` is empty where it is about all,
    ``language`` two letters. An ``article``'s words may be said to customers as they stand, a
    runbook's only where its ``section`` is ``customer``. ``score`` is greater the better it answers a query; scores compare
    within one search only. ``actions`` are those that its runbook recommends.
    """

    cite: str
    runbook: str
    version: int
    section: str
    title: str
    text: str
    products: tuple[str, ...] = ()
    language: str = "en"
    kind: Literal["runbook", "article"] = "runbook"
    signals: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    score: float = 0.0


class Search(Protocol):
    """Finds passages. Expired knowledge is in no answer."""

    def search(
        self,
        query: str,
        *,
        products: tuple[str, ...] = (),
        language: str | None = None,
        limit: int = 5,
    ) -> list[Passage]:
        """The best ``limit`` for words as a customer says them, best first; none where nothing
        speaks of them. ``products`` and ``language`` leave out what is about others. Never raises
        for what stands in ``query``."""

    def signalled(
        self, signal: str, *, products: tuple[str, ...] = (), language: str | None = None
    ) -> list[Passage]:
        """Every passage whose ``signals`` name ``signal`` (an event type or a policy), by cite."""
