"""What can never happen: steps that match nothing, conditions that never hold, empty features.

Nothing is claimed of a condition in which another mistake has been found.
"""

from collections.abc import Iterator, Set

from forestall.contracts.catalogue import Catalogue
from forestall.contracts.errors import Problem
from forestall.policy.language.cel import syntax
from forestall.policy.language.cel.syntax import Node
from forestall.policy.language.infer import Facts, Inference
from forestall.policy.language.meaning import Variant, World, culprits, holding
from forestall.policy.language.model import WILDCARD, Match, Step
from forestall.policy.language.reader import one_of
from forestall.policy.language.sites import Examined, NodePath, Site, step_paths
from forestall.policy.language.suppose import possible

_NEVER = "never-matches"
_ALWAYS = {"count": "0", "sum": "0", "distinct": "0"}
_SHOWN = 3


class _Search:
    """The conditions of a policy as trees, but for those that are wrong anyhow."""

    def __init__(self, one: Examined, catalogue: Catalogue | None, troubled: Set[NodePath]) -> None:
        self.one = one
        self.world = World(one, catalogue)
        self.trees: dict[NodePath, tuple[Site, Node]] = {
            site.path: (site, syntax.parse(site.source))
            for site in one.sites
            if not site.template and site.path not in troubled and site.compiled() is not None
        }

    def is_readable(self, path: NodePath, source: str | None) -> bool:
        """Whether a condition that stands there can be judged, or there is none."""
        return source is None or path in self.trees

    def tree(self, path: NodePath) -> Node | None:
        """The condition at a path."""
        found = self.trees.get(path)
        return None if found is None else found[1]

    def problem(
        self, path: NodePath, message: str, variants: list[Variant], *, warning: bool = False
    ) -> Problem:
        """That the condition at a path never holds."""
        site, node = self.trees[path]
        severity = "warning" if warning else self.world.severity
        hint = culprits(site, node, variants)
        return self.one.problem(self.one.inside(site, 0), _NEVER, message, hint, severity)


def unmatched(
    one: Examined, catalogue: Catalogue | None, troubled: Set[NodePath]
) -> Iterator[Problem]:
    """Everything of a policy that can never happen. ``troubled`` are sites with mistakes."""
    search = _Search(one, catalogue, troubled)
    yield from _steps(search)
    yield from _condition(search)
    yield from _features(search)
    yield from _awaited(search)
    yield from _ways(search)
    yield from _forbidden_by_the_end(one)


def _names(types: tuple[str, ...]) -> str:
    if WILDCARD in types:
        return "any type"
    shown = one_of(types[:_SHOWN])
    return shown if len(types) <= _SHOWN else f"{shown} and {len(types) - _SHOWN} more types"


def _steps(search: _Search) -> Iterator[Problem]:
    when = search.one.located.policy.when
    by_path: NodePath = ("spec", "when", "by")
    for path, step in zip(step_paths(when), when.steps, strict=True):
        at = (*path, "where")
        if not search.is_readable(at, step.match.where):
            continue
        variants = search.world.variants(step.match.types)
        alive = [(v, facts) for v in variants if (facts := holding(search.tree(at), v)) is not None]
        if variants and not alive and not step.negative:
            message = (
                f"this `where` never holds for an event of {_names(step.match.types)}, "
                "so the pattern never matches"
            )
            yield search.problem(at, message, variants)
        elif alive and not step.negative:
            yield from _dead_types(search, path, step, {v.type for v, _ in alive})
        if alive and by_path in search.trees:
            yield from _keyless(search, by_path, path, step, alive)


def _dead_types(search: _Search, path: NodePath, step: Step, alive: set[str]) -> Iterator[Problem]:
    for name in step.match.types:
        if name not in alive:
            place = search.one.type_place((*path, "event"), name)
            message = f"with this `where`, `{name}` never matches"
            hint = "take the type out, or the part of `where` that rules it out"
            if place is not None:
                yield search.one.problem(place, _NEVER, message, hint, "warning")


