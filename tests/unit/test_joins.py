"""Which pseudonyms became one person's, whatever the log says and in any order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.event import Record
from forestall.measure.joins import ALIAS, Joins, former


def alias(subject: str, data: object) -> Record:
    raw = msgspec.Raw(msgspec.json.encode(data))
    return Record("e", "test", ALIAS, subject, 1, 1, "server", raw, None)


def joined(*pairs: tuple[str, str]) -> Joins:
    joins = Joins()
    for old, new in pairs:
        joins.take(alias(new, {"from": old}))
    return joins


def test_a_former_pseudonym_is_named_by_the_event() -> None:
    assert former(alias("new", {"from": "old"})) == "old"
    empty: list[object] = [{"from": "new"}, {"from": 1}, {"from": None}, {}, [], "from"]
    for nothing in empty:
        assert former(alias("new", nothing)) is None
        joins = Joins()
        joins.take(alias("new", nothing))
        assert list(joins) == []


@pytest.mark.parametrize("order", [("ab", "bc"), ("bc", "ab")])
def test_who_was_joined_twice_is_found_at_the_end(order: tuple[str, str]) -> None:
    joins = joined(*((one[0], one[1]) for one in order))
    assert [joins.survivor(one) for one in "abcd"] == ["c", "c", "c", "d"]
    assert (sorted(joins), len(joins)) == (["a", "b"], 2)


def test_the_newest_alias_says_who_survives() -> None:
    joins = joined(("a", "b"), ("b", "a"))
    assert [joins.survivor(one) for one in "ab"] == ["a", "a"]
    assert list(joins) == ["b"]
    around = joined(("a", "b"), ("b", "c"), ("c", "a"))
    assert [around.survivor(one) for one in "abc"] == ["a", "a", "a"]


NAMES = st.sampled_from("abcdef")


@given(st.lists(st.tuples(NAMES, NAMES)))
def test_joining_comes_to_an_end_whatever_is_joined(pairs: list[tuple[str, str]]) -> None:
    joins = joined(*pairs)
    for one in "abcdef":
        survivor = joins.survivor(one)
        assert joins.survivor(survivor) == survivor
        assert (survivor == one) == (one not in list(joins))
