"""Settings: one ``forestall.toml`` a deployment, read into frozen Structs.

Secrets may be written as ``env:NAME`` or ``file:PATH`` and are resolved when read.
Paths are relative to the settings file.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from forestall.contracts.control import DecideSettings
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import parse_duration

_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_Least1 = Annotated[int, msgspec.Meta(ge=1)]


class InvalidSettings(ForestallError):
    """``forestall.toml`` is missing, is not TOML, or holds a value that does not fit."""

    code = "invalid-settings"
    exit_code = 2


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[server]``: where to listen and keep data.

    ``app_port`` is where the app process listens (0: any free port); the gateway relays to it.
    """

    host: str = "127.0.0.1"
    port: _Port = 8080
    app_port: _Port = 0
    data: str = "data"


class Ingest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[ingest]``: the front door.

    ``clock = "event"`` makes ``received`` follow the events' own times, for replaying history.
    ``queue_events`` and ``queue_bytes`` are the high-water marks above which requests are shed
    with 429. Pages from ``cors_origins`` may send from a browser; ``*`` means any.
    """

    clock: Literal["wall", "event"] = "wall"
    max_batch_bytes: Annotated[int, msgspec.Meta(ge=100_000)] = 500_000
    max_event_bytes: Annotated[int, msgspec.Meta(ge=20_000)] = 32_000
    queue_events: _Least1 = 20_000
    queue_bytes: _Least1 = 64_000_000
    cors_origins: tuple[str, ...] = ("*",)


class WriteKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[[keys]]``: a credential that may send events, of origin browser or server."""

    name: str
    key: str
    origin: Literal["browser", "server"]


class Tokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[tokens]``: the secret with which the customer's backend signs subject tokens (HS256)."""

    secret: str | None = None
    anonymous_lifetime: str = "1h"


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[webhooks.NAME]``: an endpoint after the Standard Webhooks specification."""

    url: str
    secret: str
    timeout: str = "10s"
    attempts: int = 6


class RequestTracker(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="request-tracker"
):
    """One of ``[helpdesks.NAME]`` with ``kind = "request-tracker"``: a queue of Request Tracker 5.

    ``token`` is an authentication token of the user whose rights Forestall has there. ``solved``
    are the statuses that count as solved; ``satisfaction`` and ``customer`` name custom fields with
    the customer's satisfaction and the customer's own id.
    """

    url: str
    token: str
    queue: str
    solved: tuple[str, ...] = ("resolved", "rejected")
    satisfaction: str | None = None
    customer: str | None = None
    timeout: str = "10s"
    poll: str = "15s"

    def __repr__(self) -> str:
        return f"RequestTracker(url={self.url!r}, queue={self.queue!r})"


class Mail(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="email",
    rename={"sender": "from"},
):
    """One of ``[helpdesks.NAME]`` with ``kind = "email"``: a team that works by e-mail.

    ``smtp`` and ``imap`` are addresses such as ``smtps://mail.example.com``; ``smtp://`` and
    ``imap://`` demand STARTTLS, ``smtp+plain://`` and ``imap+plain://`` do without. Mail goes from
    ``sender`` (written ``from``), whose mailbox ``folder`` is read, to ``to``. ``agents`` are the
    addresses, or ``@domains``, that may answer; without them, the domain of ``to``. With
    ``authserv`` only answers count that this server's ``Authentication-Results`` call genuine.
    """

    smtp: str
    imap: str
    user: str
    password: str
    sender: str
    to: str
    agents: tuple[str, ...] = ()
    authserv: str | None = None
    folder: str = "INBOX"
    timeout: str = "20s"
    poll: str = "30s"

    def __repr__(self) -> str:
        return f"Mail(smtp={self.smtp!r}, imap={self.imap!r}, user={self.user!r})"


Helpdesk = RequestTracker | Mail


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[queues.NAME]``: which webhook or helpdesk takes the escalations of a queue.

    A case that nobody took within ``ack`` goes to the queue ``next``. ``role`` says what its people
    may see; ``solved`` is what the customer is told once the case is solved, nothing if empty.
    """

    webhook: str | None = None
    helpdesk: str | None = None
    role: Literal["agent", "partner"] = "agent"
    ack: str | None = None
    next: str | None = None
    solved: str = "We have solved this for you."


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[links.NAME]``: where people find more about a case. In ``url``, ``{customer}``,
    ``{intervention}`` and ``{policy}`` stand for those of the case."""

    url: str


class Outbound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[outbound]``: limits of every request that leaves.

    ``allow`` names hosts (``crm.internal``, ``127.0.0.1:8081``) that may be private or loopback;
    ``max_bytes`` is the largest answer that is read.
    """

    allow: tuple[str, ...] = ()
    timeout: str = "30s"
    max_bytes: _Least1 = 1_000_000


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[credentials.NAME]``: a secret, the hosts that it may be sent to (``host`` or
    ``host:port``, ``mcp:NAME`` for a server that is started) and the declarations that may use it."""

    value: str
    hosts: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Credential(hosts={self.hosts!r}, actions={self.actions!r})"


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[apis.NAME]``: the address of an API here, in place of the one in its document."""

    url: str


class McpServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[mcp.NAME]``: an MCP server to start (``command``) or to call (``url``).

    ``credential`` is sent as a bearer token, or given to a started server in the environment
    variable ``variable``. ``log`` is the file that a started server's own log goes to.
    """

    command: tuple[str, ...] = ()
    url: str | None = None
    credential: str | None = None
    variable: str | None = None
    log: str | None = None


class Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[database]``: where the app process keeps its tables, if not in the data folder.

    ``url`` is that of a PostgreSQL database, ``postgresql+psycopg://…``, one for each deployment.
    """

    url: str | None = None


class Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[contracts]``, ``[policies]``, ``[runbooks]``, ``[actions]``: where the files are."""

    folder: str | None = None


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[switches]``: kill switches; ``off`` names policies."""

    off: tuple[str, ...] = ()
    everything_off: bool = False


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[people.NAME]``: somebody who approves, commands or reviews, and in which roles.

    ``token`` is what the person's commands show, ``title`` what receipts call the person.
    """

    token: str
    roles: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    title: str = ""


SHORTEST_TOKEN = 20
"""Characters that a person's token has at least."""


class _Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lateness: str = "5m"
    grace: str = "2s"
    budget: Annotated[int, msgspec.Meta(ge=0)] = 3
    budget_window: str = "24h"
    spacing: str = "10m"
    holdout: float = 0.0
    salt: str = ""
    quiet_hours: str | None = None
    timezone: str | None = None
    require_consent: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    server: Server = Server()
    ingest: Ingest = Ingest()
    database: Tables = Tables()
    keys: tuple[WriteKey, ...] = ()
    tokens: Tokens = Tokens()
    contracts: Folder = Folder()
    policies: Folder = Folder()
    runbooks: Folder = Folder()
    actions: Folder = Folder()
    decide: _Decide = _Decide()
    switches: Switches = Switches()
    webhooks: dict[str, Webhook] = {}
    helpdesks: dict[str, Helpdesk] = {}
    queues: dict[str, Queue] = {}
    links: dict[str, Link] = {}
    outbound: Outbound = Outbound()
    credentials: dict[str, Credential] = {}
    apis: dict[str, Api] = {}
    mcp: dict[str, McpServer] = {}
    people: dict[str, Person] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's settings with paths absolute, secrets resolved and durations parsed.

    ``file`` is where they were read; none for the defaults, where nothing is known of a deployment.
    ``database`` is the URL of a PostgreSQL database, none where the data folder has the tables.
    """

    file: Path | None = None
    server: Server = Server()
    ingest: Ingest = Ingest()
    database: str | None = None
    keys: tuple[WriteKey, ...] = ()
    tokens: Tokens = Tokens()
    data: Path = Path("data")
    contracts: Path | None = None
    policies: Path | None = None
    runbooks: Path | None = None
    actions: Path | None = None
    decide: DecideSettings = DecideSettings()
    switches: Switches = Switches()
    webhooks: dict[str, Webhook] = {}
    helpdesks: dict[str, Helpdesk] = {}
    queues: dict[str, Queue] = {}
    links: dict[str, Link] = {}
    outbound: Outbound = Outbound()
    credentials: dict[str, Credential] = {}
    apis: dict[str, Api] = {}
    mcp: dict[str, McpServer] = {}
    people: dict[str, Person] = {}


def load_settings(path: Path, *, secrets: bool = True) -> Settings:
    """Read ``path``; without ``secrets`` they stay as written, for commands that need none.

    Raises ``InvalidSettings`` naming the file, the key and what is wrong.
    """
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        raise InvalidSettings(
            f"{path}: no such file; name it with --config or run in the folder that holds it"
        ) from None
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InvalidSettings(f"{path}: {error}") from None
    _agree(file, path)
    base = path.resolve().parent

    def folder(value: str | None) -> Path | None:
        return None if value is None else base / value

    def secret(value: str) -> str:
        return _secret(value, base, path) if secrets else value

    return Settings(
        file=path,
        server=file.server,
        ingest=file.ingest,
        database=_database(secret(file.database.url), path) if file.database.url else None,
        keys=tuple(msgspec.structs.replace(key, key=secret(key.key)) for key in file.keys),
        tokens=Tokens(
            secret=secret(file.tokens.secret) if file.tokens.secret else None,
            anonymous_lifetime=file.tokens.anonymous_lifetime,
        ),
        data=base / file.server.data,
        contracts=folder(file.contracts.folder),
        policies=folder(file.policies.folder),
        runbooks=folder(file.runbooks.folder),
        actions=folder(file.actions.folder),
        decide=_decide(file.decide, path),
        switches=file.switches,
        webhooks={
            name: msgspec.structs.replace(hook, secret=secret(hook.secret))
            for name, hook in file.webhooks.items()
        },
        helpdesks={name: _helpdesk(desk, secret) for name, desk in file.helpdesks.items()},
        queues=file.queues,
        links=file.links,
        people=_people(file, secret, path) if secrets else file.people,
        outbound=file.outbound,
        credentials={
            name: msgspec.structs.replace(one, value=secret(one.value))
            for name, one in file.credentials.items()
        },
        apis=file.apis,
        mcp={name: _mcp(one, base) for name, one in file.mcp.items()},
    )


def _mcp(server: McpServer, base: Path) -> McpServer:
    log = None if server.log is None else str(base / server.log)
    return msgspec.structs.replace(server, log=log)


def _database(url: str, path: Path) -> str:
    """The URL, if it may be one of PostgreSQL; it is not shown, as it may hold a password."""
    if url.startswith(("postgresql+psycopg://", "env:", "file:")):
        return url
    raise InvalidSettings(f"{path}: database.url: write it as postgresql+psycopg://USER@HOST/NAME")


def _people(file: _File, secret: Callable[[str], str], path: Path) -> dict[str, Person]:
    """With their tokens, each long enough and nobody else's. Raises ``InvalidSettings``."""
    owners: dict[str, str] = {}
    people = {}
    for name, person in file.people.items():
        token = secret(person.token)
        if len(token) < SHORTEST_TOKEN:
            raise InvalidSettings(
                f"{path}: people.{name}.token: fewer than {SHORTEST_TOKEN} characters;"
                " make one with `openssl rand -hex 32`"
            )
        other = owners.setdefault(token, name)
        if other != name:
            raise InvalidSettings(f"{path}: people.{name}.token: {other} has the same")
        people[name] = msgspec.structs.replace(person, token=token)
    return people


