"""A little shop with an agent that is declared by instructions: its declarations, desk and knowledge."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from forestall.channels.outbound import outbound
from forestall.context.knowledge.index import Library
from forestall.context.knowledge.passages import Passage
from forestall.contracts.instants import SECOND
from forestall.intervene.agents.load import open_agents
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.intervene.jobs import Job, JobKind, Outcome
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Agents, Credential, LanguageModel, Outbound, Settings
from model_server import KEY
from workshops import CANARY, Scene, workshop

AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper, title: Helps at the checkout, owner: payments, review_by: 2027-06-30}
spec:
  purpose: Help a customer whose payment failed to finish the order
  model: fast
  instructions: Be kind. Offer to send the receipt again where it is missing.
  input:
    type: object
    properties: {payment: {type: string}, text: {type: string}, failures: {type: integer}}
    additionalProperties: false
  output:
    type: object
    required: [category]
    properties: {category: {enum: [card, bank, shop]}, note: {type: string, maxLength: 80}}
    additionalProperties: false
  knowledge: {products: [checkout], passages: 3}
  lookups:
    - {lookup: payment, with: {payment: arguments.payment}}
    - {lookup: orders, chooses: [status]}
  actions:
    - {action: resend-receipt, with: {payment: arguments.payment}}
    - {action: reissue-token, with: {customer: fields.customer}, chooses: [scope]}
  risk: high
  mood: {failures: arguments.failures}
  confidence: 0.6
  budget: {steps: 4, time: 60s, tokens: 20000}
  fallback: compose
"""
LOOKUP = """
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: payment}
spec:
  input: {type: object, required: [payment], properties: {payment: {type: string}}}
  output: {status: /status}
  python: {call: "assisting:payment"}
"""
"""The least that can be looked up, for deployments of a test's own."""

DESK = """
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: payment}
spec:
  input: {type: object, required: [payment], properties: {payment: {type: string}}, additionalProperties: false}
  output: {status: /status, customer: /customer, mail: /mail}
  python: {call: "assisting:payment"}
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: orders}
spec:
  input:
    type: object
    required: [status]
    properties: {status: {enum: [open, paid]}, customer: {type: string}}
    additionalProperties: false
  output: {orders: /orders}
  python: {call: "assisting:orders"}
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: secret-list}
spec: {input: {type: object}, output: {all: /all}, python: {call: "assisting:orders"}}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: resend-receipt, title: Send the receipt again}
spec:
  risk: low
  input: {type: object, required: [payment], properties: {payment: {type: string}}, additionalProperties: false}
  precondition: {lookup: payment, with: {payment: arguments.payment}, if: fields.status != "gone"}
  dry_run: describe
  execute: {python: {call: "assisting:act"}}
  verify: {lookup: payment, with: {payment: arguments.payment}, if: "true"}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: reissue-token, title: Issue a new token}
spec:
  risk: high
  people: 2
  input:
    type: object
    required: [customer, scope]
    properties: {customer: {type: string}, scope: {enum: [pay, read]}}
    additionalProperties: false
  dry_run: describe
  execute: {python: {call: "assisting:act"}}
  verify: {lookup: payment, with: {payment: arguments.customer}, if: "true"}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: refund, title: Pay back}
spec:
  risk: high
  input: {type: object}
  dry_run: describe
  execute: {python: {call: "assisting:act"}}
  verify: {lookup: payment, with: {payment: '"p1"'}, if: "true"}
"""
DECLARED = AGENT + DESK

CUSTOMER_MAIL = "ada.lovelace@mailbox.example"
GIVEN = {"payment": "p1", "text": f"My card was declined, write me: {CUSTOMER_MAIL}"}

made: list[tuple[str, dict[str, Any]]] = []
"""Every call of the desk, as name and arguments."""


def payment(arguments: dict[str, Any], **_: Any) -> dict[str, Any]:
    made.append(("payment", arguments))
    status = "gone" if arguments["payment"] == "p-gone" else "declined"
    return {"status": status, "customer": "c-7", "mail": "other.person@mailbox.example"}


def orders(arguments: dict[str, Any], **_: Any) -> dict[str, Any]:
    made.append(("orders", arguments))
    return {"orders": [{"id": "o-1", "status": arguments.get("status")}]}


def act(arguments: dict[str, Any], **_: Any) -> dict[str, Any]:
    made.append(("act", arguments))
    return {}


KNOWN = (
    Passage(
        cite="card-declined@3#customer",
        runbook="card-declined",
        version=3,
        section="customer",
        title="Card declined",
        text="Your card was declined. Please try another card or ask your bank.",
        products=("checkout",),
        signals=("payment.declined",),
    ),
    Passage(
        cite="delivery@1#customer",
        runbook="delivery",
        version=1,
        section="customer",
        title="Delivery times",
        text="Parcels need two or three days within the country.",
        products=("shipping",),
    ),
)


class Helping:
    """The shop's workshop with its orchestrator."""

    def __init__(self, scene: Scene, orchestrator: Orchestrator) -> None:
        self.scene, self.orchestrator = scene, orchestrator

    async def do(
        self,
        kind: JobKind = "plan",
        given: dict[str, Any] | None = None,
        key: str = "effect-1",
        *fields: str,
        timeout: int = 120 * SECOND,
    ) -> Outcome:
        job = Job(
            kind=kind,
            name="helper",
            arguments=GIVEN if given is None else given,
            fields=fields,
            timeout=timeout,
            signals=("help-with-payment", "payment.declined"),
        )
        outcome = await self.scene.workshop.perform(job, key)
        assert KEY not in repr(msgspec.to_builtins(outcome))
        return outcome


def settings_for(url: str | None, **more: Any) -> dict[str, Any]:
    """Settings with one model at ``url``, priced at 1 and 10 a million tokens."""
    section = LanguageModel(model="openai-chat:scripted", key=KEY, url=url, input=1.0, output=10.0)
    return {
        "language_models": {} if url is None else {"fast": section},
        "agents": Agents(links=("shop.example",)),
        "credentials": {"desk": Credential(value=CANARY)},
        "outbound": Outbound(allow=("127.0.0.1",)),
        **more,
    }


@asynccontextmanager
async def helping(
    folder: Path,
    url: str | None,
    declared: str = DECLARED,
    known: Sequence[Passage] = KNOWN,
    **more: Any,
) -> AsyncIterator[Helping]:
    """The shop, with its model at ``url`` (none: it has none), where so much is ``known``."""
    made.clear()
    settings = settings_for(url, **more)
    if url is None:
        declared = declared.replace("  model: fast\n", "")
    async with (
        workshop(folder, declared, **settings) as scene,
        outbound(Settings(**settings).outbound) as client,
        open_agents(
            scene.settings, scene.workshop, client=client, clock=wall_clock, search=Library(known)
        ) as orchestrator,
    ):
        yield Helping(scene, orchestrator)
