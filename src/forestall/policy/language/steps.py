"""The steps of a playbook, read from fields into the model.

A playbook holds at most ``MAX_STEPS`` steps, those of branches and of failures counted, nested at
most ``MAX_NESTED`` deep; what is beyond that is told and not read.
"""

from collections.abc import Callable
from typing import Literal

from forestall.policy.language.clauses import EVENT_VARIABLES, match
from forestall.policy.language.compile import STEP_VARIABLES
from forestall.policy.language.document import Items, Mapping, Place
from forestall.policy.language.model import (
    Approve,
    Arm,
    Ask,
    Await,
    Branch,
    Enrich,
    Escalate,
    Guide,
    Infer,
    OnFailure,
    Plan,
    PlaybookStep,
    Receipt,
    Remediate,
    Resolve,
)
from forestall.policy.language.reader import Fields, one_of
from forestall.policy.language.step_parts import (
    arguments,
    choices,
    field_name,
    is_false,
    limit,
    names,
    undo,
    wait,
    words,
)

MAX_STEPS = 64
MAX_NESTED = 5
MAX_WAYS = 16
MAX_PEOPLE = 5

_FOLLOWS = ("on_failure", "undo")
_BRANCHES = ("if", "do", "else")
_TIMEOUT = ("`for` belongs to steps that wait for somebody", "write `timeout`")
_FOR = ("a step that waits for somebody takes `for`, not `timeout`", "write `for`")
_NO_UNDO = ("a plan has no `undo`: each of its actions is undone as it declares", "leave it out")
_NO_RUNBOOK = ("a question takes no `runbook`", "write its words under `text`")


def playbook(spec: Fields) -> tuple[PlaybookStep, ...]:
    """The steps under ``playbook``."""
    return _Steps().listed(spec, "playbook", 1)


