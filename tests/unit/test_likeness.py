"""Queries that ask for the same: what is grouped, by which name, and that order plays no part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.measure.likeness import (
    LIKE,
    Group,
    _Leaders,
    groups,
    informative,
    stemmer,
)

STEM = stemmer()


def grouped(*queries: str | tuple[str, int]) -> dict[str, set[str]]:
    askers = {}
    for number, one in enumerate(queries):
        query, count = one if isinstance(one, tuple) else (one, 1)
        askers[query] = {f"{number}-{customer}" for customer in range(count)}
    return {group.name: set(group.queries) for group in groups(askers, STEM)}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("How do I cancel my subscriptions?", ["cancel", "subscriptions"]),
        ("Wie kündige ich das Abo?", ["kündige", "abo"]),
        ("cancelling, cancelled, cancel", ["cancelling"]),
        ("[email-1] was charged twice", ["charged", "twice"]),
        ("WHERE is Order 4711", ["order", "4711"]),
        ("what is it?", []),
        ("???", []),
        ("", []),
    ],
)
def test_informative_words(query: str, words: list[str]) -> None:
    assert list(informative(query, STEM).values()) == words


def test_other_forms_of_words_are_the_same() -> None:
    assert grouped(("cancel subscription", 2), "How do I cancel my subscriptions?") == {
        "cancel subscription": {"cancel subscription", "How do I cancel my subscriptions?"}
    }
    assert grouped(("Karte abgelehnt", 2), "Karten wurden abgelehnt") == {
        "karte abgelehnt": {"Karte abgelehnt", "Karten wurden abgelehnt"}
    }


def test_shared_rare_words_bring_together_and_frequent_ones_do_not() -> None:
    found = grouped(
        ("gift card balance", 5),
        "check balance of a gift card",
        ("card declined", 3),
        ("card expired", 3),
        ("virtual card", 2),
    )
    assert found["gift card balance"] == {"gift card balance", "check balance of a gift card"}
    assert {"card declined", "card expired", "virtual card"} <= found.keys()


def test_the_name_is_of_what_most_customers_wrote() -> None:
    assert grouped("vouchers expired", ("my voucher has expired", 3)) == {
        "voucher expired": {"vouchers expired", "my voucher has expired"}
    }


def test_queries_that_say_nothing_are_in_no_group() -> None:
    assert grouped("???", "how", "[phone-1]") == {}
    assert groups({}, STEM) == []


def test_a_group_lists_what_most_wrote_first() -> None:
    askers = {"voucher gift": {"1"}, "gift voucher": {"2", "3"}, "a voucher, a gift": {"4"}}
    assert groups(askers, STEM) == [
        Group("gift voucher", ("gift voucher", "a voucher, a gift", "voucher gift"))
    ]


words = st.lists(
    st.sampled_from(["gift", "card", "balance", "order", "refund", "size"]), max_size=4
)


@given(
    st.dictionaries(words.map(" ".join), st.sets(st.integers(0, 9).map(str), min_size=1)),
    st.data(),
)
def test_every_query_is_in_one_group_whatever_the_order(
    askers: dict[str, set[str]], data: st.DataObject
) -> None:
    found = groups(askers, STEM)
    listed = [query for group in found for query in group.queries]
    assert sorted(listed) == sorted(query for query in askers if query)
    assert len({group.name for group in found}) == len(found)
    shuffled = data.draw(st.permutations(list(askers)))
    assert groups({query: askers[query] for query in shuffled}, STEM) == found


@given(st.dictionaries(st.text(max_size=20), st.sets(st.just("u"), min_size=1), max_size=8))
def test_any_text_is_taken(askers: dict[str, set[str]]) -> None:
    assert {query for group in groups(askers, STEM) for query in group.queries} <= set(askers)


STEMS = st.frozensets(st.sampled_from("abcdefgh"), min_size=1, max_size=6)


@given(
    st.lists(STEMS, max_size=12, unique=True),
    STEMS,
    st.lists(st.floats(0.1, 9), min_size=8, max_size=8),
)
def test_the_rarest_words_find_whatever_is_alike(
    others: list[frozenset[str]], stems: frozenset[str], heavy: list[float]
) -> None:
    weights = dict(zip("abcdefgh", heavy, strict=True))
    leaders = _Leaders(weights)
    for one in others:
        leaders.add(one)

    def likeness(other: frozenset[str]) -> float:
        whole = sum(weights[one] for one in stems) + sum(weights[one] for one in other)
        return 2 * sum(weights[one] for one in stems & other) / whole

    found = leaders.nearest(stems)
    best = max(map(likeness, others), default=0.0)
    if found is None:
        assert best < LIKE + 1e-9
    else:
        assert likeness(found) == pytest.approx(best)
