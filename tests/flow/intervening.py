"""A deployment in memory for the tests of carrying out: two logs, the real worker, app.db."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from forestall.context.knowledge.runbooks import read_runbook
from forestall.contracts.control import Control, PoliciesApplied, PolicyInForce
from forestall.contracts.event import CloudEvent, Origin, Record
from forestall.contracts.instants import SECOND, parse_time
from forestall.decide.stage import Stage as Worker
from forestall.intervene.carry import Carrier
from forestall.intervene.stage import Stage
from forestall.intervene.store import Store
from forestall.log import streams
from forestall.log.memory import MemoryLog
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.parse import parse

START = 1_700_000_000 * SECOND

RUNBOOK = """---
id: card-declined
title: Your card was declined
version: 1
owner: payments
review_by: 2030-01-01
fields: [event.data.order_id, subject.plan]
---
## Customer
Order {{ event.data.order_id }} on your {{ subject.plan | default("current") }} plan is safe.
## Agent
Look at the decline code first.
"""

DECLINED_TWICE = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: card-declined, title: Card declined, owner: payments}
spec:
  when:
    sequence: [{event: payment.declined, times: 2}]
    within: 10m
  playbook:
    - guide: {runbook: card-declined, channel: inapp}
    - await: {event: payment.succeeded, for: 10m, then: resolved}
    - escalate: {queue: payments}
"""

SILENT_AFTER = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: silent, title: Silent after an error, owner: web}
spec:
  cooldown: 1m
  when:
    sequence: [{event: page.failed}, {not: page.viewed, for: 30s}]
  playbook:
    - guide: {text: "Sorry about {{ event.data.path }}.", channel: inapp}
    - await: {event: page.viewed, for: 1m, then: helped}
"""


def applied(*texts: str) -> PoliciesApplied:
    """A control record that puts the policies of these YAML texts in force."""
    policies = [policy for text in texts for policy in parse(text, "test.yaml")]
    return PoliciesApplied(
        received=0,
        policies=tuple(
            PolicyInForce(policy.name, version(policy), msgspec.Raw(canonical(policy)))
            for policy in policies
        ),
        numbers={},
        by="test",
        why="",
    )


def event(
    event_type: str,
    seconds: float,
    subject: str = "s1",
    *,
    received: float | None = None,
    origin: Origin = "server",
    **data: Any,
) -> Record:
    """An event so many seconds after the start."""
    return Record(
        id=f"{event_type}-{seconds}",
        source="test",
        type=event_type,
        subject=subject,
        time=START + int(seconds * SECOND),
        received=START + int((seconds if received is None else received) * SECOND),
        origin=origin,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


class World:
    """The logs, the worker and the stage. Nothing moves by itself."""

    def __init__(self, folder: Path, *texts: str) -> None:
        self.signals, self.decisions = MemoryLog(), MemoryLog()
        self.folder = folder
        self.runbooks = {"card-declined": read_runbook(RUNBOOK, "card.md")}
        self.worker = Worker(self.signals, self.decisions)
        self.worker.apply([applied(*(texts or (DECLINED_TWICE, SILENT_AFTER)))])
        self.start()

    def start(self) -> None:
        """The app process starts, perhaps again."""
        self.store = Store(self.folder / "app.db")
        self.carrier = Carrier(self.store, self.signals, self.runbooks)
        self.stage = Stage(self.signals, self.decisions, self.store, self.carrier)

    def restart(self) -> None:
        """It dies and starts again."""
        self.store.close()
        self.start()

    def govern(self, *records: Control) -> None:
        """The worker puts control records in force."""
        self.worker.apply(records)

    def accept(self, *records: Record) -> None:
        """The gateway takes one batch."""
        self.signals.commit([streams.signals(records)])

    def tick(self, seconds: float) -> None:
        """So far has the log come."""
        self.signals.commit(tick=START + int(seconds * SECOND))

    def decide(self) -> None:
        """The worker decides everything that is there."""
        while self.worker.step():
            pass

    def carry_out(self) -> None:
        """The stage takes in everything that is there."""
        while self.stage.step():
            pass

    def settle(self, *records: Record) -> None:
        """A batch is taken, decided and carried out."""
        if records:
            self.accept(*records)
        self.decide()
        self.carry_out()

    def waiting(self) -> list[CloudEvent]:
        """Reports that the gateway does not have yet."""
        return [msgspec.json.decode(raw, type=CloudEvent) for _, raw in self.store.reports(1000)]

    def told(self) -> list[str]:
        """What they tell, with the step."""
        said = []
        for report in self.waiting():
            assert isinstance(report.data, msgspec.Raw)
            data = msgspec.json.decode(report.data)
            parts = [report.type.rpartition(".")[2], data.get("step"), data.get("reason")]
            said.append(" ".join(str(part) for part in parts if part is not None))
        return said

    def report(self, received: float) -> None:
        """The gateway takes the reports, at so many seconds."""
        numbers = [number for number, _ in self.store.reports(1000)]
        records = [
            Record(
                id=report.id,
                source=report.source,
                type=report.type,
                subject=str(report.subject),
                time=parse_time(str(report.time)),
                received=START + int(received * SECOND),
                data=report.data if isinstance(report.data, msgspec.Raw) else msgspec.Raw(b"{}"),
            )
            for report in self.waiting()
        ]
        if records:
            self.accept(*records)
            self.store.reported(numbers)

    def messages(self, subject: str = "s1", seconds: float = 0) -> Sequence[str]:
        """The texts that a page of the subject would be given."""
        now = START + int(seconds * SECOND)
        return [message.body for _, _, message in self.store.messages_after(subject, 0, now)]
