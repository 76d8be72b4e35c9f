"""A process that dies while an agent answers pays for no call twice, as the provider's own count tells."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flow.dying import NURSERY
from forestall.intervene.agents.ledger import LEDGER_FILE, Ledger
from forestall.intervene.jobs import Outcome
from model_server import Reply, model_server, propose

FINE = propose(message="Please try another card.", evidence=["card-declined@3#customer"])


def reply(request: dict[str, Any]) -> Reply:
    """First the payment is looked up, then the plan is proposed."""
    looked = request["messages"][-1]["role"] == "tool"
    return FINE if looked else Reply(calls=[("payment", {})])


@pytest.mark.timeout(180)
def test_whoever_dies_wherever_no_call_is_paid_twice(tmp_path: Path) -> None:
    with model_server(reply) as server:
        done = subprocess.run(
            [sys.executable, "-c", NURSERY, server.url, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=150,
            env={**os.environ, "PYTHONPATH": "tests:src"},
        )
        assert done.returncode == 0, done.stderr
        asked = Counter(
            (re.search(r"p\d+\b", request["messages"][1]["content"])[0], len(request["messages"]))  # type: ignore[index]
            for request in server.requests
        )
    deaths = int(done.stdout.split()[-1])
    assert deaths == 12  # two calls with five points each, one lookup with two
    assert max(asked.values()) == 1, asked
    cut_off = 0
    for number in range(1, deaths + 2):
        folder = tmp_path / str(number)
        outcome = msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)
        inference = outcome.inference
        assert outcome.outcome == "done"
        assert outcome.plan is not None
        assert inference is not None
        ledger = Ledger(folder / "data" / LEDGER_FILE, read_only=True)
        calls = ledger.calls(f"effect-{number}")
        ledger.close()
        paid = sum(count for (name, _), count in asked.items() if name == f"p{number}")
        assert paid <= len(calls) <= paid + 1  # a call may be noted that was never sent
        if inference.fallback == "cut-off":
            cut_off += 1
            assert (inference.by, calls[-1].ended) == ("composer", "cut-off")
            assert outcome.plan.runbook == "card-declined"
        else:
            assert (inference.by, inference.fallback) == ("model", None)
            assert [call.ended for call in calls] == ["said", "said"]
            assert outcome.plan.message == "Please try another card."
    assert cut_off == 6  # after the beginning, after the answer came, before it was noted: twice
