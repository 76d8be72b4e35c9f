"""What comes back by e-mail: a mailbox read over IMAP, and the meaning of what lies in it.

Our own messages come back as copies and say what we did; they carry a proof that nobody else can
make. A reply of an agent says that the case is taken, and its first lines may say more::

    #solved
    #reopened
    #rating 4
"""

import email
import hashlib
import hmac
import imaplib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import Any, cast
from urllib.parse import SplitResult

import msgspec
import structlog

from forestall.channels.helpdesk.port import (
    ChangeKind,
    HelpdeskUnavailable,
    TicketChange,
    score_of,
    tag_in,
)

CASE, STATUS, PROOF = "X-Forestall-Case", "X-Forestall-Status", "X-Forestall-Proof"
"""Headers of our own messages."""

AT_ONCE = 100
"""Messages read in one go."""

LARGEST = 65_536
"""Bytes that are read of a message: its headers and first lines."""

_log = structlog.get_logger(__name__)
_ROOT = re.compile(r"<case\.([0-9a-f]{16})@")
_VALIDITY = re.compile(rb"\d+")
_FETCHED = re.compile(rb'UID (\d+) .*?INTERNALDATE "([^"]+)"', re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAID: dict[str, ChangeKind] = {"#solved": "solved", "#reopened": "reopened"}


class Letter(msgspec.Struct, frozen=True):
    """A message in the mailbox: its number there, when it came (microseconds), and its bytes."""

    uid: int
    at: int
    raw: bytes


class Reader(msgspec.Struct, frozen=True):
    """How to understand a mailbox: our own address, those of agents (``@domain`` for all of one),
    the server whose word on authenticity counts, and the secret of our proofs."""

    own: str
    agents: tuple[str, ...]
    authserv: str | None
    secret: str
    account: str

    def changes(self, letter: Letter) -> list[TicketChange]:
        """What a message says; nothing where it is none of ours, or nobody who may speak, or where
        Python's parser stumbles over it, as it does over some malformed headers."""
        try:
            return self._changes(letter)
        except (LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
            _log.warning("message_unreadable", uid=letter.uid, why=repr(error)[:200])
            return []

    def _changes(self, letter: Letter) -> list[TicketChange]:
        message = email.message_from_bytes(letter.raw, policy=default)
        identity = _header(message, "Message-ID") or f"{letter.uid}@{letter.at}"
        sender = parseaddr(_header(message, "From"))[1].lower()
        tag = _tag(message)
        if tag is None:
            return []
        kinds: list[tuple[ChangeKind, float | None]]
        if _header(message, PROOF):
            kinds, by = [(kind, None) for kind in self._ours(message, identity)], self.own
        elif self._may_speak(sender, message):
            kinds, by = [("taken", None), *_said(message)], sender
        else:
            return []
        name = hashlib.sha256(identity.encode()).hexdigest()[:24]
        return [
            TicketChange(
                id=f"{self.account}/{name}/{number}",
                kind=kind,
                ticket=tag,
                at=letter.at,
                tag=tag,
                by=by,
                score=score,
            )
            for number, (kind, score) in enumerate(kinds)
        ]

    def proof(self, identity: str, status: str) -> str:
        """What shows that a message with this id and status is ours."""
        words = f"{identity.strip()}\n{status}".encode()
        return hmac.new(self.secret.encode(), words, hashlib.sha256).hexdigest()

    def _ours(self, message: EmailMessage, identity: str) -> list[ChangeKind]:
        status = _header(message, STATUS)
        given = _header(message, PROOF).encode(errors="replace")
        if not hmac.compare_digest(given, self.proof(identity, status).encode()):
            return []
        return [cast("ChangeKind", status)] if status in ("opened", "solved") else []

    def _may_speak(self, sender: str, message: EmailMessage) -> bool:
        """An agent in person: no vacation notice, and genuine where we can know that."""
        if _header(message, "Auto-Submitted").lower() not in ("", "no"):
            return False
        domain = "@" + sender.rpartition("@")[2]
        known = sender != self.own and (sender in self.agents or domain in self.agents)
        return known and (self.authserv is None or _genuine(message, self.authserv))


class Mailbox:
    """A folder on an IMAP server, opened anew for each question; blocking. ``address`` is its URL,
    ``seconds`` the time limit of each answer."""

    def __init__(
        self,
        address: SplitResult,
        user: str,
        password: str,
        folder: str,
        seconds: float,
        tls: ssl.SSLContext,
    ) -> None:
        self._address, self._folder, self._seconds, self._tls = address, folder, seconds, tls
        self._user, self._password = user, password

    def has(self, identity: str) -> bool:
        """Whether a message with that Message-ID is there. Raises ``HelpdeskUnavailable``."""
        with self._open() as (server, _):
            return bool(_search(server, "HEADER", "Message-ID", f'"{identity}"'))

    def since(self, cursor: str) -> tuple[list[Letter], str]:
        """Up to ``AT_ONCE`` messages after the cursor, and the next one. Raises
        ``HelpdeskUnavailable``."""
        with self._open() as (server, validity):
            parts = [int(part) for part in cursor.removeprefix("@").split(":")]
            if len(parts) == 3 and parts[0] == validity:
                begin, last = 0, parts[1]
                found = _search(server, "UID", f"{last + 1}:*")
            else:
                begin, last = parts[-1] // 1_000_000 * 1_000_000, 0
                day = _EPOCH + timedelta(microseconds=begin) - timedelta(days=1)
                found = _search(server, "SINCE", f"{max(day, _EPOCH):%d-%b-%Y}")
            numbers = sorted(number for number in found if number > last)[:AT_ONCE]
            letters = [one for one in _fetch(server, numbers) if one.at >= begin]
        newest = max((one.at for one in letters), default=parts[-1])
        number = numbers[-1] if numbers else last
        return letters, f"{validity}:{number}:{newest}"

    @contextmanager
    def _open(self) -> Iterator[tuple[imaplib.IMAP4, int]]:
        """The server with our folder open to read, and the folder's UIDVALIDITY."""
        try:
            with self._connected() as server:
                server.login(self._user, self._password)
                _done(server.select(f'"{self._folder}"', readonly=True))
                answer = server.response("UIDVALIDITY")[1]
                yield server, int(cast("bytes", answer[0])) if answer and answer[0] else 0
        except (imaplib.IMAP4.error, OSError, ValueError) as error:
            raise HelpdeskUnavailable(f"{self._address.hostname}: IMAP: {error}") from None

    def _connected(self) -> imaplib.IMAP4:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "imaps":
            return imaplib.IMAP4_SSL(
                host, port or 993, ssl_context=self._tls, timeout=self._seconds
            )
        server = imaplib.IMAP4(host, port or 143, timeout=self._seconds)
        if self._address.scheme == "imap":
            with closed_on_error(server.shutdown):
                _done(server.starttls(self._tls))
        return server


@contextmanager
def closed_on_error(close: Callable[[], object]) -> Iterator[None]:
    """Close a connection that does not become what it should."""
    with ExitStack() as stack:
        stack.callback(close)
        yield
        stack.pop_all()


def _search(server: imaplib.IMAP4, *words: str) -> list[int]:
    data = _done(server.uid("SEARCH", *words))
    return [int(number) for line in data if line for number in cast("bytes", line).split()]


def _fetch(server: imaplib.IMAP4, numbers: list[int]) -> list[Letter]:
    if not numbers:
        return []
    wanted = ",".join(str(number) for number in numbers)
    data = _done(server.uid("FETCH", wanted, f"(UID INTERNALDATE BODY.PEEK[]<0.{LARGEST}>)"))
    letters = []
    for part in data:
        if isinstance(part, tuple) and (said := _FETCHED.search(part[0])) is not None:
            at = datetime.strptime(said[2].decode().strip(), "%d-%b-%Y %H:%M:%S %z")
            micros = (at - _EPOCH) // timedelta(microseconds=1)
            letters.append(Letter(int(said[1]), micros, part[1]))
    return sorted(letters, key=lambda one: one.uid)


def _done(answer: tuple[str, list[Any]]) -> list[Any]:
    if answer[0] != "OK":
        raise imaplib.IMAP4.error(f"{answer[0]} {answer[1]}"[:200])
    return answer[1]


def _header(message: EmailMessage, name: str) -> str:
    return str(message.get(name, "")).strip()


def _tag(message: EmailMessage) -> str | None:
    """Whose case it is about: by its own header, by what it replies to, or by its subject."""
    own = _header(message, CASE)
    if re.fullmatch("[0-9a-f]{16}", own):
        return own
    before = f"{_header(message, 'In-Reply-To')} {_header(message, 'References')}"
    root = _ROOT.search(before)
    return root[1] if root else tag_in(_header(message, "Subject"))


def _said(message: EmailMessage) -> list[tuple[ChangeKind, float | None]]:
    """What the lines with ``#`` at the top of a reply say."""
    said: list[tuple[ChangeKind, float | None]] = []
    for line in _lines(message):
        word, _, rest = line.partition(" ")
        if not word.startswith("#"):
            break
        if word.lower() in _SAID:
            said.append((_SAID[word.lower()], None))
        elif word.lower() == "#rating" and (score := score_of(rest)) is not None:
            said.append(("rated", score))
    return said


def _lines(message: EmailMessage) -> Iterator[str]:
    """The lines of the text that are not blank."""
    part = message.get_body(("plain", "html"))
    try:
        text = "" if part is None else str(part.get_content())
    except (LookupError, ValueError):
        return
    if part is not None and part.get_content_subtype() == "html":
        text = re.sub(r"<[^<>]*>", "\n", text)
    yield from (line.strip() for line in text.splitlines() if line.strip())


def _genuine(message: EmailMessage, authserv: str) -> bool:
    """Whether our own mail server says so (RFC 8601): its header stands before any that came with
    the message."""
    said = str((message.get_all("Authentication-Results") or [""])[0]).lower()
    server, _, results = said.partition(";")
    return server.split()[:1] == [authserv.lower()] and bool(
        re.search(r"(?:^|[;\s])dmarc\s*=\s*pass\b", results)
    )
