"""What the playbook commands becomes rows: messages, intents and reports, in the stage's commit."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from forestall.context.knowledge.runbooks import (
    Runbook,
    RunbookExpired,
    Runbooks,
    expired,
    words_of,
)
from forestall.context.knowledge.template import (
    MissingValue,
    Template,
    TemplateError,
    parse_template,
)
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import day_of
from forestall.contracts.intervention import Message, Noticed, Show, Told, noticed
from forestall.intervene.agents.filling import filled
from forestall.intervene.case import build_case
from forestall.intervene.effect_store import Effect, Kind, decode_job
from forestall.intervene.gather import Gatherer, newest
from forestall.intervene.hearing import acted
from forestall.intervene.masked import UnknownPlaceholder, unmasked
from forestall.intervene.reports import report_event
from forestall.intervene.running import (
    Command,
    Do,
    HandOver,
    Report,
    Request,
    Running,
    Say,
    Withdraw,
)
from forestall.intervene.store import Store
from forestall.log.port import Log
from forestall.log.streams import SIGNALS, read_signals, written
from forestall.policy.language.flow import Node
from forestall.policy.language.model import Ask, Guide
from forestall.privacy.masking import Finder, find

IN_APP = "inapp"
"""The channel whose messages the event-stream hub reads from the store."""


_WORDLESS = (MissingValue, TemplateError, LookupError, RunbookExpired, UnknownPlaceholder)
"""Why there are no words to say."""


class _Said(msgspec.Struct, frozen=True):
    """Words as the customer gets them."""

    title: str
    body: str
    show: Show | None = None
    steps: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    why: str = ""
    noticed: Noticed | None = None
    language: str | None = None


def _text(traceparent: str | msgspec.UnsetType) -> str | None:
    return traceparent if isinstance(traceparent, str) else None


class Pages(Protocol):
    """Open pages of customers, which are told at once; who is not there finds it in the store."""

    def publish(self, subject: str, message: Message) -> None:
        """Show this."""

    def withdraw(self, subject: str, interventions: Sequence[str] | None = None) -> None:
        """Take away what these interventions, or all, have shown."""

    def reconnect(self, subject: str) -> None:
        """Have its pages connect again, as it and another became one."""


class Approvals(Protocol):
    """Who keeps what people are asked to approve. Writes into the tables of the same ``Store``,
    inside the stage's transaction, and never commits."""

    def request(self, state: Running, request: Request, decision: Decision) -> None:
        """Ask for what ``request`` of the intervention ``state`` says. The answer comes back as an
        event ``approved`` or ``declined`` with the step of the request."""

    def withdraw(self, intervention: str, reason: str) -> None:
        """What is still open of this intervention need not be answered any more."""


