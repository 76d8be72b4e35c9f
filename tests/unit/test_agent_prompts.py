"""Prompts in files: found beside the folder of actions, named by agents, and every mistake told."""

import asyncio
from pathlib import Path

import pytest

from forestall.contracts.errors import InvalidFile
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import Settings
from forestall.policy.actions.agents import MOST_WORDS
from forestall.policy.actions.folder import load_declarations
from forestall.policy.actions.model import Agent
from forestall.policy.actions.prompts import beside, prompt_name, read_prompts
from forestall.policy.deployment import fingerprint
from forestall.policy.sources import Written, contents
from workshops import workshop

AGENT = """\
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper}
spec:
  purpose: Help
  instructions: INSTRUCTIONS
  input: {type: object}
"""
NAMED = AGENT.replace("INSTRUCTIONS", "{prompt: refunds.short}")


def laid(folder: Path, text: str = NAMED, **prompts: str) -> Path:
    """A folder of actions with an agent, and prompts (``a__b`` is ``a/b.md``) beside it."""
    actions = folder / "actions"
    actions.mkdir(exist_ok=True)
    (actions / "agents.yaml").write_text(text)
    for name, words in prompts.items():
        path = folder / "prompts" / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)
    return actions


def helper(actions: Path) -> Agent:
    return load_declarations(actions, Settings()).agents["helper"]


def wrong(actions: Path) -> list[tuple[str, int, int, str]]:
    with pytest.raises(InvalidFile) as caught:
        load_declarations(actions, Settings())
    return [(Path(one.file).name, one.line, one.column, one.code) for one in caught.value.problems]


def test_the_prompts_text_is_the_instructions(tmp_path: Path) -> None:
    read = helper(laid(tmp_path, refunds__short="Be brief.\n", other="Be long."))
    assert (read.prompt, read.instructions) == ("refunds.short", "Be brief.\n")


def test_the_version_changes_with_the_text_and_not_with_who_owns_it(tmp_path: Path) -> None:
    one = helper(laid(tmp_path, refunds__short="One.")).version
    assert helper(laid(tmp_path, refunds__short="One.", other="x")).version == one
    assert helper(laid(tmp_path, refunds__short="Two.")).version != one
    owned = NAMED.replace("helper}", "helper, title: T, owner: us, review_by: 2030-01-01}")
    assert helper(laid(tmp_path, owned, refunds__short="One.")).version == one


def test_without_a_prompt_the_version_is_that_of_the_registry(tmp_path: Path) -> None:
    text = AGENT.replace("INSTRUCTIONS", "Be kind.")
    (item,) = contents([Written("agent", "actions/a.yaml", text)], lambda raw: ("", raw)).items
    assert helper(laid(tmp_path, text)).version == item.version


def test_what_is_missing_is_told_where_it_is_named(tmp_path: Path) -> None:
    assert wrong(laid(tmp_path)) == [("agents.yaml", 6, 26, "unknown-prompt")]
    actions = laid(tmp_path, refunds__shot="Be brief.")
    with pytest.raises(InvalidFile, match=r"did you mean `refunds\.shot`"):
        load_declarations(actions, Settings())


@pytest.mark.parametrize(
    ("instructions", "place"),
    [
        ("{}", (6, 17, "missing-key")),
        ("{prompt: [a]}", (6, 26, "wrong-type")),
        ("{promt: refunds.short}", (6, 18, "unknown-key")),
        ("{prompt: refunds.short, text: Be kind}", (6, 41, "unknown-key")),
        ("[refunds.short]", (6, 17, "wrong-type")),
    ],
)
def test_mistakes_in_naming_it_have_their_place(
    tmp_path: Path, instructions: str, place: tuple[int, int, str]
) -> None:
    actions = laid(tmp_path, AGENT.replace("INSTRUCTIONS", instructions), refunds__short="Be.")
    assert wrong(actions) == [("agents.yaml", *place)]


def test_one_that_is_too_long_is_told(tmp_path: Path) -> None:
    assert helper(laid(tmp_path, refunds__short="x" * MOST_WORDS))
    actions = laid(tmp_path, refunds__short="x" * (MOST_WORDS + 1))
    assert wrong(actions) == [("agents.yaml", 6, 26, "too-large")]


def test_files_that_cannot_be_read_and_names_that_are_taken_are_told(tmp_path: Path) -> None:
    actions = laid(tmp_path, refunds__short="Be brief.")
    (tmp_path / "prompts" / "refunds" / "short.txt").write_text("Be long.")
    (tmp_path / "prompts" / "latin.md").write_bytes("für".encode("latin-1"))
    assert wrong(actions) == [("latin.md", 1, 1, "prompt"), ("short.txt", 1, 1, "duplicate-name")]


def test_hidden_and_other_files_are_no_prompts(tmp_path: Path) -> None:
    assert read_prompts(tmp_path / "prompts") == ({}, [])
    laid(tmp_path, a="A", b__c__d="D")
    for name in (".hidden.md", "code.py"):
        (tmp_path / "prompts" / name).write_text("no")
    assert read_prompts(beside(tmp_path / "actions")) == ({"a": "A", "b.c.d": "D"}, [])
    assert prompt_name(Path("b/c/d.md")) == "b.c.d"


def test_a_changed_prompt_is_a_changed_deployment(tmp_path: Path) -> None:
    actions = laid(tmp_path, refunds__short="One.")
    settings = Settings(actions=actions)
    before = fingerprint(tmp_path / "forestall.toml", settings)
    laid(tmp_path, refunds__short="Another.")
    assert fingerprint(tmp_path / "forestall.toml", settings) != before


def test_a_changed_prompt_is_at_work_without_a_restart(tmp_path: Path) -> None:
    actions = laid(tmp_path, refunds__short="One.")

    async def run() -> None:
        async with workshop(tmp_path, actions, watch=0.01) as scene:
            assert scene.workshop.declarations.agents["helper"].instructions == "One."
            laid(tmp_path, refunds__short="Another.")
            end = monotonic() + 30
            while scene.workshop.declarations.agents["helper"].instructions != "Another.":
                assert monotonic() < end
                await asyncio.sleep(0.01)

    asyncio.run(run())