def _keyless(
    search: _Search,
    by_path: NodePath,
    path: NodePath,
    step: Step,
    alive: list[tuple[Variant, Facts]],
) -> Iterator[Problem]:
    node = search.trees[by_path][1]
    if any(Inference(v.roots).infer(node, facts).kinds - {"null"} for v, facts in alive):
        return
    place = search.one.located.place(*path, "not" if step.negative else "event")
    what = "this `not` forbids nothing" if step.negative else "the pattern never matches"
    message = f"`by` has no value for an event of {_names(step.match.types)}, so {what}"
    hint = "events without a key take no part"
    severity = "warning" if step.negative else search.world.severity
    yield search.one.problem(place, _NEVER, message, hint, severity)


def _condition(search: _Search) -> Iterator[Problem]:
    if judged := _never(search, ("spec", "if")):
        message = "this `if` never holds, so the policy never acts"
        yield search.problem(("spec", "if"), message, judged)


def _ways(search: _Search) -> Iterator[Problem]:
    """The ways of branches that are never taken."""
    for site in search.one.sites:
        is_way = site.step is not None and not site.is_argument and site.path[-1] == "if"
        if is_way and (judged := _never(search, site.path)):
            message = "this `if` never holds, so this way is never taken"
            yield search.problem(site.path, message, judged)


def _never(search: _Search, path: NodePath) -> list[Variant]:
    """The kinds of events for which the condition at ``path`` was judged, if it holds for none.

    It sees the last positive step's event, for which that step's ``where`` held."""
    policy, node = search.one.located.policy, search.tree(path)
    positive = [
        (at, step)
        for at, step in zip(step_paths(policy.when), policy.when.steps, strict=True)
        if not step.negative
    ]
    last = positive if policy.when.kind == "all" else positive[-1:]
    judged: list[Variant] = []
    for at, step in last:
        variants = search.world.variants(step.match.types)
        if not variants or not search.is_readable((*at, "where"), step.match.where):
            return []
        for variant in variants:
            facts = holding(search.tree((*at, "where")), variant)
            if facts is None or node is None:
                continue
            judged.append(variant)
            known = {place: domain for place, domain in facts.items() if place[0] == "event"}
            if possible(node, variant.roots, known) is not None:
                return []
    return judged


def _features(search: _Search) -> Iterator[Problem]:
    for name, feature in search.one.located.policy.features.items():
        always = _ALWAYS.get(feature.kind, "null")
        path = ("spec", "features", name, "where")
        yield from _in_vain(search, path, feature.match, f"the feature is always {always}")


def _awaited(search: _Search) -> Iterator[Problem]:
    for site in search.one.sites:
        if site.step is not None and not site.is_argument and site.path[-1] == "where":
            match = Match(types=site.types, where=site.source)
            yield from _in_vain(search, site.path, match, "it is awaited in vain")


def _in_vain(search: _Search, path: NodePath, match: Match, so: str) -> Iterator[Problem]:
    node, variants = search.tree(path), search.world.variants(match.types)
    if node is None or not variants:
        return
    if all(holding(node, variant) is None for variant in variants):
        message = f"this `where` never holds for an event of {_names(match.types)}, so {so}"
        yield search.problem(path, message, variants, warning=True)


def _forbidden_by_the_end(one: Examined) -> Iterator[Problem]:
    """A trailing ``not`` clears what came before: a later step must not be one of its events."""
    when = one.located.policy.when
    trailing = when.steps[-1] if when.steps else None
    if when.kind != "sequence" or trailing is None or not trailing.negative:
        return
    expanded = [step for step in when.steps if not step.negative for _ in range(step.times)]
    if any(_covers(trailing.match, step.match) for step in expanded[1:]):
        path = step_paths(when)[-1]
        node = one.located.node(*path, "not")
        if node is None:
            return
        message = (
            f"this `not` forbids {_names(trailing.match.types)} from the first event on, "
            "so a later step never matches"
        )
        hint = "leave out the types that the steps wait for, or tell them apart with `where`"
        yield one.problem(node.place, _NEVER, message, hint, "warning")


def _covers(forbidden: Match, wanted: Match) -> bool:
    """Whether every event of ``wanted`` is one of ``forbidden``."""
    if WILDCARD in forbidden.types:
        inside = not any(name.startswith("forestall.") for name in wanted.types)
    else:
        inside = WILDCARD not in wanted.types and set(wanted.types) <= set(forbidden.types)
    return inside and (forbidden.where is None or forbidden.where == wanted.where)
