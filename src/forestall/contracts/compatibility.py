"""Whether a new catalogue still takes everything that senders of the old one send.

Within one event type and major version a contract may only become wider. What breaks a sender, a
policy or a promise about privacy needs a new major. Each finding has the new file's place and a JSON
Pointer.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.catalogue import Contract
from forestall.contracts.instants import format_duration
from forestall.contracts.shape import PRIVACY, escape, json_type

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_EXACT = (
    "pattern", "multipleOf", "uniqueItems", "contains", "propertyNames",
    "patternProperties", "dependentRequired", "dependentSchemas", "not", "if", "then", "else",
    "unevaluatedProperties", "unevaluatedItems", "prefixItems",
)  # fmt: skip
_ABSENT: Any = object()


class Breaking(msgspec.Struct, frozen=True, order=True):
    """One breaking change of ``type`` and ``major``: the new contract's file, where, and what."""

    file: str
    pointer: str
    type: str
    major: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}#{self.pointer}: {self.type}.v{self.major}: {self.message}"


def breaking_changes(
    old: list[Contract], new: list[Contract], new_path: Path | str = ""
) -> list[Breaking]:
    """Every breaking change from ``old`` to ``new``, by file and pointer.

    ``new_path`` names the new folder where a contract is gone from it.
    """
    after = {(one.type, one.major): one for one in new}
    found: list[Breaking] = []
    for contract in old:
        successor = after.get((contract.type, contract.major))
        if successor is None:
            gone = Breaking(
                str(new_path),
                "",
                contract.type,
                contract.major,
                f"the contract is gone ({contract.file}); senders of it would be turned away",
            )
            found.append(gone)
            continue
        found += [
            Breaking(successor.file, pointer, contract.type, contract.major, message)
            for pointer, message in _changes(contract, successor)
        ]
    return sorted(set(found))


_Change = tuple[str, str]


def _changes(old: Contract, new: Contract) -> Iterator[_Change]:
    for origin in sorted(old.origins - new.origins):
        yield "/x-origins", f"the origin {origin} may no longer send it"
    if new.retention < old.retention:
        before, after = format_duration(old.retention), format_duration(new.retention)
        yield "/x-retention", f"the retention is shortened from {before} to {after}"
    yield from _Comparison(old.schema, new.schema).changes(old.schema, new.schema, "")


