"""Judgement beyond grammar: does what a policy names exist, and do its types fit?

``CHECKS`` is the list, in order. What a deployment does not tell (``Surroundings``) is not judged.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from forestall.context.knowledge.template import TemplateError, parse_template
from forestall.contracts.catalogue import IDENTIFY, Catalogue
from forestall.contracts.errors import Problem
from forestall.contracts.shape import Shape, json_type
from forestall.policy.language.cel import Expression, comparisons, compile_expression
from forestall.policy.language.clauses import CONDITION_VARIABLES, EVENT_VARIABLES
from forestall.policy.language.document import Items, Place, Scalar
from forestall.policy.language.model import WILDCARD, Await, Escalate, Guide, When
from forestall.policy.language.parse import Located
from forestall.policy.language.reader import did_you_mean

INAPP = "inapp"
EVENT_FIELDS = ("id", "type", "source", "time", "origin", "data")

Path = tuple[str | int, ...]


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy may name in a deployment; none where it is not known, and not judged."""

    catalogue: Catalogue | None = None
    runbooks: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    channels: frozenset[str] | None = None


ANYTHING = Surroundings()


class Site(msgspec.Struct, frozen=True):
    """An expression at ``path`` that sees an event of one of ``types``."""

    path: Path
    source: str
    types: tuple[str, ...]
    variables: tuple[str, ...] = EVENT_VARIABLES
    template: bool = False


class Reading(msgspec.Struct, frozen=True):
    """A site that reads ``field``, such as ``("event", "data", "order_id")``, at ``offset``."""

    site: Site
    field: tuple[str, ...]
    offset: int


