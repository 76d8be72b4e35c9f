"""What would have to differ: changes to one customer's history, readable by people and machines.

To apply a ``Counterfactual``: take the first ``kept`` of the subject's records as they were, less
those that ``Without`` names, under the policies and settings of ``as_of``; let each change happen,
received not before ``start``; add the events of
``Add``, in order, each with a time from ``after`` to ``before``, taking the data of the event ``like``
where it names one; and let time pass until ``acts_at``. The policy then intervenes if ``certain``.
"""

from typing import Any, Literal

import msgspec

from forestall.contracts.decision import Reason
from forestall.contracts.instants import parse_time
from forestall.decide.explain.progress import named


class Without(msgspec.Struct, frozen=True, tag="without", tag_field="change"):
    """These events, by which the customer said never to the policy, do not happen."""

    events: tuple[str, ...]


class SwitchOn(msgspec.Struct, frozen=True, tag="switch_on", tag_field="change"):
    """The policy, and everything, is switched on."""

    policy: str


class SwitchOff(msgspec.Struct, frozen=True, tag="switch_off", tag_field="change"):
    """Policies that would come first are switched off."""

    policies: tuple[str, ...]


class RaiseBudget(msgspec.Struct, frozen=True, tag="raise_budget", tag_field="change"):
    """The budget of guidance is at least this."""

    budget: int


class OptIn(msgspec.Struct, frozen=True, tag="opt_in", tag_field="change"):
    """The customer opts in again."""


class GrantConsent(msgspec.Struct, frozen=True, tag="grant_consent", tag_field="change"):
    """The customer consents to the purpose."""

    purpose: str


class CloseTickets(msgspec.Struct, frozen=True, tag="close_tickets", tag_field="change"):
    """The customer's open tickets are closed."""

    tickets: tuple[str, ...]


class Ends(msgspec.Struct, frozen=True):
    """When a gate lets pass by itself."""

    reason: Reason
    at: str


class NotBefore(msgspec.Struct, frozen=True, tag="not_before", tag_field="change"):
    """It happens at this moment instead: the gates that time opens are open then."""

    at: str
    gates: tuple[Ends, ...]


class Condition(msgspec.Struct, frozen=True, tag="condition", tag_field="change"):
    """A part of the policy's ``if`` holds: ``path operator constant``; it was ``actual``."""

    text: str
    path: tuple[str, ...]
    operator: str
    constant: Any
    actual: Any


class Add(msgspec.Struct, frozen=True, tag="add", tag_field="change"):
    """``count`` events of one of ``types`` for which ``where`` holds, with that key of the pattern.

    ``like`` is the id of one of the customer's events that they repeat, but for what a ``Condition``
    asks of the last; where there is none, ``data`` is all that they hold.
    """

    types: tuple[str, ...]
    where: str | None
    key: str | None
    count: int
    after: str
    before: str | None
    like: str | None
    data: dict[str, Any] | None = None


class Silence(msgspec.Struct, frozen=True, tag="silence", tag_field="change"):
    """No event of ``types`` for which ``where`` holds comes until the policy acts."""

    types: tuple[str, ...]
    where: str | None
    until: str


class Fixed(msgspec.Struct, frozen=True, tag="fixed", tag_field="change"):
    """What no change of this customer's history can do anything about, and why."""

    reason: Literal[
        "policy_holdout",
        "global_holdout",
        "low_confidence",
        "complex_condition",
        "complex_where",
        "complex_key",
        "contradiction",
        "not_found",
        "not_in_force",
    ]
    detail: str


Change = (
    Without
    | SwitchOn
    | SwitchOff
    | RaiseBudget
    | OptIn
    | GrantConsent
    | CloseTickets
    | NotBefore
    | Condition
    | Add
    | Silence
    | Fixed
)


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """All that would have to differ, together; the module says how to apply it.

    ``certain`` says that the history was decided again with every change, and the policy acted.
    ``again`` says that ``Add`` only repeats what had happened.
    """

    kept: int
    as_of: str
    start: str
    changes: tuple[Change, ...]
    acts_at: str | None
    certain: bool
    again: bool


def words(change: Change) -> str:
    """A change as a clause, to follow "it would have acted if"."""
    match change:
        case NotBefore(at, ends):
            told = " and ".join(f"{_GATES[end.reason]} {short(end.at)}" for end in ends)
            return f"it had happened at {short(at)} ({told})"
        case Condition(_, path, operator, constant, actual):
            wanted = f"{_OPERATORS[operator]} {_value(constant)}"
            return f"`{'.'.join(path)}` had been {wanted} (it was {_value(actual)})"
        case Add():
            return _adding(change)
        case Silence(types, where, until):
            return f"no {_event(types, where)} had come by {short(until)}"
        case Fixed(_, detail):
            return detail
        case _:
            return _put_right(change)


def _put_right(
    change: Without | SwitchOn | SwitchOff | RaiseBudget | OptIn | GrantConsent | CloseTickets,
) -> str:
    match change:
        case Without(events):
            return f"the customer had not said never to it ({', '.join(events)})"
        case SwitchOn(policy):
            return f"`{policy}`, and everything, had been switched on"
        case SwitchOff(policies):
            return f"{_listed(policies)}, which came first, had been switched off"
        case RaiseBudget(budget):
            return f"the budget of guidance had been at least {budget}"
        case OptIn():
            return "the customer had opted in again"
        case GrantConsent(purpose):
            return f"the customer had consented to `{purpose}`"
        case CloseTickets(tickets):
            return f"the open tickets ({', '.join(tickets)}) had been closed"


_OPERATORS = {
    "==": "equal to",
    "!=": "other than",
    "<": "below",
    "<=": "at most",
    ">": "above",
    ">=": "at least",
    "in": "one of",
}
_GATES: dict[Reason, str] = {
    "cooldown": "the cooldown ends at",
    "fatigue": "the pause after a dismissal ends at",
    "budget": "the budget frees at",
    "spacing": "the spacing after other guidance ends at",
    "quiet_hours": "quiet hours end at",
}


def short(moment: str) -> str:
    """A time without a fraction of noughts, and to the microsecond where it has another."""
    parse_time(moment)
    whole, _, fraction = moment.removesuffix("Z").partition(".")
    rest = fraction.rstrip("0")
    return f"{whole}.{rest}Z" if rest else f"{whole}Z"


def _adding(change: Add) -> str:
    key = "" if change.key is None else f" for {change.key}"
    until = f" by {short(change.before)}" if change.before else ""
    number = {1: "one more", 2: "two more", 3: "three more"}.get(
        change.count, f"{change.count} more"
    )
    return f"{number} {_event(change.types, change.where)}{key} had come{until}"


def _event(types: tuple[str, ...], where: str | None) -> str:
    condition = f" where `{where}`" if where else ""
    return f"`{named(types)}`{condition}"


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _value(value: Any) -> str:
    return "missing" if value is None else msgspec.json.encode(value).decode()
