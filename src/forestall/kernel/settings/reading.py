"""Reading ``forestall.toml`` into ``Settings``."""

import codecs
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from forestall.contracts.control import DecideSettings
from forestall.contracts.errors import ForestallError
from forestall.contracts.flags import wrong as wrong_flag
from forestall.contracts.instants import parse_duration
from forestall.contracts.languages import LANGUAGES
from forestall.kernel.settings.hints import hinted
from forestall.kernel.settings.naming import named
from forestall.kernel.settings.sections import (
    SHORTEST_TOKEN,
    Agents,
    Api,
    Canary,
    Credential,
    Fairness,
    Flags,
    Folder,
    Helpdesk,
    Ingest,
    Knowledge,
    LanguageModel,
    Lifecycle,
    Link,
    McpServer,
    Monitor,
    Outbound,
    Person,
    Privacy,
    Queue,
    RequestTracker,
    Server,
    Switches,
    Tables,
    Tokens,
    Webhook,
    WriteKey,
)
from forestall.kernel.settings.steps import parse_steps

GUARDED = ("tickets", "dismissed", "errors", "latency")
"""Guardrails that are there without being set."""


class InvalidSettings(ForestallError):
    """``forestall.toml`` is missing, is not TOML, or holds a value that does not fit."""

    code = "invalid-settings"
    exit_code = 2


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


class _Plain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sections that are taken as they are written: no path, secret or duration to resolve."""

    server: Server = Server()
    ingest: Ingest = Ingest()
    switches: Switches = Switches()
    queues: dict[str, Queue] = {}
    links: dict[str, Link] = {}
    outbound: Outbound = Outbound()
    apis: dict[str, Api] = {}
    lifecycle: Lifecycle = Lifecycle()
    canary: Canary = Canary()
    flags: Flags = Flags()
    fairness: Fairness = Fairness()
    monitor: Monitor = Monitor()
    agents: Agents = Agents()
    privacy: Privacy = Privacy()


class _Resolved(_Plain, frozen=True, kw_only=True):
    """Sections that keep their shape when what they name is resolved."""

    keys: tuple[WriteKey, ...] = ()
    tokens: Tokens = Tokens()
    webhooks: dict[str, Webhook] = {}
    helpdesks: dict[str, Helpdesk] = {}
    credentials: dict[str, Credential] = {}
    mcp: dict[str, McpServer] = {}
    people: dict[str, Person] = {}
    language_models: dict[str, LanguageModel] = {}
    knowledge: Knowledge = Knowledge()


class _File(_Resolved, frozen=True, kw_only=True):
    database: Tables = Tables()
    contracts: Folder = Folder()
    policies: Folder = Folder()
    runbooks: Folder = Folder()
    actions: Folder = Folder()
    decide: _Decide = _Decide()


class Settings(_Resolved, frozen=True, kw_only=True):
    """A deployment's settings with paths absolute, secrets resolved and durations parsed.

    ``file`` is where they were read; none for the defaults, where nothing is known of a deployment.
    ``database`` is the URL of a PostgreSQL database, none where the data folder has the tables.
    """

    file: Path | None = None
    database: str | None = None
    data: Path = Path("data")
    contracts: Path | None = None
    policies: Path | None = None
    runbooks: Path | None = None
    actions: Path | None = None
    decide: DecideSettings = DecideSettings()


def load_settings(path: Path, *, secrets: bool = True) -> Settings:
    """Read ``path``; without ``secrets`` they stay as written, for commands that need none.

    Raises ``InvalidSettings`` naming the file, the key and what is wrong.
    """
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        file = msgspec.toml.decode(content, type=_File)
    except FileNotFoundError:
        raise InvalidSettings(
            f"{path}: no such file; name it with --config or run in the folder that holds it"
        ) from None
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be read: {error.strerror}") from None
    except msgspec.ValidationError as error:
        message = hinted(named(str(error), msgspec.toml.decode(content), _File), _File)
        raise InvalidSettings(f"{path}: {message}") from None
    except msgspec.DecodeError as error:
        raise InvalidSettings(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(f"{path}:{line}: not UTF-8 text; save it as UTF-8") from None
    _agree(file, path)
    base = path.resolve().parent

    def folder(value: str | None) -> Path | None:
        return None if value is None else base / value

    def secret(value: str) -> str:
        return _secret(value, base, path) if secrets else value

    return Settings(
        **{name: getattr(file, name) for name in _Plain.__struct_fields__},
        file=path,
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
        webhooks={
            name: msgspec.structs.replace(hook, secret=secret(hook.secret))
            for name, hook in file.webhooks.items()
        },
        helpdesks={name: _helpdesk(desk, secret) for name, desk in file.helpdesks.items()},
        people=_people(file, secret, path) if secrets else file.people,
        credentials={
            name: msgspec.structs.replace(one, value=secret(one.value))
            for name, one in file.credentials.items()
        },
        mcp={name: _mcp(one, base) for name, one in file.mcp.items()},
        language_models={
            name: msgspec.structs.replace(one, key=_key(one.key, secret))
            for name, one in file.language_models.items()
        },
        knowledge=_knowledge(file.knowledge, base, path),
    )


def _key(key: str | None, secret: Callable[[str], str]) -> str | None:
    """A model's key; none where the environment has none, as agents then answer without the model."""
    if not key or (key.startswith("env:") and not os.environ.get(key.removeprefix("env:"))):
        return None
    return secret(key)


