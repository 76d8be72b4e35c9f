"""Judgement beyond grammar: does what a policy names exist, and do its types fit?

``CHECKS`` is the list, in order. What a deployment does not tell (``Surroundings``) is not judged.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from forestall.context.knowledge.template import TemplateError, parse_template
from forestall.contracts.catalogue import IDENTIFY, Catalogue
from forestall.contracts.errors import Problem
from forestall.contracts.nearest import did_you_mean
from forestall.contracts.shape import Shape
from forestall.policy.language.asked import Reads, badly_asked
from forestall.policy.language.clauses import EVENT_TYPE
from forestall.policy.language.document import Mapping, Place
from forestall.policy.language.meaning import World, mistakes, type_problems
from forestall.policy.language.model import Approve, Ask, Escalate, Guide, Plan, Remediate
from forestall.policy.language.offers import Offers
from forestall.policy.language.parse import Located
from forestall.policy.language.sites import (
    Examined,
    NodePath,
    Reading,
    examine,
    playbook_steps,
)
from forestall.policy.language.soundness import unsound
from forestall.policy.language.trust import unstaffed, untrusted
from forestall.policy.language.unmatched import unmatched

INAPP = "inapp"
EVENT_FIELDS = ("id", "type", "source", "time", "origin", "data")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy may name in a deployment; none where it is not known, and not judged.

    ``roles`` tells how many people have each role, ``runbook_reads`` the fields that a runbook's
    text cannot do without, such as ``fields.brand``; ``articles`` have no text to show."""

    catalogue: Catalogue | None = None
    runbooks: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    channels: frozenset[str] | None = None
    lookups: Offers | None = None
    agents: Offers | None = None
    actions: Offers | None = None
    roles: dict[str, int] | None = None
    runbook_reads: dict[str, frozenset[str]] = {}
    articles: frozenset[str] = frozenset()
    models: dict[str, Reads] | None = None


ANYTHING = Surroundings()


def check(located: Located, surroundings: Surroundings = ANYTHING) -> list[Problem]:
    """Every problem beyond grammar: errors and warnings, by place.

    What ``parse_located`` could not read is passed over, so that both can be told together.
    """
    examined = examine(located)
    problems = [problem for one in CHECKS for problem in one(examined, surroundings)]
    troubled = _troubled(examined, surroundings)
    problems += unsound(
        examined,
        lookups=surroundings.lookups,
        agents=surroundings.agents,
        actions=surroundings.actions,
        runbook_reads=surroundings.runbook_reads,
    )
    problems += untrusted(examined, surroundings.catalogue, surroundings.agents)
    problems += unstaffed(examined, surroundings.roles, surroundings.agents)
    problems += badly_asked(examined, surroundings.models)
    problems += unmatched(examined, surroundings.catalogue, troubled)
    return sorted(problems)


def _troubled(one: Examined, around: Surroundings) -> set[NodePath]:
    """The sites of which the fields or the types are wrong."""
    world = World(one, around.catalogue)
    return {site.path for site in one.sites if mistakes(site, world)} | {
        reading.site.path for reading in one.readings if any(_field(one, reading, around))
    }


def _features(one: Examined, _around: Surroundings) -> Iterator[Problem]:
    written = one.located.node("spec", "features")
    declared = list(written.entries) if isinstance(written, Mapping) else []
    used = set(declared) if _uses_unseen(one) else set()
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
        if name not in used and name in one.located.policy.features:
            place = one.located.key_place("spec", "features", name)
            message = f"the feature `{name}` is declared, but never used"
            yield one.problem(place, "unused-feature", message, severity="warning")


def _uses_unseen(one: Examined) -> bool:
    """Whether features may be used where it cannot be seen: a runbook's text, what people are
    shown, an ``if`` that does not compile, a model."""
    if one.located.policy.model is not None:
        return True
    for _, node in playbook_steps(one.located.policy):
        step = node.step
        told = isinstance(step, Guide) and step.runbook is not None
        handed = isinstance(step, Remediate) and step.queue is not None
        if told or handed or isinstance(step, Escalate | Approve | Plan):
            return True
    return any(site.path == ("spec", "if") and site.compiled() is None for site in one.sites)


