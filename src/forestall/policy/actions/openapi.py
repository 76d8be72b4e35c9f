"""OpenAPI 3.0 and 3.1 documents, as far as calling an operation needs them.

Of a document are used: ``servers``, ``paths`` with ``operationId``, parameters in path, query and
header, JSON bodies that are objects, and security schemes that travel in a header. An operation
that needs more is not usable, and says so.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import yaml

MAX_BYTES = 20_000_000
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONGEST_CHAIN = 20


class UnusableDocument(ValueError):
    """The document, or one operation of it, cannot be used; the message says why."""


class Parameter(msgspec.Struct, frozen=True):
    """Where an argument goes; ``explode`` repeats it for each item of a list."""

    name: str
    where: Literal["path", "query", "header"]
    required: bool = False
    explode: bool = True


class Security(msgspec.Struct, frozen=True):
    """The header that carries a credential, and what stands before it."""

    header: str = "Authorization"
    prefix: str = "Bearer "
    basic: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. ``body`` has the properties of its JSON body, none where it takes no body or
    where they are not known; ``takes_body`` says whether it takes one."""

    id: str
    method: str
    path: str
    parameters: tuple[Parameter, ...] = ()
    takes_body: bool = False
    body: frozenset[str] | None = None
    body_required: frozenset[str] = frozenset()
    security: Security | None = None

    def unknown(self, name: str) -> bool:
        """Whether no parameter and no property of the body is called ``name``."""
        if any(one.name == name for one in self.parameters):
            return False
        return not self.takes_body or (self.body is not None and name not in self.body)

    @property
    def required(self) -> frozenset[str]:
        """What has to be given."""
        return self.body_required | {one.name for one in self.parameters if one.required}