def _knowledge(knowledge: Knowledge, base: Path, path: Path) -> Knowledge:
    if knowledge.language not in LANGUAGES:
        raise InvalidSettings(
            f"{path}: knowledge.language: {knowledge.language!r} is the code of no language; write"
            " its two letters (ISO 639-1), such as en, de or ja"
        )
    synonyms = None if knowledge.synonyms is None else str(base / knowledge.synonyms)
    return msgspec.structs.replace(knowledge, synonyms=synonyms)


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
    for refused in filter(None, map(wrong_flag, file.flags.values, file.flags.values.values())):
        raise InvalidSettings(f"{path}: flags.values: {refused}")
    durations = {
        "tokens.anonymous_lifetime": file.tokens.anonymous_lifetime,
        "outbound.timeout": file.outbound.timeout,
        "lifecycle.shadow": file.lifecycle.shadow,
        "canary.every": file.canary.every,
        "monitor.every": file.monitor.every,
        **{f"queues.{name}.ack": one.ack for name, one in file.queues.items() if one.ack},
        **{f"helpdesks.{name}.timeout": one.timeout for name, one in file.helpdesks.items()},
        **{f"helpdesks.{name}.poll": one.poll for name, one in file.helpdesks.items()},
    }
    for key, text in durations.items():
        try:
            parse_duration(text)
        except ValueError as error:
            raise InvalidSettings(f"{path}: {key}: {error}") from None
    _check_canary(file.canary, path)
    try:
        ZoneInfo(file.decide.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSettings(
            f"{path}: decide.timezone: no time zone is named {file.decide.timezone!r}"
        ) from None


def _check_canary(canary: Canary, path: Path) -> None:
    try:
        parse_steps(canary.steps)
    except ValueError as error:
        raise InvalidSettings(f"{path}: canary.steps: {error}") from None
    for name, guardrail in canary.guardrails.items():
        if guardrail.event and guardrail.latency:
            raise InvalidSettings(
                f"{path}: canary.guardrails.{name}: give either `event` or `latency`"
            )
        if name not in GUARDED and not (guardrail.event or guardrail.latency):
            raise InvalidSettings(
                f"{path}: canary.guardrails.{name}: give `event`, the type of event to watch, or"
                " `latency = true`"
            )


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
        except UnicodeDecodeError:
            raise InvalidSettings(f"{path}: {value!r}: not UTF-8 text") from None
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
