"""A deployment's folder of declarations as one whole: read, held against each other and the settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.errors import InvalidFile, Problem
from forestall.contracts.folders import files_below
from forestall.contracts.nearest import did_you_mean
from forestall.kernel.settings import Settings
from forestall.policy.actions.grants import judge_agent
from forestall.policy.actions.judging import Path_, inputs, judge_names, judge_reads
from forestall.policy.actions.model import (
    Action,
    Agent,
    Check,
    Declaration,
    Flag,
    Function,
    Http,
    Lookup,
    Tool,
    Way,
)
from forestall.policy.actions.openapi import (
    SAFE,
    Document,
    Operation,
    UnusableDocument,
    host_of,
    read_document,
    sound_url,
)
from forestall.policy.actions.prompts import beside, read_prompts, with_prompt
from forestall.policy.actions.read import Located, read_declarations
from forestall.policy.language.document import MAX_CHARACTERS, Source
from forestall.policy.language.offers import Offer, Offers

DOCUMENT = ".openapi"
"""What stands in an OpenAPI document's file name between the API's name and the suffix."""


class Unusable(msgspec.Struct, frozen=True, kw_only=True):
    """A live version of an agent that cannot be used here: why, and the version in its place."""

    agent: str
    version: str
    problems: tuple[Problem, ...]
    instead: str | None = None


class Declarations(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment declares, by name, with the operations it calls (by API and id) and the
    address of each API. Where it is ``managed`` the agents are the live ones, but those that are
    ``unusable`` here."""

    lookups: dict[str, Lookup] = {}
    agents: dict[str, Agent] = {}
    actions: dict[str, Action] = {}
    operations: dict[tuple[str, str], Operation] = {}
    addresses: dict[str, str] = {}
    managed: bool = False
    unusable: tuple[Unusable, ...] = ()

    def why_no_agent(self, name: str) -> tuple[str, str]:
        """Why there is no agent of that name: ``not-live``, ``unusable`` or ``refused`` (nobody
        declared it), and in words."""
        for one in self.unusable:
            if one.agent == name:
                why = f"the live version of the agent {name!r} cannot be used here"
                return "unusable", f"{why}: {one.problems[0]}"
        if self.managed:
            return "not-live", f"no version of the agent {name!r} is live; promote one"
        return "refused", f"the deployment declares no agent {name!r}"

    def demands(self, action: str) -> int:
        """How many people have to approve each call of an action; 0 where none has to."""
        known = self.actions.get(action)
        return known.people if known is not None and known.needs_approval else 0


def load_declarations(folder: Path, settings: Settings) -> Declarations:
    """Everything declared in the ``*.yaml`` and ``*.yml`` files below ``folder``, with the prompts
    beside it.

    Raises ``InvalidFile`` with the problems of all files.
    """
    found, sources = read_folder(folder)
    prompts, problems = read_prompts(beside(folder))
    judge = Judge(folder, settings, [with_prompt(one, prompts) for one in found])
    judge.judge()
    problems += {problem for source in sources for problem in source.problems}
    if problems:
        raise InvalidFile(sorted(problems))
    return judge.declarations()


def read_folder(folder: Path) -> tuple[list[Located], list[Source]]:
    """What the files below ``folder`` declare, and their sources with the mistakes found so far.

    Raises ``InvalidFile`` where there is no such folder, and ``UnreadableInput`` where one may not
    be looked into.
    """
    if not folder.is_dir():
        raise InvalidFile([Problem(str(folder), 1, 1, "actions-folder", "there is no such folder")])
    found: list[Located] = []
    sources: list[Source] = []
    for path in _files(folder):
        try:
            size = path.stat().st_size
            text = path.read_text(encoding="utf-8") if size <= 4 * MAX_CHARACTERS else None
        except UnicodeDecodeError:
            source = _unread(path, "yaml", "the file is not UTF-8 text")
        except OSError as error:
            source = _unread(path, "yaml", f"the file cannot be read: {error.strerror}")
        else:
            if text is None:
                source = _unread(path, "too-large", f"the file has {size:,} bytes; split it")
            else:
                located, source = read_declarations(text, str(path))
                found += located
        sources.append(source)
    return found, sources


def _unread(path: Path, code: str, message: str) -> Source:
    source = Source("", str(path))
    source.problems = [Problem(str(path), 1, 1, code, message)]
    return source


def offers(declarations: Declarations) -> tuple[Offers, Offers, Offers]:
    """What lookups, agents and actions take and give, for checking policies."""
    return (
        {name: _offer(one) for name, one in declarations.lookups.items()},
        {name: _planner(one, declarations) for name, one in declarations.agents.items()},
        {
            name: msgspec.structs.replace(_offer(one), risk=one.risk, people=one.people)
            for name, one in declarations.actions.items()
        },
    )


def _offer(one: Declaration) -> Offer:
    taken, required = inputs(one)
    return Offer(arguments=taken, required=required or frozenset(), fields=frozenset(one.output))


