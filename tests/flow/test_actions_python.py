"""A deployment of Python functions: every kind of dry run, undoing, and the how-to page as it stands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.instants import SECOND
from forestall.intervene.jobs import Job
from forestall.kernel.settings import Credential, Settings
from forestall.policy.actions.folder import load_declarations
from workshops import CANARY, Scene, workshop

pytestmark = pytest.mark.anyio

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "declare-an-action.md"
MODULE = """
import json
from pathlib import Path
from forestall.intervene.actions.python import Refused, TryLater

STATE = Path(__file__).with_name("state.jsonl")

def did():
    return [json.loads(line) for line in STATE.read_text().splitlines()] if STATE.exists() else []

def note(what, **more):
    with STATE.open("a") as file:
        file.write(json.dumps({"what": what, **more}) + "\\n")

def look(arguments, *, key, dry, credential):
    if arguments.get("mode") == "blind":
        raise TryLater("not now")
    if arguments.get("mode") == "garble":
        return {"value": "\\ud800"}
    done = [one for one in did() if one["what"] == "set" and one["item"] == arguments["item"]]
    gone = [one for one in did() if one["what"] == "unset" and one["item"] == arguments["item"]]
    return {"value": done[-1]["value"] if len(done) > len(gone) else None}

def set_(arguments, *, key, dry, credential):
    mode = arguments.get("mode")
    if dry:
        return {"number": 0}
    if mode == "later":
        raise TryLater("the shop is closed")
    if mode == "refuse":
        raise Refused("not this one")
    if mode == "garble":
        raise Refused("not \\x00 this \\ud800 one")
    value = "something else" if mode == "lie" else arguments["value"]
    note("set", item=arguments["item"], value=value, key=key, credential=credential)
    return {"number": len(did())}

async def unset(arguments, *, key, dry, credential):
    if arguments.get("item") == "stuck":
        raise Refused("it is stuck")
    note("unset", item=arguments["item"], number=arguments["number"], key=key)
    return {}

async def try_(arguments, *, key, dry, credential):
    assert dry
    return {"number": 99}
"""
DECLARED = """
apiVersion: forestall/v1
kind: Lookup
metadata: {name: item}
spec:
  input: {type: object, required: [item], properties: {item: {type: string}, mode: {type: string}}}
  output: {value: /value}
  python: {call: "MODULE:look"}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: set}
spec:
  risk: medium
  input:
    type: object
    required: [item, value]
    properties: {item: {type: string}, value: {type: string}, mode: {type: string}}
  output: {number: /number}
  dry_run: DRY
  precondition: {if: arguments.value != "forbidden"}
  execute: {python: {call: "MODULE:set_", credential: mine}}
  verify:
    lookup: item
    with: {item: arguments.item, mode: 'has(arguments.mode) ? arguments.mode : ""'}
    if: fields.value == arguments.value
    every: 20ms
    within: 200ms
  undo: {python: {call: "MODULE:unset", with: {item: arguments.item, number: result.number}}}
