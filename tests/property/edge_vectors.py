"""The vectors of ``spec/vectors`` as cases for the server's engine, and what pages are given of them."""

import json
from pathlib import Path
from typing import Any

from forestall.contracts.control import DecideSettings
from forestall.contracts.instants import format_time, parse_duration, parse_time
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import parse
from property.edge_cases import SUBJECT, Device, Known

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"
START = parse_time("2024-05-01T12:00:00Z")
FREE = {"budget": 1000, "spacing": 0}
"""Settings that keep nothing back, for what is not about gates."""

HISTORIES = ("patterns", "features", "timers", "gates")
_SPEC = ("when", "if", "features", "cooldown", "budget_class", "priority", "holdout")


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    found: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    return found


def policies_of(case: dict[str, Any]) -> list[Policy]:
    """The policies of a history; what they do not say is as for any other."""
    only = {"name": "p", **{key: case[key] for key in _SPEC if key in case}}
    decider = {"event": "e.z" if "e.z" in json.dumps(case["events"]) else "e.a"}
    return [
        _policy({"when": decider, "cooldown": "1h", **one}) for one in case.get("policies", [only])
    ]


def _policy(said: dict[str, Any]) -> Policy:
    name = said.pop("name")
    document = {
        "apiVersion": "forestall/v1",
        "kind": "Policy",
        "metadata": {"name": name, "title": name, "owner": "team"},
        "spec": {
            **said,
            "edge": True,
            "playbook": [{"guide": {"text": "Hello", "channel": "inapp"}}],
        },
    }
    (policy,) = parse(json.dumps(document), "<vector>")
    return policy


def device(case: dict[str, Any]) -> Device:
    """The history of a case as one of a device."""
    said = {**FREE, **case.get("settings", {})}
    if "quiet_hours" in said:
        said["quiet_hours"] = tuple(said["quiet_hours"])
    told = case.get("known", {})
    known = Known(**{**told, "acts": tuple(map(tuple, told.get("acts", [])))})
    events = [_event(event, number) for number, event in enumerate(case["events"])]
    return Device(policies_of(case), DecideSettings(**said), {}, known, events, START)


def _event(event: dict[str, Any], number: int) -> dict[str, Any]:
    moment = format_time(START + parse_duration(event["at"]))
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "/web/device",
        "type": event["type"],
        "subject": SUBJECT,
        "time": moment,
        "received": moment,
        "origin": "browser",
        "data": event.get("data", {}),
    }


def until(case: dict[str, Any]) -> int:
    """When a history ends."""
    return START + parse_duration(case.get("until", case["events"][-1]["at"]))
