"""Whether a playbook can be carried out: every step is reached, every field that is read was filled,
what it names is there, and nothing dangerous happens without people.

Where a file has mistakes of grammar, its steps are not all known, and only names are judged.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from forestall.context.knowledge.template import TemplateError, parse_template
from forestall.contracts.errors import Problem
from forestall.contracts.nearest import did_you_mean
from forestall.policy.language.cel import syntax
from forestall.policy.language.declared import fields_of
from forestall.policy.language.flow import END, Node, Path, flow, kind_of, ways
from forestall.policy.language.model import (
    Approve,
    Ask,
    Await,
    Branch,
    Call,
    Enrich,
    Guide,
    Infer,
    Plan,
    Remediate,
    Resolve,
)
from forestall.policy.language.offers import Offer, Offers
from forestall.policy.language.sites import Examined, NodePath, Site, playbook_steps


def unsound(
    one: Examined,
    *,
    lookups: Offers | None,
    agents: Offers | None,
    actions: Offers | None,
    runbook_reads: Mapping[str, frozenset[str]],
) -> Iterator[Problem]:
    """Everything for which the playbook cannot be carried out as it stands."""
    yield from _named(one, {"lookup": lookups, "agent": agents, "action": actions})
    if one.located.source.problems:
        return
    program = flow(one.located.policy)
    before = _before(program)
    yield from _unreachable(one, program, before)
    yield from _unfilled(one, program, before)
    yield from _unread(one, before, runbook_reads)
    yield from _unapproved(one, program, before, actions or {})
    yield from _untaken(one)
    yield from _unheard(one, before)


def _place(node: Node) -> NodePath:
    """Where a step stands."""
    return ("spec", "playbook", *node.path)


# -- what may have happened before a step ----------------------------------------------------------


class _Before(msgspec.Struct, frozen=True):
    """What is known when a step begins: the fields ``filled`` on every way to it, those ``perhaps``
    filled on one, and whether something was ``said`` to the customer on one."""

    filled: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()
    said: bool = False

    def after(self, node: Node) -> "_Before":
        """What is known when the step is over. Fields of a step that failed are filled with null."""
        fields = frozenset(fields_of(node.step))
        said = self.said or isinstance(node.step, Guide | Ask | Plan)
        return _Before(self.filled | fields, self.perhaps | fields, said)

    def or_else(self, other: "_Before") -> "_Before":
        """What is known where two ways meet."""
        perhaps = self.perhaps | other.perhaps
        return _Before(self.filled & other.filled, perhaps, self.said or other.said)


def _before(program: Sequence[Node]) -> dict[int, _Before]:
    """What is known before each step that is reached. Ways only lead forward."""
    known = {1: _Before()} if program else {}
    for node in program:
        here = known.get(node.number)
        if here is None:
            continue
        after = here.after(node)
        for to in ways(node):
            if to > END:
                known[to] = known[to].or_else(after) if to in known else after
    return known


def _unreachable(
    one: Examined, program: Sequence[Node], before: Mapping[int, _Before]
) -> Iterator[Problem]:
    """The first of the steps that stand where no way leads."""
    lost = {node.path for node in program if node.number not in before}
    for node in program:
        if node.path not in lost or _follows(node.path, lost):
            continue
        message = f"this `{kind_of(node.step)}` is never reached: the playbook has ended before it"
        hint = "take it out, or let a step before it go on: `then: next`, `on_failure`, another way"
        yield one.problem(one.located.place(*_place(node)), "unreachable-step", message, hint)


def _follows(path: Path, lost: Collection[Path]) -> bool:
    """Whether the step before it, or one that holds it, is lost too."""
    *around, index = path
    earlier = isinstance(index, int) and (*around, index - 1) in lost
    return earlier or any(path[:length] in lost for length in range(1, len(path)))


# -- fields ----------------------------------------------------------------------------------------


def _unfilled(
    one: Examined, program: Sequence[Node], before: Mapping[int, _Before]
) -> Iterator[Problem]:
    """Every field that is read before it is filled on every way."""
    filled = {name for node in program for name in fields_of(node.step)}
    for reading in one.readings:
        site, field = reading.site, reading.field
        if site.step is None or field[0] != "fields" or len(field) < 2:
            continue
        name, here = field[1], before.get(site.step)
        if here is None:
            continue
        if "undo" in site.path[len(_place(program[site.step - 1])) :]:
            here = here.after(program[site.step - 1])
        if name in here.filled or (name in here.perhaps and name in _minded(site)):
            continue
        hint = None
        if name not in filled:
            message = f"no step fills `fields.{name}`"
            hint = did_you_mean(name, filled)
        elif name not in here.perhaps:
            message = f"`fields.{name}` is read before a step fills it"
        else:
            message = f"`fields.{name}` is not filled on every way that leads here"
            default = f'{{{{ fields.{name} | default("...") }}}}'
            tested = f"write `{default}`" if site.template else f"test `has(fields.{name})` first"
            hint = f"fill it before the ways part, or {tested}"
        place = one.inside(site, reading.offset)
        yield one.problem(place, "unfilled-field", message, hint)


def _minded(site: Site) -> set[str]:
    """The fields of which a text or an expression minds that they may be missing."""
    if site.template:
        try:
            parts = parse_template(site.source).reads()
        except TemplateError:
            return set()
        paths = (part.path.split(".") for part in parts if part.default is not None)
        return {path[1] for path in paths if path[0] == "fields"}
    found: set[str] = set()
    left: list[syntax.Node] = [syntax.parse(site.source)]
    while left:
        node = left.pop()
        match node:
            case syntax.Call(function="has", target=None, args=(asked,)):
                base, path = syntax.chain(asked)
                if isinstance(base, syntax.Name) and base.name == "fields" and path:
                    found.add(path[0])
            case syntax.Call(target=target, args=args):
                left += [*args, *([] if target is None else [target])]
            case syntax.Select(operand=operand):
                left.append(operand)
            case syntax.ListNode(items=items):
                left += items
            case syntax.MapNode(entries=entries):
                left += [part for entry in entries for part in entry]
    return found


def _unread(
    one: Examined, before: Mapping[int, _Before], runbook_reads: Mapping[str, frozenset[str]]
) -> Iterator[Problem]:
    """What a runbook's text reads, and would not find in this playbook."""
    for at, node in playbook_steps(one.located.policy):
        step, here = node.step, before.get(node.number)
        if not isinstance(step, Guide) or step.runbook is None or here is None:
            continue
        place = one.located.place(*at, "runbook")
        for read in sorted(runbook_reads.get(step.runbook, ())):
            root, _, rest = read.partition(".")
            name = rest.partition(".")[0]
            message = f"the runbook `{step.runbook}` reads `{read}`, which "
            if root == "fields" and name not in here.filled:
                message += "is not filled on every way that leads here"
                yield one.problem(place, "unfilled-field", message, "give it a default there")
            elif root == "features" and name not in one.located.policy.features:
                message += "this policy does not declare"
                yield one.problem(place, "unknown-feature", message, "give it a default there")


