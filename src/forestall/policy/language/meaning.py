"""Conditions against what their events can hold: certain mistakes, and what can never match.

Mistakes are judged on all types of a site together, possibility on each contract by itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Literal

import msgspec

from forestall.contracts.catalogue import IDENTIFY, Catalogue
from forestall.contracts.errors import Problem
from forestall.policy.language.cel import syntax
from forestall.policy.language.cel.syntax import Call, Node
from forestall.policy.language.declared import data_of, feature_of, fields_of, words
from forestall.policy.language.domain import (
    ANYTHING,
    NOTHING,
    NUMBERS,
    Domain,
    join,
    of_kinds,
    settled,
)
from forestall.policy.language.flow import flow
from forestall.policy.language.infer import Facts, Finding, Inference
from forestall.policy.language.model import WILDCARD, Policy
from forestall.policy.language.sites import Examined, Site
from forestall.policy.language.suppose import possible

_NUMERIC = frozenset(["sum", "avg", "min", "max", "p50", "p90", "p95", "p99"])
_TEXT = frozenset(["string"])
_MAP = frozenset(["map"])
_MANY = 64
_ORIGINS = ("browser", "server")
_OWN_FIELDS = frozenset(["id", "type", "source", "time", "origin", "data"])

Roots = Mapping[str, Domain]
_UNKNOWN = dict.fromkeys(("event", "subject", "now", "features", "service", "fields"), ANYTHING)


class Variant(msgspec.Struct, frozen=True):
    """One kind of event: its type, and what a condition's variables can be for it."""

    type: str
    roots: Roots


class World:
    """What variables can be, in a policy with these features and under this catalogue."""

    def __init__(self, one: Examined, catalogue: Catalogue | None) -> None:
        self.severity: Literal["error", "warning"] = "warning" if catalogue is None else "error"
        self._catalogue = catalogue
        self._data: dict[tuple[str, bool], list[tuple[Domain, tuple[str, ...]]]] = {}
        features = {name: feature_of(one) for name, one in one.located.policy.features.items()}
        self._others = {
            "now": of_kinds("timestamp"),
            "subject": of_kinds("map"),
            "service": of_kinds("map"),
            "features": settled(Domain(_MAP, fields=features, required=frozenset(features))),
            "fields": settled(Domain(_MAP, fields=_filled(one.located.policy))),
        }

    def together(self, types: Iterable[str]) -> Roots:
        """The variables for events of any of these types, numbers as people write them."""
        data, origins, names = NOTHING, set(), []
        for name in types:
            names.append(name)
            for domain, allowed in self._known(name, spelt=True):
                data = join(data, domain)
                origins |= set(allowed)
        return {**self._others, "subject": self._traits(), **_event(names, data, origins)}

    def variants(self, types: tuple[str, ...]) -> list[Variant]:
        """Every kind of event of these types, one for each contract; none if there are too many."""
        found = [
            Variant(name, {**self._others, **_event([name], data, origins)})
            for name in types[: _MANY + 1]
            for data, origins in self._known(name, spelt=False)
        ]
        return found if len(found) <= _MANY else []

    def _known(self, name: str, *, spelt: bool) -> list[tuple[Domain, tuple[str, ...]]]:
        key = (name, spelt)
        if key not in self._data:
            majors = self._catalogue.majors(name) if self._catalogue else {}
            self._data[key] = [
                (data_of(contract, spelt=spelt), tuple(sorted(contract.origins)))
                for contract in majors.values()
            ] or [(ANYTHING, _ORIGINS)]
        return self._data[key]

    def _traits(self) -> Domain:
        majors = self._catalogue.majors(IDENTIFY) if self._catalogue else {}
        if not majors or any(contract.is_builtin for contract in majors.values()):
            return of_kinds("map")
        traits = NOTHING
        for data, _ in self._known(IDENTIFY, spelt=True):
            traits = join(traits, data.child("traits"))
        return settled(msgspec.structs.replace(traits, kinds=_MAP, required=frozenset()))


def _filled(policy: Policy) -> dict[str, Domain]:
    """What the fields that the playbook fills can be."""
    found: dict[str, Domain] = {}
    for node in flow(policy):
        for name, domain in fields_of(node.step).items():
            found[name] = join(found.get(name, NOTHING), domain)
    return found


