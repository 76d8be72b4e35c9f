"""Policy tests: expectations met and missed, in simulated time."""

import pytest

from forestall.contracts.control import DecideSettings
from forestall.decide.examine import examine
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


def differences(expect: str, until: str = "60s", holdout: float = 0.0) -> tuple[str, ...]:
    (policy,) = parse(f"{POLICY}    until: {until}\n    expect: {expect}\n", "p.yaml")
    settings = DecideSettings(holdout=holdout)
    (result,) = examine(Bundle(policies=(policy,)), policy, settings)
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
