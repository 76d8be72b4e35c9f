"""The event catalogue: a folder of JSON Schemas (2020-12), one per event type and major version.

``payment.declined.v1.json`` is the contract of the ``data`` of ``payment.declined``, major 1. Beside
JSON Schema it says ``x-owner``, ``x-retention`` (a duration), ``x-origins`` (``browser``,
``server``) and, per field, ``x-privacy`` (``keep``, ``tokenise``, ``drop``; see ``shape``).
Contracts of the ``forestall.*`` events come with the package; a folder may bring its own
``forestall.identify``, whose ``traits`` are then the traits catalogue.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import msgspec

from forestall.contracts.errors import InvalidFile, Problem, UnreadableInput
from forestall.contracts.event import Origin
from forestall.contracts.folders import files_at
from forestall.contracts.instants import parse_duration
from forestall.contracts.nearest import nearest
from forestall.contracts.schema_file import SchemaFile
from forestall.contracts.shape import (
    DIALECT,
    Shape,
    UnusableSchema,
    escape,
    field_types,
    minimise,
    number_tree,
    shape_of,
)

IDENTIFY = "forestall.identify"
MAX_FILE_BYTES = 1_000_000

_FILE = re.compile(r"([a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*)\.v([1-9][0-9]{0,4})\.json")
_MAJOR = re.compile(r"[./]v([1-9][0-9]{0,4})(?:\.json)?/?$")
_BUILTIN = "builtin/"
_KEYWORDS = ("x-owner", "x-retention", "x-origins", "x-privacy")


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What ``data`` of one event type and major must look like, who may send it, and what is kept.

    ``retention`` is in microseconds; ``file`` is where the contract is written.
    """

    type: str
    major: int
    owner: str
    retention: int
    origins: frozenset[Origin]
    schema: dict[str, Any]
    shape: Shape
    file: str
    _validator: Any

    @property
    def fits(self) -> Callable[[Any], bool]:
        """Says whether nothing is wrong with ``data``."""
        fits: Callable[[Any], bool] = self._validator.is_valid
        return fits

    def validate(self, data: Any) -> list[tuple[str, str]]:
        """What is wrong with ``data``: JSON Pointer and message, never the offending value."""
        if self.fits(data):
            return []
        return [(_pointer(error), error.message) for error in self._validator.iter_errors(data)]

    def minimise(self, data: dict[str, Any], tokenise: Callable[[object], str]) -> dict[str, Any]:
        """``data`` with only what is declared and kept; tokens and doubles as declared."""
        kept: dict[str, Any] = minimise(data, self.shape, tokenise)
        return kept

    @property
    def is_builtin(self) -> bool:
        """Whether it came with the package."""
        return self.file.startswith(_BUILTIN)

    @property
    def numbers(self) -> dict[str, Any]:
        """The number fields as a tree (see ``contracts.control.PoliciesApplied``)."""
        return number_tree(self.shape)

    @property
    def fields(self) -> dict[str, str]:
        """Every declared field by path, with its types: ``{"lines[].price": "number|null"}``."""
        return field_types(self.shape)


class Catalogue:
    """The contracts of a deployment, with those of ``forestall.*`` always among them."""

    def __init__(self, contracts: Iterable[Contract], warnings: Iterable[Problem] = ()) -> None:
        self._contracts: dict[str, dict[int, Contract]] = {}
        for contract in sorted(contracts, key=lambda one: (one.type, one.major)):
            self._contracts.setdefault(contract.type, {})[contract.major] = contract
        self.warnings = tuple(warnings)
        self.numbers = self._numbers()

    @property
    def types(self) -> tuple[str, ...]:
        """Every event type that has a contract, sorted."""
        return tuple(self._contracts)

    def __iter__(self) -> Any:
        """Every contract, by type and major."""
        return (one for majors in self._contracts.values() for one in majors.values())

    def majors(self, event_type: str) -> Mapping[int, Contract]:
        """The contracts of one type by major, none for an unknown type."""
        return self._contracts.get(event_type, {})

    def contract(self, event_type: str, major: int | None = None) -> Contract | None:
        """The contract of a type, the highest major unless one is named; none where there is none."""
        majors = self._contracts.get(event_type)
        if not majors:
            return None
        return majors.get(max(majors) if major is None else major)

    def contract_of(self, event_type: str, dataschema: str | None) -> Contract | None:
        """The contract an event means: ``dataschema`` may end in ``.v2`` or ``/v2``."""
        found = _MAJOR.search(dataschema) if dataschema else None
        return self.contract(event_type, int(found[1]) if found else None)

    def _numbers(self) -> dict[str, dict[str, Any]]:
        trees = {}
        for event_type, majors in self._contracts.items():
            tree: dict[str, Any] = {}
            for contract in majors.values():
                tree = _union(tree, contract.numbers)
            if tree:
                trees[event_type] = tree
        return trees


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        earlier = merged.get(key, {})
        plain = value is True or earlier is True
        merged[key] = True if plain else _union(earlier, value)
    return merged