"""
SET = {"item": "a", "value": "x"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Deployment:
    """Functions in a module of their own, and what they did."""

    def __init__(self, folder: Path, module: str) -> None:
        self.folder, self.module = folder, module
        (folder / f"{module}.py").write_text(MODULE)

    def scene(self, dry: str = "describe") -> Any:
        text = DECLARED.replace("MODULE", self.module).replace("DRY", dry)
        return workshop(self.folder, text, credentials={"mine": Credential(CANARY, (), ("set",))})

    def did(self) -> list[dict[str, Any]]:
        state = self.folder / "state.jsonl"
        return (
            [json.loads(line) for line in state.read_text().splitlines()] if state.exists() else []
        )


@pytest.fixture
def deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Deployment:
    monkeypatch.syspath_prepend(tmp_path)
    module = "deployed_" + re.sub(r"\W", "_", request.node.name)
    return Deployment(tmp_path, module)


async def test_a_function_acts_is_verified_and_undone(deployment: Deployment) -> None:
    async with deployment.scene() as scene:
        done = await scene.do("action", "set", SET, "number", key="k")
        undone = await scene.do("undo", "set", SET, key="u", undoes="k")
    assert (done.outcome, done.fields) == ("done", {"number": 1})
    assert (undone.outcome, undone.undone) == ("done", True)
    acted, taken_back = deployment.did()
    assert (acted["key"], acted["credential"]) == ("k", CANARY)
    assert (taken_back["number"], taken_back["key"]) == (1, "k-undo")


async def test_a_lie_is_undone_with_what_it_answered(deployment: Deployment) -> None:
    async with deployment.scene() as scene:
        lied = await scene.do("action", "set", {**SET, "mode": "lie"})
        stuck = await scene.do("action", "set", {**SET, "item": "stuck", "mode": "lie"})
    assert (lied.reason, lied.undone) == ("verification", True)
    assert (stuck.reason, stuck.undone) == ("verification", False)
    assert "undoing it failed: refused it is stuck" in stuck.detail
    assert [one["what"] for one in deployment.did()] == ["set", "unset", "set"]


@pytest.mark.parametrize(
    ("mode", "ended", "reason", "again"),
    [
        ("later", "failed", "unreachable", True),
        ("refuse", "failed", "refused", False),
        ("blind", "uncertain", "unverified", True),
    ],
)
async def test_what_a_function_raises(
    deployment: Deployment, mode: str, ended: str, reason: str, again: bool
) -> None:
    async with deployment.scene() as scene:
        outcome = await scene.do("action", "set", {**SET, "mode": mode})
    assert (outcome.outcome, outcome.reason, outcome.again) == (ended, reason, again)


async def test_what_no_database_takes_is_not_told(deployment: Deployment) -> None:
    async with deployment.scene() as scene:
        refused = await scene.do("action", "set", {**SET, "mode": "garble"})
        looked = await scene.do("enrich", "item", {"item": "a", "mode": "garble"}, "value")
    assert refused.detail == "not  this ? one"
    assert (looked.outcome, looked.fields) == ("done", {"value": None})


async def test_a_precondition_needs_no_lookup(deployment: Deployment) -> None:
    async with deployment.scene() as scene:
        outcome = await scene.do("action", "set", {**SET, "value": "forbidden"})
        dry = await scene.do("action", "set", {**SET, "value": "forbidden"}, dry=True)
    assert (outcome.outcome, outcome.reason) == ("failed", "precondition")
    assert (dry.outcome, dry.reason) == ("failed", "precondition")
    assert dry.evidence["request"]["arguments"]["value"] == "forbidden"
    assert deployment.did() == []


@pytest.mark.parametrize(
    ("dry", "how", "number"),
    [
        ("describe", "describe", None),
        ("{argument: dry}", "asked", 0),
        ('{python: {call: "MODULE:try_"}}', "asked", 99),
    ],
)
async def test_each_kind_of_dry_run_changes_nothing(
    deployment: Deployment, dry: str, how: str, number: int | None
) -> None:
    async with deployment.scene(dry.replace("MODULE", deployment.module)) as scene:
        outcome = await scene.do("action", "set", SET, dry=True)
    assert (outcome.outcome, outcome.evidence["dry_run"]) == ("done", how)
    assert outcome.evidence.get("answer", {}).get("fields") == (
        None if number is None else {"number": number}
    )
    assert deployment.did() == []


async def test_people_are_needed_where_the_action_says_so(deployment: Deployment) -> None:
    text = DECLARED.replace("MODULE", deployment.module).replace("DRY", "describe")
    two = text.replace("risk: medium", "risk: low\n  people: 2")
    credentials = {"mine": Credential(CANARY, (), ("set",))}
    async with workshop(deployment.folder, two, credentials=credentials) as scene:
        alone = await scene.do("action", "set", SET)
        approved = await scene.do("action", "set", SET, approval="a-1")
    assert (alone.reason, approved.outcome) == ("needs-approval", "done")


async def test_time_is_kept(deployment: Deployment) -> None:
    """The whole of it, looking again and undoing included, is over in the job's time."""
    text = DECLARED.replace("MODULE", deployment.module).replace("DRY", "describe")
    text = text.replace("    within: 200ms\n", "")
    credentials = {"mine": Credential(CANARY, (), ("set",))}
    async with workshop(deployment.folder, text, credentials=credentials) as scene:
        assert isinstance(scene, Scene)
        job = Job(kind="action", name="set", arguments={**SET, "mode": "lie"}, timeout=3 * SECOND)
        outcome = await scene.workshop.perform(job, "k")
    assert (outcome.reason, outcome.undone) == ("verification", True)
    assert outcome.evidence["verification"]["tries"] >= 2


def test_the_how_to_page_declares_what_loads(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    document = next(one for one in blocks if one.startswith("openapi"))
    declared = [one for one in blocks if "kind: Lookup" in one or "kind: Action" in one]
    (tmp_path / "payments.openapi.yaml").write_text(document)
    (tmp_path / "all.yaml").write_text("---\n".join(declared))
    users = ("receipts", "resend-receipt")
    credential = Credential("s", ("pay.example.com",), users)
    found = load_declarations(tmp_path, Settings(credentials={"payments": credential}))
    assert (set(found.lookups), set(found.actions)) == ({"receipts"}, {"resend-receipt"})
