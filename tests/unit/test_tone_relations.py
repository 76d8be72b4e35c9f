"""Families of words near each other: order, distance, sentences, look-alikes, and linear time."""

import tomllib
from importlib.resources import files
from itertools import pairwise

import pytest

from forestall.context.tone import mood
from forestall.context.tone_relations import near


def kinds(text: str, ends: tuple[int, ...] = ()) -> list[str]:
    return [one.relation.kind for one in near(text.encode(), ends)]


def test_two_families_in_any_order_make_a_relation() -> None:
    assert kinds("my mum, who was ever so kind, died") == ["bereavement"]
    assert kinds("dead is what he is, my dad") == ["bereavement"]
    assert kinds("my mum is kind") == []


def test_families_in_two_sentences_make_none() -> None:
    text = "my mum is kind. the funeral song is number 3."
    assert kinds(text) == ["bereavement"]
    assert kinds(text, (text.index(".") + 2, len(text))) == []


def test_families_too_far_apart_make_none() -> None:
    assert kinds("my mum " + "and then " * 20 + "died") == []


def test_it_says_where() -> None:
    text = b"hello, someone changed my password yesterday"
    (found,) = near(text, ())
    assert text[found.start : found.end] == b"someone changed my password"


def test_other_families_excuse_a_relation() -> None:
    assert kinds("i can't pay my bill") == ["hardship"]
    assert kinds("i can't pay my bill, the button is grey") == []


def test_one_phrase_is_not_two_of_the_families_that_stand_apart() -> None:
    assert "security" not in kinds("i didn't order extra cheese")
    assert kinds("i didn't order these vouchers") == ["security"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nobody in my family died", ()),
        ("what happens if my wife died", ()),
        ("my wife died", ("bereavement",)),
        ("what if someone changed my password and emptied my account", ("security",)),
    ],
)
def test_nobody_and_what_if_take_back_a_death_but_no_break_in(
    text: str, kind: tuple[str, ...]
) -> None:
    assert mood([text]).vulnerable == kind


def test_who_is_angry_with_themselves_is_not_angry_with_us() -> None:
    assert mood(["I am furious."]).level == "very-upset"
    assert mood(["I am furious at myself."]).level == "calm"


def test_weak_signs_together_make_an_upset_customer_very_upset() -> None:
    assert mood(["It is the third time, for three weeks."]).level != "very-upset", "no anger"
    assert mood(["This is the last straw."]).level == "upset"
    assert mood(["Third time, three weeks now. This is the last straw."]).level == "very-upset"


def test_every_family_is_used_and_every_relation_is_of_families() -> None:
    told = tomllib.loads((files("forestall.context") / "tone_relations.toml").read_text("utf-8"))
    used = [set(one["of"]) | set(one.get("unless", [])) for one in told["relations"]]
    assert set().union(*used) == set(told["of"])


@pytest.mark.parametrize("piece", ["my mum ", "died my ", "i ", "someone changed my "])
def test_the_work_grows_with_the_text(piece: str) -> None:
    sizes = [sum(1 for _ in near(piece.encode() * many, ())) for many in (10, 100, 1_000)]
    assert all(less >= more - 1 for less, more in pairwise(sizes)), "one of a kind and sentence"
