"""Gaps in what we know, over the log of a whole server that guided, planned and was searched."""

import json
from pathlib import Path
from typing import Any

from flow.storytelling import Shop, shop
from running import until

POLICIES = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: cards, title: Cards, owner: payments}
spec:
  cooldown: 1s
  when: {event: payment.failed}
  playbook:
    - guide: {text: "One moment.", channel: inapp}
    - guide: {runbook: card-declined, channel: inapp}
    - await: {event: order.placed, for: 1h, then: resolved}
---
apiVersion: forestall/v1
kind: Policy
metadata: {name: exports, title: Exports, owner: web}
spec:
  cooldown: 1s
  when: {event: export.failed}
  playbook:
    - plan: {agent: guesser, with: {text: event.data.text}, queue: payments}
"""
AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: guesser, title: Guesses, owner: web}
spec:
  purpose: Help with an export
  instructions: Help.
  input: {type: object, properties: {text: {type: string}}, additionalProperties: false}
  knowledge: {passages: 3}
"""
RUNBOOK = """---
id: card-declined
title: Your payment did not go through
version: 3
owner: payments
review_by: 2099-01-31
---
## Customer
Nothing was charged. You can try another card.
"""
SETTINGS = """
[runbooks]
folder = "books"
[knowledge]
searches = {"help.searched" = "query"}
"""


def listed(told: Shop) -> dict[str, Any]:
    found = told.server.run("knowledge", "gaps", "--json", "--config", str(told.server.config))
    assert found.returncode == 0, found.stderr
    gaps = json.loads(found.stdout)["gaps"]
    return {gap["name"]: gap for gap in gaps}


def test_gaps_of_a_running_server(tmp_path: Path) -> None:
    files = {"actions/guesser.yaml": AGENT, "books/card.md": RUNBOOK}
    with shop(tmp_path, POLICIES, more=SETTINGS, files=files) as told:
        told.happens("help.searched", query="may I try another card?")
        told.happens("help.searched", query="gift voucher balance, I am eve@example.com")
        told.happens("help.searched", query="gift voucher balance")
        told.happens("payment.failed")
        started = told.waits_for("started")
        names = {name: started[name] for name in ("intervention", "policy", "version")}
        told.happens("forestall.intervention.shown", **names, step=2)
        told.happens("forestall.intervention.dismissed", **names, step=2)
        told.happens("forestall.knowledge.voted", runbook="card-declined", version=3, helpful=False)
        told.happens("export.failed", text="The pivot table came out upside down")
        told.waits_for("escalated")
        gaps = until(lambda: found if len(found := listed(told)) == 3 else None)
    assert gaps["gift voucher balance"]["by"] == {"searched": 1}
    assert gaps["card-declined@3"]["by"] == {"dismissed": 1, "voted": 1}
    assert gaps["card-declined@3"]["examples"] == [names["intervention"]]
    assert gaps["exports"]["by"] == {"retrieved": 1}
    assert "eve@example.com" not in json.dumps(gaps)
