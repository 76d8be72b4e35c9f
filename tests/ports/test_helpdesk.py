"""What every helpdesk does, proved for the in-memory twin, Request Tracker and e-mail."""

import asyncio
import email
import hashlib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import default
from typing import Protocol

import httpx
import msgspec
import pytest

from forestall.channels.helpdesk import mail, mailbox, request_tracker
from forestall.channels.helpdesk.mail import MailHelpdesk
from forestall.channels.helpdesk.memory import MemoryHelpdesk
from forestall.channels.helpdesk.port import (
    BEGINNING,
    Helpdesk,
    HelpdeskUnavailable,
    InvalidHelpdesk,
    TicketChange,
    tag,
)
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.contracts.intervention import Case
from forestall.kernel.clock import random_id, wall_clock
from forestall.kernel.settings import Mail, RequestTracker
from ports.desks import imap, post, rt
from ports.mail_server import PASSWORD, Dovecot, Office, Post
from ports.rt_server import Server

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


class MemoryBench:
    def __init__(self) -> None:
        self.helpdesk = MemoryHelpdesk("memory", wall_clock)

    async def now(self) -> str:
        return (await self.helpdesk.changes(BEGINNING)).cursor

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


class RequestTrackerBench:
    def __init__(self, server: Server, client: httpx.AsyncClient, **settings: object) -> None:
        self.server = server
        named = RequestTracker(
            server.url,
            server.tokens["forestall"],
            "payments",
            satisfaction="Satisfaction",
            customer="Customer",
            timeout="60s",
        )
        self.helpdesk = RequestTrackerHelpdesk(
            "rt", msgspec.structs.replace(named, **settings), client=client, now=wall_clock
        )

    async def now(self) -> str:
        """The newest transaction, which RT finds faster than all before it."""
        with self.server.person("ann") as client:
            newest = {"query": "id > 0", "orderby": "id", "order": "DESC", "per_page": "1"}
            return str(client.get("transactions", params=newest).json()["items"][0]["id"])

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

    async def test_two_connectors_at_once_still_make_one_ticket(
        self, rt: Server, bench: RequestTrackerBench
    ) -> None:
        """As two processes would: nothing in memory keeps them apart."""
        key = fresh_key()
        async with httpx.AsyncClient(trust_env=False) as client:
            others = [RequestTrackerBench(rt, client) for _ in range(3)]
            made = await asyncio.gather(*(one.helpdesk.create(CASE, key) for one in others))
        assert {one.outcome for one in made} == {"delivered"}
        found = await bench.helpdesk.find(key)
        assert found in {one.ticket for one in made}
        assert await bench.tickets(key) == 1

    async def test_tickets_that_customers_open_say_whose_they_are(
        self, rt: Server, bench: RequestTrackerBench
    ) -> None:
        begin = await bench.now()
        with rt.person("ann") as client:
            made = client.post(
                "ticket",
                json={
                    "Queue": "payments",
                    "Subject": "Help!",
                    "CustomFields": {"Customer": "user-17"},
                },
            ).json()["id"]
            elsewhere = client.post("ticket", json={"Queue": "other", "Subject": "case 1"}).json()
        (opened,) = await told(bench.helpdesk, begin, made)
        assert (opened.kind, opened.tag, opened.customer) == ("opened", None, "user-17")
        assert await told(bench.helpdesk, begin, elsewhere["id"]) == []

    async def test_a_ticket_moved_to_another_queue_is_still_followed(
        self, bench: RequestTrackerBench
    ) -> None:
        begin = await bench.now()
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        bench.change(ticket, Queue="other")
        await bench.solve(ticket)
        assert [one.kind for one in await told(bench.helpdesk, begin, ticket)] == [
            "opened",
            "solved",
        ]

    async def test_a_ticket_given_back_is_not_taken(self, bench: RequestTrackerBench) -> None:
        begin = await bench.now()
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        await bench.take(ticket)
        bench.change(ticket, Owner="Nobody")
        assert [one.kind for one in await told(bench.helpdesk, begin, ticket)] == ["opened"]

    async def test_many_changes_are_read_page_by_page(
        self, bench: RequestTrackerBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        begin = await bench.now()
        await bench.solve(ticket)
        await bench.reopen(ticket)
        await bench.solve(ticket)
        monkeypatch.setattr(request_tracker, "AT_ONCE", 2)
        monkeypatch.setattr(request_tracker, "_OVERLAP", 0)
        kinds = [one.kind for one in await told(bench.helpdesk, begin, ticket)]
        assert kinds == ["solved", "reopened", "solved"]

    async def test_a_status_that_rt_does_not_have_is_not_taken_for_solved(self, rt: Server) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            bench = RequestTrackerBench(rt, client, solved=("mended",))
            ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
            assert ticket is not None
            closed = await bench.helpdesk.close(ticket, "Done", fresh_key())
        assert (closed.outcome, closed.again) == ("failed", False)
        assert "still 'new'" in closed.detail

    @pytest.mark.parametrize(
        ("settings", "said"),
        [({"token": "1-2-wrong"}, "401"), ({"queue": "nowhere"}, "nowhere")],
    )
    async def test_wrong_settings_are_refused_and_said(
        self, rt: Server, settings: dict[str, str], said: str
    ) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            delivery = await RequestTrackerBench(rt, client, **settings).helpdesk.create(
                CASE, fresh_key()
            )
        assert (delivery.outcome, delivery.reason, delivery.again) == ("failed", "refused", False)
        assert said in delivery.detail
        assert "1-2-wrong" not in delivery.detail


class MailBench:
    """Each has a mailbox of its own, in which nothing lies."""

    def __init__(self, server: Dovecot, office: Office, **settings: object) -> None:
        self.imap, self.user = server, f"desk-{random_id()[:8]}"
        named = Mail(
            smtp=f"smtp+plain://127.0.0.1:{office.port}",
            imap=f"imap+plain://127.0.0.1:{server.port}",
            user=self.user,
            password=PASSWORD,
            sender=f"Forestall <{self.user}@example.com>",
            to="team@example.com",
            timeout="60s",
        )
        self.helpdesk = MailHelpdesk(
            "mail", msgspec.structs.replace(named, **settings), now=wall_clock
        )

    async def now(self) -> str:
        return BEGINNING

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


class TestMail(HelpdeskSuite):
    @pytest.fixture
    async def bench(self, imap: Dovecot, post: tuple[Post, Office]) -> MailBench:
        return MailBench(imap, post[1])

    async def test_an_answer_counts_only_from_those_who_may_give_it(self, bench: MailBench) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        bench.answer(ticket, "#solved", sender="mallory@evil.example")
        bench.answer(ticket, "#solved", Auto_Submitted="auto-replied")
        bench.answer(ticket, "#solved", sender=f"{bench.user}@example.com")
        bench.answer(ticket, "#solved", sender="ann@example.com.evil.example")
        forged = {"X-Forestall-Case": ticket, "X-Forestall-Status": "solved"}
        bench.answer(ticket, "x", **forged, **{"X-Forestall-Proof": "0" * 64})
        assert [one.kind for one in await told(bench.helpdesk, BEGINNING, ticket)] == ["opened"]

    async def test_with_a_server_to_trust_only_genuine_answers_count(
        self, imap: Dovecot, post: tuple[Post, Office]
    ) -> None:
        bench = MailBench(imap, post[1], authserv="mx.example.com")
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        for said in ("mx.example.com; dmarc=fail", "mx.evil.example; dmarc=pass", "none"):
            bench.answer(ticket, "#solved", **{"Authentication-Results": said})
        bench.answer(
            ticket,
            "#reopened",
            **{"Authentication-Results": "mx.example.com; spf=pass; dmarc=pass header.from=x"},
        )
        kinds = [one.kind for one in await told(bench.helpdesk, BEGINNING, ticket)]
        assert kinds == ["opened", "taken", "reopened"]

    async def test_agents_may_be_named(self, imap: Dovecot, post: tuple[Post, Office]) -> None:
        bench = MailBench(imap, post[1], agents=("Ben@Partner.example",))
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        bench.answer(ticket, "mine")
        bench.answer(ticket, "mine", sender="ben@partner.example")
        (taken,) = (await told(bench.helpdesk, BEGINNING, ticket))[1:]
        assert (taken.kind, taken.by) == ("taken", "ben@partner.example")

    async def test_an_answer_is_known_by_its_subject_alone(self, bench: MailBench) -> None:
        key = fresh_key()
        ticket = (await bench.helpdesk.create(CASE, key)).ticket
        assert ticket is not None
        bench.answer(ticket, "ok", In_Reply_To="<else@example.com>", Subject=f"AW: [case {ticket}]")
        bench.answer(ticket, "ok", In_Reply_To="<else@example.com>", Subject="lunch?")
        kinds = [one.kind for one in await told(bench.helpdesk, BEGINNING, ticket)]
        assert kinds == ["opened", "taken"]

    async def test_many_messages_are_read_page_by_page(
        self, bench: MailBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        for _ in range(4):
            await bench.solve(ticket)
        monkeypatch.setattr(mailbox, "AT_ONCE", 2)
        monkeypatch.setattr(mail, "AT_ONCE", 2)
        kinds = [one.kind for one in await told(bench.helpdesk, BEGINNING, ticket)]
        assert kinds.count("solved") == 4

    async def test_a_mailbox_that_was_made_anew_is_read_again_from_that_time(
        self, bench: MailBench
    ) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        found = await bench.helpdesk.changes(BEGINNING)
        _, number, at = found.cursor.split(":")
        again = await told(bench.helpdesk, f"1:{number}:{at}", ticket)
        assert {one.id for one in again} == {one.id for one in found.changes}

    async def test_a_copy_that_was_lost_is_not_missed_while_we_remember(
        self, bench: MailBench, post: tuple[Post, Office]
    ) -> None:
        key = fresh_key()
        await bench.helpdesk.create(CASE, key)
        with bench.imap.open(bench.user) as box:
            box.select("INBOX")
            box.store("1", "+FLAGS", "\\Deleted")
            box.expunge()
        taken = post[0].taken
        assert (await bench.helpdesk.create(CASE, key)).outcome == "delivered"
        assert post[0].taken == taken

    async def test_a_connection_that_breaks_after_the_message_is_uncertain_and_looked_up(
        self, bench: MailBench, post: tuple[Post, Office]
    ) -> None:
        key = fresh_key()
        post[0].hang_up = 1
        first = await bench.helpdesk.create(CASE, key)
        assert (first.outcome, first.again) == ("uncertain", True)
        again = await bench.helpdesk.create(CASE, key)
        assert (again.outcome, again.ticket) == ("delivered", tag(key))
        assert post[0].taken == 1

    @pytest.mark.parametrize(
        ("answer", "again"), [("451 try later", True), ("554 never", False), ("421 busy", True)]
    )
    async def test_a_server_that_refuses_the_message_is_heeded(
        self, bench: MailBench, post: tuple[Post, Office], answer: str, again: bool
    ) -> None:
        post[0].answers = [answer]
        refused = await bench.helpdesk.create(CASE, fresh_key())
        assert (refused.outcome, refused.reason, refused.again) == ("failed", "refused", again)
        assert answer[:3] in refused.detail

    async def test_an_address_that_is_refused_is_said(
        self, bench: MailBench, post: tuple[Post, Office]
    ) -> None:
        post[0].refuse = "team@example.com"
        refused = await bench.helpdesk.create(CASE, fresh_key())
        assert (refused.reason, refused.again) == ("refused", False)
        assert "no such user" in refused.detail
        assert post[0].taken == 0

    async def test_servers_that_are_down_are_waited_for(
        self, imap: Dovecot, post: tuple[Post, Office]
    ) -> None:
        no_post = MailBench(imap, post[1], smtp="smtp+plain://127.0.0.1:1")
        delivery = await no_post.helpdesk.create(CASE, fresh_key())
        assert (delivery.outcome, delivery.reason, delivery.again) == (
            "failed",
            "unreachable",
            True,
        )
        no_imap = MailBench(imap, post[1], imap="imap+plain://127.0.0.1:1")
        delivery = await no_imap.helpdesk.create(CASE, fresh_key())
        assert (delivery.outcome, delivery.reason, delivery.again) == (
            "failed",
            "unreachable",
            True,
        )
        with pytest.raises(HelpdeskUnavailable):
            await no_imap.helpdesk.changes(BEGINNING)
        with pytest.raises(HelpdeskUnavailable):
            await no_imap.helpdesk.find(fresh_key())

    async def test_a_wrong_password_is_never_told(
        self, imap: Dovecot, post: tuple[Post, Office]
    ) -> None:
        bench = MailBench(imap, post[1], password="wrong-canary")
        delivery = await bench.helpdesk.create(CASE, fresh_key())
        assert delivery.outcome == "failed"
        assert "canary" not in repr(delivery)

    async def test_encryption_that_is_demanded_and_not_offered_is_not_done_without(
        self, imap: Dovecot, post: tuple[Post, Office]
    ) -> None:
        bench = MailBench(imap, post[1], smtp=f"smtp://127.0.0.1:{post[1].port}")
        delivery = await bench.helpdesk.create(CASE, fresh_key())
        assert (delivery.outcome, delivery.reason) == ("failed", "refused")
        assert "STARTTLS" in delivery.detail
        plain = MailBench(imap, post[1], imap=f"imap://127.0.0.1:{imap.port}")
        with pytest.raises(HelpdeskUnavailable, match=r"(?i)tls"):
            await plain.helpdesk.find(fresh_key())
        assert post[0].taken == 0

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"smtp": "http://mail.example.com"}, "smtp"),
            ({"imap": "imaps://"}, "imap"),
            ({"imap": "imaps://mail.example.com:x"}, "imap"),
            ({"to": "team"}, "to"),
            ({"sender": "a@b@c"}, "from"),
            ({"folder": "Entwürfe"}, "folder"),
        ],
    )
    async def test_settings_that_cannot_work_are_refused(
        self, imap: Dovecot, post: tuple[Post, Office], settings: dict[str, str], said: str
    ) -> None:
        with pytest.raises(InvalidHelpdesk, match=rf"\[helpdesks\.mail\] {said}:"):
            MailBench(imap, post[1], **settings)
