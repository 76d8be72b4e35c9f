"""The official CEL conformance cases, what each gives here, and the table of the documentation.

``python tests/cel_conformance.py`` writes the table into ``docs/reference/conditions.md``.
"""

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import (
    CelType,
    InvalidExpression,
    Uint,
    compile_expression,
)
from forestall.policy.language.cel.operators import make_map
from forestall.policy.language.cel.times import parse_duration, parse_timestamp

VECTORS = Path(__file__).parent / "vectors" / "cel-conformance.json.gz"
DOCUMENT = Path(__file__).parents[1] / "docs" / "reference" / "conditions.md"
BEGIN, END = "<!-- conformance table begins -->", "<!-- conformance table ends -->"

MESSAGES = "protobuf messages"
WHOLE_SUITES = {
    "bindings_ext": "`cel.bind`",
    "block_ext": "`cel.block`",
    "dynamic": MESSAGES,
    "encoders_ext": "base64 functions",
    "enums": "protobuf enums",
    "macros2": "loops over two variables",
    "math_ext": "`math` functions",
    "optionals": "optional values",
    "proto2": MESSAGES,
    "proto2_ext": MESSAGES,
    "proto3": MESSAGES,
    "wrappers": MESSAGES,
}
UNKNOWN_NAMES = "unknown names are compile errors, even where `\\|\\| true` would hide them"
LATE_NAMES = {"basic": ("unbound_is_runtime_error",), "parse": ("receiver_function_names/",)}
MESSAGE_LITERAL = re.compile(r"(TestAllTypes|google\.protobuf\.\w+)[\s/@]*\{")


class Case(NamedTuple):
    """One official case; ``error`` says that evaluating must fail."""

    suite: str
    name: str
    expr: str
    bindings: dict[str, Any]
    value: Any
    error: bool
    container: bool
    check_only: bool

    def __str__(self) -> str:
        return f"{self.suite}/{self.name}"


class UnsupportedValue(Exception):
    """A protobuf message among bindings or results."""


def cases() -> Iterator[Case]:
    """Every case of every suite."""
    suites = json.loads(gzip.decompress(VECTORS.read_bytes()))["suites"]
    for suite, members in suites.items():
        for member in members:
            yield Case(
                suite,
                member["name"],
                member["expr"],
                member.get("bindings", {}),
                member.get("value"),
                member.get("error", False),
                "container" in member,
                member.get("checkOnly", False),
            )


def value_of(typed: dict[str, Any]) -> Any:
    """A ``cel.expr.Value`` in protobuf's JSON form as the value used here."""
    ((kind, value),) = typed.items()
    match kind:
        case "int64Value":
            return int(value)
        case "uint64Value":
            return Uint(value)
        case "doubleValue":
            return float(value)
        case "stringValue" | "boolValue":
            return value
        case "bytesValue":
            return base64.b64decode(value)
        case "nullValue":
            return None
        case "listValue":
            return [value_of(item) for item in value.get("values", [])]
        case "mapValue":
            entries = value.get("entries", [])
            return make_map(
                *(value_of(entry[part]) for entry in entries for part in ("key", "value"))
            )
        case "typeValue":
            return CelType(value)
    if kind == "objectValue" and value["@type"].endswith("google.protobuf.Timestamp"):
        return parse_timestamp(value["value"])
    if kind == "objectValue" and value["@type"].endswith("google.protobuf.Duration"):
        return parse_duration(value["value"])
    raise UnsupportedValue(kind)


def same(a: Any, b: Any) -> bool:
    """Equal in type and value; NaN is the same as NaN."""
    if a.__class__ is not b.__class__:
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(key in b and same(item, b[key]) for key, item in a.items())
    return bool(a == b or (a != a and b != b))


def out_of_scope(case: Case) -> str | None:
    """Why a case asks for something that the policy language leaves out; None if it does not."""
    if case.suite in WHOLE_SUITES:
        return WHOLE_SUITES[case.suite]
    if case.check_only:
        return "the types a static checker deduces"
    if any(part in case.name for part in LATE_NAMES.get(case.suite, ())):
        return UNKNOWN_NAMES
    if MESSAGE_LITERAL.search(case.expr):
        return MESSAGES
    if case.container:
        return "containers (namespaces)"
    return None if has_plain_values(case) else MESSAGES


def has_plain_values(case: Case) -> bool:
    """Whether bindings and result are values that this language knows."""
    try:
        for value in (*case.bindings.values(), case.value or {"nullValue": None}):
            value_of(value)
    except UnsupportedValue:
        return False
    return True


def outcome(case: Case) -> tuple[str, Any]:
    """What happens here: ``("value", v)``, ``("error", text)`` or ``("refused", text)``."""
    bindings = {name: value_of(value) for name, value in case.bindings.items()}
    try:
        expression = compile_expression(case.expr, tuple(bindings))
        return "value", expression.evaluate(*bindings.values())
    except InvalidExpression as error:
        return "refused", str(error)
    except ExpressionError as error:
        return "error", str(error)


def passes(case: Case) -> bool:
    """Whether a case in scope gives what it must; a compile error is an error too."""
    kind, value = outcome(case)
    if case.error:
        return kind in ("error", "refused")
    return kind == "value" and same(value, value_of(case.value))


def table() -> str:
    """The table of the documentation: per suite, passed, failed, out of scope and why."""
    passed, failed, left_out = Counter[str](), Counter[str](), Counter[str]()
    reasons: dict[str, dict[str, None]] = {}
    for case in cases():
        reason = out_of_scope(case)
        reasons.setdefault(case.suite, {})
        if reason:
            left_out[case.suite] += 1
            reasons[case.suite][reason] = None
        elif passes(case):
            passed[case.suite] += 1
        else:
            failed[case.suite] += 1
    rows = [
        f"| {suite} | {passed[suite]} | {failed[suite]} | {left_out[suite]} | {'; '.join(why)} |"
        for suite, why in sorted(reasons.items())
    ]
    total = f"| **all** | {passed.total()} | {failed.total()} | {left_out.total()} | |"
    head = (
        "| suite | passed | failed | out of scope | what is out of scope |\n|---|---|---|---|---|"
    )
    return "\n".join([head, *rows, total])


def document(text: str) -> str:
    """The page with a fresh table between its two marks."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text()))