# -- names -----------------------------------------------------------------------------------------


def _named(one: Examined, known: Mapping[str, Offers | None]) -> Iterator[Problem]:
    """Lookups, agents and actions that are not there, or are called in a way they are not made for."""
    for at, node in playbook_steps(one.located.policy):
        step = node.step
        match step:
            case Enrich():
                offers, path, name = known["lookup"], (*at, "from"), step.source
                yield from _called(one, "lookup", path, name, offers, step.arguments)
                yield from _given(one, at, f"the lookup `{name}`", step.fields, offers, name)
            case Infer():
                offers, path, name = known["agent"], (*at, "agent"), step.agent
                yield from _called(one, "agent", path, name, offers, step.arguments)
                yield from _given(one, at, f"the agent `{name}`", step.fields, offers, name)
            case Plan():
                offers, path, name = known["agent"], (*at, "agent"), step.agent
                yield from _called(one, "agent", path, name, offers, step.arguments)
                yield from _unplanned(one, path, name, offers)
            case Remediate():
                offers, path, name = known["action"], (*at, "action"), step.action
                yield from _called(one, "action", path, name, offers, step.arguments)
                yield from _given(one, at, f"the action `{name}`", step.fields, offers, name)
        if not isinstance(step, Branch | Resolve) and isinstance(step.undo, Call):
            call, path = step.undo, (*at, "undo", "action")
            yield from _called(one, "action", path, call.action, known["action"], call.arguments)


def _unplanned(
    one: Examined, path: NodePath, name: str, offers: Offers | None
) -> Iterator[Problem]:
    """An agent that cannot plan, and a policy that must not."""
    offer = (offers or {}).get(name)
    if offer is not None and offer.plans is False:
        message = f"the agent `{name}` cannot plan: it is a function, which only fills fields"
        hint = "declare it by `instructions`, or use `infer`"
        yield one.problem(one.located.place(*path), "cannot-plan", message, hint)
    if one.located.policy.edge:
        message = "a policy that is decided at the edge cannot plan: agents are asked in one place"
        place = one.located.place(*path[:-1])
        yield one.problem(place, "edge-plan", message, "leave `edge` out, or use `guide`")


