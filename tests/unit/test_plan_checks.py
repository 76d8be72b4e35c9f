"""What a policy may plan: an agent that can, for whom people stand ready, set off by who is trusted."""

import json
from pathlib import Path

import pytest

from forestall.contracts.catalogue import load_catalogue
from forestall.policy.language.canonical import canonical, from_canonical, version
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.offers import Offer
from forestall.policy.language.parse import parse, parse_located
from forestall.policy.language.step_reads import step_reads

HEAD = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x, owner: me}
spec:
  when: {event: payment.declined}
  playbook:
"""
AGENTS = {
    "helper": Offer(
        arguments=frozenset(["payment", "text"]),
        required=frozenset(["payment"]),
        plans=True,
        acts=True,
        people=2,
    ),
    "writer": Offer(arguments=frozenset(), plans=True),
    "triage": Offer(arguments=frozenset(), plans=False),
}
AROUND = Surroundings(
    channels=frozenset(["inapp"]),
    queues=frozenset(["payments"]),
    agents=AGENTS,
    actions={},
    roles={"approver": 2, "lead": 1},
)
PLAN = "agent: helper, with: {payment: event.data.payment}, queue: payments"


def told(step: str, around: Surroundings = AROUND, head: str = HEAD) -> list[str]:
    located, problems = parse_located(f"{head}    - {step}\n", "f")
    assert problems == []
    return [
        f"{p.line}:{p.column} {p.code}: {p.message}" + (f" | {p.hint}" if p.hint else "")
        for p in check(located[0], around)
    ]


@pytest.mark.parametrize(
    ("step", "problems"),
    [
        (f"plan: {{{PLAN}}}", []),
        (f"plan: {{{PLAN}, by: lead}}", ["7:87 unknown-role: 2 `lead` are to approve, and there is only 1 | ask fewer, or give more people the role"]),
        (f"plan: {{{PLAN}, by: leed}}", ["7:87 unknown-role: nobody has the role `leed` | there is `approver`, `lead`"]),
        ("plan: {agent: writer, queue: payments, by: nobody}", []),
        ("plan: {agent: writer, queue: paymants}", ["7:36 unknown-queue: there is no queue `paymants` | did you mean `payments`?"]),
        ("plan: {agent: writer, queue: payments, channel: sms}", ["7:55 unknown-channel: there is no channel `sms` | there is `inapp`"]),
        ("plan: {agent: writter, queue: payments}", ["7:21 unknown-agent: there is no agent `writter` | did you mean `writer`?"]),
        ("plan: {agent: triage, queue: payments}", ["7:21 cannot-plan: the agent `triage` cannot plan: it is a function, which only fills fields | declare it by `instructions`, or use `infer`"]),
        ("plan: {agent: helper, queue: payments}", ["7:21 missing-argument: the agent `helper` needs `payment` | write it under `with`, as in `with: {payment: event.data.payment}`"]),
        (f"plan: {{{PLAN.replace('{', '{txt: event.id, ')}}}", ["7:36 unknown-argument: the agent `helper` takes no `txt` | did you mean `text`?"]),
        ("plan: {agent: writer, with: {a: fields.b}, queue: payments}", ["7:36 unknown-argument: the agent `writer` takes no `a`", "7:39 unfilled-field: no step fills `fields.b`"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plan(step: str, problems: list[str]) -> None:
    assert told(step) == problems
    known = [one for one in problems if "unfilled" in one]
    assert told(step, ANYTHING) == known


def test_a_policy_at_the_edge_does_not_plan() -> None:
    edge = HEAD.replace("  when:", "  edge: true\n  when:")
    assert told("plan: {agent: writer, queue: payments}", head=edge) == [
        "8:13 edge-plan: a policy that is decided at the edge cannot plan: agents are asked in one"
        " place | leave `edge` out, or use `guide`"
    ]


@pytest.mark.parametrize(
    ("agent", "acts"), [(PLAN, True), ("agent: writer, queue: payments", False)]
)
def test_only_an_agent_that_may_act_needs_a_server_s_word(
    agent: str, acts: bool, tmp_path: Path
) -> None:
    page = {
        "x-owner": "me",
        "x-origins": ["browser"],
        "type": "object",
        "properties": {"payment": {"type": "string"}},
        "required": ["payment"],
    }
    (tmp_path / "page.clicked.v1.json").write_text(json.dumps(page))
    around = Surroundings(catalogue=load_catalogue(tmp_path), agents=AGENTS)
    head = HEAD.replace("payment.declined", "page.clicked")
    found = [one for one in told(f"plan: {{{agent}}}", around, head) if "untrusted" in one]
    assert [one.partition(" |")[0] for one in found] == (
        [
            "7:13 untrusted-trigger: whatever sets this policy off comes from browsers, so anybody"
            " could have the actions of `helper` carried out"
        ]
        if acts
        else []
    )


def test_after_a_plan_something_may_have_been_said() -> None:
    step = f"plan: {{{PLAN}}}\n    - await: {{receipt: helped, for: 5m}}"
    assert told(step) == []


def test_a_plan_reads_its_arguments() -> None:
    (policy,) = parse(f"{HEAD}    - plan: {{{PLAN}}}\n", "f")
    assert step_reads(policy) == {("event", "data", "payment")}


def test_a_plan_has_a_version_of_its_own() -> None:
    (policy,) = parse(f"{HEAD}    - plan: {{{PLAN}}}\n", "f")
    (spelt,) = parse(
        f"{HEAD}    - plan: {{{PLAN}, channel: inapp, timeout: 20s, approval: 30m, by: approver,"
        " on_failure: stop}\n",
        "f",
    )
    (other,) = parse(f"{HEAD}    - plan: {{{PLAN}, approval: 31m}}\n", "f")
    assert version(policy) == version(spelt) != version(other)
    assert from_canonical(canonical(policy)).playbook == policy.playbook


def test_policies_without_plans_keep_their_versions() -> None:
    (policy,) = parse(
        f"{HEAD}    - guide: {{text: hi, channel: inapp}}\n"
        "    - infer: {agent: triage, fields: [cause], with: {a: event.id}}\n"
        "    - remediate: {action: refund, queue: payments}\n",
        "f",
    )
    assert version(policy) == "1eef8bd2ee62caa80d7eca78b0f81409c31757ec7e9b1ec03a1fba0e4635e4dc"
