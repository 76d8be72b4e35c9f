"""The bundle: policies with ``edge: true``, as pages decide them. Pure.

Everything is plain JSON; times and durations are microseconds. ``docs/reference/edge.md`` says what
each field means.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from forestall.context.knowledge.runbooks import RunbookExpired, Runbooks, words_of
from forestall.context.knowledge.template import (
    Placeholder,
    Template,
    TemplateError,
    parse_template,
)
from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.decision import Mode
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import DAY, HOUR
from forestall.contracts.intervention import Noticed, noticed
from forestall.policy.bundle import policy_of
from forestall.policy.edge_checks import CONDITION_VARIABLES, EVENT_VARIABLES
from forestall.policy.edge_conditions import Tree, compile_edge
from forestall.policy.language.cel import InvalidExpression, compile_expression
from forestall.policy.language.compile import Program, compile_policy
from forestall.policy.language.model import Ask, Feature, Guide, Match, Policy

FORMAT = 1
LIFE = DAY
"""How long a bundle and a pass may be used."""

SLOT = 12 * HOUR
"""How long one signed text stands; so whoever fetches it may use it for at least half a day."""


class NotForPages(ForestallError):
    """A policy that no page can decide as it stands; the message says why."""

    code = "edge-policy"


class InForce(msgspec.Struct, frozen=True):
    """What holds now: policies by name and mode, the catalogue's doubles, settings, and switches."""

    policies: tuple[PolicyInForce, ...] = ()
    numbers: Mapping[str, Any] = {}
    settings: DecideSettings = DecideSettings()
    off: frozenset[str] = frozenset()
    everything_off: bool = False


def in_force(controls: Sequence[Control]) -> InForce:
    """What ``controls``, in their order, amount to."""
    found = InForce()
    for one in controls:
        match one:
            case PoliciesApplied():
                found = replace(found, policies=one.policies, numbers=one.numbers)
            case SettingsApplied():
                found = replace(found, settings=one.settings)
            case SwitchesApplied():
                off = frozenset(one.off)
                found = replace(found, off=off, everything_off=one.everything_off)
    return found


class EdgePolicy(msgspec.Struct, frozen=True):
    """A policy that pages decide: its entry in the bundle, and the traits that it reads."""

    policy: Policy
    entry: dict[str, Any]
    traits: frozenset[str]


class Offer(msgspec.Struct, frozen=True):
    """What pages are offered, by name, and why other policies with ``edge: true`` are left out."""

    policies: tuple[EdgePolicy, ...]
    left_out: Mapping[str, str]
    settings: DecideSettings
    numbers: Mapping[str, Any]

    @property
    def traits(self) -> frozenset[str]:
        """Every trait that one of them reads, and the customer's time zone."""
        zone = {"timezone"} if self.settings.quiet_hours is not None else set()
        return frozenset(zone).union(*(one.traits for one in self.policies))


def offer(now: InForce, runbooks: Runbooks, day: date) -> Offer:
    """What pages may decide of what is in force; ``runbooks`` as of ``day`` have the words."""
    left_out: dict[str, str] = {}
    taken: list[EdgePolicy] = []
    modes = {(one.name, one.mode): one for one in now.policies}
    for name in sorted({one.name for one in now.policies}):
        those = [modes[name, mode] for mode in _MODES if (name, mode) in modes]
        one, policy = those[0], policy_of(those[0])
        acting = [policy_of(each) for each in those if each.mode != "shadow"]
        if not any(each.edge for each in acting or [policy]):
            continue
        why = _left_out(one, now)
        try:
            if why is None:
                taken.append(edge_policy(policy, one.version, runbooks, day))
        except NotForPages as error:
            why = str(error)
        if why is not None:
            left_out[name] = why
    return Offer(tuple(taken), left_out, now.settings, now.numbers)


_MODES: Final[tuple[Mode, ...]] = ("canary", "live", "shadow")
"""Of the versions of a policy the first says whether pages decide it."""


def _left_out(one: PolicyInForce, now: InForce) -> str | None:
    if now.everything_off:
        return "everything is switched off"
    if one.name in now.off:
        return "it is switched off"
    if one.mode == "canary":
        return "a version is in canary, and who gets it is decided on the server"
    return "it is in shadow" if one.mode == "shadow" else None


def edge_policy(policy: Policy, version: str, runbooks: Runbooks, day: date) -> EdgePolicy:
    """The entry of one policy. Raises ``NotForPages``."""
    program = compile_policy(policy, version)
    message, templates = _message(policy, runbooks, day)
    try:
        entry = {
            "name": policy.name,
            "version": version,
            "title": policy.title,
            "priority": policy.priority,
            "cooldown": policy.cooldown,
            "valid_for": _valid_for(policy),
            "budget_class": policy.budget_class,
            "in_conversation": policy.in_conversation,
            "quiet_hours": policy.quiet_hours,
            "purpose": policy.purpose,
            "when": _when(program),
            "features": {name: _feature(one) for name, one in sorted(policy.features.items())},
            **_given("if", _tree(policy.condition, CONDITION_VARIABLES)),
            "message": message,
        }
    except InvalidExpression as error:
        raise NotForPages(f"{error.message} ({error.code})") from None
    return EdgePolicy(policy, entry, frozenset(_traits(policy, program, templates)))


