"""Judgement beyond grammar: what a policy names must exist, and its types must fit."""

import json
from pathlib import Path

import msgspec
import pytest

from forestall.contracts.catalogue import load_catalogue
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.parse import parse_located

HEAD = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x, owner: me}
spec:
"""
PLAYBOOK = "  playbook: [{guide: {text: hi, channel: inapp}}]\n"

PAYMENT = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "count": {"type": ["integer", "null"]},
        "order": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "open": {"type": "boolean"}},
        },
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"price": {"type": "number"}}},
        },
        "card": {"type": "string", "x-privacy": "drop"},
        "any": {},
        "free": {"type": "object", "additionalProperties": True},
    },
}
PAGE = {"type": "object", "properties": {"path": {"type": "string"}}}
TRAITS = {
    "type": "object",
    "properties": {
        "traits": {
            "type": "object",
            "properties": {"plan": {"type": "string"}, "email": {"x-privacy": "drop"}},
        }
    },
}


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    contracts = {"payment.declined": PAYMENT, "page.viewed": PAGE, "forestall.identify": TRAITS}
    for name, schema in contracts.items():
        text = json.dumps({"x-owner": "me", **schema})
        (tmp_path / f"{name}.v1.json").write_text(text)
    return Surroundings(
        catalogue=load_catalogue(tmp_path),
        runbooks=frozenset(["card-declined"]),
        queues=frozenset(["payments", "shipping"]),
        channels=frozenset(["inapp", "crm"]),
    )


def told(text: str, around: Surroundings = ANYTHING) -> list[str]:
    located, problems = parse_located(text, "f.yaml")
    assert problems == []
    return [
        f"{p.line}:{p.column} {p.severity} {p.code}: {p.message}"
        + (f" | {p.hint}" if p.hint else "")
        for one in located
        for p in check(one, around)
    ]


def where(condition: str) -> str:
    return (
        HEAD + f"  when: {{event: payment.declined, where: {json.dumps(condition)}}}\n" + PLAYBOOK
    )


def test_a_sound_policy_has_no_problems(around: Surroundings) -> None:
    text = (
        HEAD
        + """\
  features:
    declines: {count: payment.declined, where: event.data.amount > 5, over: 5m}
    spent: {sum: event.data.amount, of: payment.declined, over: 5m, by: event.data.order.id}
    any: {since: "*"}
  when:
    sequence:
      - {event: payment.declined, where: "event.data.order.open && has(event.data.amount)"}
      - {not: [page.viewed, forestall.ticket.opened], where: event.data.path == '/pay', for: 30s}
    by: event.source
  if: "features.declines > 1 && features.spent > 5.0 && features.any < 3.0 && subject.plan == 'pro'"
  playbook:
    - guide: {text: "Order {{ event.data.order.id }}, {{ features.declines }}", channel: inapp}
    - await: {event: page.viewed, where: event.data.path.startsWith('/'), for: 5m}
    - guide: {runbook: card-declined, channel: crm}
    - escalate: {queue: payments}
tests:
  - {name: t, expect: [], events: [{at: 0s, type: payment.declined}]}
