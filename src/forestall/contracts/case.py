"""The parts of a case: what a person needs to take over from where an intervention stopped.

All times are RFC 3339. The published schema of the whole is ``case.schema.json`` beside this file.
"""

from importlib import resources
from typing import Any, Literal

import msgspec

from forestall.contracts.inference import Inference, Plan

SeenStatus = Literal[
    "sent", "shown", "seen", "dismissed", "answered", "helped", "expired", "failed"
]
"""What became of a message to the customer. ``shown``: a page has it; ``seen``: it was in sight for
a second."""


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of the customer: ``fields`` are those of its data that the policy declares;
    ``personal`` names the ones that only the deployment's own people may see."""

    at: str
    type: str
    id: str
    matched: bool = False
    fields: dict[str, Any] = {}
    personal: tuple[str, ...] = ()


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to the customer, in its own words (with the steps of a checklist, and what it said
    is known), what became of it, and the ``choice`` that was the answer."""

    at: str
    title: str
    body: str
    status: SeenStatus
    step: int | None = None
    choice: str | None = None


class Hypothesis(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may be the trouble: a policy that concluded so, and what became of that.

    ``outcome`` is the decision's; ``reason`` says which gate kept another policy silent."""

    policy: str
    version: str
    why: str
    at: str
    outcome: Literal["intervene", "suppress", "holdout"] = "intervene"
    reason: str | None = None


class Tried(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was tried: a lookup, an agent's answer, an action, the undoing of one.

    ``outcome`` is how it stands: ``done``, ``failed``, ``undone``, ``uncertain``, ``dropped``,
    ``refused`` or ``waiting``. ``arguments`` went in (an agent's without personal data), ``fields``
    came out, ``evidence`` is what the other side showed (dry run, answer, verification). ``plan`` is
    what an agent planned, with personal data masked, ``inference`` how it came to that, or to
    ``fields``."""

    step: int
    kind: str
    name: str
    outcome: str
    at: str | None = None
    reason: str | None = None
    arguments: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    evidence: dict[str, Any] = {}
    plan: Plan | None = None
    inference: Inference | None = None


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the customer agreed to when the case was made; ``granted`` is none where they never
    said."""

    purpose: str
    granted: bool | None = None
    since: str | None = None
    opted_out: bool = False


class Advice(msgspec.Struct, frozen=True):
    """What a runbook, in this version, says to the agent."""

    runbook: str
    version: int
    text: str


def case_schema() -> bytes:
    """The published JSON Schema (2020-12) of a case, as it comes with this package."""
    return resources.files("forestall.contracts").joinpath("case.schema.json").read_bytes()