class Carrier:
    """Turns commands into rows of ``store``. ``signals`` is searched for the events that messages
    speak of, ``runbooks`` has the words, ``approvals`` takes what people are asked; without it
    every request is declined. ``known`` gathers what cases are made of; ``finder`` finds what was
    masked in what an agent was given, and has to be the agents' own. Never commits: it works
    inside the stage's transaction, and ``pages`` hear of it once that is durable, of a message only
    if it ``may_show``, by the door."""

    def __init__(
        self,
        store: Store,
        signals: Log,
        runbooks: Runbooks,
        approvals: Approvals | None = None,
        known: Gatherer | None = None,
        finder: Finder = find,
    ) -> None:
        self._store, self._signals, self.runbooks = store, signals, runbooks
        self._approvals, self._finder = approvals, finder
        self._said: list[tuple[str, Message]] = []
        self._taken_back: list[tuple[str, list[str] | None]] = []
        self._joined: list[str] = []
        self.known = known or Gatherer(store, signals)
        self.pages: Pages | None = None
        self.may_show: Callable[[str, Message], bool] = lambda _purpose, _message: True

    def committed(self) -> None:
        """What was written down is durable: tell the pages."""
        if self.pages is not None:
            for purpose, message in self._said:
                self.announce(purpose, message)
            for subject, interventions in self._taken_back:
                self.pages.withdraw(subject, interventions)
            for subject in self._joined:
                self.pages.reconnect(subject)
        self.rolled_back()

    def announce(self, purpose: str, message: Message) -> None:
        """Tell the pages of a message that was made outside the stage, and is durable."""
        if self.pages is not None and self.may_show(purpose, message):
            self.pages.publish(message.subject, message)

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
                    told, at, step = command.told, command.at, command.step
                    self._report(state, told, at, step, command.reason, command.detail)
                case Say():
                    self._say(state, command)
                case Do():
                    self._do(state, command)
                case Request():
                    self._request(state, command)
                case HandOver():
                    self._hand_over(state, command)
                case Withdraw():
                    self._store.withdraw(state.id, command.reason, command.step)
                    if command.step is not None:
                        continue
                    if self._approvals is not None:
                        self._approvals.withdraw(state.id, command.reason)
                    self._taken_back.append((state.subject, [state.id]))

    def opted_out(self, subject: str) -> None:
        """Whatever an open page of ``subject`` shows is taken away."""
        self._taken_back.append((subject, None))

    def joined(self, former: str, subject: str) -> None:
        """``former`` is part of ``subject`` now: pages of both have to hear of what moved."""
        self._joined += [former, subject]

    def heard(self, subject: str, told: Told, data: Mapping[str, Any], at: int) -> None:
        """Remember what an event of ``subject`` told about one of its interventions."""
        intervention, step = data.get("intervention"), data.get("step")
        if isinstance(intervention, str):
            known = step if type(step) is int else None
            reason = data.get("reason")
            what = told if told != "acted" else acted(data)
            self._store.note(
                subject, intervention, what, known, at, reason if isinstance(reason, str) else None
            )

    def _report(
        self,
        state: Running,
        told: Told,
        at: int,
        step: int | None,
        reason: str | None,
        detail: str | None = None,
    ) -> None:
        decision, _ = self._store.decision(state.id)
        noted = reason if detail is None else f"{reason} ({detail})"
        self._store.note(state.subject, state.id, told, step, at, noted)
        event = report_event(decision, state.subject, told, at, step, reason, detail=detail)
        self._store.report(event)

    def _say(self, state: Running, say: Say) -> None:
        decision, _ = self._store.decision(state.id)
        try:
            said = self._words(state, say, decision)
        except _WORDLESS as error:
            reason = getattr(error, "code", "no-runbook")
            self._report(state, "failed", say.at, say.step, reason)
            return
        message = Message(
            id=say.key,
            intervention=state.id,
            subject=state.subject,
            policy=state.policy,
            title=said.title,
            body=said.body,
            why=said.why,
            noticed=said.noticed,
            created=say.at,
            expires=say.expires,
            step=say.step,
            choices=say.words.choices if isinstance(say.words, Ask) else None,
            version=state.version,
            show=said.show,
            steps=said.steps,
            known=said.known,
            locale=said.language,
            traceparent=_text(decision.traceparent),
        )
        if say.words.channel == IN_APP:
            self._store.add_message(message, say.step, state.purpose)
            self._said.append((state.purpose, message))
            return
        body_ = msgspec.json.encode(message)
        self._intend(state, say, "guide", say.words.channel, body_, say.expires)

    def _do(self, state: Running, do: Do) -> None:
        body = msgspec.json.encode(do.job)
        self._intend(state, do, do.job.kind, do.job.name, body, do.expires)

    def _request(self, state: Running, request: Request) -> None:
        if self._approvals is None:
            self._report(state, "declined", request.at, request.step, "nobody-to-ask")
            return
        self._approvals.request(state, request, self._store.decision(state.id)[0])

    def _intend(
        self,
        state: Running,
        command: Say | Do | HandOver,
        kind: Kind,
        channel: str,
        body: bytes,
        expires: int | None = None,
    ) -> None:
        self._store.effects.intend(
            Effect(
                key=command.key,
                intervention=state.id,
                step=command.step,
                subject=state.subject,
                purpose=state.purpose,
                kind=kind,
                channel=channel,
                body=body,
                expires=expires,
            )
        )

    def _words(self, state: Running, say: Say, decision: Decision) -> _Said:
        """What is said. Raises what ``_WORDLESS`` names."""
        words, node = say.words, state.program[say.step - 1]
        context = self._context(state, decision)
        kind = noticed(context["event"].get("type"))
        parts = []
        if words.text is not None and node.planned:
            parts.append(self._planned(state, node, words.text))
        elif words.text is not None:
            parts.append(parse_template(words.text).render(context))
        if not isinstance(words, Guide) or words.runbook is None:
            return _Said("", "".join(parts), noticed=kind)
        book = words_of(self.runbooks, words.runbook, day_of(say.at))

        def fill(template: Template) -> str:
            return filled(template, context) if node.planned else template.render(context)

        return _Said(
            book.title,
            "\n\n".join([*parts, fill(book.body)]),
            book.show,
            tuple(map(fill, book.steps)),
            tuple(map(fill, book.known)),
            "" if book.why is None else fill(book.why),
            kind,
            book.language,
        )

    def _planned(self, state: Running, node: Node, text: str) -> str:
        """An agent's words with the customer's own data in them: that which the agent was given."""
        asked = [
            decode_job(one)
            for one in self._store.effects.of(state.id)
            if (one.step, one.kind, one.status) == (node.planned, "plan", "done")
        ]
        return unmasked(text, asked[-1].arguments if asked else {}, self._finder)

    def _context(self, state: Running, decision: Decision) -> dict[str, Any]:
        """What words to the customer may speak of."""
        event, data = state.event, {} if state.event is None else state.event.data
        record = self.matched(decision) if event is None else None
        if record is not None:
            data = decode_data(record.data)
        known = event or record
        return {
            "event": {"type": known.type, "data": data} if known else {},
            "subject": self._store.traits(state.subject),
            "features": decision.features,
            "fields": state.fields,
        }

    def matched(self, decision: Decision) -> Record | None:
        """The last event that the decision matched, if it is found."""
        found = (one for one in self._behind(decision) if one.id == decision.matched[-1])
        return next(found, None)

    def trusted(self, decision: Decision) -> bool:
        """Whether any event that the decision matched is of server origin."""
        return any(record.origin == "server" for record in self._behind(decision))

    def _behind(self, decision: Decision) -> Iterator[Record]:
        """The events that the decision matched, newest first, as far back as is searched."""
        wanted = set(decision.matched)
        texts = written(wanted)
        for position in newest(self._signals, SIGNALS, [decision.subject]):
            for batch in self._signals.read(SIGNALS, after=position - 1, limit=1):
                there = any(text in batch.payload for text in texts)
                for record in reversed(read_signals(batch) if there else ()):
                    if record.subject == decision.subject and record.id in wanted:
                        yield record

    def _hand_over(self, state: Running, command: HandOver) -> None:
        names = [node.step.runbook for node in state.program if isinstance(node.step, Guide)]
        found = [self.runbooks.get(name) for name in dict.fromkeys(names) if name]
        books = [book for book in found if book and not expired(book, day_of(command.at))]
        decision, _ = self._store.decision(state.id)
        material = self.known.material(state, books, self._reply(state, books, decision))
        body = msgspec.json.encode(build_case(material, command.key, command.queue, command.step))
        self._intend(state, command, "escalation", command.queue, body)

    def _reply(self, state: Running, books: Sequence[Runbook], decision: Decision) -> str | None:
        """What could be answered: the runbooks' words to customers."""
        context = self._context(state, decision)
        said = []
        for book in books:
            with contextlib.suppress(MissingValue, TemplateError):
                said.append(book.customer.render(context) if book.customer else "")
        return "\n\n".join(filter(None, said)) or None
