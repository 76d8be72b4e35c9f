"""What a JSON Schema declares, field by field: privacy, type and which fields are numbers.

A field is declared when it stands under ``properties``, ``items`` or an ``additionalProperties``
that is written out, also behind a local ``$ref`` or a branch of ``allOf``, ``anyOf`` or ``oneOf``.
What is not declared is dropped at the door.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jsonschema_rs
import msgspec

Privacy = Literal["keep", "tokenise", "drop"]
PRIVACY: tuple[Privacy, ...] = get_args(Privacy)

_BRANCHES = ("allOf", "anyOf", "oneOf")
_CONDITIONAL = ("then", "else")
REST = "*"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class UnusableSchema(ValueError):
    """A schema that cannot be walked; ``pointer`` (JSON Pointer) says where."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class Shape(msgspec.Struct, frozen=True):
    """One value. ``types`` are JSON types (none: any), ``rest`` other keys, ``items`` list items."""

    types: frozenset[str] = frozenset()
    privacy: Privacy = "keep"
    properties: dict[str, "Shape"] = {}
    rest: "Shape | None" = None
    items: "Shape | None" = None

    def child(self, key: str) -> "Shape | None":
        """The declared field ``key``, or none."""
        return self.properties.get(key, self.rest)

    @property
    def is_number(self) -> bool:
        """Whether the value may be any number, so that 5 means 5.0."""
        return "number" in self.types


def is_schema(schema: dict[str, Any]) -> bool:
    """Whether it is JSON Schema 2020-12. Whatever dialect it names, nothing is fetched."""
    return jsonschema_rs.meta.is_valid({**schema, "$schema": DIALECT})


def shape_of(schema: Any) -> Shape:
    """The shape a schema declares. Raises ``UnusableSchema``."""
    return _Walk(schema).shape(schema, "")


