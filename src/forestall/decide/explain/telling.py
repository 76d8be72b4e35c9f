"""An explanation in words: what happened, what was said, what would have to differ. Pure."""

from collections.abc import Sequence

import msgspec

from forestall.contracts.decision import Decision
from forestall.decide.explain.changes import Add, Counterfactual, short, words
from forestall.decide.explain.gates import Gate
from forestall.decide.explain.progress import Progress


class Seen(msgspec.Struct, frozen=True):
    """One of the subject's events; ``steps`` are those of the pattern that it matches, from 1."""

    time: str
    type: str
    id: str
    steps: tuple[int, ...]


def summary(
    policy: str,
    in_force: bool,
    decision: Decision | None,
    matched: Sequence[Seen],
    gates: Sequence[Gate],
    furthest: Progress | None,
    counterfactual: Counterfactual | None,
) -> str:
    """Yes or no, why, and what would have to differ, in a few sentences."""
    differ = "" if counterfactual is None else _differ(counterfactual)
    if decision is not None and decision.outcome == "intervene":
        events = ", ".join(f"{one.type} {one.id}" for one in matched)
        return f"Yes, at {short(decision.at)}. {decision.explanation} Matched: {events}."
    if decision is not None:
        refused = [gate.reason for gate in gates if gate.refuses]
        named = f" Gates that refused, in order: {', '.join(refused)}." if refused else ""
        return f"No, at {short(decision.at)}. {decision.explanation}{named}{differ}"
    if furthest is not None:
        return f"No: at {short(furthest.at)} it had {_steps(furthest)}.{differ}"
    if not in_force:
        return f"No policy called {policy} was in force."
    return f"No: no event of the pattern came.{differ}"


def _differ(one: Counterfactual) -> str:
    said = [words(each) for each in one.changes if not (one.again and isinstance(each, Add))]
    if not said:
        return ""
    verb = "would" if one.certain else "could only"
    return f" It {verb} have acted if {'; '.join(said)}."


def timeline(events: Sequence[Seen]) -> list[str]:
    """One line an event, in log order, and whether it counts for the pattern."""
    return [
        f"  {short(one.time)}  {one.type}  {one.id}" + ("  (counts)" if one.steps else "")
        for one in events
    ]


def progress_line(one: Progress) -> str:
    """How far one key had come, and what was missing."""
    key = "" if one.key is None else f" for {one.key}"
    return f"  {one.reached} of {one.steps}{key}; missing: {one.missing}"


def _steps(one: Progress) -> str:
    key = "" if one.key is None else f" for {one.key}"
    if one.reached == one.steps:
        return f"the whole pattern{key}, and lacked {one.missing}"
    return f"{one.reached} of {one.steps} steps{key}"
