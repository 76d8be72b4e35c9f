"""Everything in a policy that names something: event types, and what expressions and templates read."""

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Literal, cast

import msgspec

from forestall.context.knowledge.template import TemplateError, parse_template
from forestall.contracts.errors import Problem
from forestall.contracts.nearest import did_you_mean
from forestall.policy.language.cel import Expression, InvalidExpression, compile_expression
from forestall.policy.language.clauses import CONDITION_VARIABLES, EVENT_VARIABLES
from forestall.policy.language.compile import STEP_VARIABLES
from forestall.policy.language.document import Items, Place, Scalar
from forestall.policy.language.flow import Node, flow, kind_of
from forestall.policy.language.model import (
    Ask,
    Await,
    Branch,
    Call,
    Enrich,
    Guide,
    Infer,
    Plan,
    Policy,
    Remediate,
    Resolve,
    When,
)
from forestall.policy.language.parse import Located
from forestall.policy.language.reader import MAX_PATTERNS

NodePath = tuple[str | int, ...]


@lru_cache(maxsize=64)
def _compiled(source: str, variables: tuple[str, ...]) -> Expression | None:
    try:
        return compile_expression(source, variables)
    except InvalidExpression:
        return None


class Site(msgspec.Struct, frozen=True):
    """An expression at ``path`` that sees an event of one of ``types``. ``step`` is the number of
    the playbook's step (see ``flow``) that it belongs to."""

    path: NodePath
    source: str
    types: tuple[str, ...]
    variables: tuple[str, ...] = EVENT_VARIABLES
    template: bool = False
    step: int | None = None

    @property
    def is_argument(self) -> bool:
        """Whether it is the value of an argument, whose name may be any."""
        return self.step is not None and self.path[-2] == "with"

    def compiled(self) -> Expression | None:
        """The expression, or none where ``parse`` has told what is wrong with it."""
        return _compiled(self.source, self.variables)

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and column of the text, which count from 1."""
        before = self.source.split("\n")[: line - 1]
        return sum(len(text) + 1 for text in before) + column - 1


class Reading(msgspec.Struct, frozen=True):
    """A site that reads ``field``, such as ``("event", "data", "order_id")``, at ``offset``."""

    site: Site
    field: tuple[str, ...]
    offset: int


class Examined(msgspec.Struct, frozen=True):
    """A policy with everything in it that names something."""

    located: Located
    named_types: tuple[tuple[NodePath, tuple[str, ...]], ...]
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

    def unknown(
        self, path: NodePath, what: str, name: str, known: Collection[str] | None
    ) -> Iterator[Problem]:
        """A problem if ``name``, which stands at ``path``, is not one of ``known``."""
        node = self.located.node(*path)
        if known is None or name in known or not isinstance(node, Scalar) or node.value != name:
            return
        names = ", ".join(f"`{word}`" for word in sorted(known))
        hint = did_you_mean(name, known) or (f"there is {names}" if names else "there is none")
        yield self.problem(node.place, f"unknown-{what}", f"there is no {what} `{name}`", hint)

    def type_place(self, path: NodePath, name: str) -> Place | None:
        """Where an event type is named at a path that holds one or a list of them."""
        node = self.located.node(*path)
        nodes = node.items if isinstance(node, Items) else [node]
        found = (n.place for n in nodes if isinstance(n, Scalar) and n.value == name)
        return next(found, None)

    def inside(self, site: Site, offset: int) -> Place:
        """The place in the file of an offset in a site's text."""
        return self.located.source.inside(cast("Scalar", self.located.node(*site.path)), offset)


def examine(located: Located) -> Examined:
    """A policy with what it names."""
    sites = tuple(site for site in _sites(located) if _stands(located, site))
    readings = tuple(reading for site in sites for reading in _readings(site))
    return Examined(located, _named_types(located), sites, readings)


def _stands(located: Located, site: Site) -> bool:
    """Whether the site's text is where it should be: a step that is no step shifts the others."""
    node = located.node(*site.path)
    unread = located.source.patterns > MAX_PATTERNS and ".matches" in site.source
    return isinstance(node, Scalar) and node.value == site.source and not unread


def step_paths(when: When) -> list[NodePath]:
    """Where the steps of a pattern stand, in order."""
    if when.kind == "event":
        return [("spec", "when")]
    return [("spec", "when", when.kind, index) for index in range(len(when.steps))]


def _named_types(located: Located) -> tuple[tuple[NodePath, tuple[str, ...]], ...]:
    policy = located.policy
    named: list[tuple[NodePath, tuple[str, ...]]] = []
    for path, step in zip(step_paths(policy.when), policy.when.steps, strict=True):
        named.append(((*path, "not" if step.negative else "event"), step.match.types))
    for name, feature in policy.features.items():
        key = feature.kind if feature.value is None else "of"
        named.append((("spec", "features", name, key), feature.match.types))
    for at, node in playbook_steps(policy):
        if isinstance(node.step, Await) and node.step.match is not None:
            named.append(((*at, "event"), node.step.match.types))
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
    for path, step in zip(step_paths(when), when.steps, strict=True):
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
    for at_step, node in playbook_steps(policy):
        yield from _step_sites(at_step, node, deciding)


def playbook_steps(policy: Policy) -> Iterator[tuple[NodePath, Node]]:
    """The steps of the playbook that stand in the file, and where their keys and values stand."""
    for node in flow(policy):
        if node.path:
            yield ("spec", "playbook", *node.path, kind_of(node.step)), node


def _step_sites(at: NodePath, node: Node, types: tuple[str, ...]) -> Iterator[Site]:
    step, number = node.step, node.number
    if isinstance(step, Await) and step.match is not None and step.match.where is not None:
        yield Site((*at, "where"), step.match.where, step.match.types, step=number)
    elif isinstance(step, Guide | Ask) and step.text is not None:
        yield Site((*at, "text"), step.text, types, template=True, step=number)
    elif isinstance(step, Enrich | Infer | Plan | Remediate):
        yield from _argument_sites((*at, "with"), step.arguments, types, number)
    for index, (condition, _) in enumerate(node.arms):
        if condition is not None:
            yield Site((*at, index, "if"), condition, types, STEP_VARIABLES, step=number)
    if not isinstance(step, Branch | Resolve) and isinstance(step.undo, Call):
        yield from _argument_sites((*at, "undo", "with"), step.undo.arguments, types, number)


def _argument_sites(
    at: NodePath, arguments: dict[str, str], types: tuple[str, ...], step: int
) -> Iterator[Site]:
    for name, source in arguments.items():
        yield Site((*at, name), source, types, STEP_VARIABLES, step=step)


def _site(path: NodePath, source: str | None, types: tuple[str, ...]) -> Iterator[Site]:
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
    compiled = site.compiled()
    for field, (line, column) in sorted(compiled.places.items()) if compiled else ():
        yield Reading(site, field, site.offset(line, column))
