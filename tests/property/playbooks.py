"""Hypothesis strategies for playbooks that the grammar takes: every step, with every key now and then.

Few names and short lists, so that fields are read before they are filled, and steps stand where no
way leads, about as often as not.
"""

from typing import Any

from hypothesis import strategies as st

from forestall.contracts.instants import SECOND
from forestall.policy.language.model import (
    Approve,
    Arm,
    Ask,
    Await,
    Branch,
    Call,
    Enrich,
    Escalate,
    Guide,
    Infer,
    Match,
    Plan,
    PlaybookStep,
    Remediate,
    Resolve,
)

FIELDS = ("f", "g", "h")
CONDITIONS = (
    "fields.f == 1",
    "fields.g == 'a' && event.data.x > 1",
    "fields.h == null",
    "event.data.ok",
)
VALUES = (
    "event.data.x",
    "fields.f",
    "now",
    "[fields.g, subject.tier]",
    "'it\\'s \"so\"'",
    "1\n+ 2",
)
TEXTS = ("Hello", "So {{ fields.h }}", "{{ event.data.x }}: 'a' \"b\" #c", " - yes\n - no: 5")
NAMES = ("a", "b-c", "true", "5", "on: off")

maybe = st.booleans()
names = st.sampled_from(NAMES)
spans = st.sampled_from([SECOND, 1500 * 1000, 90 * SECOND, 3600 * SECOND])
fields = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2, unique=True).map(tuple)
arguments = st.dictionaries(names, st.sampled_from(VALUES), max_size=2).map(
    lambda given: dict(sorted(given.items()))
)
calls = st.builds(Call, action=names, arguments=arguments)
undos = st.none() | calls
answers = st.dictionaries(
    st.sampled_from(["yes", "no", "3", "true", "x_y-z"]), names, min_size=2, max_size=4
)
awaited: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {
            "match": st.builds(
                Match,
                types=st.sampled_from([("e.a",), ("e.a", "e.b"), ("*",)]),
                where=st.none() | st.just("event.data.x > 1"),
            ),
            "then": st.sampled_from(["resolved", "helped", "next"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "receipt": st.sampled_from(["shown", "dismissed", "helped"]),
            "then": st.sampled_from(["resolved", "next"]),
        }
    ),
)


def steps(depth: int) -> st.SearchStrategy[PlaybookStep]:
    """A step that holds lists of steps at most ``depth`` deep."""
    short = st.sampled_from(["next", "stop"])
    inner = lists(depth - 1, least=1) if depth else None
    failing = short if inner is None else st.one_of(short, short, short, inner)
    flat = st.one_of(
        st.builds(Guide, channel=names, text=st.sampled_from(TEXTS), timeout=st.none() | spans, on_failure=failing, undo=undos),
        st.builds(Guide, channel=names, runbook=names, on_failure=failing),
        st.builds(Ask, text=st.sampled_from(TEXTS), choices=answers, into=st.sampled_from(FIELDS), timeout=spans, channel=names, on_failure=failing, undo=undos),
        st.builds(Enrich, source=names, fields=fields, arguments=arguments, cache=st.just(0) | spans, timeout=spans, on_failure=failing, undo=undos),
        st.builds(Infer, agent=names, fields=fields, arguments=arguments, timeout=spans, on_failure=failing, undo=undos),
        st.builds(Plan, agent=names, queue=names, channel=names, arguments=arguments, timeout=spans, approval=spans, by=names, on_failure=failing),
        st.builds(lambda timeout, on_failure, undo, more: Await(timeout=timeout, on_failure=on_failure, undo=undo, **more), spans, failing, undos, awaited),
        st.builds(Await, timeout=spans, undo=undos),
        st.builds(Remediate, action=names, arguments=arguments, fields=st.just(()) | fields, timeout=spans, on_failure=failing, undo=undos | st.just(False), queue=st.none() | names),
        st.builds(Approve, timeout=spans, by=names, people=st.integers(1, 5), why=st.none() | st.sampled_from(TEXTS), on_failure=failing, undo=undos),
        st.builds(Escalate, queue=names, timeout=st.none() | spans, on_failure=failing, undo=undos),
        st.builds(Resolve, then=st.sampled_from(["resolved", "helped"])),
    )  # fmt: skip
    if inner is None:
        return flat
    return st.one_of(flat, flat, branches(depth))


@st.composite
def branches(draw: st.DrawFn, depth: int) -> Branch:
    """A branch of one to three ways, the last perhaps an ``else``."""
    inner = lists(depth - 1, least=0)
    arms = [
        Arm(condition=draw(st.sampled_from(CONDITIONS)), steps=draw(inner))
        for _ in range(draw(st.integers(1, 2)))
    ]
    if draw(maybe):
        arms.append(Arm(condition=None, steps=draw(inner)))
    return Branch(arms=tuple(arms))


def lists(depth: int, least: int) -> st.SearchStrategy[tuple[PlaybookStep, ...]]:
    """Up to three steps in a row."""
    return st.lists(steps(depth), min_size=least, max_size=3).map(tuple)


playbooks = st.lists(steps(2), max_size=4).map(tuple)