class _Steps:
    """Reads the steps of one playbook, and counts them."""

    def __init__(self) -> None:
        self._count = 0
        self._full = False
        self._read: dict[str, Callable[[Fields, int], PlaybookStep]] = {
            "guide": self._guide,
            "ask": self._ask,
            "enrich": self._enrich,
            "infer": self._infer,
            "plan": self._plan,
            "await": self._await,
            "remediate": self._remediate,
            "approve": self._approve,
            "branch": self._branch,
            "escalate": self._escalate,
            "resolve": self._resolve,
        }

    def listed(self, fields: Fields, key: str, depth: int) -> tuple[PlaybookStep, ...]:
        """The steps in the list under ``key``, ``depth`` lists deep."""
        if depth > MAX_NESTED:
            message = f"`{fields.at(key)}` is nested more than {MAX_NESTED} lists of steps deep"
            fields.fail(key, "too-deep", message, "split the policy in two")
            return ()
        steps = []
        for step in fields.each(key):
            if self._full:
                break
            if self._count == MAX_STEPS:
                self._full = True
                message = f"a playbook has at most {MAX_STEPS} steps, nested ones counted"
                step.source.fail(step.node.place, "too-large", message, "split the policy in two")
                break
            self._count += 1
            read = self._step(step, depth)
            if read is not None:
                steps.append(read)
        return tuple(steps)

    def _step(self, step: Fields, depth: int) -> PlaybookStep | None:
        kinds = self._read
        step.allow(tuple(kinds), {})
        present = [key for key in kinds if key in step]
        if len(present) != 1:
            if not step.misspelt(*kinds):
                message = f"`{step.path}` must have exactly one of {one_of(kinds)}"
                step.source.fail(step.node.place, "bad-playbook", message)
            return None
        kind = present[0]
        if kind == "branch":
            return self._branch(step, depth)
        inner = step.fields(kind)
        return None if inner is None else kinds[kind](inner, depth)

    # -- what follows a failure

    def _on_failure(
        self, fields: Fields, depth: int, default: Literal["next", "stop"]
    ) -> OnFailure:
        entry = fields.node.entries.get("on_failure")
        if entry is None:
            return default
        if isinstance(entry.value, Items):
            if not entry.value.items:
                message = f"`{fields.at('on_failure')}` has no steps"
                fields.fail("on_failure", "bad-value", message, "write `next` or `stop`")
                return default
            return self.listed(fields, "on_failure", depth + 1)
        if isinstance(entry.value, Mapping):
            message = f"`{fields.at('on_failure')}` must be `next`, `stop` or a list of steps"
            fields.fail("on_failure", "wrong-type", message, "write the step as `[{...}]`")
            return default
        chosen: OnFailure = fields.choice("on_failure", Literal["next", "stop"], default)
        return chosen

    # -- the steps

    def _guide(self, fields: Fields, depth: int) -> Guide:
        fields.allow(("runbook", "text", "channel", "timeout", *_FOLLOWS), {"for": _TIMEOUT})
        fields.require("channel")
        if ("runbook" in fields) == ("text" in fields):
            message = f"`{fields.path}` needs either `runbook` or `text`"
            fields.source.fail(fields.node.place, "bad-playbook", message)
        return Guide(
            channel=fields.text("channel", ""),
            runbook=fields.text("runbook", None),
            text=words(fields, "text"),
            timeout=limit(fields, "timeout", None),
            on_failure=self._on_failure(fields, depth, "next"),
            undo=undo(fields),
        )

    def _ask(self, fields: Fields, depth: int) -> Ask:
        known = ("text", "choices", "as", "for", "channel", *_FOLLOWS)
        fields.allow(known, {"timeout": _FOR, "runbook": _NO_RUNBOOK})
        fields.require("text", "choices", "as")
        return Ask(
            text=words(fields, "text") or "",
            choices=choices(fields),
            into=field_name(fields, "as"),
            timeout=wait(fields, "nobody may ever answer"),
            channel=fields.text("channel", "inapp"),
            on_failure=self._on_failure(fields, depth, "next"),
            undo=undo(fields),
        )

    def _enrich(self, fields: Fields, depth: int) -> Enrich:
        fields.allow(("from", "with", "fields", "cache", "timeout", *_FOLLOWS), {"for": _TIMEOUT})
        fields.require("from", "fields")
        return Enrich(
            source=fields.text("from", ""),
            arguments=arguments(fields),
            fields=names(fields),
            cache=fields.duration("cache", 0),
            timeout=limit(fields, "timeout", 5_000_000),
            on_failure=self._on_failure(fields, depth, "next"),
            undo=undo(fields),
        )

    def _infer(self, fields: Fields, depth: int) -> Infer:
        fields.allow(("agent", "with", "fields", "timeout", *_FOLLOWS), {"for": _TIMEOUT})
        fields.require("agent", "fields")
        return Infer(
            agent=fields.text("agent", ""),
            arguments=arguments(fields),
            fields=names(fields),
            timeout=limit(fields, "timeout", 20_000_000),
            on_failure=self._on_failure(fields, depth, "next"),
            undo=undo(fields),
        )

    def _plan(self, fields: Fields, depth: int) -> Plan:
        known = ("agent", "with", "channel", "queue", "timeout", "approval", "by", "on_failure")
        fields.allow(known, {"for": _TIMEOUT, "undo": _NO_UNDO})
        fields.require("agent", "queue")
        return Plan(
            agent=fields.text("agent", ""),
            arguments=arguments(fields),
            channel=fields.text("channel", "inapp"),
            queue=fields.text("queue", ""),
            timeout=limit(fields, "timeout", 20_000_000),
            approval=limit(fields, "approval", 1_800_000_000),
            by=fields.text("by", "approver"),
            on_failure=self._on_failure(fields, depth, "stop"),
        )

    def _await(self, fields: Fields, depth: int) -> Await:
        known = ("event", "where", "receipt", "for", "then", *_FOLLOWS)
        fields.allow(known, {"timeout": _FOR})
        if "event" in fields and "receipt" in fields:
            message = f"`{fields.path}` has both `event` and `receipt`; write two steps"
            fields.source.fail(fields.node.entries["receipt"].place, "bad-playbook", message)
        meant = "event" in fields or "receipt" in fields or fields.misspelt("event", "receipt")
        if not meant:
            _only_time(fields)
        if "where" in fields and "event" not in fields and not fields.misspelt("event"):
            fields.expression("where", EVENT_VARIABLES)
            message = f"`{fields.path}` has a `where`, and no `event` that it could be about"
            fields.source.fail(fields.node.entries["where"].place, "bad-playbook", message)
        return Await(
            match=match(fields, "event") if "event" in fields else None,
            receipt=fields.choice("receipt", Receipt, None),
            timeout=wait(fields, "it may never come"),
            then=fields.choice("then", Literal["resolved", "helped", "next"], "resolved"),
            on_failure=self._on_failure(fields, depth, "next"),
            undo=undo(fields),
        )

    def _remediate(self, fields: Fields, depth: int) -> Remediate:
        known = ("action", "with", "fields", "timeout", "queue", *_FOLLOWS)
        fields.allow(known, {"for": _TIMEOUT})
        fields.require("action")
        return Remediate(
            action=fields.text("action", ""),
            arguments=arguments(fields),
            fields=names(fields),
            timeout=limit(fields, "timeout", 30_000_000),
            on_failure=self._on_failure(fields, depth, "stop"),
            undo=False if is_false(fields, "undo") else undo(fields),
            queue=fields.text("queue", None),
        )

    def _approve(self, fields: Fields, depth: int) -> Approve:
        fields.allow(("by", "for", "people", "why", *_FOLLOWS), {"timeout": _FOR})
        return Approve(
            by=fields.text("by", "approver"),
            timeout=wait(fields, "nobody may ever look at it"),
            people=fields.whole("people", 1, 1, MAX_PEOPLE),
            why=words(fields, "why"),
            on_failure=self._on_failure(fields, depth, "stop"),
            undo=undo(fields),
        )

    def _escalate(self, fields: Fields, depth: int) -> Escalate:
        fields.allow(("queue", "timeout", *_FOLLOWS), {"for": _TIMEOUT})
        fields.require("queue")
        return Escalate(
            queue=fields.text("queue", ""),
            timeout=limit(fields, "timeout", None),
            on_failure=self._on_failure(fields, depth, "next"),
            undo=undo(fields),
        )

    def _resolve(self, fields: Fields, _depth: int) -> Resolve:
        fields.allow(("as",), {"then": ("`resolve` takes `as`, not `then`", None)})
        return Resolve(then=fields.choice("as", Literal["resolved", "helped"], "resolved"))

    # -- branches

    def _branch(self, step: Fields, depth: int) -> Branch:
        arms: list[Arm] = []
        otherwise: Place | None = None
        nodes = step.each("branch")
        if len(nodes) > MAX_WAYS:
            message = f"`{step.at('branch')}` has {len(nodes)} ways; at most {MAX_WAYS} are allowed"
            step.fail("branch", "too-large", message, "branch again in the `else`")
        for arm in nodes[:MAX_WAYS]:
            arm.allow(
                _BRANCHES, {"then": ("a way of a branch takes `do`, not `then`", "write `do`")}
            )
            if otherwise is not None:
                message = f"`{arm.path}` stands after the `else`, so it is never taken"
                hint = f"the `else` on line {otherwise.line} takes all; put it last"
                arm.source.fail(arm.node.place, "bad-playbook", message, hint)
            elif "else" in arm:
                otherwise = arm.node.entries["else"].place
            arms.append(self._arm(arm, depth))
        if not nodes and isinstance(step.node.entries["branch"].value, Items):
            step.fail("branch", "bad-playbook", f"`{step.at('branch')}` has no ways to go")
        elif nodes and otherwise is not None and "else" in nodes[0]:
            message = f"`{step.at('branch')}` has an `else`, and nothing to choose from"
            hint = "add a way with `if`, or write the steps without a branch"
            step.fail("branch", "bad-playbook", message, hint)
        return Branch(arms=tuple(arms))

    def _arm(self, arm: Fields, depth: int) -> Arm:
        if "else" in arm:
            for key in ("if", "do"):
                if key in arm:
                    message = f"`{arm.path}` has both `else` and `{key}`"
                    hint = "write `- if: CONDITION` with `do: [...]`, then `- else: [...]`"
                    place = arm.node.entries[key].place
                    arm.source.fail(place, "bad-playbook", message, hint)
            return Arm(condition=None, steps=self.listed(arm, "else", depth + 1))
        if not arm.misspelt("else"):
            arm.require("if", "do")
        condition = arm.expression("if", STEP_VARIABLES)
        return Arm(condition=condition or "false", steps=self.listed(arm, "do", depth + 1))


def _only_time(fields: Fields) -> None:
    for key in ("then", "on_failure"):
        if key in fields:
            message = f"`{fields.path}` waits for the time only, so `{key}` says nothing"
            hint = "name an `event` or a `receipt`, or leave it out"
            fields.source.fail(fields.node.entries[key].place, "bad-playbook", message, hint)