def _types(one: Examined, around: Surroundings) -> Iterator[Problem]:
    catalogue = around.catalogue
    if catalogue is None:
        return
    for path, types in one.named_types:
        for name in types:
            if not EVENT_TYPE.fullmatch(name) or name in catalogue.types:
                continue
            place = one.type_place(path, name)
            if place is not None:
                yield one.problem(
                    place,
                    "unknown-type",
                    f"the catalogue has no event type `{name}`",
                    did_you_mean(name, catalogue.types),
                )


def _event_fields(one: Examined, around: Surroundings) -> Iterator[Problem]:
    for reading in one.readings:
        yield from _field(one, reading, around)


def _field(one: Examined, reading: Reading, around: Surroundings) -> Iterator[Problem]:
    """What is wrong with a field of an event."""
    if reading.field[0] != "event" or len(reading.field) < 2:
        return
    place, field = one.inside(reading.site, reading.offset), reading.field[1]
    if field not in EVENT_FIELDS:
        hint = did_you_mean(field, EVENT_FIELDS)
        hint = hint or f"what the sender said stands under `event.data.{field}`"
        yield one.problem(place, "unknown-field", f"an event has no `{field}`", hint)
    elif field == "data" and (shapes := _shapes(around, reading.site.types)):
        yield from _declared(one, reading, shapes, place)


def _shapes(around: Surroundings, types: tuple[str, ...]) -> list[Shape]:
    """What the events at hand may hold; nothing when that is not known of every one of them."""
    catalogue = around.catalogue
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


def _conditions(one: Examined, around: Surroundings) -> Iterator[Problem]:
    return type_problems(one, around.catalogue)


def _traits(one: Examined, around: Surroundings) -> Iterator[Problem]:
    catalogue = around.catalogue
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


def _playbook(one: Examined, around: Surroundings) -> Iterator[Problem]:
    for at, node in playbook_steps(one.located.policy):
        step = node.step
        if isinstance(step, Guide | Ask | Plan):
            yield from one.unknown((*at, "channel"), "channel", step.channel, around.channels)
        if isinstance(step, Guide) and step.runbook is not None:
            if step.runbook in around.articles:
                yield _article(one, (*at, "runbook"), step.runbook)
            else:
                yield from one.unknown((*at, "runbook"), "runbook", step.runbook, around.runbooks)
        if isinstance(step, Escalate | Plan | Remediate) and step.queue is not None:
            yield from one.unknown((*at, "queue"), "queue", step.queue, around.queues)


def _article(one: Examined, path: NodePath, name: str) -> Problem:
    return one.problem(
        one.located.place(*path),
        "not-a-runbook",
        f"`{name}` is an article, which customers find and agents cite, and `guide` cannot show it",
        "name a runbook, or write one with `## Customer`",
    )


def _templates(one: Examined, _around: Surroundings) -> Iterator[Problem]:
    for site in one.sites:
        if site.template:
            try:
                parse_template(site.source)
            except TemplateError as error:
                yield one.problem(one.inside(site, error.offset), "bad-template", str(error))


def _completeness(one: Examined, _around: Surroundings) -> Iterator[Problem]:
    policy = one.located.policy
    metadata = one.located.place("metadata")
    if one.located.node("metadata", "owner") is None:
        message = "the policy has no `metadata.owner`: who answers for it?"
        yield one.problem(metadata, "no-owner", message, severity="warning")
    if one.located.node("spec", "playbook") is None:
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


CHECKS: tuple[Callable[[Examined, Surroundings], Iterator[Problem]], ...] = (
    _features,
    _types,
    _event_fields,
    _conditions,
    _traits,
    _playbook,
    _templates,
    _completeness,
)
