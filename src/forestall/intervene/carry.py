"""What the playbook commands becomes rows: messages, intents and reports, in the stage's commit."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from forestall.context.knowledge.runbooks import Runbooks
from forestall.context.knowledge.template import MissingValue, TemplateError, parse_template
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.intervention import Case, Message, Told
from forestall.intervene.playbook import Command, HandOver, Report, Running, Say, Withdraw
from forestall.intervene.reports import report_event
from forestall.intervene.store import Effect, Store
from forestall.kernel.telemetry import parse_traceparent
from forestall.log.port import Log
from forestall.log.streams import SIGNALS, read_signals
from forestall.policy.language.model import Guide

IN_APP = "inapp"
"""The channel whose messages the event-stream hub reads from the store."""

_LOOK_BACK = 200
"""Batches of a subject that are searched for the event a message speaks of."""


def _text(traceparent: str | msgspec.UnsetType) -> str | None:
    return traceparent if isinstance(traceparent, str) else None


def effect_key(intervention: str, step: int) -> str:
    """32 hex digits that name one effect, whenever and however often it is computed."""
    return hashlib.sha256(f"{intervention}:{step}".encode()).hexdigest()[:32]


class Pages(Protocol):
    """Open pages of customers, which are told at once; who is not there finds it in the store."""

    def publish(self, subject: str, message: Message) -> None:
        """Show this."""

    def withdraw(self, subject: str, interventions: Sequence[str] | None = None) -> None:
        """Take away what these interventions, or all, have shown."""

    def reconnect(self, subject: str) -> None:
        """Have its pages connect again, as it became part of another subject."""


class Carrier:
    """Turns commands into rows of ``store``. ``signals`` is searched for the events that messages
    speak of, ``runbooks`` has the words. Never commits: it works inside the stage's transaction,
    and ``pages`` hear of it once that is durable."""

    def __init__(self, store: Store, signals: Log, runbooks: Runbooks) -> None:
        self._store, self._signals, self.runbooks = store, signals, runbooks
        self._said: list[Message] = []
        self._taken_back: list[tuple[str, list[str] | None]] = []
        self._joined: list[str] = []
        self.pages: Pages | None = None

    def committed(self) -> None:
        """What was written down is durable: tell the pages."""
        if self.pages is not None:
            for message in self._said:
                self.pages.publish(message.subject, message)
            for subject, interventions in self._taken_back:
                self.pages.withdraw(subject, interventions)
            for former in self._joined:
                self.pages.reconnect(former)
        self.rolled_back()

    def rolled_back(self) -> None:
        """What was written down is gone."""
        self._said.clear()
        self._taken_back.clear()
        self._joined.clear()

    def carry_out(self, state: Running, commands: Sequence[Command]) -> None:
        """Write down what ``commands`` of the intervention ``state`` ask for."""
        for command in commands:
            match command:
                case Report():
                    self._report(state, command.told, command.at, command.step, command.reason)
                case Say():
                    self._say(state, command)
                case HandOver():
                    self._hand_over(state, command)
                case Withdraw():
                    self._store.withdraw(state.id, command.reason)
                    self._taken_back.append((state.subject, [state.id]))

    def opted_out(self, subject: str) -> None:
        """Whatever an open page of ``subject`` shows is taken away."""
        self._taken_back.append((subject, None))

    def joined(self, former: str) -> None:
        """The subject ``former`` is part of another now."""
        self._joined.append(former)

    def heard(self, subject: str, told: Told, data: Mapping[str, Any], at: int) -> None:
        """Remember what an event of ``subject`` told about one of its interventions."""
        intervention, step = data.get("intervention"), data.get("step")
        if isinstance(intervention, str):
            known = step if type(step) is int else None
            reason = data.get("reason")
            self._store.note(
                subject, intervention, told, known, at, reason if isinstance(reason, str) else None
            )

    def _report(
        self, state: Running, told: Told, at: int, step: int | None, reason: str | None
    ) -> None:
        decision, _ = self._store.decision(state.id)
        self._store.note(state.subject, state.id, told, step, at, reason)
        self._store.report(report_event(decision, state.subject, told, at, step, reason))

    def _say(self, state: Running, say: Say) -> None:
        decision, _ = self._store.decision(state.id)
        try:
            title, body = self._words(state.subject, say.guide, decision)
        except (MissingValue, TemplateError, LookupError) as error:
            reason = getattr(error, "code", "no-runbook")
            self._report(state, "failed", say.at, say.step, reason)
            return
        message = Message(
            id=effect_key(state.id, say.step),
            intervention=state.id,
            subject=state.subject,
            policy=state.policy,
            title=title,
            body=body,
            why=decision.explanation,
            created=say.at,
            expires=say.expires,
            traceparent=_text(decision.traceparent),
        )
        if say.guide.channel == IN_APP:
            self._store.add_message(message, say.step, state.purpose)
            self._said.append(message)
            return
        self._store.intend(
            Effect(
                key=message.id,
                intervention=state.id,
                step=say.step,
                subject=state.subject,
                purpose=state.purpose,
                kind="guide",
                channel=say.guide.channel,
                body=msgspec.json.encode(message),
                expires=say.expires,
            )
        )

    def _words(self, subject: str, guide: Guide, decision: Decision) -> tuple[str, str]:
        """Title and body. Raises ``LookupError`` for a runbook that is not there."""
        if guide.runbook is None:
            title, template = "", parse_template(guide.text or "")
        else:
            runbook = self.runbooks[guide.runbook]
            title, template = runbook.title, runbook.customer
        event = self._last_matched(decision)
        context = {
            "event": {"type": event.type, "data": decode_data(event.data)} if event else {},
            "subject": self._store.traits(subject),
            "features": decision.features,
        }
        return title, template.render(context)

    def _last_matched(self, decision: Decision) -> Record | None:
        positions = self._signals.of_subject(SIGNALS, decision.subject)
        for position in list(positions)[: -_LOOK_BACK - 1 : -1]:
            for batch in self._signals.read(SIGNALS, after=position - 1, limit=1):
                for record in reversed(read_signals(batch)):
                    ours = record.subject == decision.subject
                    if ours and record.id == decision.matched[-1]:
                        return record
        return None

    def _hand_over(self, state: Running, command: HandOver) -> None:
        decision, title = self._store.decision(state.id)
        key = effect_key(state.id, command.step)
        traced = parse_traceparent(_text(decision.traceparent))
        case = Case(
            id=key,
            intervention=state.id,
            queue=command.queue,
            customer=state.subject,
            policy=state.policy,
            title=title,
            why=decision.explanation,
            at=decision.at,
            events=decision.matched,
            features=decision.features,
            taken=self._store.history(state.id),
            advice=self._advice(state),
            trace=None if traced is None else traced.trace_id,
        )
        self._store.intend(
            Effect(
                key=key,
                intervention=state.id,
                step=command.step,
                subject=state.subject,
                purpose=state.purpose,
                kind="escalation",
                channel=command.queue,
                body=msgspec.json.encode(case),
            )
        )

    def _advice(self, state: Running) -> str | None:
        """What the runbooks of this playbook say to the agent."""
        names = [step.runbook for step in state.playbook if isinstance(step, Guide)]
        books = [self.runbooks.get(name) for name in names if name]
        return "\n\n".join(book.agent for book in books if book and book.agent) or None
