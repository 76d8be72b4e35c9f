"""``forestall agent replay`` as a person meets it: the same, not the same, and what cannot be said."""

import asyncio
import json
from pathlib import Path

import msgspec
from typer.testing import CliRunner, Result

from flow.intervening import START, World, event
from flow.reaching import Around, Vendor
from forestall.channels.base import Deduplication
from forestall.cli import door
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.inference import Plan
from forestall.intervene.agents.ledger import LEDGER_FILE, Ledger
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.intervene.deliver import Deliveries
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.store import Store
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import load_settings
from forestall.policy.actions.folder import load_declarations

app = door()

PLANNING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: planning, title: Planning, owner: payments}
spec:
  when: {event: payment.declined}
  playbook:
    - plan: {agent: helper, with: {text: event.data.text}, queue: payments}
"""
AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper, title: Helps, owner: payments}
spec:
  purpose: Help a customer
  instructions: Be kind.
  input: {type: object, properties: {text: {type: string}}, additionalProperties: false}
"""
DIED = "my mother died and I cannot pay her bills"


class Answering:
    """A workshop whose agents answer as they do live, without any model."""

    def __init__(self, where: Path) -> None:
        settings = load_settings(where / "forestall.toml", secrets=False)
        self.declarations = load_declarations(where / "actions", settings)
        ledger = Ledger(settings.data / LEDGER_FILE)
        self.orchestrator = Orchestrator(settings, self, ledger, models={}, clock=wall_clock)

    def deduplication(self, _job: Job) -> Deduplication:
        return "dedupes"

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        assert not dry
        return await self.orchestrator.answer(self.declarations, job, key)

    async def find(self, _job: Job, _key: str) -> Outcome | None:
        return None


def acted(where: Path, policy: str = PLANNING) -> str:
    """A deployment in ``where`` that intervened once, and whose agent has answered; the id."""
    (where / "actions").mkdir()
    (where / "actions" / "helper.yaml").write_text(AGENT)
    (where / "forestall.toml").write_text(
        f'[server]\ndata = "{where}"\n[actions]\nfolder = "{where}/actions"\n'
    )
    world = World(where, policy)
    world.settle(event("payment.declined", 0, text=DIED))
    (one,) = world.store.newest(1)
    around = Around(START, Vendor())
    surroundings = msgspec.structs.replace(around.surroundings, workshop=Answering(where))
    for effect in world.store.effects.of(one.id):
        asyncio.run(Deliveries(world.store, surroundings).attempt(effect.key, 1))
    world.store.close()
    return one.id


def tamper(where: Path, intervention: str) -> None:
    """Somebody makes the record say something else."""
    store = Store(where / "app.db")
    (effect,) = store.effects.of(intervention)
    outcome = msgspec.json.decode(effect.result or b"", type=Outcome)
    forged = msgspec.structs.replace(outcome, plan=Plan(message="All is well.\x1b[2J"))
    with store.transaction():
        store.effects.keep(msgspec.structs.replace(effect, result=msgspec.json.encode(forged)))
    store.close()


def replay(where: Path, *words: str) -> Result:
    command = ["agent", "replay", *words, "--config", str(where / "forestall.toml")]
    return CliRunner().invoke(app, command)


def test_the_same_is_said_to_be_the_same(tmp_path: Path) -> None:
    intervention = acted(tmp_path)
    found = replay(tmp_path, intervention[:12])
    assert (found.exit_code, found.output) == (0, "step 1: helper: the same\n")
    whole = json.loads(replay(tmp_path, intervention, "--json").output)
    assert whole == [{"step": 1, "agent": "helper", "same": True}]


def test_what_differs_is_told_and_fails(tmp_path: Path) -> None:
    intervention = acted(tmp_path)
    tamper(tmp_path, intervention)
    found = replay(tmp_path, intervention)
    assert found.exit_code == 1
    assert "step 1: helper: not the same\n" in found.output
    assert '  plan.hand_over\n    recorded  null\n    now       "bereavement"\n' in found.output
    assert "\x1b" not in found.output
    (one,) = json.loads(replay(tmp_path, intervention, "--json").output)
    assert (one["same"], one["differences"][0]["what"]) == (False, "plan.hand_over")


def test_a_changed_agent_is_told(tmp_path: Path) -> None:
    intervention = acted(tmp_path)
    kind = AGENT.replace("Be kind.", "Be very kind.")
    (tmp_path / "actions" / "helper.yaml").write_text(kind)
    found = replay(tmp_path, intervention)
    assert found.exit_code == 1
    assert "  inference.version\n" in found.output


def test_where_no_agent_answered_there_is_nothing_to_compare(tmp_path: Path) -> None:
    plan = "    - plan: {agent: helper, with: {text: event.data.text}, queue: payments}"
    quiet = PLANNING.replace(plan, "    - guide: {text: Hello., channel: inapp}")
    found = replay(tmp_path, acted(tmp_path, quiet))
    assert (found.exit_code, found.output) == (0, "No agent answered in this intervention.\n")


def test_an_unknown_intervention_is_bad_input(tmp_path: Path) -> None:
    acted(tmp_path)
    found = replay(tmp_path, "nothing")
    assert isinstance(found.exception, UnreadableInput)
    assert "no intervention" in str(found.exception)
