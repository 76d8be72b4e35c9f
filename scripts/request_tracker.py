"""A real Request Tracker on loopback: Debian's packages, SQLite, REST 2, three users.

Laying its tables takes seconds, so that is done once per version of RT and kept in ``.cache``.
Everything a server writes lies in its own folder.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

CACHE = Path(__file__).parents[1] / ".cache" / "request-tracker"
SETUP = Path("/usr/sbin/rt-setup-database-5")
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
TOKENS = "tokens"

PREPARE = """
use strict; use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT; RT::LoadConfig(); RT::Init();
require RT::AuthToken;
my $who = RT->SystemUser;
sub made { my ($ok, $why) = @_; die $why unless $ok; return $ok }
my $everybody = RT::Group->new($who);
$everybody->LoadSystemInternalGroup('Privileged');
for my $right (qw(SeeQueue ShowTicket ShowTicketComments CreateTicket ModifyTicket OwnTicket
                  TakeTicket CommentOnTicket SeeCustomField ModifyCustomField)) {
    made($everybody->PrincipalObj->GrantRight(Right => $right, Object => RT->System));
}
made(RT::Queue->new($who)->Create(Name => $_)) for qw(payments other);
for my $name (qw(Satisfaction Customer)) {
    my $field = RT::CustomField->new($who);
    made($field->Create(
        Name => $name, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket'));
    made($field->AddToObject(RT::Queue->new($who)));
}
for my $name (qw(forestall ann ben)) {
    my $user = RT::User->new($who);
    made($user->Create(Name => $name, Privileged => 1, EmailAddress => "$name\\@example.com"));
    my ($ok, $why, $token) = RT::AuthToken->new($who)->Create(
        Owner => $user->Id, Description => 'test');
    die $why unless $ok;
    print "$name $token\\n";
}
"""

SITE = """
Set($rtname, 'test.example');
Set($Organization, 'test.example');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($WebPath, '');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rt.db');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'error');
Set($MailCommand, 'testfile');
Set($Timezone, 'America/New_York');
$RT::VarPath = '{folder}';
$RT::MasonDataDir = '{folder}/mason';
$RT::MasonSessionDir = '{folder}/sessions';
1;
"""


class Server(msgspec.Struct, frozen=True):
    """A running server: its address, and an authentication token for each of its users."""

    url: str
    tokens: dict[str, str]

    def person(self, name: str) -> httpx.Client:
        """What ``name`` works with; paths are relative to the interface."""
        return httpx.Client(
            base_url=f"{self.url}/REST/2.0/",
            headers={"authorization": f"token {self.tokens[name]}"},
            trust_env=False,
            timeout=30,
        )


@contextlib.contextmanager
def request_tracker(folder: Path) -> Iterator[Server]:
    """Start a server whose files lie in ``folder``; stop it at the end."""
    assert SERVER.exists(), "Request Tracker is missing; run scripts/servers.sh as root"
    template = _template()
    shutil.copy(template / "rt.db", folder / "rt.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [SERVER, "--host", "127.0.0.1", "--port", str(port), "--max-workers", "4"],
        env=_surroundings(folder, port),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, folder / "server.log")
        pairs = (line.split(" ", 1) for line in (template / TOKENS).read_text().splitlines())
        yield Server(url, dict(pairs))
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
        log.close()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(retries=0), trust_env=False) as client:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                if client.get(f"{url}/REST/2.0/rt", timeout=30).status_code == 401:
                    return
            except httpx.ConnectError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
    raise AssertionError(log.read_text())


def _template() -> Path:
    """A folder with a fresh database and the tokens of its users."""
    CACHE.mkdir(parents=True, exist_ok=True)
    version = subprocess.run(
        ["dpkg-query", "-W", "request-tracker5"], check=True, capture_output=True
    ).stdout
    made = CACHE / hashlib.sha256(version + PREPARE.encode()).hexdigest()[:16]
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / TOKENS).exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            _lay(made)
    return made


def _lay(folder: Path) -> None:
    surroundings = _surroundings(folder, 80)
    _run([SETUP, "--action", "init", "--skip-create", "--dba-password", "none"], surroundings)
    tokens = _run(["perl", "-e", PREPARE], surroundings)
    (folder / TOKENS).write_text(tokens)


def _run(command: list[str | Path], surroundings: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=surroundings, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _surroundings(folder: Path, port: int) -> dict[str, str]:
    """Have RT read the settings in ``folder`` and write there only."""
    (folder / "site.d").mkdir(exist_ok=True)
    (folder / "sessions").mkdir(exist_ok=True)
    site = folder / "site.pm"
    site.write_text(SITE.replace("{folder}", str(folder)).replace("{port}", str(port)))
    return os.environ | {"RT_SITE_CONFIG": str(site), "RT_SITE_CONFIG_DIR": str(folder / "site.d")}
