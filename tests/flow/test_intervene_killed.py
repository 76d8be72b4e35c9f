"""The app process killed at every boundary and inside every step, on both kinds of database."""

from collections import Counter
from pathlib import Path

import pytest

from databases import postgres
from flow.intervening import event
from flow.killing import Outside, live_and_die
from forestall.intervene.store import Store

ACTING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: acting, title: Acting, owner: payments}
spec:
  when: {event: payment.declined}
  valid_for: 1d
  playbook:
    - enrich: {from: dedupes-lookup, fields: [receipt], timeout: 1d}
    - remediate: {action: dedupes-first, timeout: 1d, queue: payments}
    - remediate: {action: lookup-second, timeout: 1d, queue: payments}
    - guide: {text: "We are on it.", channel: hook}
    - remediate: {action: neither-third, timeout: 1d, queue: payments}
"""


def undone(outside: Outside) -> list[str]:
    return [name for what, name, _ in outside.happened if what == "undo"]


def live(folder: Path, kind: str, how: str) -> tuple[Outside, list[str]]:
    """A decline, and the app processes that die over it; the world after, and where they died."""
    tables = postgres().database() if kind == "postgresql" else ""
    outside = Outside(folder, ACTING)
    with outside.serve() as port:
        outside.accept(event("payment.declined", 0))
        died = live_and_die(folder, tables, port, how)
    store = Store(tables or folder / "app.db", read_only=True)
    ended = store.newest(1)[0]
    effects = store.effects.of(ended.id)
    store.close()
    assert ended.outcome == "escalated"
    assert not [one for one in effects if one.status == "waiting" and one.kind != "guide"]
    return outside, died


def check(outside: Outside) -> None:
    """Everything happened once, what was done was undone in reverse, and people were told last."""
    happened = Counter(outside.happened)
    assert max(happened.values()) == 1, happened
    assert undone(outside) == ["lookup-second", "dedupes-first"]
    assert [what for what, _, _ in outside.happened][-1] == "case"


@pytest.mark.timeout(220)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whoever_dies_wherever_each_effect_happens_once_and_nothing_is_stuck(
    tmp_path: Path, kind: str
) -> None:
    outside, died = live(tmp_path, kind, "straight")
    check(outside)
    assert [name for _, name, _ in outside.happened].count("neither-third") == 0, "died before"
    for what in ("enrich", "action", "undo", "case"):
        for when in ("before", "after"):
            assert any(f"{when} /do {what}" in point for point in died)
    assert any("before /do guide" in point for point in died)
    assert sum("before the commit" in point for point in died) >= 15
    assert sum("after the commit" in point for point in died) >= 15


@pytest.mark.timeout(220)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workflows_take_up_what_a_crash_inside_a_step_left(tmp_path: Path, kind: str) -> None:
    outside, died = live(tmp_path, kind, "workflows")
    check(outside)
    assert len(died) >= 6
