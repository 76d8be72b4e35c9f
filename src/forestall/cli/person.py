"""Asking the running server as a person: the token is in ``FORESTALL_TOKEN``, never an argument."""

import gzip
import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import msgspec
import typer
from rich.markup import escape

from forestall.cli.deployment import settings_for
from forestall.contracts.errors import ForestallError, UnreadableInput

TOKEN = "FORESTALL_TOKEN"  # noqa: S105
"""The environment variable that holds the person's token."""

Because = Annotated[str, typer.Option("--reason", help="Why; it is kept, and may be shown.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class ServerSilent(ForestallError):
    """No server answers where the settings say, or it answers something unexpected."""

    code = "server-silent"


class Refused(ForestallError):
    """The server answered, and said no: its own code and words follow."""

    code = "server-refused"


def ask(config: Path | None, method: str, path: str, body: Any = None) -> Any:
    """What the server of the settings answers; ``path`` begins with ``/v1``. ``body`` is sent as
    JSON; bytes are JSON already, and are packed.

    Raises ``UnreadableInput`` without a token, ``ServerSilent`` and ``Refused``.
    """
    answer = _exchange(config, method, path, body)
    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError as error:
        raise ServerSilent(f"{answer.url}: no answer that can be read: {error}") from None


def ask_text(config: Path | None, path: str) -> str:
    """The same for an answer that is text."""
    return _exchange(config, "GET", path, None).text


def part(name: str) -> str:
    """An id as a part of a path."""
    return quote(name, safe="")


def echo_json(value: Any) -> None:
    """Print ``value`` as JSON."""
    typer.echo(msgspec.json.encode(value).decode())


def moment(text: str | None) -> str:
    """An RFC 3339 time to the second, for tables."""
    return "" if text is None else f"{text[:19]}Z"


def plain(value: Any) -> str:
    """``value`` on one line, as JSON has it, and without control characters: what customers send
    must not look like words of ours to somebody who decides."""
    told = isinstance(value, bool | dict | list | None)
    text = msgspec.json.encode(value).decode() if told else str(value)
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


def cell(value: Any) -> str:
    """The same for a table, where brackets would be markup."""
    return escape(plain(value))


def _exchange(config: Path | None, method: str, path: str, body: Any) -> httpx.Response:
    token = os.environ.get(TOKEN)
    if not token:
        raise UnreadableInput(f"set {TOKEN} to your token of [people]; then ask again")
    where = settings_for(config).server.url
    url = f"{where}{path}"
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    if isinstance(body, bytes):
        body, headers["content-encoding"] = gzip.compress(body, mtime=0), "gzip"
    elif body is not None:
        body = msgspec.json.encode(body)
    try:
        answer = httpx.request(
            method,
            url,
            content=body,
            headers=headers,
            timeout=30,
            trust_env=False,
        )
    except httpx.ConnectError:
        raise ServerSilent(
            f"no server answers at {where}; start it with `forestall serve`, then ask again"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServerSilent(f"{url}: no answer that can be read: {error}") from None
    if answer.is_success:
        return answer
    try:
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.MsgspecError:
        raise ServerSilent(f"{url}: answered {answer.status_code} and no reason") from None
    raise Refused(f"{problem.code}: {problem.detail}")


class _Problem(msgspec.Struct):
    code: str
    detail: str
