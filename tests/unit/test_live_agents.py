"""The agents of a managed deployment: the registry's live versions, held against the folder."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from assisting import LOOKUP
from forestall.app.lifecycle import open_desk
from forestall.contracts.control import PoliciesApplied
from forestall.contracts.errors import InvalidFile
from forestall.intervene.actions.live import LiveAgents
from forestall.intervene.store import Store
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import LanguageModel, Lifecycle, Settings
from forestall.log.memory import MemoryLog
from forestall.log.streams import control
from forestall.policy.actions.folder import Declarations, load_declarations
from forestall.policy.actions.live import Live, Version, judging, load_managed, located
from forestall.policy.actions.model import Agent
from forestall.policy.lifecycle import Artifact, Ask
from forestall.policy.shelf import live_in, live_of
from forestall.policy.sources import Written, contents
from forestall.policy.store import REGISTRY_FILE, Request
from registries import ANN, BOB, CAT, Desk, plain
from workshops import workshop

ACTION = """
---
apiVersion: forestall/v1
kind: Action
metadata: {name: NAME}
spec:
  risk: RISK
  input: {type: object, required: [payment], properties: {payment: {type: string}}}
  dry_run: describe
  execute: {python: {call: "assisting:act"}}
  verify: {lookup: payment, with: {payment: arguments.payment}, if: "true"}
"""
FOLDER = LOOKUP + ACTION.replace("NAME", "resend").replace("RISK", "low")
AGENT = """\
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper, title: Helps, owner: payments}
spec:
  purpose: Help
  instructions: TEXT
  input: {type: object, properties: {payment: {type: string}}}
  actions: [{action: ACTION, with: {payment: arguments.payment}}]
  risk: RISK
"""
FUNCTION = """\
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper}
spec:
  input: {type: object}
  output: {why: /why}
  python: {call: "assisting:CALL"}
