"""What the server's engine says of the cases of ``edge_cases`` and ``edge_expressions``, as pages tell it."""

import json
from pathlib import Path
from typing import Any

from forestall.contracts.errors import ExpressionError
from forestall.contracts.instants import format_time, parse_time
from forestall.decide.backtest import backtest, opening
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.decide.plan import key_text
from forestall.policy.bundle import Bundle
from forestall.policy.language.cel import compile_expression
from property.edge_cases import Device

NAMES = ("event", "subject", "features")
"""What conditions see here."""


def by_server(device: Device, until: int | None = None) -> list[dict[str, Any]]:
    """What the server's engine decides on the device's events, and by the moment ``until``."""
    events = [*device.before(), *device.events]
    if until is not None:
        moment = format_time(until + device.settings.grace)
        other = {"id": "end", "subject": "other", "time": moment, "received": moment}
        events.append({**device.events[-1], "type": "e.other", **other})
    lines = [json.dumps(one).encode() for one in events]
    bundle = Bundle(policies=tuple(device.policies), numbers=device.numbers)
    controls = opening(bundle, device.settings)
    steps = backtest(controls, History(Path("<events>"), lines), Engine())
    return [
        {
            "policy": one.policy,
            "version": one.version,
            "key": one.key,
            "at": parse_time(one.at),
            "outcome": one.outcome,
            "reason": one.reason,
            "matched": [["/web/device", name] for name in one.matched],
            "features": {name: typed(value) for name, value in one.features.items()},
        }
        for step in steps
        for _, one in step.decided
        if parse_time(one.at) >= device.start
    ]


def value_by_server(source: str, bindings: dict[str, Any]) -> dict[str, Any]:
    """What the server's condition says, as the page tells it."""
    try:
        value = compile_expression(source, NAMES).evaluate(*(bindings[name] for name in NAMES))
    except ExpressionError:
        return {"error": True}
    return typed(value)


def typed(value: Any) -> dict[str, Any]:
    """A value with its type, as the page tells it."""
    kinds = {bool: "boolean", int: "bigint", float: "number", str: "string"}
    text = "null" if value is None else key_text(value)
    return {"type": kinds.get(type(value), "object"), "value": text}