def payload(offered: Offer, now: int) -> dict[str, Any]:
    """What the bundle says at wall time ``now``: the same for half a day, where nothing changes.

    ``revision`` is a hash of all but the times.
    """
    policies = [one.entry for one in offered.policies]
    settings = offered.settings
    said = {
        "v": FORMAT,
        "settings": {
            "lateness": settings.lateness,
            "grace": settings.grace,
            "budget": settings.budget,
            "budget_window": settings.budget_window,
            "spacing": settings.spacing,
            "quiet_hours": settings.quiet_hours,
            "timezone": settings.timezone or "UTC",
            "require_consent": settings.require_consent,
        },
        "doubles": {
            name: offered.numbers[name] for name in sorted(_types(offered) & offered.numbers.keys())
        },
        "policies": policies,
    }
    issued = now - now % SLOT
    revision = hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:32]
    return {**said, "revision": revision, "issued": issued, "expires": issued + LIFE}


def _types(offered: Offer) -> set[str]:
    """The event types that the policies look at."""
    found: set[str] = set()
    for one in offered.policies:
        for match in _matches(one.policy):
            found |= set(match.types)
    return found


def _matches(policy: Policy) -> Iterator[Match]:
    yield from (step.match for step in policy.when.steps)
    yield from (feature.match for feature in policy.features.values())


def _given(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _tree(source: str | None, variables: Sequence[str]) -> Tree | None:
    return None if source is None else compile_edge(source, variables)


def _match(match: Match) -> dict[str, Any]:
    return {"types": list(match.types), **_given("where", _tree(match.where, EVENT_VARIABLES))}


def _when(program: Program) -> dict[str, Any]:
    pattern = program.pattern
    trailing = pattern.trailing
    return {
        "ordered": pattern.ordered,
        "positives": [_match(one) for one in pattern.positives],
        "gaps": {str(gap): _match(one) for gap, one in sorted(pattern.gaps.items())},
        **({} if trailing is None else {"trailing": _match(trailing)}),
        **({} if trailing is None else {"quiet_for": pattern.quiet_for}),
        **_given("within", pattern.within),
        **_given("by", _tree(pattern.by, EVENT_VARIABLES)),
    }


def _feature(feature: Feature) -> dict[str, Any]:
    return {
        "kind": feature.kind,
        "match": _match(feature.match),
        **_given("value", _tree(feature.value, EVENT_VARIABLES)),
        **_given("over", feature.over),
        **_given("by", _tree(feature.by, EVENT_VARIABLES)),
    }


def _first(policy: Policy) -> Guide | Ask:
    step = policy.playbook[0] if policy.playbook else None
    if not isinstance(step, Guide | Ask):
        raise NotForPages("its playbook does not begin with a message")
    return step


def _valid_for(policy: Policy) -> int:
    timeout = _first(policy).timeout
    return policy.valid_for if timeout is None else timeout


def _message(
    policy: Policy, runbooks: Runbooks, day: date
) -> tuple[dict[str, Any], list[Template]]:
    """What is shown, texts as templates, and these."""
    step = _first(policy)
    parts = [] if step.text is None else [_parsed(step.text)]
    said: dict[str, Any] = {"title": "", **_noticed(policy)}
    listed: dict[str, tuple[Template, ...]] = {}
    why: Template | None = None
    if isinstance(step, Guide) and step.runbook is not None:
        try:
            words = words_of(runbooks, step.runbook, day)
        except RunbookExpired as error:
            raise NotForPages(f"its runbook {error}") from None
        except LookupError:
            raise NotForPages(f"there is no runbook `{step.runbook}` to show") from None
        said["title"] = words.title
        parts.append(words.body)
        why = words.why
        listed = {"steps": words.steps, "known": words.known}
        if words.show is not None:
            said["show"] = msgspec.to_builtins(words.show)
        if words.language is not None:
            said["locale"] = words.language
    said["body"] = "\n\n".join(map(template_text, parts))
    said |= {name: [template_text(one) for one in some] for name, some in listed.items() if some}
    if why is not None:
        said["why"] = template_text(why)
    if isinstance(step, Ask):
        said["choices"] = step.choices
    more = [] if why is None else [why]
    return said, [*parts, *more, *(one for some in listed.values() for one in some)]


def _noticed(policy: Policy) -> dict[str, Noticed]:
    """The kind of thing that it notices, where that is one and known."""
    positive = (step.match.types for step in policy.when.steps if not step.negative)
    kinds = {noticed(event_type) for types in positive for event_type in types}
    kind = kinds.pop() if len(kinds) == 1 else None
    return {} if kind is None else {"noticed": kind}


def _parsed(text: str) -> Template:
    try:
        return parse_template(text)
    except TemplateError as error:
        raise NotForPages(str(error)) from None


def template_text(template: Template) -> str:
    """A template as it is written."""
    return "".join(map(_part_text, template.parts))


def _part_text(part: str | Placeholder) -> str:
    if isinstance(part, str):
        return part
    default = part.default
    said = "" if default is None else f" | default({msgspec.json.encode(default).decode()})"
    return f"{{{{ {part.path}{said} }}}}"


def _traits(policy: Policy, program: Program, templates: Collection[Template]) -> Iterator[str]:
    """The traits that conditions, keys, values and words read."""
    sources = [(one.where, EVENT_VARIABLES) for one in _matches(policy)]
    sources += [(policy.when.by, EVENT_VARIABLES)]
    for feature in policy.features.values():
        sources += [(feature.by, EVENT_VARIABLES), (feature.value, EVENT_VARIABLES)]
    paths = set(program.paths)
    for source, variables in sources:
        if source is not None:
            paths |= compile_expression(source, variables).reads
    yield from (path[1] for path in paths if path[0] == "subject" and len(path) > 1)
    for template in templates:
        for read in template.reads():
            root, _, rest = read.path.partition(".")
            if root == "subject":
                yield rest.partition(".")[0]