class _Walk:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._referred: dict[str, Shape | None] = {}

    def shape(self, schema: Any, at: str) -> Shape:
        if schema is True:
            return Shape()
        if schema is False:
            return Shape(privacy="drop")
        if not isinstance(schema, dict):
            raise UnusableSchema(at, "a schema must be an object, true or false")
        shape = self._own(schema, at)
        if "$ref" in schema:
            shape = _merged(shape, self._reference(schema["$ref"], f"{at}/$ref"))
        for keyword in _BRANCHES:
            for index, branch in enumerate(schema.get(keyword, ())):
                shape = _merged(shape, self.shape(branch, f"{at}/{keyword}/{index}"))
        for keyword in _CONDITIONAL:
            if keyword in schema:
                shape = _merged(shape, self.shape(schema[keyword], f"{at}/{keyword}"))
        return shape

    def _own(self, schema: dict[str, Any], at: str) -> Shape:
        privacy = schema.get("x-privacy", "keep")
        if privacy not in PRIVACY:
            raise UnusableSchema(
                f"{at}/x-privacy", f"x-privacy must be keep, tokenise or drop, not {privacy!r}"
            )
        items = [
            self.shape(item, f"{at}/prefixItems/{index}")
            for index, item in enumerate(schema.get("prefixItems", ()))
        ]
        if "items" in schema:
            items.append(self.shape(schema["items"], f"{at}/items"))
        together = None
        for item in items:
            together = item if together is None else _merged(together, item)
        rest = schema.get("additionalProperties", False)
        return Shape(
            types=_types(schema),
            privacy=privacy,
            properties={
                name: self.shape(inner, f"{at}/properties/{escape(name)}")
                for name, inner in schema.get("properties", {}).items()
            },
            rest=None if rest is False else self.shape(rest, f"{at}/additionalProperties"),
            items=together,
        )

    def _reference(self, reference: str, at: str) -> Shape:
        if reference in self._referred:
            found = self._referred[reference]
            if found is None:
                raise UnusableSchema(at, "a schema may not refer to itself")
            return found
        self._referred[reference] = None
        shape = self.shape(self._target(reference, at), at)
        self._referred[reference] = shape
        return shape

    def _target(self, reference: str, at: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise UnusableSchema(at, "only references within the file, such as #/$defs/money, work")
        target = self._root
        for part in reference[2:].split("/") if reference != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            else:
                raise UnusableSchema(at, f"there is nothing at {reference}")
        if isinstance(target, bool):
            return target
        if not isinstance(target, dict) or not is_schema(target):
            raise UnusableSchema(at, f"there is no schema at {reference}")
        return target


def _types(schema: dict[str, Any]) -> frozenset[str]:
    given = schema.get("type")
    if given is not None:
        return frozenset([given] if isinstance(given, str) else given)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is None:
        return frozenset()
    return frozenset(json_type(value) for value in values)


def json_type(value: Any) -> str:
    """The JSON Schema type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _merged(one: Shape, other: Shape) -> Shape:
    """Both at once: what either declares, and the stricter privacy."""
    names = dict.fromkeys((*one.properties, *other.properties))
    return Shape(
        types=one.types | other.types,
        privacy=max(one.privacy, other.privacy, key=PRIVACY.index),
        properties={
            name: _both(one.properties.get(name), other.properties.get(name)) or Shape()
            for name in names
        },
        rest=_both(one.rest, other.rest),
        items=_both(one.items, other.items),
    )


def _both(one: Shape | None, other: Shape | None) -> Shape | None:
    return other if one is None else one if other is None else _merged(one, other)


def escape(name: str) -> str:
    """A key as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


_NOTHING = Shape()


def minimise(value: Any, shape: Shape, tokenise: Callable[[object], str]) -> Any:
    """``value`` with only what ``shape`` declares, tokens for tokenised fields, and doubles where
    the shape says ``number``. The value itself must not be of class drop."""
    if shape.privacy == "tokenise":
        return None if value is None else tokenise(value)
    if isinstance(value, dict):
        kept = {}
        for key, inner in value.items():
            child = shape.child(key)
            if child is not None and child.privacy != "drop":
                kept[key] = minimise(inner, child, tokenise)
        return kept
    if isinstance(value, list):
        items = shape.items or _NOTHING
        if items.privacy == "drop":
            return []
        return [minimise(item, items, tokenise) for item in value]
    if shape.is_number and isinstance(value, int) and not isinstance(value, bool):
        return double(value)
    return value


def double(value: int) -> int | float:
    """``value`` as a double where it is small enough for one."""
    try:
        return float(value)
    except OverflowError:
        return value


def number_tree(shape: Shape) -> dict[str, Any]:
    """The fields that are numbers, as ``{"amount": true, "lines": {"*": {"price": true}}}``.

    ``*`` stands for the items of a list and for keys that are not named. What is dropped or
    tokenised is left out.
    """
    tree: dict[str, Any] = {}
    children: list[tuple[str, Shape]] = list(shape.properties.items())
    children += [(REST, inner) for inner in (shape.items, shape.rest) if inner is not None]
    for key, child in children:
        if child.privacy != "keep":
            continue
        if child.is_number:
            tree[key] = True
        elif inner := number_tree(child):
            earlier = tree.get(key, {})
            tree[key] = {**earlier, **inner} if isinstance(earlier, dict) else True
    return tree


def field_types(shape: Shape, prefix: str = "") -> dict[str, str]:
    """Every declared field by path (``lines[].price``) with its types (``string|null``)."""
    found: dict[str, str] = {}
    children = [(f"{prefix}.{key}" if prefix else key, s) for key, s in shape.properties.items()]
    if shape.items is not None:
        children.append((f"{prefix}[]", shape.items))
    if shape.rest is not None:
        children.append((f"{prefix}.*" if prefix else "*", shape.rest))
    for path, child in children:
        found[path] = "|".join(sorted(child.types)) or "any"
        found.update(field_types(child, path))
    return found