def _pointer(error: Any) -> str:
    path = [escape(str(part)) for part in error.instance_path]
    missing = getattr(error.kind, "property", None)
    if isinstance(missing, str):
        path.append(escape(missing))
    return "".join(f"/{part}" for part in path)


def load_catalogue(folder: Path | None = None) -> Catalogue:
    """The contracts in and below ``folder``, and the built-in ones.

    Raises ``InvalidFile`` with the problems of all files, ``UnreadableInput`` without a folder.
    """
    own, problems = ([], []) if folder is None else read_contracts(folder)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidFile(problems)
    builtin = builtin_contracts()
    if any(one.type == IDENTIFY for one in own):
        builtin = [one for one in builtin if one.type != IDENTIFY]
    elif folder is not None:
        builtin = [_closed(one) if one.type == IDENTIFY else one for one in builtin]
    return Catalogue([*builtin, *own], problems)


def _closed(identify: Contract) -> Contract:
    """With a catalogue, traits that nothing declares are dropped like any undeclared field."""
    traits = msgspec.structs.replace(identify.shape.properties["traits"], rest=None)
    shape = msgspec.structs.replace(identify.shape, properties={"traits": traits})
    return msgspec.structs.replace(identify, shape=shape)


def builtin_contracts() -> list[Contract]:
    """The contracts of the ``forestall.*`` events."""
    found = []
    for file in resources.files("forestall.contracts").joinpath("builtin").iterdir():
        contract, problems = read_contract(file.read_bytes(), f"{_BUILTIN}{file.name}")
        if contract is None:
            raise InvalidFile(problems)
        found.append(contract)
    return found


def read_contracts(path: Path) -> tuple[list[Contract], list[Problem]]:
    """The contracts in a file or folder as far as they are sound, and every problem.

    Raises ``UnreadableInput`` when there is no such file or folder, or one cannot be read.
    """
    contracts: dict[tuple[str, int], Contract] = {}
    problems: list[Problem] = []
    for file in contract_files(path):
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise UnreadableInput(f"{file}: cannot be read: {error.strerror}") from None
        contract, wrong = read_contract(raw, str(file))
        problems += wrong
        if contract is None:
            continue
        if contract.type.startswith("forestall.") and contract.type != IDENTIFY:
            message = f"{contract.type} is reserved; its contract comes with Forestall"
            problems.append(Problem(str(file), 1, 1, "reserved-type", message))
        elif earlier := contracts.get((contract.type, contract.major)):
            message = f"{contract.type}.v{contract.major} has a contract already"
            hint = f"the first is {earlier.file}"
            problems.append(Problem(str(file), 1, 1, "duplicate-contract", message, hint))
        else:
            contracts[contract.type, contract.major] = contract
    return list(contracts.values()), problems


def contract_files(path: Path) -> list[Path]:
    """``path`` itself, or every ``*.json`` below it, sorted, hidden ones left out.

    Raises ``UnreadableInput`` when there is no such file or folder, or it may not be looked into.
    """
    return files_at(path, (".json",))


