"""Playbooks as text and back, and what the checks say of them against a search of every way."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.policy.language.canonical import canonical, from_canonical, version
from forestall.policy.language.changes import changes
from forestall.policy.language.check import check
from forestall.policy.language.declared import fields_of
from forestall.policy.language.flow import END, Node, flow, ways
from forestall.policy.language.model import Match, PlaybookStep, Policy, Step, When
from forestall.policy.language.parse import parse, parse_located
from property.playbooks import lists, playbooks
from property.policy_text import as_yaml

WHEN = When(kind="event", steps=(Step(match=Match(types=("e.a",))),))
ordinary = settings(max_examples=60)
risks = st.sampled_from(["low", "high"])


def with_playbook(playbook: tuple[PlaybookStep, ...], risk: str = "low") -> Policy:
    """A policy that does this on every ``e.a``."""
    return Policy(
        name="p",
        title="p",
        owner="me",
        when=WHEN,
        risk="high" if risk == "high" else "low",
        running="cancel" if len(playbook) % 2 else "finish",
        playbook=playbook,
    )


@ordinary
@given(playbooks)
def test_a_playbook_written_as_yaml_is_read_back(playbook: tuple[PlaybookStep, ...]) -> None:
    policy = with_playbook(playbook)
    assert parse(as_yaml(policy), "p.yaml") == [policy]


@ordinary
@given(playbooks)
def test_the_canonical_form_keeps_everything(playbook: tuple[PlaybookStep, ...]) -> None:
    policy = with_playbook(playbook)
    back = from_canonical(canonical(policy))
    assert repr(back.playbook) == repr(playbook)
    assert (back.running, version(back)) == (policy.running, version(policy))


@ordinary
@given(playbooks, playbooks)
def test_versions_and_words_tell_playbooks_apart(
    one: tuple[PlaybookStep, ...], other: tuple[PlaybookStep, ...]
) -> None:
    old, new = with_playbook(one), with_playbook(other)
    same = repr(one) == repr(other)
    assert (version(old) == version(new)) is same
    assert (changes([old], [new]) == []) is same


def every_way(program: tuple[Node, ...]) -> Iterator[list[Node]]:
    """Every way through a program, from its first step on."""
    left: list[tuple[int, list[Node]]] = [(1, [])] if program else []
    while left:
        number, before = left.pop()
        if number <= END:
            yield before
        else:
            node = program[number - 1]
            left += [(to, [*before, node]) for to in ways(node)]


@ordinary
@given(lists(1, least=0), risks)
def test_checks_agree_with_a_search_of_every_way(
    playbook: tuple[PlaybookStep, ...], risk: str
) -> None:
    policy = with_playbook(playbook, risk)
    program = flow(policy)
    reached: set[int] = set()
    filled_on: dict[int, list[set[str]]] = {}
    for way in every_way(program):
        filled: set[str] = set()
        for node in way:
            reached.add(node.number)
            filled_on.setdefault(node.number, []).append(set(filled))
            filled |= set(fields_of(node.step))
    (located,), problems = parse_located(as_yaml(policy), "p.yaml")
    assert problems == []
    told = check(located)
    lost = [node for node in program if node.number not in reached]
    assert bool(lost) is any(one.code == "unreachable-step" for one in told)
    unfilled = {
        name
        for node in program
        if node.number in reached
        for name in reads(node)
        if not all(name in filled for filled in filled_on[node.number])
    }
    words = [one.message for one in told if one.code == "unfilled-field"]
    assert unfilled == {name for name in "fgh" if any(f"`fields.{name}`" in one for one in words)}


def reads(node: Node) -> set[str]:
    """The fields that a step reads before it is carried out."""
    step, texts = node.step, [condition for condition, _ in node.arms]
    texts += getattr(step, "arguments", {}).values()
    texts.append(getattr(step, "text", None))
    own = set(fields_of(step))
    undo = getattr(step, "undo", None)
    late = [] if not undo else list(undo.arguments.values())
    found = {name for name in "fgh" for text in texts if text and f"fields.{name}" in text}
    return found | {
        name for name in "fgh" for text in late if f"fields.{name}" in text and name not in own
    }
