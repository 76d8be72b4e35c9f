"""A shop for stories: the whole server, its payment provider and its help desk, all real."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec

from examples.shop.desk import Desk
from examples.shop.payments import Payments
from forestall.cli.customer import open_signals, records_of
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.kernel.clock import wall_clock
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECISIONS, read_decisions
from running import SECRET, Server, running, until

ACTIONS = Path(__file__).parents[2] / "examples" / "shop" / "actions"
HOOK = "whsec_" + "c2VjcmV0IG9mIHRoZSBkZXNrLCAyNCsgYnl0ZXM="
OTHER_HOOK = "whsec_" + "YW5vdGhlciBzZWNyZXQsIG5vdCB0aGUgZGVzaydz"
PROVIDER = "token-of-the-payment-provider"
ANNA, BEN = "anna-0123456789abcdefghij", "ben-0123456789abcdefghijk"

DEPLOYMENT = """
[actions]
folder = "actions"
[credentials.payments]
value = "{provider}"
hosts = ["127.0.0.1:{payments}"]
actions = ["payment", "tokens", "receipts", "retry-charge", "reissue-token", "resend-receipt"]
[apis.payments]
url = "http://127.0.0.1:{payments}"
[people.anna]
token = "{anna}"
roles = ["approver", "operator"]
title = "Head of payments"
[people.ben]
token = "{ben}"
roles = ["approver", "operator", "reviewer"]
[webhooks.desk]
url = "http://127.0.0.1:{desk}/cases"
secret = "{hook}"
timeout = "2s"
attempts = 1
[queues.payments]
webhook = "desk"
[decide]
spacing = "0s"
budget = 100
grace = "200ms"
"""


class Shop:
    """One deployment and whoever it talks to, for one ``customer``; ``of`` is for another one. A
    shop's own words are about its customer alone."""

    def __init__(
        self, server: Server, payments: Payments, desk: Desk, customer: str = "alice"
    ) -> None:
        self.server, self.payments, self.desk = server, payments, desk
        self.customer = customer
        self._sent = 0

    def of(self, customer: str) -> "Shop":
        """The same shop for another customer, to whom the provider and the desk are new too."""
        self.payments.say = lambda _: None
        provider = self.payments
        for kept in (
            *(provider.payments, provider.charges, provider.reissued, provider.resent),
            *(provider.trouble, provider.calls, self.desk.cases),
        ):
            kept.clear()
        return Shop(self.server, provider, self.desk, customer)

    def happens(self, event_type: str, **data: Any) -> str:
        """The shop's backend, or the customer's page, tells of an event; its id."""
        self._sent += 1
        event = {
            "specversion": "1.0",
            "id": f"{self.customer}-{self._sent}",
            "source": "shop",
            "type": event_type,
            "subject": self.customer,
            "data": data,
        }
        verdict = self.server.send([event]).json()["verdicts"][0]
        assert verdict["verdict"] == "accepted", verdict
        return str(event["id"])

    def told(self) -> list[tuple[str, int | None]]:
        """What was told about interventions so far, but for what pages tell in their own time: the
        last word and the step."""
        return [
            (kind, data.get("step"))
            for kind, data in self.reports()
            if kind != "shown" and not kind.startswith("forestall.ticket.")
        ]

    def reports(self) -> list[tuple[str, dict[str, Any]]]:
        """Every event of interventions and tickets in the customer's log: its last word, or type,
        and data."""
        mark = "forestall.intervention."
        return [
            (one.type.removeprefix(mark), msgspec.json.decode(one.data))
            for one in self._history()[1]
            if one.type.startswith((mark, "forestall.ticket."))
        ]

    def _history(self) -> tuple[str, list[Record]]:
        """The customer's pseudonym and records."""
        log = open_signals(self.server.data)
        try:
            return records_of(log, self.server.data, self.customer)
        finally:
            log.close()

    def waits_for(self, word: str, step: int | None = None) -> dict[str, Any]:
        """The data of the first report of that kind (and step), once it is there."""

        def found() -> dict[str, Any] | None:
            for kind, data in self.reports():
                if kind == word and step in (None, data.get("step")):
                    return data
            return None

        data: dict[str, Any] = until(found)
        return data

    def reasons(self) -> dict[str, str | None]:
        """Why each policy's newest decision was as it was, by policy."""
        log = SqliteLog(self.server.data / "worker.db", read_only=True)
        try:
            made = [
                one.decision for batch in log.follow(DECISIONS) for one in read_decisions(batch)
            ]
        finally:
            log.close()
        own = self._history()[0]
        return {one.policy: one.reason for one in made if one.subject == own}

    def intervention(self) -> str:
        """The id of the first intervention."""
        return str(self.waits_for("started")["intervention"])

    def ended(self) -> str:
        """How the first intervention ended, once it did and the log tells of it (it tells of no
        cancelled one)."""
        first = self.intervention()

        def outcome() -> str | None:
            shown = self.server.run("interventions", "list", "--json")
            (known,) = (row["outcome"] for row in json.loads(shown.stdout) if row["id"] == first)
            return None if known == "running" else str(known)

        ending = str(until(outcome))
        until(lambda: ending in ("cancelled", *(kind for kind, _ in self.told())))
        return ending

    def messages(self, count: int) -> list[dict[str, Any]]:
        """The first ``count`` messages on the customer's page, which connects until it may."""
        return list(until(lambda: self._read(count)))

    def _read(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = jwt.encode(
            {"sub": self.customer, "exp": wall_clock() // SECOND + 600}, SECRET, "HS256"
        )
        address = f"{self.server.client.base_url}/v1/stream"
        with httpx.stream("GET", address, params={"token": token}, timeout=20) as stream:
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                if line.startswith("data:") and kind == "message":
                    found.append(json.loads(line.removeprefix("data:")))
                    if len(found) == count:
                        return found
        return []

    def answers(self, question: dict[str, Any], step: int, choice: str) -> None:
        """The customer answers a question."""
        names = {name: question[name] for name in ("intervention", "policy")}
        self.happens("forestall.intervention.answered", **names, step=step, choice=choice)

    def ask(self, method: str, path: str, who: str = ANNA, **body: Any) -> httpx.Response:
        """What the operators' API answers to a person."""
        return self.server.client.request(
            method,
            path,
            json=body or None,
            auth=None,
            headers={"authorization": f"Bearer {who}"},
        )

    def approval(self) -> dict[str, Any]:
        """The first request that is open, once it is, with everything that a person sees."""
        own = self.intervention()

        def first() -> Any:
            answer = self.ask("GET", "/v1/approvals")
            found = answer.json()["approvals"] if answer.status_code == 200 else ()
            return [one for one in found if one["intervention"] == own]

        (one, *_) = until(first)
        shown: dict[str, Any] = self.ask("GET", f"/v1/approvals/{one['id']}").json()
        return shown

    def decides(self, approval: dict[str, Any], verdict: str, who: str = ANNA) -> int:
        """A person decides; the status of the answer."""
        path = f"/v1/approvals/{approval['id']}/decisions"
        return self.ask("POST", path, who, verdict=verdict, reason="I looked at it.").status_code


@contextmanager
def shop(
    folder: Path,
    policy: str,
    *,
    more: str = "",
    hook: str = HOOK,
    files: Mapping[str, str] | None = None,
) -> Iterator[Shop]:
    """A shop with these policies. ``more`` are further settings, ``hook`` the secret with which
    cases are signed, ``files`` further files by their path."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ACTIONS, folder / "actions")
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with ExitStack() as stack:
        payments = stack.enter_context(Payments("127.0.0.1", 0, PROVIDER))
        desk = stack.enter_context(Desk("127.0.0.1", 0, HOOK))
        settings = DEPLOYMENT.format(
            provider=PROVIDER,
            payments=payments.port,
            anna=ANNA,
            ben=BEN,
            desk=desk.port,
            hook=hook,
        )
        server = stack.enter_context(running(folder, {"policies.yaml": policy}, settings + more))
        yield Shop(server, payments, desk)
