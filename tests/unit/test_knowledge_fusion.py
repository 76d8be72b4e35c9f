import pytest

from forestall.context.knowledge.fusion import K, fuse


def test_a_thing_scores_the_sum_of_its_reciprocal_ranks() -> None:
    assert dict(fuse([["a", "b"], ["b"]])) == {
        "a": pytest.approx(1 / (K + 1)),
        "b": pytest.approx(1 / (K + 2) + 1 / (K + 1)),
    }


def test_what_both_rankings_have_comes_before_what_one_has_first() -> None:
    assert [thing for thing, _ in fuse([["a", "b"], ["c", "b"]])] == ["b", "a", "c"]


def test_one_ranking_stays_as_it_is() -> None:
    assert [thing for thing, _ in fuse([["c", "a", "b"]])] == ["c", "a", "b"]


def test_nothing_fuses_to_nothing() -> None:
    assert fuse([]) == []
    assert fuse([[], []]) == []


def test_of_equals_the_earlier_ranking_has_precedence() -> None:
    assert [thing for thing, _ in fuse([["a"], ["b"]])] == ["a", "b"]
    assert [thing for thing, _ in fuse([["b"], ["a"]])] == ["b", "a"]


def test_a_greater_constant_lets_a_first_place_count_less() -> None:
    rankings = [["a", "b", "c", "d"], ["d", "b", "c"]]
    assert fuse(rankings, k=0)[0][0] == "d"
    assert dict(fuse(rankings, k=1000))["a"] < dict(fuse(rankings, k=1000))["c"]
