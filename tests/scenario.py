"""Short ways to write a policy, a history and what is decided over it; times are seconds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.decide.backtest import decide_history
from forestall.decide.history import History
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import parse

START = parse_time("2024-05-01T12:00:00Z")
OPEN = DecideSettings(budget=1000, spacing=0)
"""Settings under which only the gates that a test is about can refuse."""


def policy(spec: str, name: str = "p", more: str = "") -> Policy:
    """The policy whose ``spec`` is the given YAML flow or block text, indented by two."""
    text = (
        f"apiVersion: forestall/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n{spec}{more}"
    )
    return parse(text, "policy.yaml")[0]


def on(when: str, name: str = "p", cooldown: str = "0s", **more: Any) -> Policy:
    """A policy of one pattern, without cooldown unless given; ``more`` are other keys of spec."""
    extra = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in more.items())
    return policy(f"  when: {when}\n  cooldown: {cooldown}\n{extra}", name)


def event(
    at: float,
    event_type: str,
    data: dict[str, Any] | None = None,
    *,
    subject: str = "u",
    event_id: str | None = None,
    received: float | None = None,
    **more: Any,
) -> bytes:
    """A CloudEvents line; its id tells its time and type unless given."""
    attributes = {
        "specversion": "1.0",
        "id": event_id or f"{event_type}@{at}",
        "source": "test",
        "type": event_type,
        "subject": subject,
        "time": instant(at),
        "data": data,
        **more,
    }
    if received is not None:
        attributes["received"] = instant(received)
    return json.dumps(attributes).encode()


def instant(at: float) -> str:
    """RFC 3339 of ``at`` seconds after the start."""
    return format_time(START + round(at * SECOND))


def decide(
    policies: Policy | Sequence[Policy],
    lines: Sequence[bytes],
    settings: DecideSettings = OPEN,
    controls: Sequence[Control] = (),
) -> list[Decision]:
    """Everything decided over ``lines``."""
    several = [policies] if isinstance(policies, Policy) else policies
    return decide_history(several, lines, settings, controls)


def records(*lines: bytes) -> list[Record]:
    """The records of a history."""
    return [record for chunk in History(Path("history"), lines) for record in chunk]


def told(decisions: Sequence[Decision]) -> list[str]:
    """Decisions as short texts: seconds, policy, outcome or reason, and the key where there is one."""
    return [
        f"{(parse_time(one.at) - START) / SECOND:g} {one.policy} {one.reason or one.outcome}"
        + ("" if one.key is None else f" {one.key}")
        for one in decisions
    ]