def read_contract(raw: bytes, file: str) -> tuple[Contract | None, list[Problem]]:
    """One contract, or none, with its problems; its type and major stand in the file's name."""
    named = _FILE.fullmatch(file.replace("\\", "/").rpartition("/")[2])
    if len(raw) > MAX_FILE_BYTES:
        return None, [Problem(file, 1, 1, "too-large", f"more than {MAX_FILE_BYTES:,} bytes")]
    text = SchemaFile(raw, file)
    if named is None:
        hint = "name it after type and major, such as payment.declined.v1.json"
        text.fail("", "bad-file-name", "the file's name is not TYPE.vN.json", hint)
    if text.value is None and text.problems:
        return None, text.problems
    if not isinstance(text.value, dict):
        text.fail("", "wrong-type", "a contract must be a JSON object")
        return None, text.problems
    schema = text.value
    shape = _shape(text, schema) if _is_schema(text, schema) else None
    validator = None if shape is None else _validator(text, schema)
    owner, retention, origins = (
        _owner(text, schema),
        _retention(text, schema),
        _origins(text, schema),
    )
    if any(problem.severity == "error" for problem in text.problems) or not (named and shape):
        return None, text.problems
    contract = Contract(
        type=named[1],
        major=int(named[2]),
        owner=owner,
        retention=retention,
        origins=origins,
        schema=schema,
        shape=shape,
        file=file,
        _validator=validator,
    )
    return contract, text.problems


def _is_schema(text: SchemaFile, schema: dict[str, Any]) -> bool:
    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        text.fail("/$schema", "bad-schema", "contracts are written in JSON Schema 2020-12", DIALECT)
        return False
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
    except jsonschema_rs.ValidationError as error:
        pointer = "".join(f"/{escape(str(part))}" for part in error.instance_path)
        text.fail(pointer, "bad-schema", f"not JSON Schema 2020-12: {error.message}")
        return False
    return True


def _validator(text: SchemaFile, schema: dict[str, Any]) -> Any:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            mask="the value",
            retriever=_nothing_remote,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except jsonschema_rs.ValidationError as error:
        pointer = "".join(f"/{escape(str(part))}" for part in error.instance_path)
        hint = "patterns are regular expressions without look-around and back-references"
        text.fail(
            pointer,
            "bad-schema",
            f"the schema cannot be used: {error.message}",
            hint if pointer.endswith("/pattern") else None,
        )
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        text.fail("", "bad-schema", f"the schema cannot be used: {error}")
    return None


def _nothing_remote(uri: str) -> Any:
    raise ValueError(f"{uri} lies outside the file")


def _shape(text: SchemaFile, schema: dict[str, Any]) -> Shape | None:
    try:
        shape = shape_of(schema)
    except UnusableSchema as error:
        text.fail(error.pointer, "bad-schema", str(error))
        return None
    if shape.types not in (frozenset(), frozenset(["object"])):
        text.fail("/type", "bad-schema", 'data is an object: write "type": "object"')
    for index, name in enumerate(schema.get("required", ())):
        if shape.child(name) is None:
            message = f"{name} is required, but not declared, so it is dropped"
            text.fail(f"/required/{index}", "undeclared-field", message, warn=True)
    return shape


def _owner(text: SchemaFile, schema: dict[str, Any]) -> str:
    for key in schema:
        if key.startswith("x-") and key not in _KEYWORDS:
            near = nearest(key, _KEYWORDS)
            hint = f"did you mean {near}?" if near else None
            text.fail(f"/{escape(key)}", "unknown-key", f"unknown keyword {key}", hint)
    owner = schema.get("x-owner")
    if owner is None:
        text.fail("", "missing-key", "x-owner is missing: who answers for this event?")
    elif not isinstance(owner, str) or not owner.strip():
        text.fail("/x-owner", "wrong-type", "x-owner must be text that is not empty")
    return str(owner)


def _retention(text: SchemaFile, schema: dict[str, Any]) -> int:
    retention = schema.get("x-retention", "30d")
    try:
        return parse_duration(retention)
    except (ValueError, TypeError):
        text.fail("/x-retention", "bad-duration", "x-retention must be a duration such as 30d")
        return 0


def _origins(text: SchemaFile, schema: dict[str, Any]) -> frozenset[Origin]:
    origins = schema.get("x-origins", ["server"])
    allowed = get_args(Origin)
    if not isinstance(origins, list) or not origins:
        text.fail("/x-origins", "wrong-type", "x-origins must be a list of browser and server")
        return frozenset()
    for index, origin in enumerate(origins):
        if origin not in allowed:
            text.fail(
                f"/x-origins/{index}", "bad-value", f"{origin!r} is not an origin: browser, server"
            )
    return frozenset(origin for origin in origins if origin in allowed)