"""
    )
    assert told(text, around) == []
    assert told(text) == []


def test_without_surroundings_anything_may_be_named() -> None:
    text = where("event.data.nothing == 1 && subject.whatever == 'x'")
    assert told(text.replace("channel: inapp", "channel: fax")) == []


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("event.data.amuont > 1", "0 unknown-field: `event.data.amuont` is not a field of payment.declined | did you mean `amount`?"),
        ("true && event.data.order.ids == ''", "8 unknown-field: `event.data.order.ids` is not a field of payment.declined | did you mean `id`?"),
        ("has(event.data.zzz)", "4 unknown-field: `event.data.zzz` is not a field of payment.declined"),
        ("event.data.any.thing == 1", "0 unknown-field: `event.data.any.thing` is not a field of payment.declined"),
        ("event.data.card == ''", "0 unknown-field: `event.data.card` is of privacy class drop: no event will ever have it"),
        ("event.tipe == ''", "0 unknown-field: an event has no `tipe` | did you mean `type`?"),
        ("event.order_id == ''", "0 unknown-field: an event has no `order_id` | what the sender said stands under `event.data.order_id`"),
        ("subject.plann == ''", "0 unknown-trait: `subject.plann` is not a trait that is kept | did you mean `plan`?"),
        ("subject.email != ''", "0 unknown-trait: `subject.email` is not a trait that is kept | declare it in a contract forestall.identify.v1.json"),
        ("event.data.order.id == 5", "0 type-mismatch: `event.data.order.id` is string, and is compared with a number | write '5' in quotes"),
        ("event.data.amount > '5'", "0 type-mismatch: `event.data.amount` is number, and is compared with a string | write the number without quotes"),
        ("'5' < event.data.amount", "6 type-mismatch: `event.data.amount` is number, and is compared with a string | write the number without quotes"),
        ("true && event.data.count in [1, 'a']", "8 type-mismatch: `event.data.count` is integer or null, and is compared with a string | write the number without quotes"),
        ("event.data.order.open == 1.5", "0 type-mismatch: `event.data.order.open` is boolean, and is compared with a number"),
    ],
)  # fmt: skip
def test_conditions_against_the_catalogue(
    around: Surroundings, condition: str, expected: str
) -> None:
    column, rest = expected.split(" ", 1)
    text = where(condition).replace("where: ", "where:\n     ")
    assert told(text, around) == [f"6:{7 + int(column)} error {rest}"]


@pytest.mark.parametrize(
    "condition",
    [
        "event.data.any == 'x'",
        "event.data.free.x == 1",
        "event.data.count == null",
        "event.data.lines[0].price > 1",
        "event.data.lines.exists(line, line.price > 1)",
        "event.data.amount in [1, 2.5]",
        "event.id == 'e' && event.type == 'payment.declined' && event.origin == 'server'",
        "event.time < now",
        "event.data == {}",
        "subject == {}",
    ],
)
def test_conditions_that_cannot_be_judged_or_are_fine(around: Surroundings, condition: str) -> None:
    assert told(where(condition), around) == []


def test_fields_are_judged_only_where_every_type_is_known(around: Surroundings) -> None:
    either = where("event.data.path == '' || event.data.amount > 1")
    both = either.replace("payment.declined", "[payment.declined, page.viewed]")
    assert [line.split()[0] for line in told(either, around)] == ["5:43"]
    assert told(both, around) == []
    assert told(both.replace("event.data.path", "event.data.pth"), around)
    assert told(either.replace("payment.declined", '"*"'), around) == []


def test_the_condition_sees_the_event_of_the_last_positive_step(around: Surroundings) -> None:
    text = HEAD + (
        "  when: {sequence: [{event: page.viewed}, {event: payment.declined}, {not: page.viewed, for: 5s}]}\n"
        "  if: event.data.path == ''\n"
    ) + PLAYBOOK  # fmt: skip
    assert [line.split(":")[0] for line in told(text, around)] == ["6"]
    together = text.replace("sequence", "all").replace(
        ", {not: page.viewed, for: 5s}]", "], within: 5m"
    )
    assert told(together, around) == []


def test_unknown_types_are_told_at_their_own_place(around: Surroundings) -> None:
    text = (
        HEAD
        + """\
  features:
    f: {count: page.view, over: 5m}
    g: {first: event.id, of: pages.viewed}
  when: {sequence: [{event: [payment.declined, payment.decline]}, {not: page.seen, for: 5s}]}
  if: features.f > 1 && features.g != ''
  playbook:
    - await: {event: payment.ok, for: 5m}
tests:
  - {name: t, expect: [], events: [{at: 0s, type: forestall.optuot}]}
"""
    )
    assert told(text, around) == [
        "6:16 error unknown-type: the catalogue has no event type `page.view` | did you mean `page.viewed`?",
        "7:30 error unknown-type: the catalogue has no event type `pages.viewed` | did you mean `page.viewed`?",
        "8:48 error unknown-type: the catalogue has no event type `payment.decline` | did you mean `payment.declined`?",
        "8:73 error unknown-type: the catalogue has no event type `page.seen` | did you mean `page.viewed`?",
        "11:22 error unknown-type: the catalogue has no event type `payment.ok` | did you mean `payment.declined`?",
        "13:51 error unknown-type: the catalogue has no event type `forestall.optuot` | did you mean `forestall.optout`?",
    ]


def test_features() -> None:
    text = (
        HEAD
        + """\
  features:
    errors: {count: a.b, over: 5m}
    no-identifier: {count: a.b, over: 5m}
  when: {event: a.b}
  if: >-
    true &&
    features.erors > 1
