"""Which policies with ``edge: true`` a page cannot decide, and why: file, line, column and reason. Pure.

A page knows what its own device saw, what its pass says of the customer, and the words that came
with the bundle. Whatever needs more is refused here, when a policy is read, and not when it is too
late. ``REFUSALS`` is the list.
"""

from collections.abc import Callable, Iterator
from functools import cache

from forestall.contracts.catalogue import Catalogue, load_catalogue
from forestall.contracts.errors import Problem
from forestall.contracts.instants import DAY
from forestall.policy.edge_conditions import EdgeCondition, compile_edge
from forestall.policy.language.cel import InvalidExpression
from forestall.policy.language.check import INAPP, Surroundings
from forestall.policy.language.flow import kind_of
from forestall.policy.language.model import (
    WILDCARD,
    Ask,
    Await,
    Call,
    Guide,
    Plan,
    PlaybookStep,
    Resolve,
)
from forestall.policy.language.parse import Located
from forestall.policy.language.sites import Examined, NodePath, Site, examine, playbook_steps

EVENT_VARIABLES = ("event", "subject", "now")
CONDITION_VARIABLES = ("event", "subject", "now", "features")
LONGEST_COOLDOWN = 365 * DAY
"""A pass tells acts as far back as a cooldown reaches."""

_LEAVE = "leave `edge` out: the server decides it as before"


def refused(located: Located, around: Surroundings) -> list[Problem]:
    """Everything for which a page cannot decide the policy; nothing where it is not to, or where
    the policy has mistakes for which its values cannot be trusted."""
    if not (located.policy.edge and located.sound):
        return []
    one = examine(located)
    return sorted(problem for refuse in REFUSALS for problem in refuse(one, around))


def variables_of(path: NodePath) -> tuple[str, ...]:
    """What an expression that stands there sees in a browser."""
    return CONDITION_VARIABLES if path == ("spec", "if") else EVENT_VARIABLES


def _types(one: Examined, around: Surroundings) -> Iterator[Problem]:
    """Events that only servers send are never seen by a page."""
    for path, types in one.named_types:
        if path[1] not in ("when", "features"):
            continue
        for name in types:
            place = one.type_place(path, name) or one.located.place(*path)
            if name == WILDCARD:
                message = "`*` means events of servers too, and a page sees those of its own only"
                hint = "name the types that a page sends"
                yield one.problem(place, "edge-type", message, hint)
            elif not _sent_by_pages(name, around):
                message = f"`{name}` comes from servers only, and a page sees its own events only"
                yield one.problem(place, "edge-type", message, _LEAVE)


def _sent_by_pages(name: str, around: Surroundings) -> bool:
    """Whether a browser may send it; anybody may where that is not known. What comes with Forestall
    always is."""
    majors = (around.catalogue or _own()).majors(name)
    return not majors or any("browser" in contract.origins for contract in majors.values())


@cache
def _own() -> Catalogue:
    """The types that come with Forestall."""
    return load_catalogue()


def _conditions(one: Examined, _around: Surroundings) -> Iterator[Problem]:
    """Conditions that a browser cannot evaluate exactly as the server does."""
    for site in one.sites:
        if not site.template and site.step is None and site.compiled() is not None:
            yield from _condition(one, site)


def _condition(one: Examined, site: Site) -> Iterator[Problem]:
    try:
        compile_edge(site.source, variables_of(site.path))
    except InvalidExpression as error:
        place = one.inside(site, site.offset(error.line, error.column))
        code = error.code if isinstance(error, EdgeCondition) else "edge-condition"
        yield one.problem(place, code, error.message, error.hint or _LEAVE)


def _settings(one: Examined, _around: Surroundings) -> Iterator[Problem]:
    """What a page has no means for: models, approval, and acting without a pause."""
    policy = one.located.policy
    if policy.model is not None:
        message = "models are asked on the server only"
        yield one.problem(one.located.place("spec", "model"), "edge-model", message, _LEAVE)
    if policy.risk != "low":
        message = f"a page has nobody to approve what is of {policy.risk} risk"
        yield one.problem(one.located.place("spec", "risk"), "edge-risk", message, _LEAVE)
    if not 0 < policy.cooldown <= LONGEST_COOLDOWN:
        long = "longer than a year, and a pass tells of no acts before that"
        what = long if policy.cooldown else "0, so the server would say the same again"
        message = f"the cooldown of a policy that pages decide is not {what}"
        hint = "write a `cooldown` between 1s and 365d"
        yield one.problem(one.located.place("spec", "cooldown"), "edge-cooldown", message, hint)


def _playbook(one: Examined, _around: Surroundings) -> Iterator[Problem]:
    """Steps that only the server can do. A page shows one message, and that is all."""
    steps = list(playbook_steps(one.located.policy))
    if not steps:
        message = "a page that decides it would have nothing to show"
        hint = "begin the playbook with a `guide` or an `ask`"
        yield one.problem(one.located.place("spec"), "edge-step", message, hint)
    for number, (at, node) in enumerate(steps):
        why = _undoable(node.step, first=number == 0)
        if why is not None:
            yield one.problem(one.located.place(*at), "edge-step", why, _LEAVE)
        elif isinstance(node.step, Guide | Ask) and node.step.channel != INAPP:
            message = f"a page shows messages itself, and does not reach `{node.step.channel}`"
            place = one.located.place(*at, "channel")
            yield one.problem(place, "edge-channel", message, f"write `channel: {INAPP}`")


def _undoable(step: PlaybookStep, *, first: bool) -> str | None:
    """Why a page cannot carry the step out; none where it can."""
    word = kind_of(step)
    match step:
        case Plan():
            return None  # the playbook's own checks tell of it
        case Guide() | Ask() if not first:
            return "a page shows the first message of a playbook, and no other"
        case Guide() | Ask() | Await() if isinstance(step.undo, Call):
            return f"the `undo` of this `{word}` is an action, which only the server carries out"
        case Guide() | Ask():
            return None
        case Await() | Resolve():
            return (
                f"a page's playbook begins with a message, and not with `{word}`" if first else None
            )
    return f"`{word}` is a step that only the server can carry out"


REFUSALS: tuple[Callable[[Examined, Surroundings], Iterator[Problem]], ...] = (
    _types,
    _conditions,
    _settings,
    _playbook,
)
