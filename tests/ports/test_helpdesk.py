"""What every helpdesk does, proved for the in-memory twin, Request Tracker and e-mail."""

import asyncio
import email
import hashlib
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from email.policy import default
from typing import Protocol

import httpx
import msgspec
import pytest

from forestall.channels.helpdesk.mail import MailHelpdesk
from forestall.channels.helpdesk.memory import MemoryHelpdesk
from forestall.channels.helpdesk.port import BEGINNING, Helpdesk, TicketChange, tag
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.contracts.intervention import Case
from forestall.kernel.clock import random_id, wall_clock
from forestall.kernel.settings import Mail, RequestTracker
from ports.mail_server import PASSWORD, Dovecot, Office, Post, dovecot
from ports.rt_server import Server, request_tracker

pytestmark = pytest.mark.anyio

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
        helpdesk = bench.helpdesk
        ticket = (await helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        key = fresh_key()
        for _ in range(2):
            assert (await helpdesk.close(ticket, "Mended meanwhile", key)).outcome == "delivered"
        assert (await bench.text(ticket)).count("Mended meanwhile") == 1
        kinds = [one.kind for one in await told(helpdesk, BEGINNING, ticket)]
        assert kinds == ["opened", "solved"]

    async def test_what_people_do_comes_back_in_order(self, bench: Bench) -> None:
        key = fresh_key()
        ticket = (await bench.helpdesk.create(CASE, key)).ticket
        assert ticket is not None
        await bench.take(ticket)
        await bench.solve(ticket)
        await bench.reopen(ticket)
        await bench.solve(ticket)
        await bench.rate(ticket, 4)
        changes = await told(bench.helpdesk, BEGINNING, ticket)
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
        key = fresh_key()
        ticket = (await bench.helpdesk.create(CASE, key)).ticket
        assert ticket is not None
        found = await bench.helpdesk.changes(BEGINNING)
        while found.more:
            found = await bench.helpdesk.changes(found.cursor)
        before = {one.id for one in await told(bench.helpdesk, BEGINNING, ticket)}
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


class MemoryBench:
    def __init__(self) -> None:
        self.helpdesk = MemoryHelpdesk("memory", wall_clock)

    async def take(self, ticket: str) -> None:
        self.helpdesk.take(ticket, "ann")

    async def solve(self, ticket: str) -> None:
        self.helpdesk.solve(ticket, "ann")

    async def reopen(self, ticket: str) -> None:
        self.helpdesk.reopen(ticket, "ann")

    async def rate(self, ticket: str, score: int) -> None:
        self.helpdesk.rate(ticket, score)

    async def tickets(self, key: str) -> int:
        return sum(one.key == key for one in self.helpdesk.tickets.values())

    async def text(self, ticket: str) -> str:
        found = self.helpdesk.tickets[ticket]
        case = msgspec.json.encode(found.case).decode()
        return "\n".join([tag(found.key), case, *found.notes.values()])


class TestMemory(HelpdeskSuite):
    @pytest.fixture
    async def bench(self) -> MemoryBench:
        return MemoryBench()


@pytest.fixture(scope="session")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with request_tracker(tmp_path_factory.mktemp("rt")) as server:
        yield server


class RequestTrackerBench:
    def __init__(self, server: Server, client: httpx.AsyncClient, **settings: str) -> None:
        self.server = server
        named = RequestTracker(
            server.url,
            server.tokens["forestall"],
            "payments",
            satisfaction="Satisfaction",
            customer="Customer",
        )
        self.helpdesk = RequestTrackerHelpdesk(
            "rt", msgspec.structs.replace(named, **settings), client=client, now=wall_clock
        )

    def change(self, ticket: str, person: str = "ann", **values: object) -> None:
        with self.server.person(person) as client:
            client.put(f"ticket/{ticket}", json=values).raise_for_status()

    async def take(self, ticket: str) -> None:
        self.change(ticket, Owner="ann")

    async def solve(self, ticket: str) -> None:
        self.change(ticket, Status="resolved")

    async def reopen(self, ticket: str) -> None:
        self.change(ticket, Status="open")

    async def rate(self, ticket: str, score: int) -> None:
        self.change(ticket, CustomFields={"Satisfaction": str(score)})

    async def tickets(self, key: str) -> int:
        with self.server.person("ann") as client:
            query = f"Subject LIKE '{tag(key)}'"
            return int(client.get("tickets", params={"query": query}).json()["count"])

    async def text(self, ticket: str) -> str:
        with self.server.person("ann") as client:
            subject = client.get(f"ticket/{ticket}").json()["Subject"]
            found = client.get(f"ticket/{ticket}/attachments", params={"fields": "Content"}).json()[
                "items"
            ]
        return "\n".join([subject, *(one["Content"] for one in found)])


class TestRequestTracker(HelpdeskSuite):
    @pytest.fixture
    async def bench(self, rt: Server) -> AsyncIterator[RequestTrackerBench]:
        async with httpx.AsyncClient(trust_env=False) as client:
            yield RequestTrackerBench(rt, client)


@pytest.fixture(scope="session")
def imap() -> Iterator[Dovecot]:
    with dovecot() as server:
        yield server


class MailBench:
    """Each has a mailbox of its own, in which nothing lies."""

    def __init__(self, imap: Dovecot, office: Office, **settings: object) -> None:
        self.imap, self.user = imap, f"desk-{random_id()[:8]}"
        named = Mail(
            smtp=f"smtp+plain://127.0.0.1:{office.port}",
            imap=f"imap+plain://127.0.0.1:{imap.port}",
            user=self.user,
            password=PASSWORD,
            sender=f"Forestall <{self.user}@example.com>",
            to="team@example.com",
        )
        self.helpdesk = MailHelpdesk(
            "mail", msgspec.structs.replace(named, **settings), now=wall_clock
        )

    def answer(
        self, ticket: str, text: str, sender: str = "ann@example.com", **headers: str
    ) -> None:
        """Somebody replies."""
        reply = EmailMessage()
        reply["From"], reply["To"] = f"Ann <{sender}>", f"{self.user}@example.com"
        reply["Subject"] = "Re: your message"
        reply["Message-ID"] = f"<{random_id()}@example.com>"
        reply["In-Reply-To"] = f"<case.{ticket}@example.com>"
        for name, value in headers.items():
            del reply[name.replace("_", "-")]
            reply[name.replace("_", "-")] = value
        reply.set_content(text)
        self.imap.append(self.user, reply.as_bytes())

    async def take(self, ticket: str) -> None:
        self.answer(ticket, "I am looking at it.\n\n> #solved")

    async def solve(self, ticket: str) -> None:
        self.answer(ticket, "#solved\nThe bank had a hiccup.")

    async def reopen(self, ticket: str) -> None:
        self.answer(ticket, "\n#reopened\n")

    async def rate(self, ticket: str, score: int) -> None:
        self.answer(ticket, f"#rating {score}")

    async def tickets(self, key: str) -> int:
        needle = f"Message-ID: <case.{tag(key)}@".encode()
        return sum(needle in message for message in self.imap.messages(self.user))

    async def text(self, ticket: str) -> str:
        read = [
            email.message_from_bytes(message, policy=default)
            for message in self.imap.messages(self.user)
        ]
        ours = [one for one in read if one["X-Forestall-Case"] == ticket]
        return "\n".join(f"{one['Subject']}\n{one.get_content()}" for one in ours)


@pytest.fixture
def post(imap: Dovecot) -> Iterator[tuple[Post, Office]]:
    post = Post(imap)
    office = Office(post)
    office.start()
    try:
        yield post, office
    finally:
        office.stop()


class TestMail(HelpdeskSuite):
    @pytest.fixture
    async def bench(self, imap: Dovecot, post: tuple[Post, Office]) -> MailBench:
        return MailBench(imap, post[1])
