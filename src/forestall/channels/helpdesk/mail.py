"""A team that works by e-mail: a case is a message, its thread is the ticket.

The key makes the Message-ID, and a copy comes back to our own mailbox, where it is looked up
before a message is sent (again). Should a copy be late, the same message with the same Message-ID
goes out twice, which mail programs show as one.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from urllib.parse import SplitResult, urlsplit

from forestall.channels.base import Deduplication, Delivery, Reason
from forestall.channels.helpdesk.mailbox import (
    AT_ONCE,
    CASE,
    PROOF,
    STATUS,
    Mailbox,
    Reader,
    closed_on_error,
)
from forestall.channels.helpdesk.port import (
    Changes,
    HelpdeskUnavailable,
    InvalidHelpdesk,
    tag,
    tagged,
)
from forestall.channels.helpdesk.text import Limits, Words, render
from forestall.channels.helpdesk.turns import Turns
from forestall.contracts.instants import SECOND, parse_duration
from forestall.contracts.intervention import Case
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Mail

LIMITS = Limits(subject=150, body=60_000)

_REMEMBERED = 10_000
_SCHEMES = ("smtp", "smtps", "smtp+plain"), ("imap", "imaps", "imap+plain")


class MailHelpdesk:
    """One team; see ``Helpdesk``. ``now`` is wall time. The libraries block, so each question goes
    to a thread. Raises ``InvalidHelpdesk``."""

    deduplication: Deduplication = "lookup"

    def __init__(
        self, name: str, settings: Mail, *, now: Clock, tls: ssl.SSLContext | None = None
    ) -> None:
        self.name, self._settings, self._now = name, settings, now
        self._seconds = parse_duration(settings.timeout) / SECOND
        self._tls = tls or ssl.create_default_context()
        self._smtp = _address(name, "smtp", settings.smtp, _SCHEMES[0])
        imap = _address(name, "imap", settings.imap, _SCHEMES[1])
        self._own, self._to = _mail(name, "from", settings.sender), _mail(name, "to", settings.to)
        if not (settings.folder.isascii() and settings.folder.isprintable()):
            raise InvalidHelpdesk(f"[helpdesks.{name}] folder: only plain ASCII names are known")
        folder = settings.folder.replace("\\", "\\\\").replace('"', '\\"')
        self._mailbox = Mailbox(
            imap, settings.user, settings.password, folder, self._seconds, self._tls
        )
        self._reader = Reader(
            own=self._own,
            agents=tuple(one.lower() for one in settings.agents) or ("@" + _domain(self._to),),
            authserv=settings.authserv,
            secret=settings.password,
            account=f"imap://{settings.user}@{imap.hostname}",
        )
        self._turns = Turns()
        self._sent: dict[str, None] = {}

    async def create(self, case: Case, key: str) -> Delivery:
        """See ``Helpdesk.create``."""
        words = render(case, LIMITS, tagged(key))
        return await self._once(key, "case", tag(key), lambda: self._message(key, words, "opened"))

    async def find(self, key: str) -> str | None:
        """See ``Helpdesk.find``."""
        there = await asyncio.to_thread(self._mailbox.has, self._identity("case", tag(key)))
        return tag(key) if there else None

    async def comment(self, ticket: str, text: str, key: str) -> Delivery:
        """See ``Helpdesk.comment``."""
        return await self._once(
            key, "note", ticket, lambda: self._reply(ticket, text, key, "noted")
        )

    async def close(self, ticket: str, text: str, key: str) -> Delivery:
        """See ``Helpdesk.close``."""
        return await self._once(
            key, "note", ticket, lambda: self._reply(ticket, text, key, "solved")
        )

    async def changes(self, since: str) -> Changes:
        """See ``Helpdesk.changes``."""
        letters, cursor = await asyncio.to_thread(self._mailbox.since, since)
        told = [change for letter in letters for change in self._reader.changes(letter)]
        return Changes(tuple(told), cursor, more=len(letters) == AT_ONCE)

    async def _once(
        self, key: str, kind: str, ticket: str, message: Callable[[], EmailMessage]
    ) -> Delivery:
        """Send unless it was sent: by what we remember, or by what lies in the mailbox."""
        identity = self._identity(kind, tag(key))
        async with self._turns.turn(identity):
            try:
                there = identity in self._sent or await asyncio.to_thread(
                    self._mailbox.has, identity
                )
            except HelpdeskUnavailable as error:
                return _failed("unreachable", str(error), again=True)
            if there:
                return _delivered(ticket)
            delivery = await asyncio.to_thread(self._send, message(), ticket)
            if delivery.outcome == "delivered":
                self._sent[identity] = None
                if len(self._sent) > _REMEMBERED:
                    del self._sent[next(iter(self._sent))]
            return delivery

    def _identity(self, kind: str, name: str) -> str:
        return f"<{kind}.{name}@{_domain(self._own)}>"

    def _message(self, key: str, words: Words, status: str) -> EmailMessage:
        return self._filled(self._identity("case", tag(key)), tag(key), words, status)

    def _reply(self, ticket: str, text: str, key: str, status: str) -> EmailMessage:
        root = self._identity("case", ticket)
        words = Words(f"Re: [case {ticket}]", text[: LIMITS.body])
        message = self._filled(self._identity("note", tag(key)), ticket, words, status)
        message["In-Reply-To"] = message["References"] = root
        return message

    def _filled(self, identity: str, ticket: str, words: Words, status: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"] = self._settings.sender, self._settings.to
        message["Subject"] = words.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._now() // SECOND, UTC))
        message["Message-ID"] = identity
        message["Auto-Submitted"] = "auto-generated"
        message[CASE], message[STATUS] = ticket, status
        message[PROOF] = self._reader.proof(identity, status)
        message.set_content(words.body)
        return message

    def _send(self, message: EmailMessage, ticket: str) -> Delivery:
        """Hand a message to the mail server, for the team and for our own mailbox; blocking."""
        try:
            with self._connected() as server:
                server.ehlo_or_helo_if_needed()
                if server.has_extn("auth"):
                    server.login(self._settings.user, self._settings.password)
                return self._transmit(server, message.as_bytes(), ticket)
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
            return _failed("refused", f"SMTP: {error}")
        except smtplib.SMTPResponseException as error:
            return _failed("refused", f"SMTP: {error}", again=error.smtp_code < 500)
        except (smtplib.SMTPException, OSError) as error:
            return _failed("unreachable", f"SMTP: {error}", again=True)

    def _transmit(self, server: smtplib.SMTP, content: bytes, ticket: str) -> Delivery:
        answers = [server.mail(self._own)]
        answers += [server.rcpt(to) for to in dict.fromkeys((self._to, self._own))]
        for code, said in answers:
            if code >= 400:
                detail = f"SMTP: {code} {said.decode(errors='replace')}"
                return _failed("refused", detail, again=code < 500)
        try:
            code, said = server.data(content)
        except smtplib.SMTPDataError as error:
            return _failed("refused", f"SMTP: {error}", again=error.smtp_code < 500)
        except (smtplib.SMTPException, OSError) as error:
            detail = f"SMTP: broke off after the message went out: {error}"
            return Delivery(
                outcome="uncertain", reason="timeout", detail=detail, attempts=1, again=True
            )
        if code >= 400:
            detail = f"SMTP: {code} {said.decode(errors='replace')}"
            return _failed("refused", detail, again=code < 500)
        return _delivered(ticket)

    def _connected(self) -> smtplib.SMTP:
        host, port = self._smtp.hostname or "", self._smtp.port
        here = _domain(self._own)
        if self._smtp.scheme == "smtps":
            return smtplib.SMTP_SSL(
                host, port or 465, here, timeout=self._seconds, context=self._tls
            )
        server = smtplib.SMTP(host, port or 587, here, timeout=self._seconds)
        if self._smtp.scheme == "smtp":
            with closed_on_error(server.close):
                server.starttls(context=self._tls)
        return server


def _delivered(ticket: str) -> Delivery:
    return Delivery(outcome="delivered", reason="delivered", attempts=1, ticket=ticket)


def _failed(reason: Reason, detail: str, *, again: bool = False) -> Delivery:
    return Delivery(outcome="failed", reason=reason, detail=detail[:300], attempts=1, again=again)


def _address(name: str, key: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = urlsplit(url)
    try:
        fits = parts.scheme in schemes and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits:
        known = ", ".join(f"{one}://host:port" for one in schemes)
        raise InvalidHelpdesk(f"[helpdesks.{name}] {key}: not of the form {known}")
    return parts


def _mail(name: str, key: str, text: str) -> str:
    address = parseaddr(text)[1].lower()
    if not (address.isascii() and address.count("@") == 1 and _domain(address)):
        raise InvalidHelpdesk(f"[helpdesks.{name}] {key}: {text!r} is no e-mail address")
    return address


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