class Examined(msgspec.Struct, frozen=True):
    """A policy with everything in it that names something."""

    located: Located
    surroundings: Surroundings
    named_types: tuple[tuple[Path, tuple[str, ...]], ...]
    sites: tuple[Site, ...]
    readings: tuple[Reading, ...]

    def problem(
        self,
        place: Place,
        code: str,
        message: str,
        hint: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """A problem at a place of the policy's file."""
        return Problem(
            self.located.source.file, place.line, place.column, code, message, hint, severity
        )

    def inside(self, site: Site, offset: int) -> Place:
        """The place in the file of an offset in a site's text."""
        node = self.located.node(*site.path)
        if isinstance(node, Scalar):
            return self.located.source.inside(node, offset)
        return self.located.place(*site.path)


def check(located: Located, surroundings: Surroundings = ANYTHING) -> list[Problem]:
    """Every problem of a policy that ``parse`` accepted: errors and warnings, by place."""
    named, sites = _named_types(located), tuple(_sites(located))
    readings = tuple(reading for site in sites for reading in _readings(site))
    examined = Examined(located, surroundings, named, sites, readings)
    return sorted(problem for one in CHECKS for problem in one(examined))


# -- what a policy names -------------------------------------------------------------------------


def _step_paths(when: When) -> list[Path]:
    if when.kind == "event":
        return [("spec", "when")]
    return [("spec", "when", when.kind, index) for index in range(len(when.steps))]


def _named_types(located: Located) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    policy = located.policy
    named: list[tuple[Path, tuple[str, ...]]] = []
    for path, step in zip(_step_paths(policy.when), policy.when.steps, strict=True):
        named.append(((*path, "not" if step.negative else "event"), step.match.types))
    for name, feature in policy.features.items():
        key = feature.kind if feature.value is None else "of"
        named.append((("spec", "features", name, key), feature.match.types))
    for index, play in enumerate(policy.playbook):
        if isinstance(play, Await):
            named.append((("spec", "playbook", index, "await", "event"), play.match.types))
    for number, test in enumerate(policy.tests):
        for index, event in enumerate(test.events):
            named.append((("tests", number, "events", index, "type"), (event.type,)))
    return tuple(named)


def deciding_types(when: When) -> tuple[str, ...]:
    """The types of the event on which a candidate arises: that of the last positive step."""
    positive = [step.match.types for step in when.steps if not step.negative]
    chosen = positive if when.kind == "all" else positive[-1:]
    return tuple(dict.fromkeys(one for types in chosen for one in types))


def _sites(located: Located) -> Iterator[Site]:
    policy, when = located.policy, located.policy.when
    everywhere = tuple(dict.fromkeys(one for step in when.steps for one in step.match.types))
    for path, step in zip(_step_paths(when), when.steps, strict=True):
        yield from _site((*path, "where"), step.match.where, step.match.types)
    yield from _site(("spec", "when", "by"), when.by, everywhere)
    for name, feature in policy.features.items():
        types, at = feature.match.types, ("spec", "features", name)
        yield from _site((*at, "where"), feature.match.where, types)
        yield from _site((*at, "by"), feature.by, types)
        yield from _site((*at, feature.kind), feature.value, types)
    deciding = deciding_types(when)
    if policy.condition is not None:
        yield Site(("spec", "if"), policy.condition, deciding, CONDITION_VARIABLES)
    for index, play in enumerate(policy.playbook):
        at_step = ("spec", "playbook", index)
        if isinstance(play, Await):
            yield from _site((*at_step, "await", "where"), play.match.where, play.match.types)
        elif isinstance(play, Guide) and play.text is not None:
            yield Site((*at_step, "guide", "text"), play.text, deciding, template=True)


def _site(path: Path, source: str | None, types: tuple[str, ...]) -> Iterator[Site]:
    if source is not None:
        yield Site(path, source, types)


def _readings(site: Site) -> Iterator[Reading]:
    if site.template:
        try:
            template = parse_template(site.source)
        except TemplateError:
            return
        for placeholder in template.reads():
            yield Reading(site, tuple(placeholder.path.split(".")), placeholder.offset)
        return
    for field, (line, column) in sorted(_compiled(site).places.items()):
        yield Reading(site, field, _offset(site.source, line, column))


def _compiled(site: Site) -> Expression:
    return compile_expression(site.source, site.variables)


def _offset(source: str, line: int, column: int) -> int:
    before = source.split("\n")[: line - 1]
    return sum(len(text) + 1 for text in before) + column - 1


# -- the checks ----------------------------------------------------------------------------------


def _features(one: Examined) -> Iterator[Problem]:
    declared, used = one.located.policy.features, set()
    for reading in one.readings:
        if reading.field[0] != "features":
            continue
        if len(reading.field) == 1:
            used |= set(declared)
        elif reading.field[1] in declared:
            used.add(reading.field[1])
        else:
            name = reading.field[1]
            yield one.problem(
                one.inside(reading.site, reading.offset),
                "unknown-feature",
                f"the feature `{name}` is not declared under `features`",
                did_you_mean(name, declared),
            )
    for name in declared:
        if name not in used:
            place = one.located.key_place("spec", "features", name)
            message = f"the feature `{name}` is declared, but never used"
            yield one.problem(place, "unused-feature", message, severity="warning")


def _types(one: Examined) -> Iterator[Problem]:
    catalogue = one.surroundings.catalogue
    if catalogue is None:
        return
    for path, types in one.named_types:
        node = one.located.node(*path)
        nodes = node.items if isinstance(node, Items) else [node]
        for name in types:
            if name == WILDCARD or name in catalogue.types:
                continue
            places = [n.place for n in nodes if isinstance(n, Scalar) and n.value == name]
            yield one.problem(
                places[0] if places else one.located.place(*path),
                "unknown-type",
                f"the catalogue has no event type `{name}`",
                did_you_mean(name, catalogue.types),
            )


def _event_fields(one: Examined) -> Iterator[Problem]:
    for reading in one.readings:
        if reading.field[0] != "event" or len(reading.field) < 2:
            continue
        place = one.inside(reading.site, reading.offset)
        if reading.field[1] not in EVENT_FIELDS:
            yield one.problem(
                place,
                "unknown-field",
                f"an event has no `{reading.field[1]}`",
                did_you_mean(reading.field[1], EVENT_FIELDS)
                or f"what the sender said stands under `event.data.{reading.field[1]}`",
            )
        elif reading.field[1] == "data" and (shapes := _shapes(one, reading.site.types)):
            yield from _declared(one, reading, shapes, place)


def _shapes(one: Examined, types: tuple[str, ...]) -> list[Shape]:
    """What the events at hand may hold; nothing when that is not known of every one of them."""
    catalogue = one.surroundings.catalogue
    if catalogue is None or not all(catalogue.majors(name) for name in types):
        return []
    return [contract.shape for name in types for contract in catalogue.majors(name).values()]


def _declared(
    one: Examined, reading: Reading, shapes: list[Shape], place: Place
) -> Iterator[Problem]:
    path = reading.field[2:]
    for depth, name in enumerate(path):
        if any(shape.types and not shape.types & {"object"} for shape in shapes):
            return
        known = {key for shape in shapes for key in shape.properties}
        below = [child for shape in shapes if (child := shape.child(name)) is not None]
        whole = ".".join(("event.data", *path[: depth + 1]))
        kept = [child for child in below if child.privacy != "drop"]
        if not below:
            owners = ", ".join(reading.site.types)
            message = f"`{whole}` is not a field of {owners}"
            yield one.problem(place, "unknown-field", message, did_you_mean(name, known))
            return
        if not kept:
            message = f"`{whole}` is of privacy class drop: no event will ever have it"
            yield one.problem(place, "unknown-field", message)
            return
        shapes = kept


def _comparisons(one: Examined) -> Iterator[Problem]:
    for site in one.sites:
        shapes = [] if site.template else _shapes(one, site.types)
        for found in comparisons(_compiled(site)) if shapes else ():
            if found.path[:2] != ("event", "data"):
                continue
            ends = [end for shape in shapes if (end := _end(shape, found.path[2:])) is not None]
            types = frozenset(name for end in ends for name in end.types)
            if not ends or not all(end.types for end in ends):
                continue
            constants = found.constant if found.operator == "in" else (found.constant,)
            for constant in constants:
                if (kind := _json_type(constant)) is not None and not types & _AKIN[kind]:
                    place = one.inside(site, _offset(site.source, found.line, found.column))
                    yield one.problem(
                        place,
                        "type-mismatch",
                        f"`{'.'.join(found.path)}` is {' or '.join(sorted(types))}, "
                        f"and is compared with a {kind}",
                        _as(constant, types),
                    )
                    break


_NUMBERS = frozenset(["integer", "number"])
_AKIN = {
    "string": frozenset(["string"]),
    "boolean": frozenset(["boolean"]),
    "number": _NUMBERS,
    "integer": _NUMBERS,
}


def _json_type(constant: object) -> str | None:
    kind = json_type(constant) if isinstance(constant, str | bool | int | float) else None
    return "number" if kind == "integer" else kind


def _as(constant: object, types: frozenset[str]) -> str | None:
    if "string" in types and not isinstance(constant, str):
        return f"write '{constant}' in quotes"
    if types & _NUMBERS and isinstance(constant, str):
        return "write the number without quotes"
    return None


def _end(shape: Shape, path: tuple[str, ...]) -> Shape | None:
    for name in path:
        child = shape.child(name)
        if child is None:
            return None
        shape = child
    return shape


def _traits(one: Examined) -> Iterator[Problem]:
    catalogue = one.surroundings.catalogue
    contract = None if catalogue is None else catalogue.contract(IDENTIFY)
    traits = None if contract is None else contract.shape.properties.get("traits")
    if contract is None or traits is None:
        return
    for reading in one.readings:
        if reading.field[0] != "subject" or len(reading.field) < 2:
            continue
        name = reading.field[1]
        child = traits.child(name)
        if child is not None and child.privacy != "drop":
            continue
        known = [key for key, shape in traits.properties.items() if shape.privacy != "drop"]
        yield one.problem(
            one.inside(reading.site, reading.offset),
            "unknown-trait",
            f"`subject.{name}` is not a trait that is kept",
            did_you_mean(name, known) or f"declare it in a contract {IDENTIFY}.v1.json",
            "warning" if contract.is_builtin else "error",
        )


def _playbook(one: Examined) -> Iterator[Problem]:
    around = one.surroundings
    for index, step in enumerate(one.located.policy.playbook):
        at: Path = ("spec", "playbook", index)
        if isinstance(step, Guide):
            yield from _known(
                one, (*at, "guide", "channel"), "channel", step.channel, around.channels
            )
            if step.runbook is not None:
                path = (*at, "guide", "runbook")
                yield from _known(one, path, "runbook", step.runbook, around.runbooks)
        elif isinstance(step, Escalate):
            yield from _known(one, (*at, "escalate", "queue"), "queue", step.queue, around.queues)


def _known(
    one: Examined, path: Path, what: str, name: str, known: frozenset[str] | None
) -> Iterator[Problem]:
    if known is None or name in known:
        return
    names = ", ".join(f"`{word}`" for word in sorted(known))
    hint = did_you_mean(name, known) or (f"there is {names}" if names else "there is none")
    message = f"there is no {what} `{name}`"
    yield one.problem(one.located.place(*path), f"unknown-{what}", message, hint)


def _templates(one: Examined) -> Iterator[Problem]:
    for site in one.sites:
        if site.template:
            try:
                parse_template(site.source)
            except TemplateError as error:
                yield one.problem(one.inside(site, error.offset), "bad-template", str(error))


def _completeness(one: Examined) -> Iterator[Problem]:
    policy = one.located.policy
    metadata = one.located.place("metadata")
    if not policy.owner:
        message = "the policy has no `metadata.owner`: who answers for it?"
        yield one.problem(metadata, "no-owner", message, severity="warning")
    if not policy.playbook:
        message = "the policy has no `spec.playbook`: it decides, but does nothing"
        yield one.problem(one.located.place("spec"), "no-playbook", message, severity="warning")
    for name in policy.features:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield one.problem(
                one.located.key_place("spec", "features", name),
                "feature-name",
                f'the feature `{name}` can only be read as features["{name}"]',
                "use letters, digits and _ only",
                "warning",
            )


CHECKS: tuple[Callable[[Examined], Iterator[Problem]], ...] = (
    _features,
    _types,
    _event_fields,
    _comparisons,
    _traits,
    _playbook,
    _templates,
    _completeness,
)