class _Comparison:
    """Two schemas side by side, each with its own references (which never run in circles)."""

    def __init__(self, old_root: dict[str, Any], new_root: dict[str, Any]) -> None:
        self._roots = old_root, new_root

    def changes(self, old: Any, new: Any, at: str) -> Iterator[_Change]:
        """What ``new`` refuses that ``old`` took, and what it keeps otherwise than ``old`` did."""
        old, new = _resolved(old, self._roots[0]), _resolved(new, self._roots[1])
        if old is False:
            return
        old, new = {} if old is True else old, {} if new is True else new
        if new is False:
            yield at, "nothing is allowed here any more"
            return
        yield from _privacy(old, new, at)
        yield from _values(old, new, at)
        yield from _bounds(old, new, at)
        yield from self._object(old, new, at)
        if "items" in new:
            yield from self.changes(old.get("items", True), new["items"], f"{at}/items")
        elif _declares(old.get("items")):
            yield (
                f"{at}/items",
                "the fields of the items are no longer declared, so they are dropped",
            )
        yield from self._branches(old, new, at)

    def _object(self, old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[_Change]:
        before, after = _fields(old, self._roots[0]), _fields(new, self._roots[1])
        for name in before:
            where = f"{at}/properties/{escape(name)}"
            if name in after:
                yield from self.changes(before[name], after[name], where)
            else:
                yield where, f"the field {name} is gone"
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                yield f"{at}/required", f"the field {name} is now required"
        earlier, later = (one.get("additionalProperties", _ABSENT) for one in (old, new))
        where = f"{at}/additionalProperties"
        if later is _ABSENT:
            if earlier is not _ABSENT and earlier is not False:
                yield where, "fields that are not named were kept, and are now dropped"
        elif later is False:
            if earlier is not False:
                yield where, "fields that are not named were taken, and are now refused"
        else:
            yield from self.changes(True if earlier is _ABSENT else earlier, later, where)

    def _branches(self, old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[_Change]:
        for index, branch in enumerate(new.get("allOf", ())):
            if not any(self._fits(one, branch) for one in old.get("allOf", [old])):
                yield f"{at}/allOf/{index}", "a condition is new or narrower"
        for keyword in ("anyOf", "oneOf"):
            if keyword not in new:
                continue
            if keyword not in old:
                yield f"{at}/{keyword}", f"{keyword} is new, where anything was allowed"
            for index, branch in enumerate(old.get(keyword, ())):
                if not any(self._fits(branch, one) for one in new[keyword]):
                    yield f"{at}/{keyword}", f"alternative {index} is gone or narrower"

    def _fits(self, old: Any, new: Any) -> bool:
        return next(self.changes(old, new, ""), None) is None


def _resolved(schema: Any, root: dict[str, Any]) -> Any:
    """The schema with ``$ref`` replaced by what it refers to, its siblings on top."""
    while isinstance(schema, dict) and "$ref" in schema:
        reference: str = schema["$ref"]
        target: Any = root
        for part in reference[2:].split("/") if reference != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            target = target[int(key)] if isinstance(target, list) else target[key]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **rest} if isinstance(target, dict) else target
    return schema


def _fields(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """The fields a schema declares, itself or in a branch; the first wins."""
    schema = _resolved(schema, root)
    if not isinstance(schema, dict):
        return {}
    found = dict(schema.get("properties", {}))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(keyword, ()):
            found = {**_fields(branch, root), **found}
    return found


def _declares(schema: Any) -> bool:
    return isinstance(schema, dict) and bool({"properties", "additionalProperties"} & schema.keys())


def _privacy(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[_Change]:
    before, after = old.get("x-privacy", "keep"), new.get("x-privacy", "keep")
    if before != after:
        looser = PRIVACY.index(after) < PRIVACY.index(before)
        effect = (
            "the field is less protected than promised" if looser else "policies lose its value"
        )
        yield f"{at}/x-privacy", f"x-privacy changes from {before} to {after}: {effect}"


def _values(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[_Change]:
    before, after = _types(old), _types(new)
    was_allowed, allowed = _enumerated(old), _enumerated(new)
    if before is None and was_allowed is not None:
        before = {json_type(value) for value in was_allowed}
    if after is not None:
        if before is None:
            yield f"{at}/type", f"any type was allowed, now only {_words(after)}"
        elif gone := sorted(one for one in before if not _covers(after, one)):
            yield f"{at}/type", f"the type {_words(gone)} is no longer allowed"
    if allowed is not None:
        keyword = f"{at}/{'const' if 'const' in new else 'enum'}"
        if was_allowed is None:
            yield keyword, "any value was allowed, now only those listed"
        else:
            for value in was_allowed:
                if not any(_same(value, other) for other in allowed):
                    text = msgspec.json.encode(value).decode()
                    yield keyword, f"the value {text} is no longer allowed"


def _types(schema: dict[str, Any]) -> set[str] | None:
    given = schema.get("type")
    if given is None:
        return None
    return {given} if isinstance(given, str) else set(given)


def _covers(types: set[str], one: str) -> bool:
    return one in types or (one == "integer" and "number" in types)


def _words(types: Any) -> str:
    return " or ".join(sorted(types))


def _enumerated(schema: dict[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return None if values is None else list(values)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and (json_type(one) == "boolean") == (json_type(other) == "boolean")


def _bounds(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[_Change]:
    for keyword in _LOWER:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{at}/{keyword}", _narrowed(keyword, old, new)
    for keyword in _UPPER:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{at}/{keyword}", _narrowed(keyword, old, new)
    for keyword in _EXACT:
        if keyword not in new or old.get(keyword) == new[keyword]:
            continue
        if new[keyword] is not keyword.startswith("unevaluated"):
            yield f"{at}/{keyword}", _narrowed(keyword, old, new)


def _narrowed(keyword: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    after = msgspec.json.encode(new[keyword]).decode()[:80]
    if keyword not in old:
        return f"{keyword} {after} is new, where anything was allowed"
    before = msgspec.json.encode(old[keyword]).decode()[:80]
    return f"{keyword} changes from {before} to {after}"
