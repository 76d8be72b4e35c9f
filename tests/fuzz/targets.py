"""What must hold for any bytes taken as a policy file, a condition, or a condition with its data.

``judge`` raises whatever is not a documented error; ``TooSlow`` when one step takes too long.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from forestall.context.knowledge.template import TemplateError, parse_template
from forestall.contracts.catalogue import Catalogue, builtin_contracts, read_contract
from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import decode_data
from forestall.policy.language.canonical import canonical, from_canonical, version
from forestall.policy.language.cel import (
    InvalidExpression,
    Timestamp,
    batch,
    comparisons,
    compile_expression,
    to_json,
)
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.clauses import CONDITION_VARIABLES
from forestall.policy.language.compile import compile_policy
from forestall.policy.language.flow import flow
from forestall.policy.language.offers import Offer
from forestall.policy.language.parse import parse_located

PATIENCE = 2.0
"""Seconds of processor time that no single step may take, with room for a busy machine."""

_CONTRACT = b"""{"x-owner": "me", "type": "object", "required": ["n"], "properties": {
    "n": {"type": "integer", "minimum": 0, "maximum": 9}, "amount": {"type": "number"},
    "order_id": {"type": "string", "maxLength": 20}, "s": {"enum": ["a", "b", null]},
    "a": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]},
    "b": {"type": "array", "items": {"type": "object", "properties": {"k": {}}}},
    "o": {"type": "object", "properties": {"i": {"type": "boolean"}}, "required": ["i"]}}}"""
_MADE = [
    read_contract(_CONTRACT, f"{name}.v1.json")[0] for name in ("payment.declined", "a.b", "a")
]
AROUND = Surroundings(
    catalogue=Catalogue([*builtin_contracts(), *(made for made in _MADE if made)]),
    runbooks=frozenset(["card-declined"]),
    queues=frozenset(["payments"]),
    channels=frozenset(["inapp"]),
    lookups={"crm": Offer(arguments=frozenset(["id"]), fields=frozenset(["plan"]))},
    agents={"triage": Offer()},
    actions={
        "retry": Offer(arguments=frozenset(["id"]), required=frozenset(["id"]), risk="high"),
        "tell": Offer(risk="low"),
    },
)
_POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x}
spec: {when: {event: a}, features: {f: {count: a, over: 1h}}, if: %s}
"""
LAST = 253_402_300_799_999_999
SHARED: list[Any] = ["x"]
for _ in range(12):
    SHARED = [SHARED, SHARED]
HOSTILE: tuple[Any, ...] = (
    {},
    {"a": 1, "b": [1, 2.5, "x", None, True, {"k": "v"}], "s": "héllo", "n": -7, "t": True},
    {"a": "x" * 20_000, "b": list(range(2_000)), "s": "(a+)+$", "n": 2**63, "t": float("inf")},
    {"a": -(2**63), "b": SHARED, "s": "\x00\U0010ffff\ud800", "n": 1e308, "t": None},
    {"a": {"a": {"a": {"a": []}}}, "b": {str(i): i for i in range(500)}, "s": "", "n": -0.0},
    {"__class__": "x", "a": 10**400, "b": [[]] * 300, "s": "%s%d" * 50, "n": float("nan")},
)


class TooSlow(AssertionError):
    """A step that took more than ``PATIENCE``."""


def timed(step: Callable[..., Any], *values: Any) -> Any:
    """What ``step`` gives. Raises ``TooSlow``, and whatever it raises."""
    start = time.process_time()
    try:
        return step(*values)
    finally:
        took = time.process_time() - start
        if took > PATIENCE:
            raise TooSlow(f"{step} took {took:.1f} s")


def _in_text(text: str, line: int, column: int) -> None:
    lines = text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1


def condition(source: str, many: tuple[Any, ...] = HOSTILE) -> None:
    """A condition over hostile data."""
    try:
        compiled = timed(compile_expression, source, CONDITION_VARIABLES)
    except InvalidExpression as error:
        _in_text(source, error.line, error.column)
        return
    assert all(found.path[0] in CONDITION_VARIABLES for found in comparisons(compiled))
    judged(source)
    for index, data in enumerate(many):
        event = {"id": "1", "type": "a", "source": "s", "origin": "server", "data": data}
        event["time"] = now = Timestamp((0, LAST * 1000, -62_135_596_800 * 10**9)[index % 3])
        try:
            value = timed(compiled.evaluate, event, data, now, {"f": 1, "g": None}, {})
            json.dumps(timed(to_json, value), allow_nan=False)
        except ExpressionError:
            continue


def judged(source: str) -> None:
    """A condition in a policy, against the catalogue."""
    text = _POLICY % json.dumps(source)
    located, problems = parse_located(text, "f.yaml")
    if not problems:
        timed(check, located[0], AROUND)


def policy_file(text: str) -> None:
    """A policy file: problems with places, or policies that compile to what they were."""
    located, problems = timed(parse_located, text, "f.yaml")
    lines = len(text.splitlines())
    for one in located:
        problems += timed(check, one, ANYTHING) + timed(check, one, AROUND)
    for problem in problems:
        assert 1 <= problem.line <= lines + 1
        assert problem.column >= 1
        assert str(problem)
    if any(problem.severity == "error" for problem in problems):
        return
    for one in located:
        written = canonical(one.policy)
        assert canonical(from_canonical(written)) == written
        compile_policy(one.policy, version(one.policy))
        assert all(node.next <= len(flow(one.policy)) for node in flow(one.policy))


def with_data(text: str) -> None:
    """A condition, and after a NUL the JSON of the data it is asked about."""
    source, _, data = text.partition("\x00")
    condition(source, (decode_data(msgspec.Raw(data.encode("utf-8", "replace"))),))


def template(text: str) -> None:
    """The text of a guidance."""
    try:
        timed(parse_template, text)
    except TemplateError:
        return


def lines(text: str) -> None:
    """Lines for ``policy eval --batch``."""
    asked = text.split("\n")
    answers = [json.loads(answer) for answer in timed(lambda: list(batch(asked)))]
    assert len(answers) == sum(1 for line in asked if line.strip())


TARGETS: dict[str, Callable[[str], None]] = {
    "C": condition,
    "P": policy_file,
    "D": with_data,
    "T": template,
    "B": lines,
}


def judge(raw: bytes) -> None:
    """The first byte names the target, the rest is its text. Raises what must not come out."""
    text = raw[1:].decode("utf-8", "replace")
    TARGETS.get(chr(raw[0]), condition)(text) if raw else condition("")