"""


def agent(text: str = "Be kind.", action: str = "resend", risk: str = "low") -> str:
    return AGENT.replace("TEXT", text).replace("ACTION", action).replace("RISK", risk)


def artifacts(*files: tuple[str, str]) -> list[Artifact]:
    """What stands in files, by path, as applying them puts it into the registry."""
    written = [
        Written("prompt" if path.startswith("prompts") else "agent", path, text)
        for path, text in files
    ]
    found = contents(written, lambda raw: ("", raw))
    assert found.problems == ()
    return [
        Artifact(
            kind=one.kind,
            name=one.name,
            version=one.version,
            content=one.content,
            by="ann",
            at=1,
            why="so",
            source=one.source,
            title=one.title,
            risk=one.risk,
        )
        for one in found.items
    ]


def one(text: str) -> Artifact:
    (found,) = artifacts(("actions/agents.yaml", text))
    return found


def prompt(text: str) -> Artifact:
    (found,) = artifacts(("prompts/kind.md", text))
    return found


def version(found: Artifact, source: str | None = None) -> Version:
    return Version(
        name=found.name,
        version=found.version,
        content=found.content,
        source=found.source if source is None else source,
        title=found.title,
    )


def live(*texts: str, prompts: dict[str, str] | None = None) -> Live:
    """What is live where these versions of ``helper`` were, the newest first."""
    return Live({"helper": tuple(version(one(text)) for text in texts)}, prompts or {})


def managed(folder: Path, what: Live, declared: str = FOLDER) -> Declarations:
    actions = folder / "actions"
    actions.mkdir(exist_ok=True)
    (actions / "all.yaml").write_text(declared)
    return load_managed(actions, Settings(actions=actions), what)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "data").mkdir()
    desk = Desk(tmp_path / "data" / REGISTRY_FILE)
    yield desk
    desk.registry.close()


# -- which version ---------------------------------------------------------------------------------


def test_the_live_version_answers_in_place_of_the_folders(tmp_path: Path) -> None:
    newer = one(agent("Be brief."))
    found = managed(tmp_path, live(agent("Be brief.")), agent("Be loud.") + FOLDER)
    used = found.agents["helper"]
    assert (used.instructions, used.version) == ("Be brief.", newer.version)
    assert (used.title, used.owner) == ("Helps", "payments")
    assert found.managed
    assert found.unusable == ()
    assert set(found.actions) == {"resend"}
    assert set(found.lookups) == {"payment"}


def test_what_was_never_promoted_is_not_used(tmp_path: Path) -> None:
    found = managed(tmp_path, Live(), agent() + FOLDER)
    assert found.agents == {}
    assert found.why_no_agent("helper") == (
        "not-live",
        "no version of the agent 'helper' is live; promote one",
    )
    assert Declarations().why_no_agent("x") == (
        "refused",
        "the deployment declares no agent 'x'",
    )


def test_the_last_good_version_stays_where_the_live_one_cannot_be_used(tmp_path: Path) -> None:
    bad, good = agent(action="refund"), agent()
    found = managed(tmp_path, live(bad, good, agent("Be first.")))
    assert found.agents["helper"].version == one(good).version
    (told,) = found.unusable
    assert (told.agent, told.version, told.instead) == (
        "helper",
        one(bad).version,
        one(good).version,
    )
    (problem,) = told.problems
    assert (problem.code, problem.line, problem.column) == ("unknown-action", 8, 22)
    assert problem.file == f"helper@{one(bad).version[:8]}"


def test_without_a_good_version_the_reason_is_clear_and_others_go_on(tmp_path: Path) -> None:
    other = version(one(agent().replace("helper", "other")))
    both = Live({**live(agent(action="refund")).agents, "other": (other,)})
    found = managed(tmp_path, both)
    assert set(found.agents) == {"other"}
    assert found.unusable[0].instead is None
    reason, words = found.why_no_agent("helper")
    assert reason == "unusable"
    assert "cannot be used here: helper@" in words
    assert "there is no action `refund`" in words


def test_a_model_that_is_not_set_up_and_an_action_that_is_too_risky_are_refused(
    tmp_path: Path,
) -> None:
    asking = agent() + "  model: fast\n"
    (told,) = managed(tmp_path, live(asking)).unusable
    assert [one.code for one in told.problems] == ["unknown-model"]
    actions = tmp_path / "actions"
    known = Settings(actions=actions, language_models={"fast": LanguageModel(model="openai:x")})
    assert load_managed(actions, known, live(asking)).unusable == ()
    risky = LOOKUP + ACTION.replace("NAME", "resend").replace("RISK", "high")
    (told,) = managed(tmp_path, live(agent()), risky).unusable
    assert [one.code for one in told.problems] == ["too-risky"]


def test_a_function_answers_only_where_the_folder_names_it(tmp_path: Path) -> None:
    for call in ("judge", "act", "payment"):
        (told,) = managed(tmp_path, live(FUNCTION.replace("CALL", call))).unusable
        assert [(each.code, each.line) for each in told.problems] == [("unknown-function", 7)]
    text = FUNCTION.replace("CALL", "judge")
    named = managed(tmp_path, live(text), text.replace("helper", "other", 1) + FOLDER)
    assert set(named.agents) == {"helper"}


def test_mistakes_in_the_rest_of_the_folder_are_told_as_ever(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="nothing fills"):
        managed(tmp_path, Live(), FOLDER.replace("arguments.payment", "arguments.nothing"))
    assert managed(tmp_path, Live(), agent(action="gone") + FOLDER).agents == {}, "not its own"


@pytest.mark.parametrize("source", ["", "kind: [", agent("Something else.")])
def test_the_content_counts_where_the_text_is_not_known(tmp_path: Path, source: str) -> None:
    kept = one(agent())
    what = Live({"helper": (version(kept, source),)})
    used = managed(tmp_path, what).agents["helper"]
    assert (used.version, used.title, used.instructions) == (kept.version, "Helps", "Be kind.")
    gone = version(one(agent(action="gone")), source)
    (told,) = managed(tmp_path, Live({"helper": (gone,)})).unusable
    assert [(one.code, one.line, one.column) for one in told.problems] == [("unknown-action", 1, 1)]


def test_content_that_is_no_agent_is_told(tmp_path: Path) -> None:
    strange = Version(name="helper", version="a" * 64, content=b'{"name": 5}')
    (told,) = managed(tmp_path, Live({"helper": (strange,)})).unusable
    assert told.problems[0].code == "unusable-agent"
    with pytest.raises(InvalidFile):
        located(strange)


# -- prompts ---------------------------------------------------------------------------------------


def test_a_prompts_text_is_the_instructions_and_counts_in_the_version(tmp_path: Path) -> None:
    text = agent("{prompt: kind}")
    soft, loud = (
        managed(tmp_path, live(text, prompts={"kind": words})).agents["helper"]
        for words in ("Be soft.", "Be loud.")
    )
    assert (soft.prompt, soft.instructions, loud.instructions) == ("kind", "Be soft.", "Be loud.")
    assert len({soft.version, loud.version, one(text).version}) == 3
    (told,) = managed(tmp_path, live(text, prompts={"kinds": "Be."})).unusable
    (problem,) = told.problems
    assert (problem.code, problem.line, problem.column) == ("unknown-prompt", 6, 26)
    assert problem.hint == "did you mean `kinds`?"


def test_an_agent_is_judged_when_it_is_applied(tmp_path: Path) -> None:
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "all.yaml").write_text(FOLDER)
    judge = judging(actions, Settings(actions=actions), {"kind": "Be kind."})

    def problems(text: str) -> list[str]:
        written = [Written("agent", "a.yaml", text)]
        (item,) = contents(written, lambda raw: ("", raw), judge=judge).items
        assert item.kind == "agent"
        return [found.code for found in item.problems]

    assert problems(agent()) == problems(agent("{prompt: kind}")) == []
    assert problems(agent("{prompt: rude}", action="gone")) == ["unknown-prompt", "unknown-action"]


# -- the registry ----------------------------------------------------------------------------------


def test_what_is_live_follows_promotion_rollback_retirement_and_switch(
    desk: Desk, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first, second, third = (one(agent(words)) for words in ("One.", "Two.", "Three."))

    def versions() -> list[str]:
        found = live_in(data).agents.get("helper", ())
        assert live_of(desk.registry).agents.get("helper", ()) == found
        return [each.version for each in found]

    desk.bring(first, "draft", "validated")
    assert versions() == []
    desk.ask(first, "live")
    desk.bring(second, "draft", "validated", "live")
    assert versions() == [second.version, first.version]
    desk.registry.move(Ask(what="rollback", kind="agent", name="helper"), CAT, "worse", 50)
    assert versions() == [first.version]
    desk.bring(third, "draft", "validated", "live", set="green")
    assert versions() == [first.version]
    assert [each.version for each in live_in(data, "green").agents["helper"]] == [third.version]
    desk.registry.move(Ask(what="switch", set="green"), BOB, "all of it", 60)
    assert versions() == [third.version]
    desk.ask(third, "retired", set="green")
    assert versions() == []


def test_live_prompts_are_read_with_their_text(desk: Desk, tmp_path: Path) -> None:
    desk.bring(prompt("Be kind.\n"), "draft", "validated", "live")
    assert live_in(tmp_path / "data").prompts == {"kind": "Be kind.\n"}
    assert live_in(tmp_path / "elsewhere") == Live()


def test_agents_are_looked_up_as_often_as_one_likes(desk: Desk, tmp_path: Path) -> None:
    looking = LiveAgents(tmp_path / "data")
    try:
        assert looking.look() == Live()
        desk.bring(one(agent()), "draft", "validated", "live")
        found = looking.look()
        assert [each.version for each in found.agents["helper"]] == [one(agent()).version]
        assert looking.look() is found
    finally:
        looking.close()


def test_what_was_live_stays_while_the_registry_cannot_be_read(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "data" / REGISTRY_FILE
    desk.bring(one(agent()), "draft", "validated", "live")
    looking = LiveAgents(tmp_path / "data")
    try:
        found = looking.look()
        looking.close()
        desk.registry.close()
        whole = path.read_bytes()
        path.write_bytes(b"not a database, by far" * 100)
        with capture_logs() as told:
            assert looking.look() is found
            assert looking.look() is found
        assert [line["event"] for line in told] == [
            "live agents cannot be looked up; those that were stay"
        ]
        path.unlink()
        with capture_logs() as told:
            assert looking.look() is found
        assert len(told) == 1
        path.write_bytes(whole)
        assert looking.look() == found
    finally:
        looking.close()


def test_nothing_is_said_before_there_is_a_registry(tmp_path: Path) -> None:
    looking = LiveAgents(tmp_path)
    with capture_logs() as told:
        assert looking.look() == Live()
    assert told == []
    looking.close()


@pytest.mark.parametrize("ran", [True, False])
def test_agents_that_answered_so_far_go_on_where_management_begins(
    tmp_path: Path, ran: bool
) -> None:
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "all.yaml").write_text(agent("{prompt: kind}", risk="high") + FOLDER)
    (actions / "pay.openapi.yaml").write_text("openapi: 3.1.0")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "kind.md").write_text("Be kind.")
    (tmp_path / "prompts" / ".kind.md").write_text("Hidden.")
    settings = Settings(data=tmp_path, actions=actions, lifecycle=Lifecycle(managed=True))
    log, store = MemoryLog(), Store(tmp_path / "app.db")
    if ran:
        log.commit([control([PoliciesApplied(1, (), {}, "files", "so")])])
    begun = open_desk(settings, log, store, lambda: 7)
    found = live_of(begun.managed)
    adopted = {(one.artifact, one.name, one.by) for one in begun.managed.transitions()}
    begun.managed.close()
    store.close()
    if not ran:
        assert (found, adopted) == (Live(), set()), "nothing answered yet"
        return
    assert adopted == {("agent", "helper", "files"), ("prompt", "kind", "files")}
    used = load_managed(actions, settings, found)
    assert used.agents == load_declarations(actions, settings).agents
    assert used.agents["helper"].instructions == "Be kind."


# -- the second person -----------------------------------------------------------------------------


@pytest.mark.parametrize(("risk", "alone"), [("low", True), ("medium", False), ("high", False)])
def test_an_agent_is_as_risky_as_the_actions_that_it_may_plan(
    desk: Desk, risk: str, alone: bool
) -> None:
    outcome = desk.bring(one(agent(risk=risk)), "draft", "validated", "live")
    assert isinstance(outcome, Request) is not alone
    if not alone:
        assert live_of(desk.registry) == Live()
        desk.registry.second(outcome.id, BOB, "I looked", 50)
    assert set(live_of(desk.registry).agents) == {"helper"}


def test_an_agent_that_may_do_nothing_is_of_low_risk(desk: Desk) -> None:
    text = agent(risk="high")
    lines = [line for line in text.splitlines(keepends=True) if "actions:" not in line]
    outcome = desk.bring(one("".join(lines)), "draft", "validated", "live")
    assert not isinstance(outcome, Request)
    assert not isinstance(
        desk.bring(one(FUNCTION.replace("CALL", "act")), "draft", "validated", "live"), Request
    )


def test_a_prompt_is_as_risky_as_the_live_agents_that_name_it(desk: Desk) -> None:
    assert not isinstance(desk.bring(prompt("One."), "draft", "validated", "live"), Request)
    outcome = desk.bring(one(agent("{prompt: kind}", risk="medium")), "draft", "validated", "live")
    desk.registry.second(outcome.id, BOB, "I looked", 50)
    waits = desk.bring(prompt("Two."), "draft", "validated", "live")
    assert isinstance(waits, Request)
    other = plain("prompt", "other", {"text": "Three."})
    assert not isinstance(desk.bring(other, "draft", "validated", "live"), Request)
    desk.registry.second(waits.id, BOB, "I looked", 60)
    assert live_of(desk.registry).prompts == {"kind": "Two.", "other": "Three."}
    back = Ask(what="rollback", kind="prompt", name="kind")
    assert not isinstance(desk.registry.move(back, ANN, "worse", 70), Request), "taken back alone"


# -- at work ---------------------------------------------------------------------------------------


def test_a_promotion_is_at_work_without_a_restart(desk: Desk, tmp_path: Path) -> None:
    async def changed(scene: Any, wanted: str | None) -> Agent | None:
        end = monotonic() + 30
        while monotonic() < end:
            found: Agent | None = scene.workshop.declarations.agents.get("helper")
            if (found and found.instructions) == wanted:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"not {wanted!r} in time")

    async def run() -> None:
        way = Lifecycle(managed=True)
        async with workshop(tmp_path, agent() + FOLDER, watch=0.01, lifecycle=way) as scene:
            before = await scene.do("plan", "helper", {})
            assert (before.outcome, before.reason) == ("failed", "not-live")
            assert before.detail == "no version of the agent 'helper' is live; promote one"
            first, bad = one(agent("One.")), one(agent("Two.", action="gone"))
            desk.bring(first, "draft", "validated", "live")
            assert await changed(scene, "One.")
            with capture_logs() as told:
                desk.bring(bad, "draft", "validated", "live")
                while not any(line["log_level"] == "error" for line in told):
                    await asyncio.sleep(0.01)
            line = next(line for line in told if line["log_level"] == "error")
            assert line["event"] == "the live version of an agent cannot be used here"
            assert (line["agent"], line["version"], line["instead"]) == (
                "helper",
                bad.version,
                first.version,
            )
            assert "there is no action `gone`" in line["problems"]
            assert await changed(scene, "One.")
            desk.ask(bad, "retired")
            assert await changed(scene, None) is None

    asyncio.run(asyncio.wait_for(run(), 60))
