"""A backtest on several processes gives, byte for byte, what one gives.

Here the shares are decided one after another in this process; tests/flow has real processes.
"""

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.control import Control, DecideSettings, SettingsApplied, SwitchesApplied
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.decide.history import History, Share
from forestall.decide.parallel import Found, Part, Work, decide_share, merged
from forestall.policy.bundle import Bundle
from property.versions import models
from reference.comparing import put_in_force
from scenario import START, event, on

BUNDLE = Bundle(
    policies=(
        on("{sequence: [{event: a, times: 2}, {not: b, for: 5s}], by: event.data.k}", "absence"),
        on("{sequence: [{event: a}, {not: b, for: 3s}]}", "silence"),
        on("{sequence: [{event: a}, {not: c}, {event: b}], within: 9s}", "between", cooldown="4s"),
        on("{all: [{event: a}, {event: c}], within: 6s}", "both", holdout=0.5, priority=80),
        on(
            "{event: c}",
            "doubted",
            model={"name": "churn", "threshold": 0.5},
            features={"f": {"count": "a", "over": "20s"}},
        ),
    )
)
OTHERS = (
    on("{sequence: [{event: a, times: 3}, {not: b, for: 5s}], by: event.data.k}", "absence"),
    on("{sequence: [{event: a}, {not: b, for: 3s}]}", "silence", cooldown="6s"),
)
SETTINGS = DecideSettings(
    lateness=8 * SECOND, budget=9, budget_window=60 * SECOND, spacing=SECOND, holdout=0.2
)
TYPES = ["a", "a", "a", "b", "c", "t", "forestall.optout", "forestall.optin"]
SUBJECTS = [f"u{number}" for number in range(7)]


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Lines of a few subjects: late, repeated, at equal times, some without a subject."""
    received, lines = 0, []
    for number in range(draw(st.integers(1, 60))):
        received += draw(st.integers(0, 4))
        lines.append(
            event(
                received - draw(st.sampled_from([0, 0, 0, 1, 4, 8, 9])),
                draw(st.sampled_from(TYPES)),
                {"k": draw(st.sampled_from([0, 1, None]))},
                subject=draw(st.sampled_from([*SUBJECTS, ""])),
                event_id=f"e{draw(st.sampled_from([number, number, number, max(0, number - 3)]))}",
                received=received,
            )
        )
    return lines


@st.composite
def changes(draw: st.DrawFn) -> list[Control]:
    """Control records on the way: another grace, a policy switched off and on, other versions in
    canary and in shadow, models in canary."""
    found: list[Control] = []
    for at in sorted(draw(st.lists(st.integers(0, 120), max_size=4))):
        when = START + at * SECOND
        kind = draw(st.sampled_from(["grace", "off", "versions", "versions", "models"]))
        if kind == "versions":
            share = draw(st.sampled_from([0.2, 0.5, 0.9]))
            canary = [(one, share) for one in OTHERS if draw(st.booleans())]
            shadow = [one for one in OTHERS if draw(st.booleans())]
            found.append(put_in_force(when, BUNDLE.policies, canary, shadow))
        elif kind == "models":
            found.append(draw(models(when, ["doubted"])))
        elif kind == "grace":
            grace = draw(st.sampled_from([0, 1, 2, 6])) * SECOND
            changed = msgspec.structs.replace(SETTINGS, grace=grace)
            found.append(SettingsApplied(when, changed, "t", "t"))
        else:
            off = ("silence",) if draw(st.booleans()) else ()
            found.append(SwitchesApplied(when, off, False, "t", "t"))
    return found


def drained(work: Work, lines: Sequence[bytes], share: Share) -> tuple[list[Part], Found]:
    shares = decide_share(work, History(work.path, lines, share))
    parts: list[Part] = []
    while True:
        try:
            parts.append(next(shares))
        except StopIteration as end:
            found: Found = end.value
            return parts, found


def told(work: Work, lines: Sequence[bytes], jobs: int) -> tuple[list[bytes], bytes]:
    """The decisions' lines, and everything that they add up to; two subjects are dealt out."""
    dealt = {"u1": 0, "u2": jobs - 1}
    shares = [drained(work, lines, Share(part, jobs, dealt)) for part in range(jobs)]
    written: list[bytes] = []
    for parts in zip_longest(*(parts for parts, _ in shares)):
        written += [line.text for line in merged(parts).lines]
    found = sum((found for _, found in shares[1:]), start=shares[0][1])
    assert found.followed is not None
    outcomes = found.followed.result(found.tick or 0, 3, resamples=20)
    summary = {"facts": found.tally.facts(), "outcomes": outcomes, "counters": found.counters}
    return written, msgspec.json.encode({**summary, "skipped": found.skipped})


@settings(max_examples=60, deadline=None)
@given(histories(), changes(), st.integers(1, 9))
def test_any_number_of_shares_tells_the_same(
    lines: list[bytes], controls: list[Control], chunk: int
) -> None:
    from forestall.decide import history

    work = Work(
        path=Path("h"),
        controls=(*opening(BUNDLE, SETTINGS), *controls),
        gap=20 * SECOND,
        outcome="t",
        horizon=30 * SECOND,
        lines=True,
    )
    before, history.CHUNK = history.CHUNK, chunk  # type: ignore[misc]
    try:
        one, two, three = (told(work, lines, jobs) for jobs in (1, 2, 3))
    finally:
        history.CHUNK = before  # type: ignore[misc]
    assert two == one
    assert three == one


def test_there_is_something_to_tell() -> None:
    """Many customers' timers fire in one chunk, by others' events, in the order of one engine."""
    lines = [
        event(t // 5, "a", {"k": 1}, subject=f"u{t % 25}", event_id=f"e{t}") for t in range(500)
    ]
    work = Work(
        path=Path("h"),
        controls=tuple(opening(BUNDLE, SETTINGS)),
        gap=SECOND,
        outcome="t",
        horizon=SECOND,
        lines=True,
    )
    written, _ = told(work, lines, 1)
    assert len(written) > 100
    assert len({json.loads(line)["policy"] for line in written}) >= 2
    assert [told(work, lines, jobs)[0] for jobs in (2, 3)] == [written, written]
