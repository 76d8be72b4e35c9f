"""An agent under change control on the whole server: applied, promoted by two people, answering, taken back."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from flow.storytelling import Shop, shop
from forestall.cli import door
from forestall.cli.person import TOKEN
from forestall.policy.store import REGISTRY_FILE, Registry
from registries import made
from running import until as wait

app = door()

ANN, PAT, DAN = (f"{name}-0123456789abcdefghij" for name in ("ann", "pat", "dan"))
SETTINGS = f"""
[runbooks]
folder = "books"
[lifecycle]
managed = true
[people.ann]
token = "{ANN}"
roles = ["author"]
[people.pat]
token = "{PAT}"
roles = ["publisher", "operator"]
[people.dan]
token = "{DAN}"
roles = ["publisher"]
"""
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: help, title: Help, owner: payments}
spec:
  cooldown: 1s
  when: {event: payment.failed}
  playbook:
    - plan: {agent: mender, with: {payment: event.data.payment, text: event.data.text},
             queue: payments}
"""
AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: mender, title: Mends payments, owner: payments}
spec:
  purpose: Help a customer whose payment failed
  instructions: {prompt: mending}
  input:
    type: object
    properties: {payment: {type: string}, text: {type: string}}
    additionalProperties: false
  knowledge: {passages: PASSAGES}
  actions: [{action: ACTION, with: {payment: arguments.payment}}]
  risk: medium
"""
RUNBOOK = """---
id: card-declined
title: Your payment did not go through
version: 3
owner: payments
review_by: 2099-01-31
signals: [payment.failed]
---
## Customer

Nothing was charged. You can try another card.
"""


def until(holds: Callable[[], Any]) -> Any:
    """Every look is an intervention of its own, which takes a while on a busy machine."""
    return wait(holds, 120)


class Desk:
    """The shop, and a folder beside it that people apply."""

    def __init__(self, told: Shop, folder: Path) -> None:
        self.told, self.folder = told, folder
        self._customers = count(1)

    def run(self, token: str, *words: str, code: int = 0) -> str:
        asked = [*words, "--config", str(self.told.server.config)]
        said = CliRunner().invoke(app, asked, env={TOKEN: token, "COLUMNS": "250"})
        assert said.exit_code == code, (said.output, said.exception)
        return str(said.stdout)

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def agent(self, passages: int = 3, action: str = "resend-receipt") -> None:
        text = AGENT.replace("PASSAGES", str(passages)).replace("ACTION", action)
        self.write("actions/mender.yaml", text)

    def apply(self, code: int = 0) -> str:
        words = ("apply", str(self.folder), "--yes", "--reason", "a change")
        return self.run(ANN, *words, code=code)

    def promote(self, name: str, kind: str) -> None:
        """Two people do that, of something that is not of low risk."""
        self.run(PAT, "promote", name, "--kind", kind, "--reason", "it helps")
        (waiting,) = self.told.ask("GET", "/v1/lifecycle/requests", DAN).json()["requests"]
        assert waiting["ask"]["name"] == name
        self.run(DAN, "second", str(waiting["id"]), "--reason", "I looked")

    def fails(self) -> list[tuple[str, dict[str, Any]]]:
        """What is told of an intervention for a customer of its own, once it planned or ended."""
        self.told.customer = f"customer-{next(self._customers)}"
        before = {data.get("intervention") for _, data in self.told.reports()}
        self.told.happens("payment.failed", payment="p1", text="my card was declined at the end")

        def ended() -> Any:
            told = self.told.reports()
            found = [one for one in told if one[1].get("intervention") not in before]
            kinds = {kind for kind, _ in found}
            return found if kinds & {"filled", "escalated", "failed"} else None

        found: list[tuple[str, dict[str, Any]]] = until(ended)
        return found

    def version(self) -> str | None:
        """The version of the agent that answers now, none where none does."""
        for kind, data in self.fails():
            if kind == "filled":
                assert data["inference"]["agent"] == "mender"
                assert data["plan"]["evidence"] == ["card-declined@3#customer"]
                return str(data["inference"]["version"])
        return None

    def live(self) -> str:
        found = self.told.ask("GET", "/v1/lifecycle?name=mender", DAN).json()["artifacts"]
        (one,) = [one for one in found if one["state"] == "live"]
        return str(one["version"])


def test_an_agent_answers_once_two_people_let_it_and_is_taken_back_at_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    registry = Registry(tmp_path / "data" / REGISTRY_FILE)
    registry.adopt([made(POLICY)], 1)
    registry.close()
    files = {"books/card.md": RUNBOOK}
    with shop(tmp_path, POLICY, more=SETTINGS, files=files) as told:
        told.payments.add("p1", amount=20)
        desk = Desk(told, tmp_path / "git")
        desk.write("policies/help.yaml", POLICY)
        desk.write("prompts/mending.md", "Say what happened and what helps.\n")
        desk.agent()
        assert "agent mender" in desk.apply()
        never = desk.fails()
        assert ("failed", "not-live") in [(kind, data.get("reason")) for kind, data in never]
        desk.run(PAT, "promote", "mending", "--kind", "prompt", "--reason", "nobody uses it yet")
        desk.promote("mender", "agent")
        first = until(desk.version)
        kept = desk.live()

        desk.agent(passages=2)
        desk.apply()
        desk.promote("mender", "agent")
        assert desk.live() != kept
        second = until(lambda: (found := desk.version()) != first and found)

        desk.write("prompts/mending.md", "Say it in one sentence.\n")
        desk.apply()
        desk.promote("mending", "prompt")
        third = until(lambda: (found := desk.version()) != second and found)
        assert len({first, second, third}) == 3

        desk.run(PAT, "rollback", "mending", "--kind", "prompt", "--reason", "too short")
        until(lambda: desk.version() == second)
        desk.run(PAT, "rollback", "mender", "--kind", "agent", "--reason", "it was better")
        until(lambda: desk.version() == first)
        assert desk.live() == kept

        desk.agent(action="gone")
        said = desk.apply(code=1)
        assert "there is no action `gone`" in said
        assert desk.version() == first

        desk.run(PAT, "retire", "mender", "--kind", "agent", "--version", kept, "--reason", "no")
        until(lambda: desk.version() is None)