def _called(
    one: Examined,
    what: str,
    path: NodePath,
    name: str,
    offers: Offers | None,
    arguments: Mapping[str, str],
) -> Iterator[Problem]:
    """What is wrong with the name at ``path`` and the arguments beside it."""
    yield from one.unknown(path, what, name, offers)
    offer = (offers or {}).get(name)
    if offer is None or offer.arguments is None:
        return
    beside = (*path[:-1], "with")
    for argument in arguments:
        if argument not in offer.arguments:
            message = f"the {what} `{name}` takes no `{argument}`"
            hint = did_you_mean(argument, offer.arguments)
            yield one.problem(
                one.located.key_place(*beside, argument), "unknown-argument", message, hint
            )
    for argument in sorted(offer.required - arguments.keys()):
        if one.located.node(*beside, argument) is not None:
            continue
        message = f"the {what} `{name}` needs `{argument}`"
        hint = f"write it under `with`, as in `with: {{{argument}: event.data.{argument}}}`"
        yield one.problem(one.located.place(*path), "missing-argument", message, hint)


def _given(
    one: Examined,
    at: NodePath,
    what: str,
    fields: Sequence[str],
    offers: Offers | None,
    name: str,
) -> Iterator[Problem]:
    """Fields that the result does not have."""
    offer = (offers or {}).get(name)
    if offer is None or offer.fields is None:
        return
    for field in fields:
        place = one.type_place((*at, "fields"), field)
        if field not in offer.fields and place is not None:
            message = f"{what} gives no `{field}`"
            hint = did_you_mean(field, offer.fields)
            yield one.problem(place, "unknown-field", message, hint)


# -- people ----------------------------------------------------------------------------------------


def _unapproved(
    one: Examined, program: Sequence[Node], before: Mapping[int, _Before], actions: Offers
) -> Iterator[Problem]:
    """Remediations that need people's approval, and would happen without it; and undos that need
    it, as nobody is asked about those."""
    for node in program:
        step = node.step
        undo = None if isinstance(step, Branch | Resolve) else step.undo
        if isinstance(undo, Call) and (known := actions.get(undo.action)) and known.needs_approval:
            message = (
                f"the action `{undo.action}` needs approval, and nobody is asked about an undo"
            )
            place = one.located.place(*_place(node), kind_of(step), "undo", "action")
            yield one.problem(place, "needs-approval", message, "undo with an action of less risk")
        offer = actions.get(step.action) if isinstance(step, Remediate) else None
        if offer is None or not offer.needs_approval or node.number not in before:
            continue
        wrong = _approval_lacks(program, before, node, offer)
        if wrong is not None:
            message, hint = wrong
            place = one.located.place(*_place(node), "remediate", "action")
            yield one.problem(place, "needs-approval", message, hint)


def _approval_lacks(
    program: Sequence[Node], before: Mapping[int, _Before], node: Node, offer: Offer
) -> tuple[str, str] | None:
    """What is wrong with the ways to a remediation, with a hint; none where nothing is."""
    step = node.step
    name = step.action if isinstance(step, Remediate) else ""
    leading = [m for m in program if m.number in before and node.number in ways(m)]
    approvals = [m for m in leading if isinstance(m.step, Approve)]
    why = "is of high risk" if offer.risk == "high" else f"asks for {offer.people} people"
    if not leading or len(approvals) < len(leading):
        message = f"the action `{name}` {why}, and no `approve` stands right before it"
        return message, f"write `- approve: {{for: 30m, people: {offer.people}}}` before it"
    if any(m.failed == node.number for m in approvals):
        message = f"the action `{name}` {why}, and follows also when nobody approves"
        return message, "write `on_failure: stop` or other steps into the `approve`"
    if any(isinstance(m.step, Approve) and m.step.people < offer.people for m in approvals):
        message = f"the action `{name}` asks for {offer.people} people to approve it"
        return message, f"write `people: {offer.people}` into the `approve` before it"
    return None


def _untaken(one: Examined) -> Iterator[Problem]:
    """Remediations whose failure nobody takes over."""
    for at, node in playbook_steps(one.located.policy):
        step = node.step
        if isinstance(step, Remediate) and step.on_failure == "stop" and step.queue is None:
            message = f"who takes over when `{step.action}` fails? This stops, and has no `queue`"
            hint = "name a `queue`, or say what follows in `on_failure`"
            yield one.problem(one.located.place(*at), "needs-queue", message, hint)


def _unheard(one: Examined, before: Mapping[int, _Before]) -> Iterator[Problem]:
    """Receipts that are awaited before anything was said."""
    for at, node in playbook_steps(one.located.policy):
        step, here = node.step, before.get(node.number)
        if not isinstance(step, Await) or step.receipt is None or here is None or here.said:
            continue
        message = f"nothing was said that could be {step.receipt}, so it is awaited in vain"
        hint = "put a `guide` or an `ask` before it"
        place = one.located.place(*at, "receipt")
        yield one.problem(place, "never-matches", message, hint, "warning")
