"""The in-app messages of a subject, as the event-stream hub reads them: the door comes first."""

from collections.abc import Iterable

from forestall.contracts.intervention import Message
from forestall.intervene.reports import report_event
from forestall.intervene.store import Store
from forestall.intervene.surroundings import Surroundings, door_says
from forestall.intervene.telemetry import EFFECTS


class Inbox:
    """Messages waiting for open pages. Belongs to the event loop's thread, as the store does."""

    def __init__(self, store: Store, surroundings: Surroundings) -> None:
        self._store, self._now = store, surroundings

    def after(self, subject: str, last_id: str | None, now: int) -> list[Message]:
        """What may be shown to ``subject`` at log time ``now`` and came after the message
        ``last_id``; nothing after an opt-out, without consent, or once it is not needed."""
        number = None if last_id is None else self._store.message_number(last_id)
        return [
            message
            for _, purpose, message in self._store.messages_after(subject, number or 0, now)
            if self.may_show(purpose, message)
        ]

    def may_show(self, purpose: str, message: Message) -> bool:
        """Whether the message may be shown: by the door, by pauses, and as still needed. One whose
        intervention is over may be: what ends badly withdraws its messages."""
        if door_says(self._now, message.subject, purpose) is not None:
            return False
        if self._now.paused(message.subject, message.policy) is not None:
            return False
        state = self._store.state(message.intervention)
        return state is None or state.ending is not None or self._now.needed(state)

    def no_longer(self, subject: str, now: int) -> list[str]:
        """The interventions whose messages to ``subject`` may not be shown any more."""
        held = self._store.messages_after(subject, 0, now)
        refused = {one.intervention for _, purpose, one in held if not self.may_show(purpose, one)}
        return sorted(refused)

    def shown(self, messages: Iterable[tuple[str, int]]) -> None:
        """These messages were handed to their customers' pages, each at a log time: report it, once,
        all in one commit; but for one that is not there."""
        with self._store.transaction():
            for message, now in messages:
                found = self._store.message(message)
                if found is not None and self._store.shown(message):
                    self._note(message, *found, now)

    def _note(self, message: str, subject: str, intervention: str, step: int, now: int) -> None:
        self._store.note(subject, intervention, "shown", step, now, None)
        decision, _ = self._store.decision(intervention)
        self._store.report(report_event(decision, subject, "shown", now, step, about=message))
        EFFECTS.labels("inapp", "delivered").inc()
