"""A playbook to play in tests: a decision, a policy, what happens to it, and what it commanded."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import MINUTE, SECOND, format_time
from forestall.intervene import playbook
from forestall.intervene.running import (
    Arrival,
    Command,
    Matched,
    Report,
    Running,
    Turn,
)
from forestall.policy.language.model import (
    Approve,
    Ask,
    Enrich,
    Escalate,
    Guide,
    Match,
    PlaybookStep,
    Policy,
    Remediate,
    Step,
    When,
)

START = 1_700_000_000 * SECOND
GUIDE = Guide(channel="inapp", text="Hello.")
ASK = Ask(text="Again?", choices={"retry": "Yes", "no": "No"}, into="answer", timeout=10 * MINUTE)
LOOK = Enrich(source="billing", fields=("retryable", "brand"), arguments={"c": "subject.customer"})
CHARGE = Remediate(
    action="retry-charge",
    arguments={"payment": "event.data.payment"},
    fields=("receipt",),
    queue="payments",
)
REFUND = Remediate(action="refund", queue="payments", on_failure="stop")
APPROVE = Approve(timeout=30 * MINUTE)
ESCALATE = Escalate(queue="payments")

DECISION = Decision(
    id="d1",
    policy="card-declined",
    version="v1",
    mode="live",
    subject="s1",
    key=None,
    at=format_time(START),
    outcome="intervene",
    reason=None,
    matched=("e1",),
    features={"declines": 2},
    explanation="Because.",
)
EVENT = Matched("e1", "payment.declined", "shop", START, "server", {"payment": "p7", "amount": 12})
TRAITS = {"customer": "c9"}


def begin(*steps: PlaybookStep, risk: Literal["low", "high"] = "low", trusted: bool = True) -> Turn:
    policy = Policy(
        name="card-declined",
        title="Card declined",
        owner="payments",
        when=When(kind="event", steps=(Step(match=Match(types=("payment.declined",))),)),
        risk=risk,
        playbook=steps,
    )
    return playbook.start(
        DECISION,
        policy,
        lateness=5 * MINUTE,
        grace=2 * SECOND,
        event=EVENT,
        traits=TRAITS,
        trusted=trusted,
    )


def arrival(
    event_type: str,
    after: int,
    origin: Any = "server",
    *,
    received: int | None = None,
    traits: dict[str, Any] | None = None,
    **data: Any,
) -> Arrival:
    """An event ``after`` microseconds from the start, received at once unless told otherwise."""
    record = Record(
        id=f"{event_type}-{after}",
        source="test",
        type=event_type,
        subject="s1",
        time=START + after,
        received=START + (after if received is None else received),
        origin=origin,
    )
    return Arrival(record, lambda: data, lambda: TRAITS if traits is None else traits)


def told(kind: str, after: int, origin: Any = "server", **data: Any) -> Arrival:
    return arrival(f"forestall.intervention.{kind}", after, origin, intervention="d1", **data)


def play(turn: Turn, *arrivals: Arrival) -> Turn:
    state, commands = turn
    for item in arrivals:
        state, more = playbook.on_event(state, item)
        commands = [*commands, *more]
    return state, commands


def words(commands: Sequence[Command]) -> list[tuple[str, int | None]]:
    """Commands as a word and a step, reports as what they tell."""
    return [
        (one.told if isinstance(one, Report) else type(one).__name__, getattr(one, "step", None))
        for one in commands
    ]


def command(word: str, after: int, **data: Any) -> Arrival:
    return told("commanded", after, command=word, by="anna", **data)


def same_wherever_it_restarts(
    turn: Turn,
    arrivals: Iterable[Arrival],
    flip: Callable[[], bool],
    aimed: Callable[[Running, Arrival], Arrival] = lambda _, item: item,
) -> None:
    """Play ``arrivals`` twice: once straight on, once looked at by the clock and packed where
    ``flip`` says so. ``aimed`` fits an arrival to where the playbook is."""
    plain, expected = turn
    restarted, got = plain, list(expected)
    for drawn in arrivals:
        item = aimed(plain, drawn)
        plain, more = playbook.on_event(plain, item)
        expected += more
        if flip():
            restarted, more = playbook.on_time(restarted, item.record.received)
            got += more
        if flip():
            restarted = msgspec.json.decode(msgspec.json.encode(restarted), type=Running)
        restarted, more = playbook.on_event(restarted, item)
        got += more
    assert got == expected
    assert restarted == plain