"""
        + PLAYBOOK
    )
    assert told(text) == [
        "6:5 warning unused-feature: the feature `errors` is declared, but never used",
        '7:5 warning feature-name: the feature `no-identifier` can only be read as features["no-identifier"] | use letters, digits and _ only',
        "7:5 warning unused-feature: the feature `no-identifier` is declared, but never used",
        "11:5 error unknown-feature: the feature `erors` is not declared under `features` | did you mean `errors`?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "use",
    [
        "  if: features.f > 1\n" + PLAYBOOK,
        "  if: size(features) > 0\n" + PLAYBOOK,
        PLAYBOOK.replace("hi", '"{{ features.f }}"'),
        "  playbook: [{escalate: {queue: q}}]\n",
        "  playbook: [{guide: {runbook: r, channel: inapp}}]\n",
    ],
)
def test_a_feature_may_be_used_in_many_places(use: str) -> None:
    text = HEAD + "  features: {f: {count: a.b, over: 5m}}\n  when: {event: a.b}\n" + use
    assert told(text) == []


def test_the_playbook_names_what_there_is(around: Surroundings) -> None:
    text = (
        HEAD
        + """\
  when: {event: payment.declined}
  playbook:
    - guide: {runbook: card-decline, channel: inap}
    - guide: {text: "Hello {{ event.data.amuont }}", channel: fax}
    - guide: {text: "Hello {{ event.data.amount", channel: crm}
    - escalate: {queue: billing}
"""
    )
    assert told(text, around) == [
        "7:24 error unknown-runbook: there is no runbook `card-decline` | did you mean `card-declined`?",
        "7:47 error unknown-channel: there is no channel `inap` | did you mean `inapp`?",
        "8:28 error unknown-field: `event.data.amuont` is not a field of payment.declined | did you mean `amount`?",
        "8:63 error unknown-channel: there is no channel `fax` | there is `crm`, `inapp`",
        "9:28 error bad-template: '{{' has no partner",
        "10:25 error unknown-queue: there is no queue `billing` | there is `payments`, `shipping`",
    ]


def test_an_article_is_no_runbook_to_show(around: Surroundings) -> None:
    text = (
        HEAD
        + """\
  when: {event: payment.declined}
  playbook:
    - guide: {runbook: reservations, channel: inapp}
    - escalate: {queue: payments}
"""
    )
    articles = frozenset(["reservations"])
    assert told(text, msgspec.structs.replace(around, articles=articles)) == [
        "7:24 error not-a-runbook: `reservations` is an article, which customers find and agents"
        " cite, and `guide` cannot show it | name a runbook, or write one with `## Customer`",
    ]


def test_what_is_missing_is_warned_of() -> None:
    text = (
        "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x}\nspec:\n  when: {event: a.b}\n"
    )
    assert told(text) == [
        "3:11 warning no-owner: the policy has no `metadata.owner`: who answers for it?",
        "5:3 warning no-playbook: the policy has no `spec.playbook`: it decides, but does nothing",
    ]


def test_built_in_traits_are_advice_where_the_deployment_declares_none(tmp_path: Path) -> None:
    (tmp_path / "payment.declined.v1.json").write_text(json.dumps({"x-owner": "me", **PAYMENT}))
    around = Surroundings(catalogue=load_catalogue(tmp_path))
    assert told(where("subject.plan == 'pro'"), around) == []
    assert told(where("subject.segment == 'pro'"), around) == [
        "5:43 warning unknown-trait: `subject.segment` is not a trait that is kept"
        " | declare it in a contract forestall.identify.v1.json"
    ]


def test_what_could_not_be_parsed_is_passed_over(around: Surroundings) -> None:
    text = HEAD + (
        "  features: {f: {cuont: page.viewed}, g: {count: Page Viewed, over: 5m}}\n"
        "  when: {sequence: [a.b, {event: payment.decline}]}\n"
        "  if: features.f > && features.g\n"
    )
    located, problems = parse_located(text, "f")
    assert [problem.code for problem in problems] == [
        "unknown-key", "bad-event-type", "wrong-type", "bad-expression",
    ]  # fmt: skip
    found = [problem.code for one in located for problem in check(one, around)]
    assert found == ["no-playbook"]
