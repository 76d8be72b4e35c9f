"""What every helpdesk has to do, whatever its connector: the one suite of the port."""

import asyncio
import hashlib
from typing import Protocol

import pytest

from forestall.channels.helpdesk.port import (
    Helpdesk,
    TicketChange,
    tag,
)
from forestall.contracts.intervention import Case
from forestall.kernel.clock import random_id, wall_clock
from ports.desks import imap, post, rt

pytestmark = pytest.mark.anyio
__all__ = ["imap", "post", "rt"]

CASE = Case(
    id="k",
    intervention="d-1",
    queue="payments",
    customer="p-1",
    policy="card-declined",
    title="Card declined twice – naïve",
    why="2 x payment.declined in 10m",
    at="2024-05-01T12:00:00.000000Z",
    events=("e-1", "e-2"),
    features={"declines": 2},
    taken=(),
    advice="Look at the decline code first.",
    trace="4bf92f3577b34da6a3ce929d0e0e4736",
)


def fresh_key() -> str:
    return hashlib.sha256(random_id().encode()).hexdigest()[:32]


class Bench(Protocol):
    """A helpdesk, and what its people do; what only a test may see."""

    helpdesk: Helpdesk

    async def now(self) -> str: ...
    async def take(self, ticket: str) -> None: ...
    async def solve(self, ticket: str) -> None: ...
    async def reopen(self, ticket: str) -> None: ...
    async def rate(self, ticket: str, score: int) -> None: ...
    async def tickets(self, key: str) -> int: ...
    async def text(self, ticket: str) -> str: ...


async def told(helpdesk: Helpdesk, since: str, ticket: str) -> list[TicketChange]:
    """What happened to one ticket, each once, as it came."""
    seen: dict[str, TicketChange] = {}
    more = True
    while more:
        found = await helpdesk.changes(since)
        seen.update({one.id: one for one in found.changes if one.ticket == ticket})
        since, more = found.cursor, found.more
    return list(seen.values())


class HelpdeskSuite:
    """The abstract suite: a subclass gives the fixture ``bench``."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_a_ticket_has_what_a_person_needs(self, bench: Bench) -> None:
        key = fresh_key()
        delivery = await bench.helpdesk.create(CASE, key)
        assert delivery.outcome == "delivered", delivery
        assert delivery.ticket is not None
        text = await bench.text(delivery.ticket)
        for needed in (CASE.title, CASE.why, CASE.customer, "declines", "decline code", tag(key)):
            assert needed in text

    async def test_five_attempts_give_one_ticket(self, bench: Bench) -> None:
        key = fresh_key()
        made = [await bench.helpdesk.create(CASE, key) for _ in range(5)]
        assert {one.outcome for one in made} == {"delivered"}
        assert len({one.ticket for one in made}) == 1
        assert await bench.tickets(key) == 1

    async def test_five_attempts_at_once_give_one_ticket(self, bench: Bench) -> None:
        key = fresh_key()
        made = await asyncio.gather(*(bench.helpdesk.create(CASE, key) for _ in range(5)))
        assert {one.outcome for one in made} == {"delivered"}
        assert len({one.ticket for one in made}) == 1
        assert await bench.tickets(key) == 1

    async def test_two_cases_are_two_tickets(self, bench: Bench) -> None:
        keys = (fresh_key(), fresh_key())
        made = await asyncio.gather(*(bench.helpdesk.create(CASE, key) for key in keys))
        assert len({one.ticket for one in made}) == 2
        for key, delivery in zip(keys, made, strict=True):
            assert await bench.helpdesk.find(key) == delivery.ticket

    async def test_a_key_that_nobody_used_is_not_found(self, bench: Bench) -> None:
        assert await bench.helpdesk.find(fresh_key()) is None

    async def test_a_note_is_added_once(self, bench: Bench) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        note = fresh_key()
        for _ in range(3):
            delivery = await bench.helpdesk.comment(
                ticket, "The customer came back – ünasked", note
            )
            assert delivery.outcome == "delivered", delivery
        assert (await bench.text(ticket)).count("ünasked") == 1

    async def test_closing_says_so_once(self, bench: Bench) -> None:
        begin = await bench.now()
        helpdesk = bench.helpdesk
        ticket = (await helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        key = fresh_key()
        for _ in range(2):
            assert (await helpdesk.close(ticket, "Mended meanwhile", key)).outcome == "delivered"
        assert (await bench.text(ticket)).count("Mended meanwhile") == 1
        kinds = [one.kind for one in await told(helpdesk, begin, ticket)]
        assert kinds == ["opened", "solved"]

    async def test_what_people_do_comes_back_in_order(self, bench: Bench) -> None:
        begin = await bench.now()
        key = fresh_key()
        ticket = (await bench.helpdesk.create(CASE, key)).ticket
        assert ticket is not None
        await bench.take(ticket)
        await bench.solve(ticket)
        await bench.reopen(ticket)
        await bench.solve(ticket)
        await bench.rate(ticket, 4)
        changes = await told(bench.helpdesk, begin, ticket)
        kinds = [one.kind for one in changes]
        # An e-mail that says something else as well shows again whose case it is.
        first = [
            one for number, one in enumerate(kinds) if one != "taken" or one not in kinds[:number]
        ]
        assert first == ["opened", "taken", "solved", "reopened", "solved", "rated"]
        assert {one.tag for one in changes} == {tag(key)}
        assert [one.score for one in changes if one.kind == "rated"] == [4]
        taken = next(one for one in changes if one.kind == "taken")
        assert taken.by is not None
        assert "ann" in taken.by
        assert all(abs(one.at - wall_clock()) < 120_000_000 for one in changes)

    async def test_a_cursor_goes_on_where_it_was(self, bench: Bench) -> None:
        begin = await bench.now()
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        found = await bench.helpdesk.changes(begin)
        before = {one.id for one in found.changes if one.ticket == ticket}
        assert before
        await bench.take(ticket)
        after = await told(bench.helpdesk, found.cursor, ticket)
        assert [one.kind for one in after if one.id not in before] == ["taken"]
        again = await told(bench.helpdesk, found.cursor, ticket)
        assert [one.id for one in again] == [one.id for one in after]

    async def test_a_time_is_a_cursor_too(self, bench: Bench) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        recent = await told(bench.helpdesk, f"@{wall_clock() - 60_000_000}", ticket)
        assert [one.kind for one in recent] == ["opened"]
        assert await told(bench.helpdesk, f"@{wall_clock() + 60_000_000}", ticket) == []
