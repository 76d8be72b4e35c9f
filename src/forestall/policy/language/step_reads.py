"""What the steps of a playbook read: in arguments, ways of branches, awaited events and texts."""

from collections.abc import Iterator

from forestall.context.knowledge.template import TemplateError, parse_template
from forestall.policy.language.cel import Path, compile_expression
from forestall.policy.language.compile import STEP_VARIABLES
from forestall.policy.language.flow import Node, flow
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
)


def step_reads(policy: Policy) -> frozenset[Path]:
    """The fields that the playbook of a sound policy reads, such as ``("event", "data", "amount")``;
    those that runbooks read are not among them."""
    found: set[Path] = set()
    for node in flow(policy):
        for source in _expressions(node):
            found |= compile_expression(source, STEP_VARIABLES).reads
        if isinstance(node.step, Guide | Ask) and node.step.text is not None:
            found |= _template(node.step.text)
    return frozenset(found)


def _expressions(node: Node) -> Iterator[str]:
    step = node.step
    yield from (condition for condition, _ in node.arms if condition is not None)
    if isinstance(step, Enrich | Infer | Plan | Remediate):
        yield from step.arguments.values()
    if isinstance(step, Await) and step.match is not None and step.match.where is not None:
        yield step.match.where
    if not isinstance(step, Branch | Resolve) and isinstance(step.undo, Call):
        yield from step.undo.arguments.values()


def _template(text: str) -> set[Path]:
    try:
        return {tuple(part.path.split(".")) for part in parse_template(text).reads()}
    except TemplateError:
        return set()
