"""The operators' HTTP API of flags: set one in a managed deployment.

An extension of ``api``. A value is a version of the flag, which goes from draft over validated to
live in one step, by the same rules and records as everything else under change control.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from forestall.console.api import Call, Extension
from forestall.console.lifecycle_api import STATUS as LIFECYCLE
from forestall.console.lifecycle_api import Desk, actor
from forestall.console.lifecycle_views import shown
from forestall.contracts.control import Transition
from forestall.contracts.errors import ForestallError
from forestall.contracts.flags import Value, wrong
from forestall.ingest.exchange import Response, json
from forestall.policy.changing import next_state
from forestall.policy.lifecycle import Artifact, Ask, Finding, State, content_version


class WrongFlag(ForestallError):
    """A flag cannot have that name, or that value."""

    code = "wrong-flag"


STATUS: Final[dict[type[ForestallError], int]] = {**LIFECYCLE, WrongFlag: 422}
"""The HTTP status of each refusal."""


class _Set(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: Value
    reason: str


def _set(desk: Desk, call: Call) -> Response:
    asked = call.read(_Set)
    refused = wrong(asked.name, asked.value)
    if refused is not None:
        raise WrongFlag(refused)
    made = set_flag(desk, call, asked.name, asked.value, asked.reason)
    answer = {"name": asked.name, "value": asked.value}
    return json(201 if made else 200, {**answer, "transitions": [shown(one) for one in made]})


def set_flag(desk: Desk, call: Call, name: str, value: Value, reason: str) -> list[Transition]:
    """Let ``value`` be live; the transitions, none where it is already.

    Raises ``NotManaged``, ``RoleMissing`` and ``ReasonMissing``; nothing is changed then.
    """
    registry, who, now = desk.managed, actor(call.who), desk.clock()
    set_, version = registry.standing().active, content_version(value)
    place = registry.standing().place(set_, "flag", name, version)
    state: State | None = None if place is None else place.state
    made: list[Transition] = []
    with registry.transaction():
        content = msgspec.json.encode(value)
        registry.put(
            Artifact(
                kind="flag",
                name=name,
                version=version,
                content=content,
                by=who.name,
                at=now,
                why=reason,
            )
        )
        checked = {"errors": 0}
        registry.found(
            Finding(
                kind="flag",
                name=name,
                version=version,
                what="validated",
                by=who.name,
                at=now,
                evidence=checked,
            )
        )
        while state != "live":
            after = "draft" if state is None else next_state("flag", state, registry.rules)
            ask = Ask(set=set_, kind="flag", name=name, version=version, after=after or "live")
            outcome = registry.move(ask, who, reason, now)
            if isinstance(outcome, tuple):
                made += outcome
            state = ask.after
    return made


Handler = Callable[[Desk, Call], Response]

ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (("POST", "/v1/flags", _set),)
"""Method, path and handler of everything there is."""


def extension(desk: Desk) -> Extension:
    """What the operators' API takes besides."""
    return Extension(
        [(verb, path, partial(handler, desk)) for verb, path, handler in ROUTES], STATUS
    )
