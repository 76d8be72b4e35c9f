"""Policy tests: the cases in a policy file, run in simulated time by the engine that decides live."""

from collections.abc import Iterator

import msgspec

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import format_duration, parse_time
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine
from forestall.decide.plan import key_text
from forestall.measure.assign import in_holdout
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy, PolicyTest, TestExpectation

START = parse_time("2024-01-01T12:00:00Z")
"""The moment that tests call 0s."""


class Made(msgspec.Struct, frozen=True):
    """A decision as a test sees it; ``at`` counts from the test's start."""

    at: int
    outcome: str
    reason: str | None
    key: str | None

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        of_key = f" for key {self.key}" if self.key is not None else ""
        return f"{format_duration(self.at)} {self.outcome}{because}{of_key}"


class Examined(msgspec.Struct, frozen=True):
    """One case's result: the decisions made, and what differs from what was expected (nothing if
    it passed)."""

    policy: str
    case: PolicyTest
    made: tuple[Made, ...]
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the decisions are exactly those expected."""
        return not self.differences


def examine(bundle: Bundle, policy: Policy, settings: DecideSettings) -> Iterator[Examined]:
    """Run each test of ``policy``, alone and on a subject that is in no holdout."""
    alone = msgspec.structs.replace(bundle, policies=(policy,))
    subject = _subject(policy, settings)
    for case in policy.tests:
        made = tuple(_run(alone, case, subject, settings))
        yield Examined(policy.name, case, made, tuple(_differences(case.expect, made)))


def _subject(policy: Policy, settings: DecideSettings) -> str:
    candidates = (f"test-{number}" for number in range(100_000))
    return next(
        (
            name
            for name in candidates
            if not in_holdout(settings.salt, name, settings.holdout)
            and not in_holdout(f"{settings.salt}:{policy.name}", name, policy.holdout)
        ),
        "test-0",
    )


def _run(
    bundle: Bundle, case: PolicyTest, subject: str, settings: DecideSettings
) -> Iterator[Made]:
    engine = Engine()
    for control in opening(bundle, settings):
        engine.control(control)
    records = sorted(
        (
            Record(
                event.id or f"{number}",
                event.source,
                event.type,
                subject,
                START + event.at,
                START + (event.at if event.received is None else event.received),
                event.origin,
                msgspec.Raw(msgspec.json.encode(event.data)),
            )
            for number, event in enumerate(case.events, start=1)
        ),
        key=lambda record: record.received,
    )
    until = case.until
    if until is None:
        until = max((record.received for record in records), default=START) - START
    decisions = [decision for _, decision in engine.process(records)]
    decisions += engine.tick(START + until + settings.grace + 1)
    return (made for made in map(_made, decisions) if made.at <= until)


def _made(decision: Decision) -> Made:
    return Made(parse_time(decision.at) - START, decision.outcome, decision.reason, decision.key)


def _differences(expected: tuple[TestExpectation, ...], made: tuple[Made, ...]) -> Iterator[str]:
    left = list(made)
    for one in expected:
        found = next((actual for actual in left if _meets(actual, one)), None)
        if found is None:
            yield f"expected {Made(one.at, one.outcome, one.reason, one.key)}; it did not come"
        else:
            left.remove(found)
    for actual in left:
        yield f"not expected: {actual}"


def _meets(made: Made, expected: TestExpectation) -> bool:
    return (
        made.at == expected.at
        and made.outcome == expected.outcome
        and (expected.reason is None or made.reason == expected.reason)
        and (expected.key is None or made.key in (expected.key, key_text(expected.key)))
    )
