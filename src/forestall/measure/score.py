"""Scoring decisions against a history of sessions, in some of which the customer asked for help.

Only what was decided before a contact counts for it, so nothing is credited with hindsight.
"""

from collections.abc import Iterable, Mapping
from statistics import median

import msgspec

from forestall.contracts.decision import Decision
from forestall.contracts.instants import SECOND, parse_time
from forestall.measure.outcomes import caveat, lead

CAVEAT = caveat("a chat")
"""What every report of a score has to say beside the figures."""


class Visit(msgspec.Struct, frozen=True):
    """One event of the history: the session it belongs to, when (microseconds), and whether it
    is the customer asking for help."""

    session: str
    at: int
    contact: bool = False


class PolicyScore(msgspec.Struct, frozen=True):
    """One policy's interventions, and how many had a chat after them in the same session.

    ``precision`` is their ratio, which is all the precision the policy may claim; null for none.
    """

    interventions: int
    followed_by_chat: int
    precision: float | None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How a history went. Of ``chat_sessions``, ``reached_before_chat`` had an intervention before
    the first chat; ``median_lead_seconds`` is how long before, from the earliest intervention.

    ``decisions`` counts by outcome and reason, each outcome with its ``total``.
    """

    events: int
    sessions: int
    chat_sessions: int
    reached_before_chat: int
    median_lead_seconds: float | None
    interventions: int
    interventions_per_1000_sessions: float
    decisions: dict[str, dict[str, int]]
    by_policy: dict[str, PolicyScore]
    caveat: str = CAVEAT


class _Intervention(msgspec.Struct, frozen=True):
    policy: str
    session: str
    at: int


def score(history: Mapping[str, Visit], decisions: Iterable[Decision], *, grace: int) -> Score:
    """Score ``decisions`` on ``history``, the events by id.

    A decision belongs to the session of its last matched event. One that came from a timer counts
    from ``grace`` (microseconds) after its deadline, when a running engine would have noticed it.
    Decisions that matched no event of the history count by outcome and reason only.
    """
    contacts = _contacts(history.values())
    outcomes: dict[str, dict[str, int]] = {
        outcome: {"total": 0} for outcome in ("intervene", "suppress", "holdout")
    }
    made: list[_Intervention] = []
    for decision in decisions:
        counts = outcomes[decision.outcome]
        for key in ("total", decision.reason):
            if key is not None:
                counts[key] = counts.get(key, 0) + 1
        if decision.outcome == "intervene" and (visit := history.get(decision.matched[-1])):
            at = parse_time(decision.at)
            noticed = at if at <= visit.at else at + grace
            made.append(_Intervention(decision.policy, visit.session, noticed))
    leads = _leads(made, contacts)
    sessions = len({visit.session for visit in history.values()})
    total = outcomes["intervene"]["total"]
    return Score(
        events=len(history),
        sessions=sessions,
        chat_sessions=len(contacts),
        reached_before_chat=len(leads),
        median_lead_seconds=median(leads) / SECOND if leads else None,
        interventions=total,
        interventions_per_1000_sessions=round(1000 * total / sessions, 1) if sessions else 0.0,
        decisions=outcomes,
        by_policy=_by_policy(made, contacts),
    )


def _contacts(visits: Iterable[Visit]) -> dict[str, list[int]]:
    """When help was asked for, ascending, by session."""
    contacts: dict[str, list[int]] = {}
    for visit in visits:
        if visit.contact:
            contacts.setdefault(visit.session, []).append(visit.at)
    return {session: sorted(times) for session, times in contacts.items()}


def _leads(made: Iterable[_Intervention], contacts: Mapping[str, list[int]]) -> list[int]:
    """For each session reached in time, from its earliest intervention to its first contact."""
    acts: dict[str, list[int]] = {}
    for one in made:
        acts.setdefault(one.session, []).append(one.at)
    found = (lead(acts.get(session, ()), times[0]) for session, times in contacts.items())
    return [one for one in found if one is not None]


def _by_policy(
    made: Iterable[_Intervention], contacts: Mapping[str, list[int]]
) -> dict[str, PolicyScore]:
    totals: dict[str, list[int]] = {}
    for one in made:
        counts = totals.setdefault(one.policy, [0, 0])
        counts[0] += 1
        times = contacts.get(one.session)
        counts[1] += bool(times and lead((one.at,), times[-1]))
    return {
        policy: PolicyScore(number, followed, round(followed / number, 3))
        for policy, (number, followed) in sorted(totals.items())
    }
