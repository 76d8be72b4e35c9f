"""An agent's plan as steps of the playbook that asked for it. Pure.

The steps are laid behind the last of the program, each action after the approval that it needs, then
the words; they lead on to what follows the ``plan``. What they do is data: their arguments and
texts are never computed and never a template, whatever stands in them.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from forestall.contracts import inference
from forestall.contracts.instants import SECOND
from forestall.policy.language.flow import STOP, Node
from forestall.policy.language.model import Approve, Guide, Plan, PlaybookStep, Remediate
from forestall.policy.language.steps import MAX_PEOPLE

MOST_ACTIONS = 16
"""Actions of one plan."""

MOST_REASON = 200
"""Characters of a reason."""

ACTING = 30 * SECOND
"""How long a planned action may take."""


def read_plan(data: Any) -> inference.Plan | None:
    """The plan that an event tells; none where it is none, or one that cannot be carried out."""
    try:
        plan = msgspec.convert(data, inference.Plan)
    except msgspec.ValidationError:
        return None
    named = all(one.action and 1 <= one.people <= MAX_PEOPLE for one in plan.actions)
    return plan if named and len(plan.actions) <= MOST_ACTIONS else None


def splice(
    program: tuple[Node, ...], number: int, step: Plan, plan: inference.Plan
) -> tuple[Node, ...]:
    """The program in which the step ``number``, a ``plan``, leads to what was planned, and that on
    to what followed it."""
    laid: list[tuple[PlaybookStep, dict[str, Any]]] = []
    for one in plan.actions:
        if one.approve or one.people > 1:
            why = plan.rationale[:MOST_REASON] or None
            laid.append((_approve(step, one.people, why), {}))
        acting = Remediate(action=one.action, queue=step.queue, timeout=ACTING)
        laid.append((acting, one.arguments))
    if plan.message or plan.runbook is not None:
        said = Guide(channel=step.channel, text=plan.message or None, runbook=plan.runbook)
        laid.append((said, {}))
    first, planning = len(program) + 1, program[number - 1]
    nodes = []
    for at, (one_step, values) in enumerate(laid, start=first):
        after = at + 1 if at < first + len(laid) - 1 else planning.next
        failed = after if isinstance(one_step, Guide) else STOP
        nodes.append(
            Node(number=at, step=one_step, next=after, failed=failed, planned=number, values=values)
        )
    leading = replace(planning, next=first) if nodes else planning
    return (*program[: number - 1], leading, *program[number:], *nodes)


def _approve(step: Plan, people: int, why: str | None) -> Approve:
    return Approve(timeout=step.approval, by=step.by, people=people, why=why)