def _event(types: list[str], data: Domain, origins: Iterable[str]) -> Roots:
    named = None if WILDCARD in types or len(types) > _MANY else tuple(types)
    text = of_kinds("string")
    fields = {
        "id": text,
        "source": text,
        "time": of_kinds("timestamp"),
        "type": settled(Domain(_TEXT, named)),
        "origin": settled(Domain(_TEXT, tuple(origins))),
        "data": data,
    }
    return {"event": settled(Domain(_MAP, fields=fields, required=_OWN_FIELDS, is_open=False))}


def mistakes(site: Site, world: World) -> list[Finding]:
    """The certain mistakes of types in a site's expression."""
    if site.template or site.compiled() is None:
        return []
    node = syntax.parse(site.source)
    inference = Inference(world.together(site.types), finds=True)
    if site.is_argument:
        inference.infer(node, {})
    elif site.path[-1] in ("where", "if"):
        inference.condition(node, {})
    else:
        domain = inference.infer(node, {})
        kind = str(site.path[-1])
        if kind in _NUMERIC and domain.kinds and not domain.kinds & NUMBERS:
            message = f"`{kind}` takes numbers, and this is {words(domain)}"
            inference.findings.append(Finding(0, "type-mismatch", message))
        elif kind == "distinct" and domain.kinds and domain.kinds <= {"list", "map"}:
            message = f"`distinct` takes single values, and this is {words(domain)}"
            inference.findings.append(Finding(0, "type-mismatch", message))
    return sorted(inference.findings)


def type_problems(one: Examined, catalogue: Catalogue | None) -> Iterator[Problem]:
    """Every certain mistake of types; an error with a catalogue, a warning without."""
    world = World(one, catalogue)
    for site in one.sites:
        for found in mistakes(site, world):
            place = one.inside(site, found.at)
            yield one.problem(place, found.code, found.message, found.hint, world.severity)


def holding(node: Node | None, variant: Variant) -> Facts | None:
    """What is known of an event of this kind for which the condition holds; none if it never does."""
    return {} if node is None else possible(node, variant.roots)


def culprits(site: Site, node: Node, variants: list[Variant]) -> str | None:
    """Which part of a condition that never holds is to blame, or which two; or the contract."""
    return _parts_to_blame(site.source, node, variants) or _surroundings_to_blame(
        site, node, variants
    )


def _surroundings_to_blame(site: Site, node: Node, variants: list[Variant]) -> str | None:
    if possible(node, _UNKNOWN) is None:
        return None
    if site.step is not None and site.path[-1] == "if":
        return "what the event, the features and the fields can be rules it out"
    if site.path[-1] == "if":
        return "the event's contract, its `where` or the kind of a feature rules it out"
    types = list(dict.fromkeys(f"`{variant.type}`" for variant in variants))
    return f"what is known of {' and '.join(types[:3])} rules it out"


def _parts_to_blame(source: str, node: Node, variants: list[Variant]) -> str | None:
    if not (isinstance(node, Call) and node.function == "&&" and node.target is None):
        return None
    parts = node.args[:16]
    starts = [_start(part) for part in node.args] + [len(source)]
    texts = [_part(source[a:b]) for a, b in pairwise(starts)]

    def excluded(*together: Node) -> bool:
        whole = syntax.Call(0, 1, 1, "&&", None, together)
        return all(holding(whole, variant) is None for variant in variants)

    for part, text in zip(parts, texts, strict=False):
        if excluded(part):
            return f"`{text}` alone is never true" if text else None
    for i, part in enumerate(parts):
        for j in range(i):
            if excluded(parts[j], part):
                return (
                    f"`{texts[j]}` and `{texts[i]}` exclude each other"
                    if texts[i] and texts[j]
                    else None
                )
    return None


def _start(node: Node) -> int:
    least, left = node.at, [node]
    while left:
        part = left.pop()
        least = min(least, part.at)
        if isinstance(part, syntax.Select):
            left.append(part.operand)
        elif isinstance(part, Call):
            left += [*part.args, *([part.target] if part.target is not None else ())]
    return least


def _part(text: str) -> str:
    text = text.strip().removesuffix("&&").strip()
    return text if text.count("(") == text.count(")") and len(text) <= 60 else ""
