"""Plans: what becomes of everything in a folder, in words, and one hash over all of it."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.parse import parse
from forestall.policy.lifecycle import Kind, State
from forestall.policy.plan import (
    MOST_WORDS,
    UNWRITTEN,
    Checked,
    Item,
    Kept,
    Line,
    Plan,
    compare,
    content_of,
    hashed,
)

TEXT = """apiVersion: forestall/v1
kind: Policy
metadata: {name: NAME, owner: us}
spec:
  when: {event: a.b}
  cooldown: 12h
"""


def policy(name: str = "p", old: str = "", new: str = "") -> Item:
    text = TEXT.replace("NAME", name).replace(old, new) if old else TEXT.replace("NAME", name)
    (read,) = parse(text, "f.yaml")
    return Item(
        kind="policy",
        name=name,
        version=version(read),
        content=canonical(read),
        source=text,
        file="f.yaml",
    )


def thing(kind: Kind, name: str, value: Any) -> Item:
    content = content_of(value)
    return Item(
        kind=kind,
        name=name,
        version=hashed(content),
        content=content,
        source=json.dumps(value),
        file="f",
    )


def kept(item: Item, state: State | None) -> Kept:
    return Kept(
        kind=item.kind,
        name=item.name,
        version=item.version,
        content=item.content,
        source=item.source,
        state=state,
    )


def what(lines: Sequence[Line]) -> dict[str, str]:
    return {f"{line.kind} {line.name}": line.what for line in lines}


def test_everything_is_new_to_an_empty_registry() -> None:
    lines = compare([policy("b"), policy("a"), thing("threshold", "a", 0.5)], [])
    assert [(one.kind, one.name, one.what) for one in lines] == [
        ("policy", "a", "new"),
        ("policy", "b", "new"),
        ("threshold", "a", "new"),
    ]
    assert lines[0].words == ("when `a.b`",)
    assert lines[0].before == ""


def test_another_version_is_a_change_in_words_against_the_live_one() -> None:
    live, draft = policy(), policy(old="12h", new="6h")
    (line,) = compare([policy(old="12h", new="24h")], [kept(live, "live"), kept(draft, "draft")])
    assert (line.what, line.before) == ("changed", live.version)
    assert line.words == ("`cooldown` is 24h instead of 12h",)


def test_without_a_live_one_the_newest_is_compared_with() -> None:
    first, second = policy(), policy(old="12h", new="6h")
    (line,) = compare(
        [policy(old="12h", new="24h")], [kept(first, "validated"), kept(second, "shadow")]
    )
    assert line.before == second.version
    assert line.words == ("`cooldown` is 24h instead of 6h",)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("draft", "waiting"),
        ("validated", "unchanged"),
        ("backtested", "unchanged"),
        ("shadow", "unchanged"),
        ("canary", "unchanged"),
        ("live", "unchanged"),
        ("retired", "new"),
        (None, "new"),
    ],
)
def test_what_the_registry_has_is_unchanged_unless_it_is_a_draft(
    state: State | None, expected: str
) -> None:
    (line,) = compare([policy()], [kept(policy(), state)])
    assert line.what == expected
    assert line.state == (state or "")


def test_going_back_to_what_was_retired_is_a_change_from_what_is_live() -> None:
    old, live = policy(), policy(old="12h", new="6h")
    (line,) = compare([old], [kept(old, "retired"), kept(live, "live")])
    assert (line.what, line.version, line.before) == ("changed", old.version, live.version)
    assert line.words == ("`cooldown` is 12h instead of 6h",)


def test_what_changes_no_decision_is_restated() -> None:
    (line,) = compare([policy(old="owner: us", new="owner: them")], [kept(policy(), "live")])
    assert (line.what, line.words) == ("restated", ())
    assert line.besides == ("`owner` is 'them' instead of 'us'",)


def test_what_was_adopted_without_its_text_is_restated() -> None:
    adopted = replace(kept(policy(), "live"), source="")
    (line,) = compare([policy()], [adopted])
    assert (line.what, line.besides) == ("restated", (UNWRITTEN,))
    (line,) = compare([policy(old="12h", new="24h")], [adopted])
    assert line.words == ("`cooldown` is 24h instead of 12h",)


def test_a_text_that_is_no_longer_how_policies_are_written_is_no_obstacle() -> None:
    old = replace(kept(policy(), "live"), source="kind: Rule\n")
    (line,) = compare([policy(old="12h", new="24h")], [old])
    assert line.words == ("`cooldown` is 24h instead of 12h",)


def test_comments_alone_are_no_change() -> None:
    (line,) = compare([policy(old="spec:", new="# why\nspec:")], [kept(policy(), "live")])
    assert line.what == "unchanged"


def test_what_is_not_in_the_folder_is_gone_and_only_pruning_does_something_about_it() -> None:
    lines = compare([policy("a")], [kept(policy("a"), "live"), kept(policy("b"), "canary")])
    assert what(lines) == {"policy a": "unchanged", "policy b": "gone"}
    assert (lines[1].state, lines[1].before) == ("canary", policy("b").version)
    assert Plan(set="blue", prune=False, lines=lines).to_do == ()
    assert [one.name for one in Plan(set="blue", prune=True, lines=lines).to_do] == ["b"]


def test_what_is_retired_is_gone_already() -> None:
    assert compare([], [kept(policy(), "retired"), kept(policy("q"), None)]) == ()


def test_kinds_that_the_folder_does_not_have_are_left_alone() -> None:
    model = kept(thing("model", "m", {"name": "m"}), "live")
    flag = kept(thing("flag", "f", {"value": True}), "live")
    assert compare([policy()], [model, flag])[0].name == "p"
    lines = compare([policy(), thing("model", "n", {"name": "n"})], [model, flag])
    assert what(lines) == {"model m": "gone", "model n": "new", "policy p": "new"}


def test_the_same_name_in_two_kinds_is_two_things() -> None:
    lines = compare([policy("a"), thing("threshold", "a", 0.5)], [kept(policy("a"), "live")])
    assert what(lines) == {"policy a": "unchanged", "threshold a": "new"}


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        (
            "threshold",
            0.4,
            0.5,
            ("it is 0.5 instead of 0.4",),
        ),
        (
            "prompt",
            {"text": "Be kind.\nBe brief.\n"},
            {"text": "Be kind.\nBe clear.\n"},
            ("no longer says: Be brief.", "now says: Be clear."),
        ),
        (
            "agent",
            {"way": {"call": "a:b"}, "timeout": 1},
            {"way": {"call": "a:c"}, "timeout": 1, "output": {"x": "/x"}},
            ('`output` is new: {"x":"/x"}', '`way.call` is "a:c" instead of "a:b"'),
        ),
        (
            "model",
            {"features": [{"name": "a", "steps": [0, 1]}, {"name": "b", "steps": [1]}]},
            {"features": [{"name": "b", "steps": [2]}, {"name": "c", "steps": [1]}]},
            (
                '`features.a` is gone: {"name":"a","steps":[0,1]}',
                "`features.b.steps` is [2] instead of [1]",
                '`features.c` is new: {"name":"c","steps":[1]}',
            ),
        ),
        ("agent", {"long": "a" * 90}, {"long": "b" * 90}, ("`long` differs",)),
    ],
)
def test_other_things_change_in_words_too(
    kind: Kind, old: Any, new: Any, words: tuple[str, ...]
) -> None:
    (line,) = compare([thing(kind, "x", new)], [kept(thing(kind, "x", old), "live")])
    assert (line.what, line.words) == ("changed", words)


def test_a_change_of_everything_is_not_told_without_end() -> None:
    old, new = ({f"k{number}": number + more for number in range(100)} for more in (0, 1))
    (line,) = compare([thing("agent", "x", new)], [kept(thing("agent", "x", old), "live")])
    assert len(line.words) == MOST_WORDS + 1
    assert line.words[-1] == "and 60 more"


def test_a_check_is_sound_without_mistakes_and_failures() -> None:
    assert Checked(0, 3, 0).sound
    assert not Checked(1, 3, 0).sound
    assert not Checked(0, 3, 1).sound


PLAN = Plan(
    set="blue",
    prune=False,
    lines=(Line(kind="policy", name="p", what="new", version="v", words=("when `a`",)),),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, set="green"),
        replace(PLAN, prune=True),
        replace(PLAN, lines=()),
        replace(PLAN, figures={"events": 1}),
        replace(PLAN, unbacked="no log"),
        *(
            replace(PLAN, lines=(replace(PLAN.lines[0], **change),))
            for change in (
                {"version": "w"},
                {"source": "s"},
                {"words": ()},
                {"what": "changed"},
                {"checked": Checked(0, 1, 0)},
            )
        ),
    ],
)
def test_anything_that_differs_changes_the_hash(other: Plan) -> None:
    assert other.hash != PLAN.hash
    assert len(other.hash) == 64


def test_the_hash_is_of_the_content_alone() -> None:
    again = msgspec.json.decode(msgspec.json.encode(PLAN), type=Plan)
    assert again.hash == PLAN.hash


COOLDOWNS = st.sampled_from(["6h", "12h", "24h"])
STATES = st.sampled_from([None, "draft", "validated", "shadow", "canary", "live", "retired"])


@given(
    folder=st.dictionaries(st.sampled_from("abc"), COOLDOWNS),
    registry=st.dictionaries(st.tuples(st.sampled_from("abc"), COOLDOWNS), STATES),
)
def test_after_applying_a_plan_nothing_is_left_to_do(
    folder: dict[str, str], registry: dict[tuple[str, str], State | None]
) -> None:
    items = [policy(name, "12h", cooldown) for name, cooldown in folder.items()]
    there = {one: kept(policy(one[0], "12h", one[1]), state) for one, state in registry.items()}
    plan = Plan(set="blue", prune=True, lines=compare(items, there.values()))
    for line in plan.to_do:
        if line.what == "gone":
            there = {
                key: replace(one, state="retired") if one.name == line.name else one
                for key, one in there.items()
            }
        else:
            there[line.name, folder[line.name]] = kept(
                policy(line.name, "12h", folder[line.name]), "validated"
            )
    assert replace(plan, lines=compare(items, there.values())).to_do == ()
