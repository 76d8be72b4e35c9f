from pathlib import Path

import pytest

from forestall.context.knowledge.synonyms import (
    LONGEST_PHRASE,
    NO_SYNONYMS,
    Synonyms,
    load_synonyms,
    read_synonyms,
    usual,
)
from forestall.context.knowledge.words import analyser
from forestall.contracts.errors import InvalidFile

EN = analyser("en")


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(InvalidFile) as caught:
        read_synonyms(text, "words.txt")
    assert all(problem.file == "words.txt" for problem in caught.value.problems)
    return [(problem.line, problem.column, problem.code) for problem in caught.value.problems]


def test_a_line_is_a_group() -> None:
    text = "\ufeff# ours\ncard, credit  card\n\n log in,login # both\n"
    assert read_synonyms(text, "x").groups == (("card", "credit card"), ("log in", "login"))


def test_no_text_is_no_groups() -> None:
    assert read_synonyms("", "x").groups == ()
    assert read_synonyms("# nothing\n   \n", "x").groups == ()


def test_every_mistake_has_its_place() -> None:
    text = "card, credit card\nalone\nlog in,, login\n  bill, invoice, Bill\na, " + "b " * 9
    assert problems(text) == [
        (2, 1, "synonyms-alone"),
        (3, 8, "synonyms-empty"),
        (4, 18, "synonyms-twice"),
        (5, 4, "synonyms-long"),
    ]


def test_signs_alone_are_no_word() -> None:
    assert problems("card, --") == [(1, 7, "synonyms-empty")]


def test_a_file_has_an_end() -> None:
    text = "".join(f"word{number}, term{number}\n" for number in range(5_001))
    assert problems(text) == [(5_001, 1, "synonyms-many")]


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"missing\.txt:1:1.*synonyms-file"):
        load_synonyms(tmp_path / "missing.txt")
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9, bar\n")
    with pytest.raises(InvalidFile, match=r"bad\.txt:1:1.*synonyms-encoding"):
        load_synonyms(tmp_path / "bad.txt")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("Päckchen, Paket\n", encoding="utf-8")
    assert load_synonyms(path).groups == (("Päckchen", "Paket"),)


def test_words_match_by_their_stems() -> None:
    stemmed = Synonyms([("parcel", "packages")]).stemmed(EN)
    (same,) = stemmed.matched(EN.words("Parcels"))
    assert same == (("parcel",), ("packag",))


def test_the_longest_phrase_counts_and_no_word_is_in_two() -> None:
    stemmed = Synonyms([("card", "plastic"), ("gift card", "voucher")]).stemmed(EN)
    found = list(stemmed.matched(EN.words("my gift card")))
    assert found == [(("my",),), (("gift", "card"), ("voucher",))]


def test_what_the_customer_said_comes_first() -> None:
    stemmed = Synonyms([("log in", "login", "sign in")]).stemmed(EN)
    (found,) = stemmed.matched(["sign", "in"])
    assert found[0] == ("sign", "in")
    assert set(found) == {("sign", "in"), ("log", "in"), ("login",)}


def test_a_word_in_two_groups_means_both() -> None:
    stemmed = Synonyms([("bill", "invoice"), ("bill", "act")]).stemmed(EN)
    (found,) = stemmed.matched(["bill"])
    assert set(found) == {("bill",), ("invoic",), ("act",)}
    (found,) = stemmed.matched(["act"])
    assert set(found) == {("act",), ("bill",)}


def test_nothing_means_itself_only() -> None:
    assert list(NO_SYNONYMS.stemmed(EN).matched(["card", "pay"])) == [(("card",),), (("pay",),)]
    assert list(NO_SYNONYMS.stemmed(EN).matched([])) == []


def test_groups_add_up() -> None:
    both = Synonyms([("a", "b")]) + Synonyms([("c", "d")])
    assert both.groups == (("a", "b"), ("c", "d"))


def test_the_usual_words_are_a_valid_file() -> None:
    assert len(usual().groups) > 50
    assert ("parcel", "package", "shipment") in usual().groups
    assert all(len(one.split()) <= LONGEST_PHRASE for group in usual().groups for one in group)
