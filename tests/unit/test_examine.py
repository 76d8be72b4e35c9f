"""Policy tests: expectations met and missed, in simulated time."""

import pytest

from forestall.contracts.control import DecideSettings
from forestall.contracts.instants import SECOND
from forestall.decide.examine import Examined, examine
from forestall.policy.bundle import Bundle
from forestall.policy.language.parse import parse

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: card-declined}
spec:
  when:
    sequence:
      - {event: payment.declined, times: 2}
      - {not: payment.succeeded, for: 30s}
    by: event.data.order_id
  holdout: 0.9
tests:
  - name: case
    events:
      - {at: 0s,  type: payment.declined, data: {order_id: o1}}
      - {at: 20s, type: payment.declined, data: {order_id: o1}}
"""


def examined(expect: str, until: str = "60s", holdout: float = 0.0) -> Examined:
    (policy,) = parse(f"{POLICY}    until: {until}\n    expect: {expect}\n", "p.yaml")
    settings = DecideSettings(holdout=holdout)
    (result,) = examine(Bundle(policies=(policy,)), policy, settings)
    return result


def differences(expect: str, until: str = "60s", holdout: float = 0.0) -> tuple[str, ...]:
    result = examined(expect, until, holdout)
    assert result.passed is (not result.differences)
    return result.differences


@pytest.mark.parametrize(
    "expect",
    [
        "[{at: 50s, outcome: intervene}]",
        "[{at: 50s, outcome: intervene, key: o1}]",
        "[{at: 50s, outcome: intervene, key: '\"o1\"'}]",
    ],
)
def test_what_was_expected_came(expect: str) -> None:
    assert differences(expect) == ()


def test_a_deadline_counts_when_until_reaches_it() -> None:
    assert differences("[{at: 50s, outcome: intervene}]", until="50s") == ()
    assert differences("[]", until="49s") == ()


def test_what_did_not_come_and_what_was_not_expected_are_both_told() -> None:
    assert differences("[{at: 40s, outcome: suppress, reason: cooldown}]") == (
        "expected 40s suppress (cooldown); it did not come",
        'not expected: 50s intervene for key "o1"',
    )
    assert differences("[]") == ('not expected: 50s intervene for key "o1"',)


def test_tests_run_on_a_subject_outside_every_holdout() -> None:
    assert differences("[{at: 50s, outcome: intervene}]", holdout=0.9) == ()


def test_the_timeline_has_events_and_decisions_in_order_and_marks_what_differs() -> None:
    data = '{"order_id":"o1"}'
    events = [(0, "event", f"payment.declined {data}"), (20, "event", f"payment.declined {data}")]

    def timeline(expect: str) -> list[tuple[int, str, str]]:
        entries = examined(expect).timeline()
        return [(entry.at // SECOND, entry.mark, entry.text) for entry in entries]

    made = 'intervene for key "o1"'
    end = (60, "end", "the test ends")
    assert timeline("[{at: 50s, outcome: intervene}]") == [*events, (50, "met", made), end]
    assert timeline("[{at: 20s, outcome: suppress, reason: cooldown}]") == [
        *events,
        (20, "missing", "suppress (cooldown)"),
        (50, "unexpected", made),
        end,
    ]
