"""Policy tests: the cases in a policy file, run in simulated time by the engine that decides live.

``coverage`` says what a policy's cases leave untried.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision, Outcome
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
    outcome: Outcome
    reason: str | None
    key: str | None

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        of_key = f" for key {self.key}" if self.key is not None else ""
        return f"{format_duration(self.at)} {self.outcome}{because}{of_key}"


class Entry(msgspec.Struct, frozen=True):
    """One line of a case's timeline. ``mark`` says what it is: an event, a decision that was
    expected and made, one that was expected and did not come, one that was not expected, or the
    end."""

    at: int
    mark: Literal["event", "met", "missing", "unexpected", "end"]
    text: str


class Examined(msgspec.Struct, frozen=True):
    """One case's result: the decisions made, and which of them, and of those expected, found no
    partner (none if it passed)."""

    policy: str
    case: PolicyTest
    made: tuple[Made, ...]
    missing: tuple[Made, ...]
    unexpected: tuple[Made, ...]

    @property
    def passed(self) -> bool:
        """Whether the decisions are exactly those expected."""
        return not (self.missing or self.unexpected)

    @property
    def differences(self) -> tuple[str, ...]:
        """What differs from what was expected, in words; nothing if the case passed."""
        return (
            *(f"expected {one}; it did not come" for one in self.missing),
            *(f"not expected: {one}" for one in self.unexpected),
        )

    def timeline(self) -> list[Entry]:
        """What happened, in order of time, with the decisions expected and made."""
        left = list(self.unexpected)
        entries = [
            Entry(event.at, "event", f"{event.type} {_json(event.data)}".removesuffix(" {}"))
            for event in self.case.events
        ]
        for made in self.made:
            known = made in left
            if known:
                left.remove(made)
            entries.append(_decision(made, "unexpected" if known else "met"))
        entries += [_decision(one, "missing") for one in self.missing]
        if self.case.until is not None:
            entries.append(Entry(self.case.until, "end", "the test ends"))
        return sorted(entries, key=lambda entry: (entry.at, entry.mark == "end"))


def _decision(made: Made, mark: Literal["met", "missing", "unexpected"]) -> Entry:
    return Entry(made.at, mark, str(made).partition(" ")[2])


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode()


def examine(bundle: Bundle, policy: Policy, settings: DecideSettings) -> Iterator[Examined]:
    """Run each test of ``policy``, alone and on a subject that is in no holdout."""
    for case in policy.tests:
        run = CaseRun(bundle, policy, case, settings)
        decisions = [*run.process(run.records), *run.finish()]
        made = tuple(_made(one) for one in decisions)
        made = tuple(one for one in made if one.at <= run.until)
        missing, unexpected = _unpaired(case.expect, made)
        yield Examined(policy.name, case, made, missing, unexpected)


class CaseRun:
    """One case about to run: the engine with the policy alone in force, the case's records in log
    order, and the end ``until``, in microseconds after the start."""

    def __init__(
        self, bundle: Bundle, policy: Policy, case: PolicyTest, settings: DecideSettings
    ) -> None:
        self.engine = Engine()
        for control in opening(msgspec.structs.replace(bundle, policies=(policy,)), settings):
            self.engine.control(control)
        self.subject = _subject(policy, settings)
        self.records = _records(case, self.subject)
        last = max((record.received for record in self.records), default=START) - START
        self.until = last if case.until is None else case.until
        self._grace = settings.grace

    def process(self, records: Sequence[Record]) -> list[Decision]:
        """Decide on the next records."""
        return [decision for _, decision in self.engine.process(records)]

    def finish(self) -> list[Decision]:
        """What becomes due up to the case's end."""
        return self.engine.tick(START + self.until + self._grace + 1)


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


def _records(case: PolicyTest, subject: str) -> list[Record]:
    records = (
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
    )
    return sorted(records, key=lambda record: record.received)


def _made(decision: Decision) -> Made:
    return Made(parse_time(decision.at) - START, decision.outcome, decision.reason, decision.key)


def _unpaired(
    expected: tuple[TestExpectation, ...], made: tuple[Made, ...]
) -> tuple[tuple[Made, ...], tuple[Made, ...]]:
    left, missing = list(made), []
    for one in expected:
        found = next((actual for actual in left if _meets(actual, one)), None)
        if found is None:
            missing.append(Made(one.at, one.outcome, one.reason, one.key))
        else:
            left.remove(found)
    return tuple(missing), tuple(left)


def _meets(made: Made, expected: TestExpectation) -> bool:
    return (
        made.at == expected.at
        and made.outcome == expected.outcome
        and (expected.reason is None or made.reason == expected.reason)
        and (expected.key is None or made.key in (expected.key, key_text(expected.key)))
    )
