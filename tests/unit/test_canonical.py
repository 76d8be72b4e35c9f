"""The canonical form: what a version means, and that nothing is lost in it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.policy.language.canonical import canonical, from_canonical, pattern_hash, version
from forestall.policy.language.model import (
    Ask,
    Await,
    Escalate,
    Feature,
    Guide,
    Match,
    Model,
    Policy,
    PolicyTest,
    Step,
    When,
)
from forestall.policy.language.parse import parse

LEAST = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: x}
spec:
  when: {event: a.b}
"""
DEFAULTS = """\
# every default, written out
kind: "Policy"
spec:
  edge: false
  holdout: 0
  quiet_hours: 'respect'
  in_conversation: hold
  budget_class: guidance
  valid_for: 120s
  cooldown: 1d
  priority: 50
  risk: low
  purpose: support
  playbook: []
  features: {}
  when:
    event: [a.b]
metadata: {labels: {team: a}, review_by: 2027-01-31, owner: me, title: A title, name: x}
tests: []
apiVersion: forestall/v1
"""


def one(text: str) -> Policy:
    return parse(text, "f")[0]


def test_the_form_is_compact_json_with_sorted_keys_and_every_default() -> None:
    raw = canonical(one(LEAST))
    fields = json.loads(raw)
    assert raw == json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert fields == {
        "budget_class": "guidance",
        "condition": None,
        "cooldown": 86_400_000_000,
        "edge": False,
        "features": {},
        "holdout": 0.0,
        "in_conversation": "hold",
        "model": None,
        "name": "x",
        "playbook": [],
        "priority": 50,
        "purpose": "support",
        "quiet_hours": "respect",
        "risk": "low",
        "valid_for": 120_000_000,
        "when": {
            "by": None,
            "kind": "event",
            "steps": [
                {
                    "match": {"types": ["a.b"], "where": None},
                    "negative": False,
                    "quiet_for": None,
                    "times": 1,
                }
            ],
            "within": None,
        },
    }


def test_the_version_of_a_policy_stays_what_it_was() -> None:
    """Versions are in logs for years: a change of this text is a change of the contract."""
    expected = "d40eaa954c30d0e4ff2956ece6e1d4ecfb6fff456f460e057a217f85af387011"
    assert version(one(LEAST)) == expected


FIRST_STEPS = """\
  playbook:
    - guide: {runbook: r, channel: inapp}
    - await: {event: [c.d, e.f], where: event.data.x > 1, for: 10m, then: helped}
    - guide: {text: Hello, channel: crm}
    - escalate: {queue: q}
"""


def test_steps_that_learnt_more_keep_their_version() -> None:
    expected = "d3edb70228cb2840f691697896e1e5f05885cb54d9b53c5398fb909cefb2192a"
    assert version(one(LEAST + FIRST_STEPS)) == expected
    told = FIRST_STEPS.replace("channel: inapp", "channel: inapp, on_failure: next")
    told = told.replace("queue: q", "queue: q, on_failure: next") + "  running: finish\n"
    assert version(one(LEAST + told)) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("channel: inapp", "channel: inapp, timeout: 1m"),
        ("channel: inapp", "channel: inapp, on_failure: stop"),
        ("channel: inapp", "channel: inapp, undo: {action: a}"),
        ("then: helped", "then: next"),
        ("then: helped", "then: helped, on_failure: [{resolve: {}}]"),
        ("queue: q", "queue: q, timeout: 1h"),
        ("  playbook", "  running: cancel\n  playbook"),
    ],
)
def test_what_steps_have_learnt_changes_the_version(before: str, after: str) -> None:
    changed = FIRST_STEPS.replace(before, after, 1)
    assert changed != FIRST_STEPS
    assert version(one(LEAST + changed)) != version(one(LEAST + FIRST_STEPS))


ANSWERS = "  playbook: [{ask: {text: Well?, choices: {%s}, as: x, for: 5m}}]\n"


def test_the_order_of_answers_is_kept_and_is_part_of_the_version() -> None:
    one_way, other = (one(LEAST + ANSWERS % a) for a in ("z: Z, a: A", "a: A, z: Z"))
    assert version(one_way) != version(other)
    (ask,) = from_canonical(canonical(one_way)).playbook
    assert isinstance(ask, Ask)
    assert list(ask.choices) == ["z", "a"]


def test_a_step_may_be_called_like_a_key() -> None:
    text = "  playbook: [{enrich: {from: step, with: {step: '1', arms: '2'}, fields: [step]}}]\n"
    policy = one(LEAST + text)
    assert from_canonical(canonical(policy)).playbook == policy.playbook


def test_writing_defaults_order_quotes_and_comments_changes_nothing() -> None:
    assert version(one(DEFAULTS)) == version(one(LEAST))


