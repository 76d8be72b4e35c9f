"""A playbook as a flat program: steps numbered in the order of the file, each with what follows it.

Nested steps (the arms of a ``branch``, the steps of an ``on_failure``) are numbered where they
stand: first the step itself, then what it holds. So a playbook without nested steps counts them as
written. There are no backward jumps, so every playbook ends.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from forestall.policy.language.model import (
    Approve,
    Arm,
    Await,
    Branch,
    Guide,
    PlaybookStep,
    Policy,
    Remediate,
    Resolve,
)

END, STOP = 0, -1
"""What may follow instead of a step: the end, and the end after undoing what was done."""

APPROVAL = 1_800_000_000
"""How long a person has to approve where the policy does not say: 30 minutes."""

Path = tuple[str | int, ...]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the program. ``next`` follows when it went well, ``failed`` when not; each is a
    number, ``END`` or ``STOP``. ``arms`` are the conditions of a branch and where they lead.
    ``path`` is where the step stands below ``spec.playbook``, empty for one that was added.

    ``planned`` is the number of the ``plan`` that it comes from, 0 for a step of the file. What
    such a step does is given and never computed: an action's arguments are ``values``, and the
    text of guidance is no template."""

    number: int
    step: PlaybookStep
    next: int
    failed: int
    arms: tuple[tuple[str | None, int], ...] = ()
    path: Path = ()
    planned: int = 0
    values: dict[str, Any] = {}


def flow(policy: Policy) -> tuple[Node, ...]:
    """The program of a policy. Where its risk is high and its playbook does not begin with an
    ``approve``, one is put in front."""
    steps = policy.playbook
    added = policy.risk == "high" and not (steps and isinstance(steps[0], Approve))
    if added:
        steps = (Approve(timeout=APPROVAL), *steps)
    nodes: list[Node] = []
    _lay(nodes, steps, (), END)
    shift = 1 if added else 0
    return tuple(msgspec.structs.replace(node, path=_shifted(node.path, shift)) for node in nodes)


def _shifted(path: Path, shift: int) -> Path:
    """The path in the file of a step before which ``shift`` steps were put."""
    first = int(path[0])
    return (first - shift, *path[1:]) if first >= shift else ()


def _lay(nodes: list[Node], steps: Sequence[PlaybookStep], path: Path, after: int) -> int:
    """Append ``steps`` and what they hold; ``after`` follows the last. The number of the first."""
    numbers: list[int] = []
    for index, step in enumerate(steps):
        numbers.append(len(nodes) + 1)
        _lay_one(nodes, step, (*path, index))
    for number, follower in zip(numbers, [*numbers[1:], after], strict=False):
        _link(nodes, number, follower)
    return numbers[0] if numbers else after


_OPEN = -2
"""Stands for what follows a step until that is known."""


def _lay_one(nodes: list[Node], step: PlaybookStep, path: Path) -> None:
    at = len(nodes)
    nodes.append(Node(number=at + 1, step=step, next=_OPEN, failed=_OPEN, path=path))
    if isinstance(step, Branch):
        arms = tuple(
            (arm.condition, _lay(nodes, arm.steps, (*path, "branch", index, way_of(arm)), _OPEN))
            for index, arm in enumerate(step.arms)
        )
        bare = Branch(arms=())
        nodes[at] = msgspec.structs.replace(nodes[at], step=bare, arms=arms)
        return
    if isinstance(step, Resolve):
        nodes[at] = msgspec.structs.replace(nodes[at], next=END, failed=END)
        return
    failed, word = _OPEN, kind_of(step)
    if isinstance(step.on_failure, tuple):
        failed = _lay(nodes, step.on_failure, (*path, word, "on_failure"), END)
        step = msgspec.structs.replace(step, on_failure="next")
    elif step.on_failure == "stop":
        failed = STOP
    nodes[at] = msgspec.structs.replace(nodes[at], step=step, failed=failed)


def _link(nodes: list[Node], number: int, follower: int) -> None:
    """What was open in the step ``number``, and in the arms it holds, leads to ``follower``."""
    node = nodes[number - 1]
    arms = tuple((condition, follower if to == _OPEN else to) for condition, to in node.arms)
    nodes[number - 1] = msgspec.structs.replace(
        node,
        next=follower if node.next == _OPEN else node.next,
        failed=follower if node.failed == _OPEN else node.failed,
        arms=arms,
    )
    for index in range(number, len(nodes)):
        inner = nodes[index]
        if inner.path[: len(node.path)] != node.path:
            break
        if _OPEN in (inner.next, inner.failed) or any(to == _OPEN for _, to in inner.arms):
            _link(nodes, index + 1, follower)


def kind_of(step: PlaybookStep) -> str:
    """The word a step is written with, such as ``guide``."""
    return str(step.__struct_config__.tag)


def way_of(arm: Arm) -> Literal["do", "else"]:
    """The key under which an arm's steps stand."""
    return "else" if arm.condition is None else "do"


def holds(node: Node) -> bool:
    """Whether the playbook waits for the step's result before it goes on."""
    return not isinstance(node.step, Guide) or node.failed != node.next


def covered(nodes: Sequence[Node], node: Node) -> Node | None:
    """The remediation that an ``approve`` is about: the step that follows it, if it is one."""
    if node.next <= END:
        return None
    follower = nodes[node.next - 1]
    return follower if isinstance(follower.step, Remediate) else None


def ways(node: Node) -> tuple[int, ...]:
    """Where the program may go from a step, without repetition."""
    step = node.step
    if isinstance(step, Branch):
        on = (node.next,) if all(condition is not None for condition, _ in node.arms) else ()
        return tuple(dict.fromkeys([*(to for _, to in node.arms), *on]))
    came = END if isinstance(step, Await) and ends(step) else node.next
    return tuple(dict.fromkeys([came, node.failed]))


def ends(step: Await) -> bool:
    """Whether the playbook ends when what is awaited comes."""
    return step.then != "next" and (step.match is not None or step.receipt is not None)
