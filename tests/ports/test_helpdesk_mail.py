"""The helpdesk that is e-mail, against a real SMTP server and a real IMAP server."""

import email
from email.message import EmailMessage
from email.policy import default

import msgspec
import pytest

from forestall.channels.helpdesk import mail, mailbox
from forestall.channels.helpdesk.mail import MailHelpdesk
from forestall.channels.helpdesk.port import (
    BEGINNING,
    HelpdeskUnavailable,
    InvalidHelpdesk,
    tag,
)
from forestall.kernel.clock import random_id, wall_clock
from forestall.kernel.settings import Mail
from ports.desks import imap, post, rt
from ports.helpdesksuite import CASE, HelpdeskSuite, fresh_key, told
from ports.mail_server import PASSWORD, Dovecot, Office, Post

pytestmark = pytest.mark.anyio
__all__ = ["imap", "post", "rt"]


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
