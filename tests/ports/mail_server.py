"""Real mail on loopback: aiosmtpd takes messages, and puts them into Dovecot's mailboxes."""

import asyncio
import contextlib
import getpass
import grp
import imaplib
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

DOVECOT = Path("/usr/sbin/dovecot")
PASSWORD = "correct-horse-battery-staple"

CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
default_login_user = {server}
default_internal_user = {server}
default_internal_group = {group}
mail_location = maildir:{folder}/mail/%u
service imap-login {
  chroot =
  inet_listener imap {
    port = {port}
  }
  inet_listener imaps {
    port = 0
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
passdb {
  driver = static
  args = password={password}
}
userdb {
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u
}
"""


class Dovecot(msgspec.Struct, frozen=True):
    """A running IMAP server, which knows every user by the one password."""

    port: int

    def append(self, user: str, content: bytes) -> None:
        """A message arrives."""
        with self.open(user) as mailbox:
            mailbox.append("INBOX", "", "", content)

    def messages(self, user: str) -> list[bytes]:
        """All there are, oldest first."""
        with self.open(user) as mailbox:
            mailbox.select("INBOX", readonly=True)
            numbers = mailbox.search(None, "ALL")[1][0].split()
            found = [mailbox.fetch(number.decode(), "(BODY.PEEK[])")[1][0] for number in numbers]
            return [part[1] for part in found if isinstance(part, tuple)]

    def open(self, user: str) -> imaplib.IMAP4:
        server = imaplib.IMAP4("127.0.0.1", self.port, timeout=30)
        server.login(user, PASSWORD)
        return server


@contextlib.contextmanager
def dovecot() -> Iterator[Dovecot]:
    """Start an IMAP server in a folder of its own; stop it at the end."""
    assert DOVECOT.exists(), "Dovecot is missing; run scripts/servers.sh as root"
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    try:
        user = "nobody" if os.getuid() == 0 else getpass.getuser()
        (folder / "mail").mkdir()
        if os.getuid() == 0:
            folder.chmod(0o755)
            shutil.chown(folder / "mail", user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
        config = folder / "dovecot.conf"
        values = {"folder": folder, "port": port, "password": PASSWORD, "user": user}
        values |= {"server": user, "group": group}
        text = CONFIG
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        config.write_text(text)
        process = subprocess.Popen([DOVECOT, "-F", "-c", config], start_new_session=True)
        try:
            _wait_for(port, process, folder / "dovecot.log")
            yield Dovecot(port)
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text() if log.exists() else "no log"
        try:
            imaplib.IMAP4("127.0.0.1", port, timeout=30).shutdown()
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        else:
            return
    raise AssertionError(log.read_text())


class Post:
    """Takes messages and puts them into the mailboxes of ``dovecot``. ``answers`` are said in
    place of a delivery, each once; ``hang_up`` breaks the connection after a message came."""

    def __init__(self, imap: Dovecot) -> None:
        self._imap = imap
        self.answers: list[str] = []
        self.hang_up = 0
        self.refuse = ""
        self.taken = 0

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's word)
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 Authentication required"
        if self.refuse and address == self.refuse:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        self.taken += 1
        for user in envelope.rcpt_tos:
            content = envelope.content
            assert isinstance(content, bytes)
            self._imap.append(user.partition("@")[0], content)
        if self.hang_up:
            self.hang_up -= 1
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"


class Office(Controller):
    """The SMTP server of a ``Post``, which demands the one password."""

    def __init__(self, post: Post, tls: ssl.SSLContext | None = None) -> None:
        def known(*arguments: Any) -> AuthResult:
            given = arguments[-1]
            right = isinstance(given, LoginPassword) and given.password == PASSWORD.encode()
            return AuthResult(success=right)

        super().__init__(
            post,
            hostname="127.0.0.1",
            port=_free(),
            authenticator=known,
            auth_require_tls=False,
            tls_context=tls,
        )


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
