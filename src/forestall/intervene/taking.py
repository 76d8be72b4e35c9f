"""A person takes a case: whoever hears of it, a helpdesk or an operator's command."""

from forestall.contracts.intervention import Tell
from forestall.intervene.escalation_store import EscalationStore
from forestall.intervene.reports import event_of
from forestall.intervene.store import Store


def take(store: Store, intervention: str, by: str, *, wall: int, log: int) -> bool:
    """Note that ``by`` has the case of ``intervention`` since ``wall`` time, which is ``log`` time
    in the log; false if somebody has it already, or no queue was handed it.

    Works inside the caller's transaction."""
    escalations = EscalationStore(store.database)
    if not escalations.take(intervention, by, wall):
        return False
    first = escalations.of(intervention)[0]
    decision, _ = store.decision(intervention)
    tell = Tell(decision.id, decision.policy, decision.version, first.step or None, by=by)
    noted = store.subject(intervention) or first.subject
    store.note(noted, intervention, "taken", first.step, log, None)
    store.report(event_of(decision, first.subject, "taken", log, tell))
    return True