def _agree(file: _File, path: Path) -> None:
    """What no type says: names that are there, and each once. Raises ``InvalidSettings``."""
    names = [key.name for key in file.keys]
    for name in {name for name in names if names.count(name) > 1}:
        raise InvalidSettings(f"{path}: two of [[keys]] are named {name!r}")
    for name, queue in file.queues.items():
        wrong = _queue(name, queue, file)
        if wrong is not None:
            raise InvalidSettings(f"{path}: queues.{name}{wrong}")
    for name, server in file.mcp.items():
        if bool(server.command) == bool(server.url):
            raise InvalidSettings(f"{path}: mcp.{name}: give either `command` or `url`")
        if server.credential is not None and server.credential not in file.credentials:
            raise InvalidSettings(
                f"{path}: mcp.{name}.credential: there is no [credentials.{server.credential}]"
            )
        if bool(server.command and server.credential) != bool(server.variable):
            raise InvalidSettings(
                f"{path}: mcp.{name}: a credential of a started server goes with `variable`,"
                " the environment variable that gets it"
            )
    durations = {
        "tokens.anonymous_lifetime": file.tokens.anonymous_lifetime,
        "outbound.timeout": file.outbound.timeout,
        **{f"queues.{name}.ack": one.ack for name, one in file.queues.items() if one.ack},
        **{f"helpdesks.{name}.timeout": one.timeout for name, one in file.helpdesks.items()},
        **{f"helpdesks.{name}.poll": one.poll for name, one in file.helpdesks.items()},
    }
    for key, text in durations.items():
        try:
            parse_duration(text)
        except ValueError as error:
            raise InvalidSettings(f"{path}: {key}: {error}") from None
    try:
        ZoneInfo(file.decide.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSettings(
            f"{path}: decide.timezone: no time zone is named {file.decide.timezone!r}"
        ) from None


def _queue(name: str, queue: Queue, file: _File) -> str | None:
    """What is wrong with ``[queues.name]``, beginning with where."""
    if bool(queue.webhook) == bool(queue.helpdesk):
        return ": give either `webhook` or `helpdesk`"
    if queue.webhook and queue.webhook not in file.webhooks:
        return f".webhook: there is no [webhooks.{queue.webhook}]"
    if queue.helpdesk and queue.helpdesk not in file.helpdesks:
        return f".helpdesk: there is no [helpdesks.{queue.helpdesk}]"
    if bool(queue.ack) != bool(queue.next):
        return ": `ack` and `next` belong together: how long to wait, and who is next"
    seen, next_ = [name], queue.next
    while next_ is not None:
        if next_ not in file.queues:
            return f".next: there is no [queues.{next_}]"
        if next_ in seen:
            return f".next: a case would go round for ever: {' > '.join([*seen, next_])}"
        seen.append(next_)
        next_ = file.queues[next_].next
    return None


def _helpdesk(helpdesk: Helpdesk, secret: Callable[[str], str]) -> Helpdesk:
    if isinstance(helpdesk, RequestTracker):
        return msgspec.structs.replace(helpdesk, token=secret(helpdesk.token))
    return msgspec.structs.replace(helpdesk, password=secret(helpdesk.password))


def _secret(value: str, base: Path, path: Path) -> str:
    scheme, _, rest = value.partition(":")
    if scheme == "env":
        if rest not in os.environ:
            raise InvalidSettings(f"{path}: {value!r}: set the environment variable {rest}")
        return os.environ[rest]
    if scheme == "file":
        try:
            return (base / rest).read_text().strip()
        except OSError as error:
            raise InvalidSettings(f"{path}: {value!r}: {error.strerror}") from None
    return value


def _decide(raw: _Decide, path: Path) -> DecideSettings:
    def micros(key: str) -> int:
        try:
            return parse_duration(getattr(raw, key))
        except ValueError as error:
            raise InvalidSettings(f"{path}: decide.{key}: {error}") from None

    if not 0 <= raw.holdout <= 1:
        raise InvalidSettings(f"{path}: decide.holdout: {raw.holdout} is not between 0 and 1")
    return DecideSettings(
        lateness=micros("lateness"),
        grace=micros("grace"),
        budget=raw.budget,
        budget_window=micros("budget_window"),
        spacing=micros("spacing"),
        holdout=raw.holdout,
        salt=raw.salt,
        quiet_hours=_quiet_hours(raw.quiet_hours, path),
        timezone=raw.timezone,
        require_consent=raw.require_consent,
    )


def _quiet_hours(text: str | None, path: Path) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        start, end = (_minutes(part) for part in text.split("-"))
    except ValueError:
        raise InvalidSettings(
            f'{path}: decide.quiet_hours: {text!r} is not of the form "22:00-08:00"'
        ) from None
    return None if start == end else (start, end)


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    if not (len(hour) == len(minute) == 2 and int(hour) < 24 and int(minute) < 60):
        raise ValueError(text)
    return int(hour) * 60 + int(minute)
