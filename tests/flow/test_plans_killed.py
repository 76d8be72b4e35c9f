"""The app process killed at every boundary while it carries out what an agent planned."""

from collections import Counter
from pathlib import Path

import pytest

from flow.intervening import event
from flow.killing import Outside, live_and_die
from forestall.intervene.store import Store

PLANNING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: planning, title: Planning, owner: payments}
spec:
  when: {event: payment.declined}
  valid_for: 1d
  playbook:
    - plan: {agent: dedupes-planner, with: {payment: event.data.payment}, channel: hook,
             timeout: 1d, queue: payments}
"""


@pytest.mark.timeout(220)
@pytest.mark.parametrize("how", ["straight", "workflows"])
def test_whoever_dies_wherever_what_was_planned_happens_once_and_nothing_is_stuck(
    tmp_path: Path, how: str
) -> None:
    outside = Outside(tmp_path, PLANNING)
    with outside.serve() as port:
        outside.accept(event("payment.declined", 0, payment="p7"))
        died = live_and_die(tmp_path, "", port, how)
    store = Store(tmp_path / "app.db", read_only=True)
    try:
        (ended,) = store.newest(9)
        state = store.state(ended.id)
        waiting = [one for one in store.effects.of(ended.id) if one.status == "waiting"]
    finally:
        store.close()
    assert (ended.outcome, ended.reason, waiting) == ("escalated", "uncertain", [])
    assert state is not None
    assert [node.planned for node in state.program] == [0, 1, 1, 1, 1]
    happened = Counter(outside.happened)
    assert max(happened.values()) == 1, happened
    kinds = [(what, name) for what, name, _ in outside.happened]
    assert kinds[:3] == [
        ("plan", "dedupes-planner"),
        ("action", "dedupes-first"),
        ("action", "lookup-second"),
    ]
    assert [name for what, name in kinds if what == "undo"] == ["lookup-second", "dedupes-first"]
    assert kinds[-1] == ("case", "dedupes-case")
    assert not any(what == "guide" for what, _ in kinds), "nothing is said of what failed"
    assert any("after /do plan" in point for point in died)
    if how == "straight":
        assert sum("the commit" in point for point in died) >= 20
