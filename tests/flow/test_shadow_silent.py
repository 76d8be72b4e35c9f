"""A policy in shadow decides like a live one, and nothing of it leaves: no words, effects, reports."""

from pathlib import Path

import msgspec
import pytest

from flow.intervening import World, applied, event
from forestall.contracts.decision import Mode
from forestall.log.streams import DECISIONS, read_decisions

ACTING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: acting, title: Acts in every way, owner: payments}
spec:
  cooldown: 1s
  when: {event: payment.failed}
  playbook:
    - guide: {text: "We are looking into it.", channel: inapp}
    - guide: {text: "By webhook.", channel: hook}
    - enrich: {from: payment, with: {payment: event.data.payment}, fields: [status]}
    - remediate: {action: resend-receipt, with: {payment: event.data.payment}, queue: payments}
    - escalate: {queue: payments}
"""


def world(folder: Path, mode: Mode) -> World:
    """The policy in a mode, and three customers in trouble."""
    made = World(folder, ACTING)
    record = applied(ACTING)
    policies = tuple(msgspec.structs.replace(one, mode=mode) for one in record.policies)
    made.govern(msgspec.structs.replace(record, policies=policies))
    trouble = [event("payment.failed", n, f"s{n}", payment=f"p{n}") for n in (1, 2, 3)]
    made.settle(*trouble)
    return made


def decided(made: World) -> list[tuple[str, str]]:
    """Mode and outcome of every decision."""
    return [
        (entry.decision.mode, entry.decision.outcome)
        for batch in made.decisions.follow(DECISIONS)
        for entry in read_decisions(batch)
    ]


def left(made: World) -> list[int]:
    """How much there is that may leave: interventions, reports, words, effects."""
    effects = made.store.effects.waiting(2**62, 100)
    words = [text for n in (1, 2, 3) for text in made.messages(f"s{n}", n)]
    return [len(made.store.newest()), len(made.waiting()), len(words), len(effects)]


def test_shadow_decides_and_does_nothing(tmp_path: Path) -> None:
    made = world(tmp_path, "shadow")
    assert decided(made) == [("shadow", "intervene")] * 3
    made.tick(3_600)
    made.settle()
    assert left(made) == [0, 0, 0, 0]


@pytest.mark.parametrize("mode", ["live", "canary"])
def test_the_same_policy_acts_where_it_is_not_in_shadow(tmp_path: Path, mode: Mode) -> None:
    made = world(tmp_path, mode)
    assert decided(made) == [(mode, "intervene")] * 3
    assert all(left(made))
