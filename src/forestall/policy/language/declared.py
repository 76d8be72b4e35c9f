"""What contracts and features say a value can be, as domains.

``spelt`` takes numbers as people write them: an ``integer`` is a CEL int. Without it they are as
JSON Schema has them, where 5.0 is an integer too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from forestall.contracts.catalogue import Contract
from forestall.contracts.shape import Shape
from forestall.policy.language.domain import (
    ANYTHING,
    EVERYWHERE,
    JSON,
    LENGTHS,
    NOTHING,
    Domain,
    Range,
    join,
    kind_of,
    meet,
    of_kinds,
    settled,
)
from forestall.policy.language.model import (
    Ask,
    Enrich,
    Feature,
    Infer,
    PlaybookStep,
    Remediate,
)

_TOKEN = of_kinds("string", "null")
_SCALARS = (type(None), bool, int, float, str)
_LOOSE = {"integer": ("int", "double"), "number": ("int", "double")}
_SPELT = {"integer": ("int",), "number": ("double",)}
_PLAIN = {"array": ("list",), "object": ("map",), "boolean": ("bool",)}
_WORDS = {"int": "integer", "double": "number", "bool": "boolean"}


def words(domain: Domain) -> str:
    """The kinds of a domain as a contract calls them: ``integer or null``."""
    return " or ".join(sorted(_WORDS.get(kind, kind) for kind in domain.kinds))


def data_of(contract: Contract, *, spelt: bool) -> Domain:
    """``event.data`` of an event of this contract: what it accepts, less what is not kept."""
    stated = _Reading(contract.schema, spelt).domain(contract.schema)
    return meet(_kept(stated, contract.shape), of_kinds("map"))


def _kept(stated: Domain, shape: Shape) -> Domain:
    """The part that the door lets through: declared fields, tokens where so declared."""
    if shape.privacy == "tokenise":
        return _TOKEN
    fields = {
        name: NOTHING if inner.privacy == "drop" else _kept(_stated(stated, name), inner)
        for name, inner in shape.properties.items()
    }
    rest, items = shape.rest, shape.items
    if items is not None and items.privacy == "drop":
        items = None
    return settled(
        msgspec.structs.replace(
            stated,
            fields=fields,
            required=frozenset(name for name in stated.required if name in fields)
            - {name for name, field in fields.items() if field.is_empty},
            rest=None
            if rest is None or rest.privacy == "drop"
            else _kept(stated.rest or ANYTHING, rest),
            items=_kept(stated.items or ANYTHING, items) if items is not None else None,
            is_open=False,
        )
    )


def _stated(domain: Domain, name: str) -> Domain:
    return domain.fields.get(name) or domain.rest or ANYTHING


class _Reading:
    """JSON Schema as domains. What it does not understand it takes for anything."""

    def __init__(self, root: dict[str, Any], spelt: bool) -> None:
        self._root = root
        self._kinds = _SPELT if spelt else _LOOSE
        self._left = 5_000

    def domain(self, schema: Any) -> Domain:
        """The values that a schema accepts, and perhaps more."""
        self._left -= 1
        if schema is False:
            return NOTHING
        if schema is True or self._left < 0:
            return Domain(kinds=JSON)
        found = settled(meet(self._own(schema), self._values(schema)))
        if "$ref" in schema:
            found = meet(found, self.domain(self._target(schema["$ref"])))
        for branch in schema.get("allOf", ()):
            found = meet(found, self.domain(branch))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                found = meet(found, self._any(schema[keyword]))
        if "if" in schema:
            branches = [schema.get("then", True), schema.get("else", True)]
            found = meet(found, self._any(branches))
        return found

    def _any(self, branches: list[Any]) -> Domain:
        together = NOTHING
        for branch in branches:
            together = join(together, self.domain(branch))
        return together

    def _own(self, schema: dict[str, Any]) -> Domain:
        given = schema.get("type", ())
        names = [given] if isinstance(given, str) else given
        kinds = frozenset(
            kind for name in names for kind in {**_PLAIN, **self._kinds}.get(name, (name,))
        )
        fields = {key: self.domain(inner) for key, inner in schema.get("properties", {}).items()}
        items = schema.get("items")
        rest = schema.get("additionalProperties")
        return Domain(
            kinds=kinds or JSON,
            range=_limits(schema),
            whole=bool(names) and "integer" in names and "number" not in names,
            length=_length(schema),
            fields=fields,
            required=frozenset(schema.get("required", ())),
            rest=self.domain(rest)
            if isinstance(rest, dict) and "patternProperties" not in schema
            else None,
            items=self.domain(items) if items is not None and "prefixItems" not in schema else None,
        )

    def _values(self, schema: dict[str, Any]) -> Domain:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is None:
            return ANYTHING
        numbers = [value.__class__ for value in values if kind_of(value) in ("int", "double")]
        kinds = {kind_of(value) for value in values} - {"int", "double"}
        if numbers:
            given = "number" if float in numbers else "integer"
            kinds |= {"int", "double"} if schema.get("type") else set(self._kinds[given])
        plain = all(value.__class__ in _SCALARS for value in values) and len(values) <= 64
        return settled(Domain(frozenset(kinds), tuple(values) if plain else None))

    def _target(self, reference: str) -> Any:
        target: Any = self._root
        for part in reference[2:].split("/") if reference != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            target = target[int(key)] if isinstance(target, list) else target[key]
        return target


def _limits(schema: Mapping[str, Any]) -> Range:
    spread = EVERYWHERE
    if "minimum" in schema:
        spread = spread.meet(Range(low=schema["minimum"]))
    if "maximum" in schema:
        spread = spread.meet(Range(high=schema["maximum"]))
    if "exclusiveMinimum" in schema:
        spread = spread.meet(Range(low=schema["exclusiveMinimum"], low_open=True))
    if "exclusiveMaximum" in schema:
        spread = spread.meet(Range(high=schema["exclusiveMaximum"], high_open=True))
    return spread


def _length(schema: Mapping[str, Any]) -> Range:
    return LENGTHS.meet(Range(schema.get("minLength", 0), schema.get("maxLength", float("inf"))))


_POSITIVE = Range(0)
_COUNTS = Domain(kinds=frozenset(["int"]), range=_POSITIVE, whole=True)


def feature_of(feature: Feature) -> Domain:
    """What a feature's value can be (policy language, section 4)."""
    match feature.kind:
        case "count" | "distinct":
            return _COUNTS
        case "sum":
            return of_kinds("double")
        case "avg" | "p50" | "p90" | "p95" | "p99":
            return of_kinds("double", "null")
        case "since":
            return Domain(kinds=frozenset(["double", "null"]), range=_POSITIVE)
        case "min" | "max":
            return of_kinds("int", "double", "null")
    return ANYTHING


def fields_of(step: PlaybookStep) -> dict[str, Domain]:
    """The fields that a step of a playbook fills, and what they can be; null where it failed."""
    if isinstance(step, Ask):
        answers = Domain(frozenset(["string", "null"]), (*step.choices, None))
        return {step.into: settled(answers)}
    if isinstance(step, Enrich | Infer | Remediate):
        return dict.fromkeys(step.fields, ANYTHING)
    return {}
