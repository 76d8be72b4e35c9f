from collections.abc import Mapping

import pytest

from forestall.context.knowledge.spelling import nearest, parted

COUNTS: Mapping[str, int] = {
    "password": 9,
    "receive": 3,
    "declined": 2,
    "declines": 5,
    "karte": 4,
    "zahlung": 2,
    "later": 7,
}


def known(word: str) -> int:
    return COUNTS.get(word, 0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pasword", "password"),
        ("passwordd", "password"),
        ("passwurd", "password"),
        ("recieve", "receive"),
        ("declinde", "declined"),
        ("decline", "declines"),
        ("assword", None),
        ("pass", None),
        ("water", None),
        ("pässword", None),
        ("password1", None),
        ("", None),
    ],
)
def test_one_slip_is_put_right_and_the_commonest_word_is_meant(
    written: str, meant: str | None
) -> None:
    assert nearest(written, known) == meant


def test_a_compound_falls_into_two_known_words() -> None:
    assert parted("kartezahlung", str.split, known) == ("karte", "zahlung")


def test_a_compound_of_unknown_or_short_words_stays_whole() -> None:
    assert parted("kartenzahlung", str.split, known) is None
    assert parted("anzahlung", str.split, known) is None
    assert parted("zahlung", str.split, known) is None


def test_the_parts_of_a_compound_are_stemmed_before_they_are_looked_up() -> None:
    def stem(text: str) -> list[str]:
        return [word.removesuffix("n") for word in text.split()]

    assert parted("kartenzahlung", stem, known) == ("karte", "zahlung")


def test_of_several_ways_to_part_a_compound_the_rarest_words_are_meant() -> None:
    counts = {"abcd": 9, "efghij": 9, "abcdef": 1, "ghij": 2}
    assert parted("abcdefghij", str.split, lambda word: counts.get(word, 0)) == ("abcdef", "ghij")
