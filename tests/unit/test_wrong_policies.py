"""Wrong policies that are well written: what each says, word for word, and where."""

import json
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.catalogue import load_catalogue
from forestall.policy.bundle import read_policies
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.parse import parse_located

HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x, owner: me}\nspec:\n"
TAIL = "  playbook: [{escalate: {queue: q}}]\n"
CONTRACTS: dict[str, dict[str, Any]] = {
    "payment.declined.v1": {
        "properties": {
            "amount": {"type": "number", "minimum": 0},
            "attempts": {"type": "integer", "minimum": 1, "maximum": 5},
            "code": {"enum": ["expired", "insufficient_funds", "stolen"]},
            "bank": {"type": ["string", "null"], "maxLength": 11},
            "order_id": {"type": "string"},
            "recurring": {"type": "boolean"},
            "card": {"type": "object", "properties": {"brand": {"type": "string"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "lines": {
                "type": "array",
                "items": {"type": "object", "properties": {"price": {"type": "number"}}},
            },
            "iban": {"type": "string", "x-privacy": "drop"},
        },
        "required": ["code", "order_id"],
    },
    "payment.succeeded.v1": {"properties": {"order_id": {"type": "string"}}},
    "page.viewed.v1": {
        "x-origins": ["browser"],
        "properties": {"path": {"type": "string"}, "seconds": {"type": "number"}},
    },
    "page.viewed.v2": {
        "x-origins": ["browser"],
        "properties": {"path": {"type": "string"}, "seconds": {"type": "integer"}},
    },
    "forestall.identify.v1": {
        "properties": {
            "traits": {
                "type": "object",
                "properties": {"plan": {"enum": ["free", "pro"]}, "age": {"type": "integer"}},
            }
        }
    },
}


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    folder = tmp_path_factory.mktemp("contracts")
    for name, schema in CONTRACTS.items():
        contract = {"x-owner": "me", "type": "object", **schema}
        (folder / f"{name}.json").write_text(json.dumps(contract))
    return Surroundings(catalogue=load_catalogue(folder))


def told(text: str, around: Surroundings) -> list[str]:
    located, problems = parse_located(text, "f.yaml")
    assert problems == []
    return [
        f"{p.line}:{p.column} {p.severity} {p.code}: {p.message}"
        + (f" | {p.hint}" if p.hint else "")
        for one in located
        for p in check(one, around)
    ]


def where(condition: str, types: str = "payment.declined") -> str:
    """A policy whose condition starts at 7:1 (the column is then the place in it)."""
    text = condition.replace('"', '\\"')
    return HEAD + f'  when:\n    {{event: {types}, where:\n"{text}"}}\n' + TAIL


# fmt: off
CONDITIONS = [
    ('event.data.order_id == 5',
     1, "error type-mismatch: `event.data.order_id` is string, and is compared with a number | write '5' in quotes"),
    ("event.data.amount > '5'",
     1, 'error type-mismatch: `event.data.amount` is number, and is compared with a string | write the number without quotes'),
    ("'5' == event.data.attempts",
     8, 'error type-mismatch: `event.data.attempts` is integer, and is compared with a string | write the number without quotes'),
    ("event.data.recurring == 'true'",
     1, 'error type-mismatch: `event.data.recurring` is boolean, and is compared with a string | write true without quotes'),
    ('event.data.recurring == 1',
     1, 'error type-mismatch: `event.data.recurring` is boolean, and is compared with a number'),
    ("event.data.card == 'visa'",
     1, 'error type-mismatch: `event.data.card` is map, and is compared with a string'),
    ("event.data.tags == 'vip'",
     1, 'error type-mismatch: `event.data.tags` is list, and is compared with a string'),
    ('event.data.order_id > 100',
     1, "error type-mismatch: `event.data.order_id` is string, and is compared with a number | write '100' in quotes"),
    ("event.data.card.brand in ['visa', 5]",
     1, "error type-mismatch: `event.data.card.brand` is string, and is compared with a number | write '5' in quotes"),
    ('event.data.order_id == event.data.amount',
     1, 'error type-mismatch: `event.data.order_id` is string, and is compared with number'),
    ("event.time > '2024-05-01T00:00:00Z'",
     1, 'error type-mismatch: `event.time` is timestamp, and is compared with a string'),
    ('event.time > 1714521600',
     1, 'error type-mismatch: `event.time` is timestamp, and is compared with a number'),
    ('event.data.tags > 3',
     1, 'error type-mismatch: `event.data.tags` is list, and is compared with a number'),
    ('now == event.data.order_id',
     1, 'error type-mismatch: `now` is timestamp, and is compared with string'),
    ('event.data.bank < null',
     1, "error type-mismatch: `event.data.bank` is null or string, and is compared with a null | write 'null' in quotes"),
    ('5 in event.data.tags',
     1, "error type-mismatch: `5` is integer, and the list's items are string"),
    ("event.data.lines.exists(l, l.price == 'x')",
     28, 'error type-mismatch: `l.price` is number, and is compared with a string | write the number without quotes'),
    ('has(event.data.amount) && !(event.data.order_id == 5)',
     29, "error type-mismatch: `event.data.order_id` is string, and is compared with a number | write '5' in quotes"),
    ('event.data.amount + 1 > 100.0',
     19, 'error type-mismatch: `+` has no meaning for number and integer | a number of the catalogue is a double: write 1.0'),
    ('event.data.amount * 100 > 5',
     19, 'error type-mismatch: `*` has no meaning for number and integer | a number of the catalogue is a double: write 100.0'),
    ('event.data.attempts / 2.0 > 1.0',
     21, 'error type-mismatch: `/` has no meaning for integer and number | write double(...) around the integer'),
    ('event.data.attempts + event.data.amount > 3.0',
     21, 'error type-mismatch: `+` has no meaning for integer and number | write double(...) around the integer'),
    ("'order ' + event.data.attempts == 'order 5'",
     10, 'error type-mismatch: `+` has no meaning for string and integer | write string(...) around what is not text'),
    ('event.data.amount % 2.0 == 0.0',
     19, 'error type-mismatch: `%` has no meaning for number and number | write int(...) around both'),
    ("-event.data.order_id == 'x'",
     1, 'error type-mismatch: `-` takes a number, and `event.data.order_id` is string'),
    ('event.time - 30 > now',
     12, "error type-mismatch: `-` has no meaning for timestamp and integer | write duration('30s') for a length of time"),
    ("event.data.order_id - 'x' == ''",
     21, 'error type-mismatch: `-` has no meaning for string and string'),
    ('size(event.data.attempts) > 3',
     6, 'error type-mismatch: `size()` takes bytes or list or map or string, and `event.data.attempts` is integer'),
    ("event.data.attempts.startsWith('5')",
     1, 'error type-mismatch: `startsWith()` takes string, and `event.data.attempts` is integer'),
    ("event.data.amount.contains('.')",
     1, 'error type-mismatch: `contains()` takes string, and `event.data.amount` is number'),
    ("event.data.recurring.matches('t.*')",
     1, 'error type-mismatch: `matches()` takes string, and `event.data.recurring` is boolean'),
    ("event.data.tags.lowerAscii() == 'vip'",
     1, 'error type-mismatch: `lowerAscii()` takes string, and `event.data.tags` is list'),
    ('event.data.order_id.getHours() > 3',
     1, 'error type-mismatch: `getHours()` takes duration or timestamp, and `event.data.order_id` is string'),
    ("event.data.order_id.substring('1') == ''",
     31, "error type-mismatch: `substring()` takes integer, and `'1'` is string"),
    ("duration(event.data.attempts) > duration('1h')",
     10, 'error type-mismatch: `duration()` takes duration or string, and `event.data.attempts` is integer'),
    ('int(event.data.tags) > 3',
     5, 'error type-mismatch: `int()` takes integer or number or string or timestamp or uint, and `event.data.tags` is list'),
    ('timestamp(event.data.recurring) > now',
     11, 'error type-mismatch: `timestamp()` takes integer or string or timestamp, and `event.data.recurring` is boolean'),
    ("event.data.code.join(',') == ''",
     1, 'error type-mismatch: `join()` takes list, and `event.data.code` is string'),
    ("'%d'.format(event.data.attempts) == '3'",
     13, 'error type-mismatch: `format()` takes list, and `event.data.attempts` is integer'),
    ('event.data.order_id.length > 3',
     1, 'error type-mismatch: `event.data.order_id` is string and has no field `length`'),
    ('event.data.attempts.value == 3',
     1, 'error type-mismatch: `event.data.attempts` is integer and has no field `value`'),
    ("event.data.tags.first == 'vip'",
     1, 'error type-mismatch: `event.data.tags` is list and has no field `first`'),
    ("event.data.tags['first'] == 'vip'",
     1, 'error type-mismatch: `event.data.tags` is a list: its items have numbers, from 0'),
    ('event.data.amount[0] == 1',
     1, 'error type-mismatch: `event.data.amount` is number and has no items'),
    ('event.data.amount.exists(x, x > 1)',
     1, 'error type-mismatch: `exists()` takes a list or a map, and `event.data.amount` is number'),
    ('event.data.code in event.data.order_id',
     20, 'error type-mismatch: `in` takes a list or a map on its right, and `event.data.order_id` is string | write text.contains(part)'),
    ('event.data.tags.all(t, t > 5)',
     24, "error type-mismatch: `t` is string, and is compared with a number | write '5' in quotes"),
    ('event.data.tags.filter(t, size(t)).size() > 0',
     27, 'error type-mismatch: `filter()` asks what is true or false, and this is integer'),
    ('event.data.tags.map(t, t + 1).size() > 0',
     26, 'error type-mismatch: `+` has no meaning for string and integer | write string(...) around what is not text'),
    ('event.data.amount',
     1, 'error type-mismatch: `event.data.amount` is number, not true or false'),
    ('event.data.attempts + 1',
     21, 'error type-mismatch: the condition is integer, not true or false'),
    ("'yes'",
     1, 'error type-mismatch: the condition is string, not true or false'),
    ('event.data.recurring && event.data.amount',
     25, 'error type-mismatch: `&&` takes true or false, and `event.data.amount` is number'),
    ('!event.data.amount',
     2, 'error type-mismatch: `!` takes true or false, and `event.data.amount` is number'),
    ('event.data.amount ? true : false',
     1, 'error type-mismatch: `?` takes true or false, and `event.data.amount` is number'),
    ('event.data.order_id || true',
     1, 'error type-mismatch: `||` takes true or false, and `event.data.order_id` is string'),
    ('size(event.data.tags)',
     1, 'error type-mismatch: the condition is integer, not true or false'),
    ("event.data.code == 'insufficient_fund'",
     1, "error unknown-value: `event.data.code` is never 'insufficient_fund' | did you mean `insufficient_funds`?"),
    ("event.data.code != 'lost'",
     1, "error unknown-value: `event.data.code` is never 'lost' | it is one of 'expired', 'insufficient_funds', 'stolen'"),
    ("event.data.code in ['expired', 'stollen']",
     1, "error unknown-value: `event.data.code` is never 'stollen' | did you mean `stolen`?"),
    ('event.data.attempts == 0',
     1, 'error unknown-value: `event.data.attempts` is never 0 | it lies from 1 to 5'),
    ('event.data.attempts == 2.5',
     1, 'error unknown-value: `event.data.attempts` is never 2.5 | it is a whole number'),
    ('event.data.amount == -1.0',
     1, 'error unknown-value: `event.data.amount` is never -1.0 | it lies from 0'),
    ("event.data.bank == 'DEUTSCHE BANK AG'",
     1, "error unknown-value: `event.data.bank` is never 'DEUTSCHE BANK AG' | its length lies from 0 to 11"),
    ("event.type == 'payment.failed'",
     1, "error unknown-value: `event.type` is never 'payment.failed' | did you mean `payment.declined`?"),
    ("event.origin == 'sever'",
     1, "error unknown-value: `event.origin` is never 'sever' | did you mean `server`?"),
    ("event.origin == 'browser'",
     1, "error unknown-value: `event.origin` is never 'browser' | it is one of 'server'"),
    ("subject.plan == 'enterprise'",
     1, "error unknown-value: `subject.plan` is never 'enterprise' | it is one of 'free', 'pro'"),
    ("subject.age > 'x'",
     1, 'error type-mismatch: `subject.age` is integer, and is compared with a string | write the number without quotes'),
    ('event.data.amount > 5.0 && event.data.amount < 3.0',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.amount > 5.0` and `event.data.amount < 3.0` exclude each other'),
    ('event.data.attempts > 3 && event.data.attempts < 4',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.attempts > 3` and `event.data.attempts < 4` exclude each other'),
    ("event.data.order_id == 'a' && event.data.order_id == 'b'",
     1, "error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.order_id == 'a'` and `event.data.order_id == 'b'` exclude each other"),
    ('event.data.attempts > 5',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('event.data.amount < 0.0',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('!has(event.data.code)',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ("event.data.code != 'expired' && event.data.code != 'stolen' && event.data.code != 'insufficient_funds'",
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('has(event.data.bank) && !has(event.data.bank)',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `has(event.data.bank)` and `!has(event.data.bank)` exclude each other'),
    ("event.data.bank == null && event.data.bank == 'x'",
     1, "error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.bank == null` and `event.data.bank == 'x'` exclude each other"),
    ("event.data.code.startsWith('x')",
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('size(event.data.bank) > 20',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('event.data.recurring && !event.data.recurring',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.recurring` and `!event.data.recurring` exclude each other'),
    ("event.data.code == 'stolen' && (event.data.code == 'expired' || event.data.amount < 0.0)",
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ("event.data['kode'] == 'x'",
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('event.data.order_id in []',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches'),
    ('false',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches'),
    ('1 > 2',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches'),
    ("event.data.code in ['expired'] && event.data.code in ['stolen']",
     1, "error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.code in ['expired']` and `event.data.code in ['stolen']` exclude each other"),
    ('subject.age >= 18 && subject.age < 18',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `subject.age >= 18` and `subject.age < 18` exclude each other'),
    ("event.data.tags.exists(t, t == 'a' && t == 'b')",
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches'),
    ('event.data.lines[0].price > 3.0 && event.data.lines[0].price < 2.0',
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.lines[0].price > 3.0` and `event.data.lines[0].price < 2.0` exclude each other'),
    ("event.data.code == 'stolen' ? event.data.amount < 0.0 : event.data.attempts > 5",
     1, 'error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ("event.data.bank + 5 == 'x'",
     17, 'error type-mismatch: `+` has no meaning for null or string and integer | write string(...) around what is not text'),
]
POLICIES = [
    ('a sequence whose later step cannot match', '  when:\n    sequence:\n      - {event: payment.declined}\n      - {event: payment.declined, where: event.data.attempts > 9}\n',
     '8:42 error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | what is known of `payment.declined` rules it out'),
    ('one type of two ruled out', "  when: {event: [payment.declined, payment.succeeded], where: event.data.code == 'stolen'}\n",
     '5:36 warning never-matches: with this `where`, `payment.succeeded` never matches | take the type out, or the part of `where` that rules it out'),
    ('both types ruled out', "  when: {event: [payment.declined, payment.succeeded], where: event.type != 'payment.declined' && event.type != 'payment.succeeded'}\n",
     "5:63 error never-matches: this `where` never holds for an event of `payment.declined` or `payment.succeeded`, so the pattern never matches | `event.type != 'payment.declined'` and `event.type != 'payment.succeeded'` exclude each other"),
    ('a server event of a browser type', "  when: {event: page.viewed, where: event.origin == 'server'}\n",
     "5:37 error unknown-value: `event.origin` is never 'server' | it is one of 'browser'"),
    ('two majors, neither fits', "  when: {event: page.viewed, where: event.data.seconds == 'x'}\n",
     '5:37 error type-mismatch: `event.data.seconds` is integer or number, and is compared with a string | write the number without quotes'),
    ('a step without the key', '  when:\n    sequence:\n      - {event: page.viewed}\n      - {event: payment.declined}\n    by: event.data.order_id\n',
     '7:17 error never-matches: `by` has no value for an event of `page.viewed`, so the pattern never matches | events without a key take no part'),
    ('a not without the key', '  when:\n    sequence:\n      - {event: payment.declined}\n      - {not: page.viewed, for: 30s}\n    by: event.data.order_id\n',
     '8:15 warning never-matches: `by` has no value for an event of `page.viewed`, so this `not` forbids nothing | events without a key take no part'),
    ('a key that is dropped', '  when:\n    sequence:\n      - {event: payment.declined, times: 2}\n    by: event.data.iban\n',
     '8:9 error unknown-field: `event.data.iban` is of privacy class drop: no event will ever have it'),
    ('a misspelt key', '  when:\n    sequence:\n      - {event: payment.declined, times: 2}\n    by: event.data.orderid\n',
     '8:9 error unknown-field: `event.data.orderid` is not a field of payment.declined | did you mean `order_id`?'),
    ('silence that forbids the step itself', '  when:\n    sequence:\n      - {event: payment.declined, times: 2}\n      - {not: payment.declined, for: 30s}\n',
     '8:15 warning never-matches: this `not` forbids `payment.declined` from the first event on, so a later step never matches | leave out the types that the steps wait for, or tell them apart with `where`'),
    ('silence of everything', '  when:\n    sequence:\n      - {event: page.viewed}\n      - {event: payment.declined}\n      - {not: "*", for: 30s}\n',
     '9:15 warning never-matches: this `not` forbids any type from the first event on, so a later step never matches | leave out the types that the steps wait for, or tell them apart with `where`'),
    ('silence with the same where', '  when:\n    sequence:\n      - {event: page.viewed}\n      - {event: payment.declined, where: event.data.amount > 5.0}\n      - {not: [payment.declined, payment.succeeded], where: event.data.amount > 5.0, for: 30s}\n',
     '9:15 warning never-matches: this `not` forbids `payment.declined` or `payment.succeeded` from the first event on, so a later step never matches | leave out the types that the steps wait for, or tell them apart with `where`'),
    ('all with a step that cannot match', '  when:\n    all:\n      - {event: page.viewed}\n      - {event: payment.declined, where: event.data.code == event.data.bank && event.data.bank == null}\n    within: 5m\n',
     '8:42 error never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.code == event.data.bank` and `event.data.bank == null` exclude each other'),
    ('if against where', "  when: {event: payment.declined, where: event.data.code == 'stolen'}\n  if: event.data.code == 'expired'\n",
     "6:7 error never-matches: this `if` never holds, so the policy never acts | the event's contract, its `where` or the kind of a feature rules it out"),
    ('if against where, of the last step only', "  when:\n    sequence:\n      - {event: payment.declined, where: event.data.code == 'stolen'}\n      - {event: payment.declined, where: event.data.amount > 9.0}\n  if: event.data.amount < 9.0 && event.data.code == 'expired'\n",
     "9:7 error never-matches: this `if` never holds, so the policy never acts | the event's contract, its `where` or the kind of a feature rules it out"),
    ('a count below nothing', '  features:\n    n: {count: page.viewed, over: 5m}\n  when: {event: payment.declined}\n  if: features.n < 0\n',
     "8:7 error never-matches: this `if` never holds, so the policy never acts | the event's contract, its `where` or the kind of a feature rules it out"),
    ('a count that is null', '  features:\n    n: {count: page.viewed, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 3 && features.n < 4\n',
     '8:7 error never-matches: this `if` never holds, so the policy never acts | `features.n > 3` and `features.n < 4` exclude each other'),
    ('a count compared with text', "  features:\n    n: {count: page.viewed, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > '3'\n",
     '8:7 error type-mismatch: `features.n` is integer, and is compared with a string | write the number without quotes'),
    ('a half count', '  features:\n    n: {distinct: event.data.path, of: page.viewed, over: 5m}\n  when: {event: payment.declined}\n  if: features.n == 1.5\n',
     '8:7 error unknown-value: `features.n` is never 1.5 | it is a whole number'),
    ('a sum and an integer', '  features:\n    paid: {sum: event.data.amount, of: payment.declined, over: 5m}\n  when: {event: payment.declined}\n  if: features.paid + 1 > 5.0\n',
     '8:21 error type-mismatch: `+` has no meaning for number and integer | a number of the catalogue is a double: write 1.0'),
    ('a feature as a condition', '  features:\n    n: {count: page.viewed, over: 5m}\n  when: {event: payment.declined}\n  if: features.n\n',
     '8:7 error type-mismatch: `features.n` is integer, not true or false'),
    ('a feature of nothing', "  features:\n    n: {count: payment.declined, where: event.data.code == 'x', over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 1\n",
     "6:41 error unknown-value: `event.data.code` is never 'x' | it is one of 'expired', 'insufficient_funds', 'stolen'"),
    ('a feature that stays empty', '  features:\n    n: {count: payment.declined, where: event.data.attempts > 7, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 1\n',
     '6:41 warning never-matches: this `where` never holds for an event of `payment.declined`, so the feature is always 0 | what is known of `payment.declined` rules it out'),
    ('a feature of a browser type on the server', "  features:\n    last: {last: event.data.path, of: page.viewed, where: event.origin == 'server'}\n  when: {event: payment.declined}\n  if: features.last == '/pay'\n",
     "6:59 error unknown-value: `event.origin` is never 'server' | it is one of 'browser'"),
    ('a feature over a type that does not exist', '  features:\n    n: {count: page.view, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 1\n',
     '6:16 error unknown-type: the catalogue has no event type `page.view` | did you mean `page.viewed`?'),
    ('a sum of text', '  features:\n    n: {sum: event.data.order_id, of: payment.declined, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 1.0\n',
     '6:14 error type-mismatch: `sum` takes numbers, and this is string'),
    ('a percentile of a list', '  features:\n    n: {p95: event.data.tags, of: payment.declined, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 1.0\n',
     '6:14 error type-mismatch: `p95` takes numbers, and this is list'),
    ('distinct lists', '  features:\n    n: {distinct: event.data.tags, of: payment.declined, over: 5m}\n  when: {event: payment.declined}\n  if: features.n > 1\n',
     '6:19 error type-mismatch: `distinct` takes single values, and this is list'),
    ('an await that never comes', '  when: {event: payment.declined}\n  playbook:\n    - await: {event: payment.declined, where: event.data.attempts > 2 && event.data.attempts < 2, for: 5m}\n    - escalate: {queue: q}\n',
     '7:47 warning never-matches: this `where` never holds for an event of `payment.declined`, so it is awaited in vain | `event.data.attempts > 2` and `event.data.attempts < 2` exclude each other'),
    ('an await of text and number', '  when: {event: payment.declined}\n  playbook:\n    - await: {event: payment.succeeded, where: event.data.order_id > 3, for: 5m}\n    - escalate: {queue: q}\n',
     "7:48 error type-mismatch: `event.data.order_id` is string, and is compared with a number | write '3' in quotes"),
    ('a not whose where is wrong', '  when:\n    sequence:\n      - {event: payment.declined}\n      - {not: payment.succeeded, where: event.data.order_id == 5, for: 30s}\n',
     "8:41 error type-mismatch: `event.data.order_id` is string, and is compared with a number | write '5' in quotes"),
    ('folded over lines', "  when:\n    event: payment.declined\n    where: >-\n      event.data.amount > 1.0 &&\n      event.data.code == 'stole'\n",
     "9:7 error unknown-value: `event.data.code` is never 'stole' | did you mean `stolen`?"),
]
WITHOUT = [
    ('event.data.x > 5 && event.data.x < 3',
     1, 'warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.x > 5` and `event.data.x < 3` exclude each other'),
    ("event.data.x == 'a' && event.data.x == 'b'",
     1, "warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.x == 'a'` and `event.data.x == 'b'` exclude each other"),
    ("event.type == 'payment.failed'",
     1, "warning unknown-value: `event.type` is never 'payment.failed' | did you mean `payment.declined`?"),
    ("event.data.x + 1 == 'a' + 'b'",
     14, 'warning type-mismatch: this is integer, and is compared with string'),
    ("'a' < 1",
     7, 'warning type-mismatch: `1` is integer, and is compared with a string | write the number without quotes'),
    ("event.data.x == 'a' && event.data.x > 3",
     1, "warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.x == 'a'` and `event.data.x > 3` exclude each other"),
    ('event.data.x == null && event.data.x.y == 1',
     1, 'warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.x == null` and `event.data.x.y == 1` exclude each other'),
    ("size(event.type) > 'a'",
     1, 'warning type-mismatch: this is integer, and is compared with a string | write the number without quotes'),
    ("event.data.x.startsWith('a') && event.data.x > 1",
     1, "warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.x.startsWith('a')` and `event.data.x > 1` exclude each other"),
    ('!has(event.data.x) && event.data.x == 1',
     1, 'warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `!has(event.data.x)` and `event.data.x == 1` exclude each other'),
    ("event.data.x in ['a', 'b'] && event.data.x == 'c'",
     1, "warning never-matches: this `where` never holds for an event of `payment.declined`, so the pattern never matches | `event.data.x in ['a', 'b']` and `event.data.x == 'c'` exclude each other"),
]
# fmt: on


@pytest.mark.parametrize(("condition", "column", "expected"), CONDITIONS)
def test_wrong_conditions(around: Surroundings, condition: str, column: int, expected: str) -> None:
    assert told(where(condition), around) == [f"7:{column + 1} {expected}"]


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in POLICIES], ids=[case[0] for case in POLICIES]
)
def test_wrong_policies(around: Surroundings, text: str, expected: str) -> None:
    assert told(HEAD + text + ("" if "playbook" in text else TAIL), around) == [expected]


@pytest.mark.parametrize(("condition", "column", "expected"), WITHOUT)
def test_what_is_wrong_under_any_catalogue_is_a_warning(
    condition: str, column: int, expected: str
) -> None:
    assert told(where(condition), ANYTHING) == [f"7:{column + 1} {expected}"]


@pytest.mark.parametrize(
    "condition",
    [
        "event.data.amount > 3", "event.data.amount >= 1.5 && event.data.amount <= 1.5", "event.data.attempts in [1, 5]",
        "event.data.attempts > 3 && event.data.attempts < 5", "event.data.bank == null || event.data.bank.startsWith('X')",
        "!has(event.data.bank)", "has(event.data.bank) ? event.data.bank != null : event.data.recurring",
        "event.data.code == 'expired' || event.data.code == 'stolen'", "event.data.attempts + 1 > 3", "event.data.amount * 2.0 > 5",
        "double(event.data.attempts) * 1.5 > event.data.amount", "string(event.data.attempts) + event.data.order_id == '5x'",
        "'vip' in event.data.tags && size(event.data.tags) < 3", "event.data.lines.map(l, l.price).exists(p, p > 3)",
        "event.data.lines.exists(l, has(l.price) && l.price > 3) && event.data.lines.exists(l, l.price < 2)",
        "now - event.time < duration('1h')", "event.time.getHours('Europe/Berlin') < 6", "subject.plan == 'pro' && subject.age > 17",
        "event.data.recurring", "!event.data.recurring", "event.data.recurring == false", "type(event.data.bank) == string",
        "event.data.attempts != 2.0", "!(event.data.amount > 5) && !(event.data.amount < 5)", "dyn(event.data.order_id) == 'x'",
        "event.data.amount == 5 && event.data.attempts == 5.0", "event.data.card.brand == 'visa' && has(event.data.card)",
        "event.data.order_id.split('-').size() == 2", "int(event.data.order_id) > 5 && event.data.order_id != ''",
        "event.data.amount > 9007199254740992.0 && event.data.attempts <= 9007199254740993",
    ],
)  # fmt: skip
def test_sound_conditions_raise_no_alarm(around: Surroundings, condition: str) -> None:
    assert told(where(condition), around) == []
    assert told(where(condition), ANYTHING) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "{sequence: [{event: payment.declined}, {not: payment.declined, for: 30s}]}",
        "{sequence: [{event: page.viewed}, {event: payment.declined}, {not: page.viewed, for: 30s}]}",
        "{sequence: [{event: payment.declined, times: 2}, {not: payment.declined, where: event.data.amount > 5, for: 30s}]}",
        "{sequence: [{event: payment.declined}, {not: '*'}, {event: payment.declined}]}",
        "{sequence: [{event: forestall.identify}, {event: forestall.optin}, {not: '*', for: 30s}]}",
        "{sequence: [{event: payment.declined}, {event: '*'}, {not: payment.declined, for: 30s}]}",
        "{all: [{event: payment.declined}, {event: payment.declined}], within: 0s}",
        "{sequence: [{event: payment.declined}, {event: payment.succeeded}], by: event.data.order_id, within: 0s}",
    ],
)
def test_sound_patterns_raise_no_alarm(around: Surroundings, pattern: str) -> None:
    assert told(f"{HEAD}  when: {pattern}\n{TAIL}", around) == []
    assert told(f"{HEAD}  when: {pattern}\n{TAIL}", ANYTHING) == []


def bundled(folder: Path, **specs: str) -> list[str]:
    """What is said about policies that differ in the given lines of their specs."""
    for name, spec in specs.items():
        text = (
            HEAD.replace("{name: x,", f"{{name: {name},") + "  when: {event: a.b}\n" + spec + TAIL
        )
        (folder / f"{name}.yaml").write_text(text)
    _, problems = read_policies([folder])
    return [str(problem).replace(f"{folder}/", "") for problem in problems]


def test_a_policy_that_another_always_outranks(tmp_path: Path) -> None:
    high = "  priority: 60\n  if: event.data.x > 1\n  cooldown: 1h\n"
    low = "  if: event.data.x  >  1\n  cooldown: 2h\n"
    assert bundled(tmp_path, high=high, low=low) == [
        "low.yaml:5:9: warning: `high` has the same `when` and `if` and priority 60, so it wins wherever both match "
        "[outranked]\n    hint: it is at high.yaml:3, with a cooldown of 1h; give one of them an `if` of its own, or join them"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("  priority: 50\n", ""),
        ("  priority: 60\n  if: event.data.x > 1\n", ""),
        ("  priority: 60\n", "  if: event.data.x > 1\n"),
        ("  priority: 60\n  cooldown: 24h\n", "  cooldown: 1h\n"),
        ("  priority: 60\n  purpose: marketing\n", ""),
        ("  priority: 60\n  model: {name: m, threshold: 0.5}\n", ""),
        ("  priority: 60\n", "  quiet_hours: ignore\n"),
        ("  priority: 60\n", "  in_conversation: allow\n"),
        ("  priority: 60\n", "  budget_class: transactional\n"),
        ("  priority: 60\n  features: {n: {count: a.b, over: 5m}}\n  if: features.n > 1\n",
         "  features: {n: {count: a.c, over: 5m}}\n  if: features.n > 1\n"),
    ],
)  # fmt: skip
def test_policies_that_can_each_win(tmp_path: Path, high: str, low: str) -> None:
    assert [line for line in bundled(tmp_path, high=high, low=low) if "outranked" in line] == []


def test_too_many_kinds_of_events_are_not_judged() -> None:
    types = ", ".join(f"a.t{number}" for number in range(100))
    assert told(where("false", f"[{types}]"), ANYTHING) == []
