"""The sections of ``forestall.toml``, each a Struct whose docstring says what its keys mean."""

from typing import Annotated, Literal

import msgspec

_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_Least1 = Annotated[int, msgspec.Meta(ge=1)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[server]``: where to listen and keep data.

    ``app_port`` is where the app process listens, on this machine only (0: any free port); the
    gateway relays to it.
    """

    host: str = "127.0.0.1"
    port: _Port = 8080
    app_port: _Port = 0
    data: str = "data"

    @property
    def url(self) -> str:
        """Where the gateway answers; an IPv6 address stands in brackets (RFC 3986, 3.2.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


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


class Lifecycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[lifecycle]``: whether policies go live by promotion instead of by being saved.

    Where ``managed`` is false the files in ``[policies]`` are in force as they are saved. Where it
    is true only what was applied and promoted is. ``skip`` names stages that this deployment does
    without. A policy stays in shadow for ``shadow`` at least, and its backtest needs
    ``backtest_events`` events.
    """

    managed: bool = False
    skip: tuple[Literal["backtested", "shadow", "canary"], ...] = ()
    shadow: str = "1h"
    backtest_events: Annotated[int, msgspec.Meta(ge=0)] = 1


class Guardrail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[canary.guardrails.NAME]``: an outcome that a canary must not make worse.

    ``event`` is the type of event that counts, for the share of active subjects or, with ``shown``,
    of those who were shown something; with ``latency`` the time from decision to message in its
    place. ``margin`` is how much worse, as a share (or for latency in milliseconds), is tolerated
    before it fails; to pass it has to be shown that it is worse by less than margin and
    ``tolerance``. Those named ``tickets``, ``dismissed``, ``errors`` and ``latency`` are there
    anyway (see ``measure.canary.DEFAULTS``): what is left out here is theirs, and ``off`` leaves
    one out.
    """

    event: str | None = None
    shown: bool = False
    latency: bool = False
    margin: Annotated[float, msgspec.Meta(ge=0)] | None = None
    tolerance: Annotated[float, msgspec.Meta(gt=0)] | None = None
    off: bool = False


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[canary]``: how a policy reaches more and more subjects.

    ``steps`` are shares, each with its least time, such as ``"5% for 1h"``. ``alpha`` is the
    chance at most of ever rolling back a harmless change, over all guardrails and all looks;
    ``least`` the subjects in each arm that a step needs. ``every`` is the time between two looks.
    With ``automatic`` a step that passed is followed by the next one, and the last by live.
    """

    steps: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = (
        "1% for 1h",
        "10% for 4h",
        "50% for 24h",
    )
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    least: _Least1 = 200
    every: str = "10s"
    automatic: bool = False
    guardrails: dict[str, Guardrail] = {}


class Flags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[flags]``: switches of the deployment, read through OpenFeature.

    ``values`` are in force as they are saved, unless ``[lifecycle]`` is managed. ``provider``, a
    function ``module:name`` that returns an OpenFeature provider, takes the place of ours.
    """

    values: dict[str, bool | int | float | str] = {}
    provider: Annotated[str, msgspec.Meta(pattern=r"^[\w.]+:\w+$")] | None = None


class Fairness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[fairness]``: by which traits the service to customers is compared.

    A segment is judged with ``least`` customers; it is served much worse than the rest when a share
    is worse by more than ``margin`` (0.05: 5 percentage points), shown at the level ``alpha`` over
    all segments of a report together.
    """

    traits: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...] = ()
    least: _Least1 = 100
    margin: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05


class Monitor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[monitor]``: how often the server looks for drift by itself (``forestall monitor``).

    First an hour after it started, if ``every`` is not shorter; never where it is ``0s``.
    """

    every: str = "24h"


class LanguageModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[language_models.NAME]``: a model that agents may ask, by the name ``NAME``.

    ``model`` is its name with its provider's, as pydantic-ai writes it (``openai:gpt-4.1-mini``);
    ``url`` another address of the same interface. ``input`` and ``output`` are the prices of a
    million tokens; without them no money is counted.
    """

    model: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+:\S+$")]
    key: str | None = None
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+\S*$")] | None = None
    input: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    output: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def __repr__(self) -> str:
        return f"LanguageModel(model={self.model!r}, url={self.url!r})"


_PLACE = r"^(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+$|^tel:\+?[0-9][0-9 ()/.-]+$"
"""A host, what lies below one, or a phone number: what a message may lead to."""


class Agents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[agents]``: what holds for all agents together.

    ``links`` are the hosts that messages may link to (``shop.example.com``; ``*.example.com`` for
    those below it), without a scheme or a path, and phone numbers (``tel:+49 30 1234``). ``tokens``
    and ``money`` bound a day (UTC) of all agents; ``0`` is no bound.
    """

    links: tuple[Annotated[str, msgspec.Meta(pattern=_PLACE)], ...] = ()
    tokens: Annotated[int, msgspec.Meta(ge=0)] = 0
    money: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Knowledge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[knowledge]``: how runbooks and articles are searched.

    ``language`` is that of documents that name none, as two letters. ``synonyms`` is a file of
    words that mean the same, a line each, with commas. ``embeddings`` searches by meaning as well
    (extra ``embeddings``). ``searches`` are event types of customers' own searches in the help pages,
    each with the field of its data that holds the words, such as ``{"help.searched" = "query"}``.
    """

    language: str = "en"
    synonyms: str | None = None
    embeddings: bool = False
    searches: dict[str, str] = {}


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[privacy]``: how personal data is found before a model sees a text: by ``patterns`` with
    checksums, or by these and ``presidio`` (extra ``presidio``)."""

    find: Literal["patterns", "presidio"] = "patterns"