def test_the_order_of_features_changes_nothing() -> None:
    a, b = "    a: {count: a.b, over: 5m}\n", "    b: {since: a.b}\n"
    first, second = (one(LEAST + "  features:\n" + text) for text in (a + b, b + a))
    assert first == second
    assert version(first) == version(second)


@pytest.mark.parametrize(
    "change",
    [
        "  if: features.x > 1\n",
        "  purpose: billing\n",
        "  risk: medium\n",
        "  priority: 51\n",
        "  cooldown: 23h\n",
        "  valid_for: 121s\n",
        "  budget_class: transactional\n",
        "  in_conversation: allow\n",
        "  quiet_hours: ignore\n",
        "  model: {name: m, threshold: 0.5}\n",
        "  holdout: 0.01\n",
        "  edge: true\n",
        "  playbook: [{escalate: {queue: q}}]\n",
        "  features: {f: {count: a.b, over: 5m}}\n",
    ],
)
def test_whatever_changes_behaviour_changes_the_version(change: str) -> None:
    assert version(one(LEAST + change)) != version(one(LEAST))


def test_the_name_is_part_of_the_version_and_the_pattern_hash_is_not_of_the_rest() -> None:
    other = one(LEAST.replace("x}", "y}") + "  priority: 7\n")
    assert version(other) != version(one(LEAST))
    assert pattern_hash(other.when) == pattern_hash(one(LEAST).when)
    assert pattern_hash(one(LEAST.replace("a.b", "a.c")).when) != pattern_hash(one(LEAST).when)


def test_what_is_not_a_canonical_form_is_refused() -> None:
    for raw in (
        b"",
        b"[]",
        b"{}",
        b'{"name": 5}',
        b'{"playbook": [{"step": "ask", "choices": 5}]}',
    ):
        with pytest.raises(msgspec.MsgspecError):
            from_canonical(raw)


names = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)
words = st.text(min_size=1, max_size=8)
spans = st.integers(0, 36_500 * 86_400_000_000)
matches = st.builds(
    Match,
    types=st.lists(words, min_size=1, max_size=3).map(tuple),
    where=st.none() | words,
)
steps = st.builds(
    Step,
    match=matches,
    negative=st.booleans(),
    times=st.integers(1, 32),
    quiet_for=st.none() | spans,
)
whens = st.builds(
    When,
    kind=st.sampled_from(["event", "sequence", "all"]),
    steps=st.lists(steps, min_size=1, max_size=4).map(tuple),
    within=st.none() | spans,
    by=st.none() | words,
)
feature = st.builds(
    Feature,
    kind=st.sampled_from(["count", "sum", "p99", "since"]),
    match=matches,
    value=st.none() | words,
    over=st.none() | spans,
    by=st.none() | words,
)
plays = st.one_of(
    st.builds(Guide, channel=words, runbook=st.none() | words, text=st.none() | words),
    st.builds(Await, match=matches, timeout=spans, then=st.sampled_from(["resolved", "helped"])),
    st.builds(Escalate, queue=words),
)
fractions = st.floats(0, 1)
policies: st.SearchStrategy[Any] = st.builds(
    Policy,
    name=names,
    title=words,
    owner=words,
    labels=st.dictionaries(words, words, max_size=2),
    features=st.dictionaries(words, feature, max_size=3).map(lambda d: dict(sorted(d.items()))),
    when=whens,
    condition=st.none() | words,
    purpose=words,
    risk=st.sampled_from(["low", "medium", "high"]),
    priority=st.integers(0, 100),
    cooldown=spans,
    valid_for=spans,
    budget_class=st.sampled_from(["guidance", "transactional"]),
    in_conversation=st.sampled_from(["hold", "allow"]),
    quiet_hours=st.sampled_from(["respect", "ignore"]),
    model=st.none() | st.builds(Model, name=words, threshold=fractions),
    holdout=fractions,
    edge=st.booleans(),
    playbook=st.lists(plays, max_size=3).map(tuple),
    tests=st.just((PolicyTest(name="t", events=(), until=None, expect=()),)),
)


@given(policies)
def test_a_round_trip_keeps_everything_but_metadata_and_tests(policy: Policy) -> None:
    raw = canonical(policy)
    back = from_canonical(raw)
    assert back == msgspec.structs.replace(policy, title=policy.name, owner="", labels={}, tests=())
    assert canonical(back) == raw
    assert version(back) == version(policy)


@given(policies, policies)
def test_equal_versions_mean_equal_behaviour(one: Policy, other: Policy) -> None:
    same = from_canonical(canonical(one)) == from_canonical(canonical(other))
    assert (version(one) == version(other)) is same