def _planner(one: Agent, declarations: Declarations) -> Offer:
    """What an agent offers: also whether it plans, and how many people its actions may ask for."""
    granted = [declarations.actions.get(grant.name) for grant in one.actions]
    people = max((action.people for action in granted if action is not None), default=1)
    able, acts = one.way is None, bool(one.actions)
    return msgspec.structs.replace(_offer(one), plans=able, acts=acts, people=people)


def _files(folder: Path) -> list[Path]:
    return [
        path for path in files_below(folder, (".yaml", ".yml")) if not path.stem.endswith(DOCUMENT)
    ]


class Judge:
    """Holds declarations against each other, against the documents and against the settings."""

    def __init__(self, folder: Path, settings: Settings, found: list[Located]) -> None:
        self._settings, self._found = settings, found
        self._documents: dict[str, Document | str] = {}
        self._files = {
            path.name.removesuffix(path.suffix).removesuffix(DOCUMENT): path
            for path in sorted(folder.rglob(f"*{DOCUMENT}.*"))
            if path.suffix in (".yaml", ".yml", ".json")
        }
        self.operations: dict[tuple[str, str], Operation] = {}
        self.addresses: dict[str, str] = {}
        self._lookups = {one.name: one for one in self.of(Lookup)}
        self._actions = {one.name: one for one in self.of(Action)}

    def of(self, kind: type[Any]) -> Iterator[Any]:
        """The declarations of a kind."""
        return (one.declaration for one in self._found if isinstance(one.declaration, kind))

    def judge(self) -> None:
        """Note what is wrong."""
        seen: dict[tuple[type, str], Located] = {}
        for one in self._found:
            kind = type(one.declaration)
            earlier = seen.setdefault((kind, one.declaration.name), one)
            if earlier is not one:
                place = earlier.document.node.place
                one.name_problem(
                    "duplicate-name",
                    f"another {kind.__name__.lower()} is called `{one.declaration.name}` already",
                    f"the first is at {earlier.spec.source.file}:{place.line}:{place.column}",
                )
            match one.declaration:
                case Action():
                    self._action(one, one.declaration)
                case Lookup(way=way):
                    self._lookup(one, way)
                case Agent():
                    self.agent(one, one.declaration)

    def agent(self, one: Located, agent: Agent) -> None:
        """Note what is wrong with an agent."""
        if agent.way is None:
            judge_agent(one, agent, self._lookups, self._actions, self._settings)
        else:
            self._way(one, (), agent.way)

    def declarations(self) -> Declarations:
        """Everything, once nothing is wrong."""
        return Declarations(
            lookups=self._lookups,
            agents={one.name: one for one in self.of(Agent)},
            actions=self._actions,
            operations=self.operations,
            addresses=self.addresses,
        )

    def _lookup(self, one: Located, way: Way) -> None:
        operation = self._way(one, (), way)
        if operation is not None and operation.method not in SAFE:
            one.problem(
                ("http", "operation"),
                "not-read-only",
                f"`{operation.id}` is a {operation.method}, and a lookup changes nothing",
                f"use an operation with {', '.join(SAFE[:2])}, or declare an action",
            )

    def _action(self, one: Located, action: Action) -> None:
        operation = self._way(one, ("execute",), action.execute, action.dry_run)
        if isinstance(action.dry_run, Flag):
            self._flag(one, action, operation)
        elif not isinstance(action.dry_run, str):
            self._way(one, ("dry_run",), action.dry_run)
        if action.undo is not None:
            self._way(one, ("undo",), action.undo)
        checks = {"precondition": action.precondition, "verify": action.verify, "find": action.find}
        for key, check in checks.items():
            if check is not None and key in one.spec:
                self._check(one, (key,), check, action)

    def _flag(self, one: Located, action: Action, operation: Operation | None) -> None:
        argument = action.dry_run.argument if isinstance(action.dry_run, Flag) else ""
        path = ("dry_run", "argument")
        if isinstance(action.execute, Function) and argument != "dry":
            message = "a Python function learns of a dry run by its argument `dry`"
            one.problem(path, "bad-value", message)
        elif operation is not None and operation.unknown(argument):
            message = f"`{operation.id}` has no parameter `{argument}`"
            one.problem(path, "unknown-argument", message)

    def _check(self, one: Located, path: Path_, check: Check, action: Action) -> None:
        fields: frozenset[str] | None = frozenset()
        if check.lookup is not None:
            lookup = self._lookups.get(check.lookup)
            if lookup is None:
                hint = did_you_mean(check.lookup, self._lookups)
                message = f"there is no lookup `{check.lookup}`"
                one.problem((*path, "lookup"), "unknown-lookup", message, hint)
                fields = None
            else:
                fields = frozenset(lookup.output)
                taken, required = inputs(lookup)
                judge_names(
                    one, path, check.arguments, taken, required, f"the lookup `{lookup.name}`"
                )
        for name, source in check.arguments.items():
            judge_reads(one, (*path, "with", name), source, {"result": frozenset(action.output)})
        known: dict[str, frozenset[str] | None] = {
            "fields": fields,
            "result": frozenset(action.output),
        }
        judge_reads(one, (*path, "if"), check.condition, known)

    def _way(self, one: Located, path: Path_, way: Way, dry: object = None) -> Operation | None:
        """Judge one way of doing something; the operation that it calls, where it calls one."""
        output = frozenset(getattr(one.declaration, "output", {}))
        kind = {Http: "http", Tool: "mcp", Function: "python"}[type(way)]
        below = (*path, kind)
        for name, source in (way.arguments or {}).items():
            judge_reads(one, (*below, "with", name), source, {"result": output})
        match way:
            case Http():
                return self._http(one, below, way, dry)
            case Tool():
                self._tool(one, below, way)
            case Function(credential=str(credential)):
                self._credential(one, below, credential, None)
        return None

    def _tool(self, one: Located, path: Path_, way: Tool) -> None:
        server = self._settings.mcp.get(way.server)
        if server is None:
            hint = did_you_mean(way.server, self._settings.mcp)
            message = f"the settings have no [mcp.{way.server}]"
            one.problem((*path, "server"), "unknown-server", message, hint)
        elif server.credential is not None:
            where = f"mcp:{way.server}" if server.command else server.url
            self._credential(one, path, server.credential, where)

    def _http(self, one: Located, path: Path_, way: Http, dry: object) -> Operation | None:
        try:
            document = self._document(way.api)
        except UnusableDocument as error:
            one.problem((*path, "api"), "bad-api", str(error))
            return None
        if way.operation not in document.names:
            hint = did_you_mean(way.operation, document.names)
            message = f"{document.file} has no operation `{way.operation}`"
            one.problem((*path, "operation"), "unknown-operation", message, hint)
            return None
        try:
            operation = document.operation(way.operation)
        except UnusableDocument as error:
            message = f"the operation `{way.operation}` cannot be called: {error}"
            one.problem((*path, "operation"), "bad-operation", message)
            return None
        self.operations[way.api, way.operation] = operation
        taken, _ = inputs(one.declaration)
        if way.arguments is None and taken is None:
            taken = operation.required
        given = way.arguments if way.arguments is not None else dict.fromkeys(taken or ())
        given = {**given, **({dry.argument: ""} if isinstance(dry, Flag) else {})}
        if way.arguments is not None:
            for name in way.arguments:
                if operation.unknown(name):
                    message = f"`{operation.id}` has no parameter `{name}`"
                    one.problem((*path, "with", name), "unknown-argument", message)
        for name in sorted(operation.required - given.keys()):
            if name != way.key_header:
                message = f"`{operation.id}` needs `{name}`, which nothing gives"
                one.problem((*path, "with"), "missing-argument", message)
        address = self._address(one, path, way.api, document)
        if way.credential is not None:
            self._credential(one, path, way.credential, address)
        return operation

    def _document(self, api: str) -> Document:
        path = self._files.get(api)
        if path is None:
            raise UnusableDocument(f"there is no {api}{DOCUMENT}.yaml or .json in the folder")
        if api not in self._documents:
            try:
                self._documents[api] = read_document(path)
            except UnusableDocument as error:
                self._documents[api] = f"{path}: {error}"
        document = self._documents[api]
        if isinstance(document, str):
            raise UnusableDocument(document)
        return document

    def _address(self, one: Located, path: Path_, api: str, document: Document) -> str | None:
        override = self._settings.apis.get(api)
        address = document.server if override is None else override.url
        if address is None or not sound_url(address):
            message = (
                f"{document.file} names no server with an address like https://host/path"
                if override is None
                else f"[apis.{api}] url is not of the form https://host/path"
            )
            one.problem(
                (*path, "api"), "bad-api", message, f"write [apis.{api}] url in the settings"
            )
            return None
        self.addresses[api] = address.rstrip("/")
        return address

    def _credential(self, one: Located, path: Path_, name: str, where: str | None) -> None:
        """Whether this declaration may use the credential, and send it there."""
        credential = self._settings.credentials.get(name)
        at = (*path, "credential")
        if credential is None:
            hint = did_you_mean(name, self._settings.credentials)
            one.problem(
                at, "unknown-credential", f"the settings have no [credentials.{name}]", hint
            )
            return
        mine = one.declaration.name
        if mine not in credential.actions:
            message = f"[credentials.{name}] is not for `{mine}`"
            one.problem(at, "credential-not-allowed", message, f'add "{mine}" to its `actions`')
        if where is None:
            return
        hosts = {where} if where.startswith("mcp:") else _spellings(where)
        if not hosts & {host.lower() for host in credential.hosts}:
            shown = max(hosts, key=len)
            message = f"[credentials.{name}] may not be sent to {shown}"
            one.problem(at, "credential-not-allowed", message, f'add "{shown}" to its `hosts`')


def _spellings(url: str) -> set[str]:
    host, port = host_of(url)
    bare = f"[{host}]" if ":" in host else host
    return {host, bare, f"{bare}:{port}"}