class Document:
    """One document. ``server`` is its first server's address, none where it has no absolute one."""

    def __init__(self, file: str, root: Mapping[str, Any]) -> None:
        self.file = file
        self._root = root
        self._places = {id_: (path, method) for id_, path, method in self._found()}
        self.server = self._server()

    @property
    def names(self) -> frozenset[str]:
        """The ids of all operations."""
        return frozenset(self._places)

    def operation(self, name: str) -> Operation:
        """The operation ``name``, which is one of ``names``. Raises ``UnusableDocument``."""
        path, method = self._places[name]
        item = self._root["paths"][path]
        raw = item[method]
        parameters = self._parameters(item, raw)
        takes_body, body, required = self._body(raw)
        return Operation(
            id=name,
            method=method.upper(),
            path=path,
            parameters=parameters,
            takes_body=takes_body,
            body=body,
            body_required=required,
            security=self._security(raw),
        )

    def _found(self) -> Iterator[tuple[str, str, str]]:
        for path, item in _mapping(self._root.get("paths")).items():
            for method in METHODS:
                name = _mapping(_mapping(item).get(method)).get("operationId")
                if isinstance(name, str) and isinstance(path, str):
                    yield name, path, method

    def _server(self) -> str | None:
        first = _mapping(next(iter(_list(self._root.get("servers"))), None))
        url = str(first.get("url", ""))
        for name, variable in _mapping(first.get("variables")).items():
            url = url.replace("{" + str(name) + "}", str(_mapping(variable).get("default", "")))
        return url if sound_url(url) else None

    def _resolved(self, value: Any) -> Mapping[str, Any]:
        for _ in range(_LONGEST_CHAIN):
            reference = _mapping(value).get("$ref")
            if reference is None:
                return _mapping(value)
            if not isinstance(reference, str) or not reference.startswith("#/"):
                raise UnusableDocument(f"{reference}: only references inside the document work")
            value = self._root
            for part in reference[2:].split("/"):
                value = _mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
        raise UnusableDocument("its references lead nowhere")

    def _parameters(self, item: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[Parameter, ...]:
        found: dict[tuple[str, str], Parameter] = {}
        for one in [*_list(item.get("parameters")), *_list(raw.get("parameters"))]:
            parameter = self._resolved(one)
            name, where = str(parameter.get("name", "")), str(parameter.get("in", ""))
            required = parameter.get("required") is True
            kind = self._resolved(parameter.get("schema")).get("type")
            if where not in ("path", "query", "header") or "content" in parameter:
                if required:
                    raise UnusableDocument(f"its parameter `{name}` in {where} is not supported")
                continue
            if kind == "object" or (where != "query" and kind == "array"):
                raise UnusableDocument(f"its parameter `{name}` is of type {kind}")
            explode = parameter.get("explode", True) is True
            found[name, where] = Parameter(name, where, required, explode)  # type: ignore[arg-type]
        return tuple(found.values())

    def _body(self, raw: Mapping[str, Any]) -> tuple[bool, frozenset[str] | None, frozenset[str]]:
        if "requestBody" not in raw:
            return False, None, frozenset()
        body = self._resolved(raw["requestBody"])
        content = _mapping(body.get("content"))
        media = next((one for one in content if _is_json(str(one))), None)
        if media is None:
            raise UnusableDocument("its body is not JSON")
        schema = self._resolved(_mapping(content[media]).get("schema"))
        if schema.get("type", "object") != "object":
            raise UnusableDocument("its body is not an object")
        composed = any(key in schema for key in ("allOf", "anyOf", "oneOf"))
        known = frozenset(str(name) for name in _mapping(schema.get("properties")))
        open_ = composed or not known or schema.get("additionalProperties") is True
        required = _list(schema.get("required")) if body.get("required") is True else []
        return True, None if open_ else known, frozenset(str(one) for one in required)

    def _security(self, raw: Mapping[str, Any]) -> Security | None:
        wanted = _list(raw.get("security", self._root.get("security")))
        schemes = _mapping(_mapping(self._root.get("components")).get("securitySchemes"))
        reasons = []
        for one in wanted:
            for name in _mapping(one):
                scheme = self._resolved(schemes.get(name))
                kind, way = scheme.get("type"), str(scheme.get("scheme", "")).lower()
                if kind in ("oauth2", "openIdConnect") or (kind == "http" and way == "bearer"):
                    return Security()
                if kind == "http" and way == "basic":
                    return Security(prefix="Basic ", basic=True)
                if kind == "apiKey" and scheme.get("in") == "header":
                    return Security(header=str(scheme.get("name")), prefix="")
                reasons.append(f"{kind} in {scheme.get('in', way)}")
        if reasons and {} not in wanted:
            raise UnusableDocument(
                f"it wants its credential as {reasons[0]}; only headers are supported, since"
                " addresses end up in logs"
            )
        return None


def read_document(path: Path) -> Document:
    """The document in a file of YAML or JSON. Raises ``UnusableDocument``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnusableDocument(f"it is larger than {MAX_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
        root = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_LOADER)  # noqa: S506
    except OSError as error:
        raise UnusableDocument(f"it cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise UnusableDocument(f"it cannot be read: {type(error).__name__}") from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise UnusableDocument(f"it is not valid: {str(error).splitlines()[0]}") from None
    if not isinstance(root, dict) or not str(root.get("openapi", "")).startswith("3."):
        raise UnusableDocument("it is no OpenAPI 3 document")
    return Document(str(path), root)


def sound_url(text: str) -> bool:
    """Whether it is an address of the form ``https://host/path``, without user, query, fragment."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    plain = not (url.query or url.fragment or url.username or url.password)
    host = bool(url.hostname) and not set(text) & set("{} \\")
    return url.scheme in ("http", "https") and host and plain and port != 0


def host_of(url: str) -> tuple[str, int]:
    """Host and port of a sound address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_json(media: str) -> bool:
    plain = media.split(";")[0].strip().lower()
    return plain == "application/json" or plain.endswith("+json")
