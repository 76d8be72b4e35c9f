"""Changes of policies in words: every field, and only what differs."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.policy.language.canonical import version
from forestall.policy.language.changes import changes, when_words
from forestall.policy.language.model import Model, Policy
from scenario import on, policy

BASE = (
    "{sequence: [{event: a, times: 2}, {not: b, where: event.data.x == 1}, {event: c}, "
    "{not: d, for: 30s}], within: 10m, by: event.data.k}"
)


def words(old: Policy, new: Policy) -> tuple[str, ...]:
    (change,) = changes([old], [new])
    assert change.kind == "changed"
    assert change.matters is bool(change.words)
    return change.words


def pattern(old: str, new: str) -> tuple[str, ...]:
    return words(on(old), on(new))


@pytest.mark.parametrize(
    ("field", "old", "new", "told"),
    [
        ("cooldown", "24h", "12h", "`cooldown` is 12h instead of 24h"),
        ("cooldown", "1h", "30s", "`cooldown` is 30s instead of 1h"),
        ("cooldown", "0s", "1d", "`cooldown` is 1d instead of 0s"),
        ("valid_for", "2m", "90s", "`valid_for` is 90s instead of 2m"),
        ("priority", 50, 70, "`priority` is 70 instead of 50"),
        ("holdout", 0, 0.05, "`holdout` is 0.05 instead of 0"),
        ("edge", False, True, "`edge` is true instead of false"),
        ("quiet_hours", "respect", "ignore", "`quiet_hours` is ignore instead of respect"),
        ("in_conversation", "hold", "allow", "`in_conversation` is allow instead of hold"),
        ("purpose", "support", "help", "`purpose` is help instead of support"),
        ("running", "finish", "cancel", "`running` is cancel instead of finish"),
        ("risk", "low", "medium", "`risk` is medium instead of low"),
        ("budget_class", "guidance", "transactional", "`budget_class` is transactional instead"),
    ],
)
def test_a_changed_field_is_told_with_both_values(
    field: str, old: Any, new: Any, told: str
) -> None:
    def spec(value: Any) -> str:
        return f"  when: {{event: a}}\n  {field}: {value if value is not False else 'false'}\n"

    (found,) = words(policy(spec(old)), policy(spec(str(new).lower())))
    assert found.startswith(told)


def test_a_model_comes_and_goes() -> None:
    plain = on("{event: a}")
    modelled = replace(plain, model=Model(name="m", threshold=0.6))
    assert words(plain, modelled) == ("`model` is m at 0.6; there was none",)
    assert words(modelled, plain) == ("`model` was m at 0.6, now none",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (BASE, BASE.replace(", within: 10m", ""), ["`within` was 10m, now none"]),
        (BASE, BASE.replace("10m", "5m"), ["`within` is 5m instead of 10m"]),
        (BASE, BASE.replace(", by: event.data.k", ""), ["`by` was `event.data.k`, now none"]),
        (BASE, BASE.replace("times: 2", "times: 3"), ["step 1 (`a`): `times` is 3 instead of 2"]),
        (BASE, BASE.replace("30s", "1m"), ["step 4 (`d`): `for` is 60s instead of 30s"]),
        (BASE, BASE.replace("event: c", "event: e"), ["step 3 is on `e` instead of `c`"]),
        (BASE, BASE.replace("event: c", "event: [c, e]"), ["step 3 is also on `e`"]),
        (
            BASE,
            BASE.replace("x == 1", "x == 2"),
            ["step 2: `where` requires `event.data.x == 2` instead of `event.data.x == 1`"],
        ),
        (
            BASE,
            BASE.replace(", where: event.data.x == 1", ""),
            ["step 2: `where` is gone; it was `event.data.x == 1`"],
        ),
        (
            BASE,
            BASE.replace("{not: b, where: event.data.x == 1}, ", ""),
            ["step 2 is gone: no `b` where `event.data.x == 1`"],
        ),
        (
            BASE,
            BASE.replace("{event: c}", "{event: c}, {event: e}"),
            ["a new step 4: `e`"],
        ),
        (
            "{event: a}",
            "{all: [{event: a}, {event: b}], within: 1m}",
            ["`when` is `a` and `b`, within 1m (`all`) instead of `a` (`event`)"],
        ),
        (
            "{sequence: [{event: a}, {not: b}, {event: c}]}",
            "{sequence: [{event: a}, {event: b}, {event: c}]}",
            ["step 2 is `b` instead of no `b`"],
        ),
        (
            "{event: [a, b]}",
            "{event: [b, a]}",
            ["written differently, with the same meaning"],
        ),
    ],
)
def test_a_changed_pattern_is_told_step_by_step(old: str, new: str, told: list[str]) -> None:
    assert pattern(old, new) == tuple(told)


def condition(old: str | None, new: str | None) -> tuple[str, ...]:
    plain = on("{event: a}")
    return words(replace(plain, condition=old), replace(plain, condition=new))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, "1 < 2", ["`if` is new: `1 < 2`"]),
        ("1 < 2", None, ["`if` is gone; it was `1 < 2`"]),
        ("event.id == 'a'", "event.id == 'a' && now == now", ["`if` now also requires `now == now`"]),
        ("has(subject.x) && now == now", "now == now", ["`if` no longer requires `has(subject.x)`"]),
        (
            "subject.n < 5 && has(subject.x)",
            "subject.n < 3 && event.origin == 'server'",
            [
                "`if` requires `subject.n < 3` instead of `subject.n < 5`",
                "`if` requires `event.origin == 'server'` instead of `has(subject.x)`",
            ],
        ),
        (
            "subject.a == '&&' || subject.b && subject.c",
            "subject.a == '&&' || subject.b",
            [
                "`if` requires `subject.a == '&&' || subject.b` instead of "
                "`subject.a == '&&' || subject.b && subject.c`"
            ],
        ),
        (
            "subject.a && subject.b",
            "subject.b  &&  subject.a",
            ["`if` is written differently: `subject.b  &&  subject.a` instead of `subject.a && subject.b`"],
        ),
        ("(subject.a && subject.b) && [1 ,2] == []", "(subject.a && subject.b)", [
            "`if` no longer requires `[1 ,2] == []`"
        ]),
    ],
)  # fmt: skip
def test_conditions_are_compared_part_by_part(
    old: str | None, new: str | None, told: list[str]
) -> None:
    assert condition(old, new) == tuple(told)


FEATURES = "  features: {{{}}}\n  when: {{event: a}}\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "n: {count: a, over: 10m}",
            "n: {count: a, over: 20m}",
            "the feature `n`: `over` is 20m instead of 10m",
        ),
        (
            "n: {count: a, over: 10m}",
            "n: {count: [a, b], over: 10m}",
            "the feature `n` is also on `b`",
        ),
        (
            "n: {count: a, over: 1h}",
            "n: {sum: event.data.x, of: a, over: 1h}",
            "the feature `n` is sum of `event.data.x` of `a` over 1h instead of count of `a` over 1h",
        ),
        (
            "n: {sum: event.data.x, of: a, over: 1h}",
            "n: {sum: event.data.y, of: a, over: 1h}",
            "the feature `n`: `sum` is event.data.y instead of event.data.x",
        ),
        ("", "n: {since: a}", "a new feature `n`: since of `a`"),
        (
            "n: {since: a, where: event.data.x > 1, by: event.data.k}",
            "",
            "the feature `n` is gone: since of `a` where `event.data.x > 1` by `event.data.k`",
        ),
    ],
)
def test_features(old: str, new: str, told: str) -> None:
    assert words(policy(FEATURES.format(old)), policy(FEATURES.format(new))) == (told,)


def test_playbooks() -> None:
    old = on("{event: a}", playbook=[{"guide": {"text": "Hi", "channel": "inapp"}}])
    new = on(
        "{event: a}",
        playbook=[
            {"guide": {"runbook": "r", "channel": "inapp"}},
            {"await": {"event": "b", "for": "1m", "then": "resolved"}},
            {"escalate": {"queue": "q"}},
        ],
    )
    assert words(old, new) == (
        "playbook step 1 is guide by inapp with runbook r instead of guide by inapp with 'Hi'",
        "a new playbook step 2: await `b` for 1m, then resolved",
        "a new playbook step 3: escalate to q",
    )
    assert words(new, old)[1:] == (
        "playbook step 2 is gone: await `b` for 1m, then resolved",
        "playbook step 3 is gone: escalate to q",
    )


def test_added_and_removed_policies_and_those_that_stay() -> None:
    a, b, c = (on("{event: a}", name) for name in "abc")
    assert [(one.policy, one.kind) for one in changes([a, b], [b, c])] == [
        ("a", "removed"),
        ("c", "added"),
    ]
    assert all(one.matters for one in changes([a, b], [b, c]))
    assert changes([a, b], [b, a]) == []


DAY = datetime.date(2027, 1, 31)


def test_what_changes_no_decision_stands_apart() -> None:
    old = on("{event: a}")
    (change,) = changes(
        [old], [replace(old, title="New", owner="us", labels={"x": "y"}, review_by=DAY)]
    )
    assert (change.words, change.matters) == ((), False)
    assert change.besides == (
        "`title` is 'New' instead of 'p'",
        "`owner` is 'us' instead of ''",
        "`labels` differ",
        "`review_by` is 2027-01-31; there was none",
    )


def test_a_pattern_in_words() -> None:
    assert when_words(on(BASE).when) == (
        "2 times `a`, then no `b` where `event.data.x == 1`, then `c`, then no `d` for 30s, "
        "within 10m, by `event.data.k`"
    )


WHENS = st.sampled_from(
    ["{event: a}", "{event: [b, a]}", "{event: [a, b]}", BASE, BASE.replace("10m", "1m")]
)
POLICIES = st.builds(
    lambda when, cooldown, condition, priority: replace(
        on(when), cooldown=cooldown, condition=condition, priority=priority
    ),
    WHENS,
    st.sampled_from([0, 1_000, 86_400_000_000]),
    st.sampled_from([None, "now == now", "has(subject.a) && now == now"]),
    st.integers(0, 2),
)


@given(POLICIES, POLICIES)
def test_there_are_words_exactly_when_the_version_differs(old: Policy, new: Policy) -> None:
    differs = version(old) != version(new)
    assert any(change.matters for change in changes([old], [new])) is differs
