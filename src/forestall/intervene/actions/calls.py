"""The ways of doing something, behind one door: HTTP operations, MCP tools and Python functions."""

from typing import Any

import httpx

from forestall.contracts.errors import ExpressionError
from forestall.intervene.actions.answers import Answer, BadArguments
from forestall.intervene.actions.credentials import Credentials
from forestall.intervene.actions.http import HttpCalls
from forestall.intervene.actions.mcp import McpCalls
from forestall.intervene.actions.python import PythonCalls
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Action, Flag, Function, Http, Tool, Way
from forestall.policy.language.cel import Expression, compile_expression, to_json

VARIABLES = ("arguments", "fields", "result", "key")
"""What expressions in declarations see, as far as it is known then."""

Scope = dict[str, Any]


class Expressions:
    """Compiles each expression of the declarations once."""

    def __init__(self) -> None:
        self._compiled: dict[str, Expression] = {}

    def value(self, source: str, scope: Scope) -> Any:
        """What ``source`` comes to, as JSON data. Raises ``ExpressionError``."""
        compiled = self._compiled.get(source)
        if compiled is None:
            compiled = self._compiled[source] = compile_expression(source, VARIABLES)
        return to_json(compiled.evaluate(*(scope.get(name) for name in VARIABLES)))

    def values(self, written: dict[str, str] | None, scope: Scope) -> dict[str, Any]:
        """The arguments of a call; those of the declaration itself where none are written.

        Raises ``BadArguments``.
        """
        if written is None:
            return dict(scope["arguments"])
        found = {}
        for name, source in written.items():
            try:
                found[name] = self.value(source, scope)
            except ExpressionError as error:
                raise BadArguments(f"`{name}` cannot be computed: {error}") from None
        return found


class Calls:
    """Makes calls, and shows them. Secrets are in no answer, request or error."""

    def __init__(
        self,
        declarations: Declarations,
        settings: Settings,
        *,
        client: httpx.AsyncClient,
        now: Clock,
    ) -> None:
        credentials = self._credentials = Credentials(settings.credentials)
        used = [way for way in _ways(declarations) if way is not None]
        functions = [way.call for way in used if isinstance(way, Function)]
        servers = {way.server for way in used if isinstance(way, Tool)}
        needed = {name: one for name, one in settings.mcp.items() if name in servers}
        self._http = HttpCalls(declarations, client, credentials, now)
        self._mcp = McpCalls(needed, client, credentials)
        self._python = PythonCalls(functions, credentials)

    async def aclose(self) -> None:
        """Stop what was started."""
        await self._mcp.aclose()

    def hide(self, value: Any) -> Any:
        """JSON data without secrets."""
        return self._credentials.hide(value)

    def request(
        self, way: Way, values: dict[str, Any], key: str | None, *, dry: bool = False
    ) -> dict[str, Any]:
        """What would be sent, as a person may see it. Raises ``BadArguments``."""
        match way:
            case Http():
                shown = self._http.request(way, values, key).shown()
            case Tool():
                shown = self._mcp.request(way, values, key)
            case Function():
                shown = {"call": way.call, "arguments": values, "key": key, "dry": dry}
        hidden: dict[str, Any] = self.hide(shown)
        return hidden

    async def call(
        self,
        way: Way,
        values: dict[str, Any],
        key: str | None,
        seconds: float,
        *,
        dry: bool = False,
    ) -> Answer:
        """Do it, within so many seconds; ``dry`` tells a function that it must change nothing.

        Raises ``BadArguments``.
        """
        match way:
            case Http():
                answer = await self._http.call(way, values, key, seconds)
            case Tool():
                answer = await self._mcp.call(way, values, key, seconds)
            case Function():
                answer = await self._python.call(way, values, key, seconds, dry=dry)
        return Answer(
            ended=answer.ended,
            body=self.hide(answer.body),
            detail=self.hide(answer.detail),
            status=answer.status,
            retry_after=answer.retry_after,
        )


def _ways(declarations: Declarations) -> list[Way | None]:
    found: list[Way | None] = [one.way for one in declarations.lookups.values()]
    found += [one.way for one in declarations.agents.values()]
    for action in declarations.actions.values():
        found += [action.execute, action.undo, _trial(action)]
    return found


def _trial(action: Action) -> Way | None:
    return None if isinstance(action.dry_run, str | Flag) else action.dry_run
