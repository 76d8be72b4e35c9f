"""The server's engine reads the vectors that pages read (``sdk/test/edge.test.ts``), and agrees.

``compiled.json`` holds what pages are given of them; with ``FORESTALL_WRITE_VECTORS=1`` it is written
anew.
"""

import json
import os
from typing import Any

import pytest

from forestall.context.knowledge.template import MissingValue, parse_template
from forestall.contracts.instants import parse_duration
from forestall.decide.occasion import with_doubles
from forestall.policy.edge_conditions import compile_edge
from forestall.policy.edge_key import SignatureInvalid, read_signed
from property.edge_cases import as_sent
from property.edge_server import NAMES, by_server, typed, value_by_server
from property.edge_vectors import HISTORIES, START, VECTORS, cases, device, until

COMPILED = VECTORS / "compiled.json"
TYPES = {
    "int": "bigint", "double": "number", "string": "string", "bool": "boolean", "null": "object",
    "list": "object", "map": "object",
}  # fmt: skip


def histories(*names: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{name}: {case['name']}") for name in names for case in cases(name)
    ]


def compiled() -> dict[str, Any]:
    """What pages are given of each case, by file and name."""
    made: dict[str, Any] = {
        "conditions": {
            case["name"]: compile_edge(case["expr"], NAMES) for case in cases("conditions")
        }
    }
    for name in HISTORIES:
        made[name] = {
            case["name"]: {"bundle": device(case).bundle(), "pass": device(case).passed()}
            for case in cases(name)
        }
    return made


def _lines(made: dict[str, dict[str, Any]]) -> str:
    """One case a line."""
    files = []
    for name, some in made.items():
        each = [f"{json.dumps(case)}: {json.dumps(one)}" for case, one in some.items()]
        files.append(f"{json.dumps(name)}: {{\n" + ",\n".join(each) + "\n}")
    return "{\n" + ",\n".join(files) + "\n}\n"


def expected(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The decisions that a case expects, with what it leaves unsaid."""
    if isinstance(case["expect"], dict):
        last = len(case["events"]) - 1
        only = {"at": case["events"][-1]["at"], "matched": [last], "features": case["expect"]}
        return expected({**case, "expect": [only]})
    return [
        {
            "policy": one.get("policy", "p"),
            "key": one.get("key"),
            "at": START + parse_duration(one["at"]),
            "outcome": one.get("outcome", "intervene"),
            "reason": one.get("reason"),
            "matched": [["/web/device", str(number)] for number in one["matched"]],
            "features": {name: typed(value) for name, value in one.get("features", {}).items()},
        }
        for one in case["expect"]
    ]


def test_what_pages_are_given_is_what_is_compiled_now() -> None:
    made = json.loads(json.dumps(compiled()))
    if os.environ.get("FORESTALL_WRITE_VECTORS"):
        COMPILED.write_text(_lines(made))
    assert json.loads(COMPILED.read_text()) == made


@pytest.mark.parametrize("case", histories(*HISTORIES))
def test_the_server_decides_a_history_as_expected(case: dict[str, Any]) -> None:
    made = by_server(device(case), until(case))
    for one in made:
        del one["version"]
    assert made == expected(case)


@pytest.mark.parametrize("case", histories("conditions"))
def test_the_server_evaluates_a_condition_as_expected(case: dict[str, Any]) -> None:
    data = with_doubles(case.get("data", {}), case.get("doubles", {}))
    names = {"event": {"data": data}, "subject": case.get("traits", {})}
    made = value_by_server(case["expr"], {**names, "features": case.get("features", {})})
    if case.get("error"):
        assert made == {"error": True}
    else:
        assert made == {**typed(case["value"]), "type": TYPES[case["type"]]}


@pytest.mark.parametrize("case", histories("templates"))
def test_the_server_fills_in_a_template_as_expected(case: dict[str, Any]) -> None:
    known = {
        "event": {"type": "e.a", "data": case.get("data", {})},
        "subject": case.get("traits", {}),
        "features": case.get("features", {}),
    }
    if case.get("missing"):
        with pytest.raises(MissingValue):
            parse_template(case["template"]).render(known)
    else:
        assert parse_template(case["template"]).render(known) == case["text"]


@pytest.mark.parametrize("case", histories("signatures"))
def test_the_server_reads_what_is_signed_as_expected(case: dict[str, Any]) -> None:
    if case.get("refused"):
        with pytest.raises(SignatureInvalid):
            read_signed(case["jws"], case["typ"], case["key"])
    else:
        assert read_signed(case["jws"], case["typ"], case["key"]) == case["payload"]


def test_numbers_arrive_as_pages_send_them() -> None:
    sent = as_sent(
        {"a": 1.0, "b": -0.0, "c": 2.5, "d": 9223372036854775807, "e": 1e21, "f": [1e19]}
    )
    assert json.dumps(sent) == (
        '{"a": 1, "b": 0, "c": 2.5, "d": 9223372036854776000, "e": 1e+21, "f": [10000000000000000000]}'
    )
