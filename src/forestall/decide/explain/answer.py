"""The answer to why, or why not. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from forestall.contracts.control import Control
from forestall.contracts.decision import Decision, Mode
from forestall.contracts.event import Record
from forestall.contracts.instants import format_time, parse_time
from forestall.decide.explain.changes import Counterfactual, Fixed, short
from forestall.decide.explain.course import Attempt
from forestall.decide.explain.fitting import key_of
from forestall.decide.explain.gates import Gate, gates
from forestall.decide.explain.progress import Progress, standing, told
from forestall.decide.explain.replay import Furthest, Hit, Replay, Taken, Unmet
from forestall.decide.explain.search import search
from forestall.decide.explain.telling import Seen, progress_line, summary, timeline
from forestall.decide.gates import Circumstances
from forestall.policy.language.compile import Program, compile_policy

NEWEST_EVENTS = 10
"""Events shown besides those that matched."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: whether the policy acted.

    ``version`` and ``mode`` are of what is in force for the subject; beside a version that acts, one
    in shadow is not looked at.
    ``decision`` is its newest for the subject up to ``at``, with the ``matched`` events and the
    ``gates`` as they stood then; without one, ``gates`` are those of ``at``. ``progress`` is that of
    ``at``, ``furthest`` the best since the last decision. ``events`` are the newest before the
    decision, or ``at``. Where it did not act, ``counterfactual`` is what would have to differ.
    ``summary`` says it in a few sentences.
    """

    subject: str
    policy: str
    at: str
    answer: Literal["yes", "no"]
    version: str | None
    mode: Mode | None
    decision: Decision | None
    matched: tuple[Seen, ...]
    gates: tuple[Gate, ...]
    progress: tuple[Progress, ...]
    furthest: Progress | None
    events: tuple[Seen, ...]
    counterfactual: Counterfactual | None
    summary: str


def explain(
    controls: Sequence[Control], records: Iterable[Record], subject: str, policy: str, at: int
) -> Explanation:
    """Why ``policy`` did what it did for ``subject`` as of log time ``at``.

    ``records`` are all of the subject's, in log order; later ones are left alone.
    """
    past = [record for record in records if record.received <= at]
    replay = Replay([one for one in controls if one.received <= at], subject, policy)
    replay.take(past)
    replay.tick(at)
    newest = _newest(replay, at)
    program, now, keys = replay.engine.standing(subject, policy, at)
    if newest is not None:
        now = newest.now
    seen = _seen(past, replay.hits)
    furthest = None if newest is not None else _furthest(replay)
    acted = newest is not None and newest.decision.outcome == "intervene"
    differ = None if acted else _counterfactual(replay, past, newest, program, at)
    decision = None if newest is None else newest.decision
    matched = () if newest is None else _matched(seen, newest)
    said = () if now is None else gates(now)
    return Explanation(
        subject=subject,
        policy=policy,
        at=format_time(at),
        answer="yes" if acted else "no",
        version=None if program is None else program.version,
        mode=None if program is None else program.mode,
        decision=decision,
        matched=matched,
        gates=said,
        progress=() if program is None else standing(program.pattern, keys, at),
        furthest=furthest,
        events=tuple(_before(seen, newest)[-NEWEST_EVENTS:]),
        counterfactual=differ,
        summary=summary(policy, program is not None, decision, matched, said, furthest, differ),
    )


def _newest(replay: Replay, at: int) -> Taken | None:
    """The policy's newest decision; of several keys at one moment, the one that was looked at. What
    a page decided stands for what was made of the same events here."""
    own = [one for one in replay.own() if parse_time(one.decision.at) <= at]
    told = {_about(one.decision) for one in own if one.decision.edge is True}
    own = [one for one in own if one.decision.edge is True or _about(one.decision) not in told]
    same = [one for one in own if one.decision.at == own[-1].decision.at]
    same.sort(key=lambda one: one.decision.outcome != "intervene")
    ahead = [one for one in same if one.decision.reason != "outranked"]
    return next(iter(ahead or same), None)


def _about(decision: Decision) -> tuple[str | None, tuple[str, ...]]:
    return decision.key, decision.matched


def _furthest(replay: Replay) -> Progress | None:
    if replay.unmet:
        one = replay.unmet[-1]
        steps = len(one.program.pattern.positives)
        missing = f"a condition that holds: `{one.program.policy.condition}`"
        return Progress(_key(one), steps, steps, missing, format_time(one.at))
    best = replay.furthest
    return None if best is None else told(best.program.pattern, best.reach, best.clock)


def _seen(past: Sequence[Record], hits: Sequence[Hit]) -> list[Seen]:
    steps = {hit.index: tuple(step + 1 for step in hit.steps) for hit in hits}
    return [
        Seen(format_time(record.time), record.type, record.id, steps.get(index, ()))
        for index, record in enumerate(past)
    ]


def _before(seen: Sequence[Seen], newest: Taken | None) -> Sequence[Seen]:
    if newest is None:
        return seen
    return seen[: newest.index + newest.by_record]


def _matched(seen: Sequence[Seen], newest: Taken) -> tuple[Seen, ...]:
    """The newest event of each matched id, which are in log order. A page tells what it decided
    before it tells the last of them."""
    past = seen if newest.decision.edge is True else _before(seen, newest)
    by_id = {one.id: one for one in past if one.steps}
    return tuple(by_id[one] for one in newest.decision.matched if one in by_id)


# -- where a different course could have begun ------------------------------------------------------


def _counterfactual(
    replay: Replay, past: Sequence[Record], newest: Taken | None, program: Program | None, at: int
) -> Counterfactual:
    if newest is not None:
        decided = compile_policy(newest.now.policy, newest.decision.version)
        return search(decided, past, replay, _from_decision(replay, past, newest, decided, at))
    if replay.unmet:
        unmet = replay.unmet[-1]
        return search(unmet.program, past, replay, _from_unmet(replay, past, unmet, at))
    best = replay.furthest
    if best is not None:
        return search(best.program, past, replay, _from_progress(replay, past, best, at))
    if program is not None:
        whole = Attempt(len(past), at, _all_steps(program), None)
        return search(program, past, replay, [whole])
    fixed = Fixed("not_in_force", f"a policy called `{replay.policy}` had been in force")
    return Counterfactual(
        kept=len(past),
        as_of=format_time(at),
        start=format_time(at),
        changes=(fixed,),
        acts_at=None,
        certain=False,
        again=False,
    )


def _from_decision(
    replay: Replay, past: Sequence[Record], newest: Taken, program: Program, at: int
) -> list[Attempt]:
    key = newest.decision.key
    if newest.by_record:
        return _at_record(replay, past, newest.index, program, key)
    deadline = newest.now.at
    return _at_deadline(past, newest.index, program, key, deadline, newest.now, at)


def _from_unmet(replay: Replay, past: Sequence[Record], unmet: Unmet, at: int) -> list[Attempt]:
    key = _key(unmet)
    if unmet.program.pattern.trailing is None:
        return _at_record(replay, past, unmet.index, unmet.program, key)
    _, now, _ = replay.engine.standing(replay.subject, replay.policy, at)
    return _at_deadline(past, unmet.index, unmet.program, key, unmet.at, now, at)


def _at_record(
    replay: Replay, past: Sequence[Record], index: int, program: Program, key: str | None
) -> list[Attempt]:
    """The same event again under other circumstances, or everything again after it."""
    record = past[index]
    steps = next((hit.steps for hit in reversed(replay.hits) if hit.index == index), (0,))
    last = (len(program.pattern.positives) - 1,) if program.pattern.ordered else steps[:1]
    return [
        Attempt(index, record.received, last, key, None, record, again=True),
        Attempt(index + 1, record.received, _all_steps(program), key, again=True),
    ]


def _at_deadline(
    past: Sequence[Record],
    index: int,
    program: Program,
    key: str | None,
    deadline: int,
    now: Circumstances | None,
    at: int,
) -> list[Attempt]:
    """The same deadline under other circumstances, or everything again after it."""
    noticed = past[index].received if index < len(past) else at
    grace = 0 if now is None else now.settings.grace
    anchor = min(noticed, deadline + grace)
    return [
        Attempt(index, anchor, (), key, deadline, again=True),
        Attempt(index, deadline + grace + 1, _all_steps(program), key, again=True),
    ]


def _from_progress(
    replay: Replay, past: Sequence[Record], best: Furthest, at: int
) -> list[Attempt]:
    """What was missing then, or everything once what was waited for is over, or now."""
    reach = best.reach
    received = past[best.index].received
    whole = _all_steps(best.program)
    over = 0
    if not reach.lacking and reach.before is not None:
        _, now, _ = replay.engine.standing(replay.subject, replay.policy, at)
        over = reach.before + (0 if now is None else now.settings.grace) + 1
    return [
        Attempt(best.index + 1, received, reach.lacking, reach.key, reach.before),
        Attempt(best.index + 1, max(received, over), whole, reach.key),
        Attempt(len(past), max(at, over), whole, reach.key),
    ]


def _all_steps(program: Program) -> tuple[int, ...]:
    return tuple(range(len(program.pattern.positives)))


def _key(unmet: Unmet) -> str | None:
    given = unmet.given
    return key_of(unmet.program.pattern.by, (given["event"], given["subject"], given["now"]))


# -- for people ------------------------------------------------------------------------------------


def text(found: Explanation) -> str:
    """The whole answer, the timeline first, the reasons in the order in which they were asked."""
    mode = f" ({found.mode})" if found.mode not in (None, "live") else ""
    lines = [f"{found.policy}{mode} for {found.subject} at {short(found.at)}", ""]
    lines += ["what happened (UTC):", *(timeline(found.events) or ["  nothing"])]
    lines += ["", found.summary]
    if found.decision is not None and found.decision.features:
        lines += ["", "features then:"]
        lines += [f"  {name} = {value}" for name, value in found.decision.features.items()]
    for said in (found.decision.confidence if found.decision else None) or ():
        lines += ["", f"{said.model} ({said.mode}) gave {said.probability:g}:"]
        lines += [f"  {name} {value:+.3f}" for name, value in said.contributions.items()]
    if found.gates:
        lines += ["", "gates, in order:"]
    for gate in found.gates:
        until = f" until {short(gate.until)}" if gate.until else ""
        lines.append(f"  {'NO ' if gate.refuses else 'ok '} {gate.reason}{until}")
    if found.progress:
        lines += ["", f"pattern at {short(found.at)}:"]
        lines += [progress_line(one) for one in found.progress]
    return "\n".join(lines)
