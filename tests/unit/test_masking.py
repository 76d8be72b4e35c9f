"""Personal data is found where it is, not where it only looks so, and put back where it was."""

import re
from pathlib import Path

import pytest

from forestall.privacy.checksums import is_card, is_iban, luhn
from forestall.privacy.fields import kind_of
from forestall.privacy.folding import fold
from forestall.privacy.masking import Found, Masks, find, finder
from stopwatch import seconds_of

LINES = (Path(__file__).parents[1] / "vectors/personal.txt").read_text().splitlines()
CASES = [line for line in LINES if not line.startswith("#")]
MARK = re.compile("⟦([a-z]+)\\|([^⟧]*)⟧")


def labelled(line: str) -> tuple[str, set[tuple[str, int, int]]]:
    """The text of a case, and the kind, start and end of what is to be found in it."""
    text, wanted, place = "", set(), 0
    for match in MARK.finditer(line):
        text += line[place : match.start()]
        wanted.add((match[1], len(text), len(text) + len(match[2])))
        text, place = text + match[2], match.end()
    return text + line[place:], wanted


def told(text: str) -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text)]


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 120
    assert sum("⟦" not in case for case in CASES) >= 40, "look-alikes"


def test_precision_and_recall_on_the_labelled_cases() -> None:
    right = wrong = missed = 0
    for case in CASES:
        text, wanted = labelled(case)
        found = {(one.kind, one.start, one.end) for one in find(text)}
        right, wrong, missed = (
            right + len(found & wanted),
            wrong + len(found - wanted),
            missed + len(wanted - found),
        )
    assert right / (right + wrong) >= 0.97
    assert right / (right + missed) >= 0.97


def test_checksums() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert is_card("378282246310005")
    assert not is_card("9999999999999995"), "a right check digit, but no network's number"
    assert not is_card("41111111111111111"), "no network's length"
    assert is_iban("DE89370400440532013000")
    assert not is_iban("DE89370400440532013001")
    assert not is_iban("DE8937040044053201300"), "too short"
    assert not is_iban("ZZ89370400440532013000"), "no country"


def test_what_a_text_means_to_hide_is_found_where_it_stands() -> None:
    text = "Karte ４１１１\u200b １１１１ １１１１ １１１１ ﷺ ok"
    (card,) = find(text)
    assert (card.kind, text[card.start : card.end]) == (
        "card",
        "４１１１\u200b １１１１ １１１１ １１１１",
    )


def test_folding_keeps_places_however_long_a_character_becomes() -> None:
    folded = fold("aﷺ\u200bé①b")
    assert folded.plain.startswith(b"a")
    assert folded.plain.endswith("é1b".encode("latin-1"))
    assert folded.span(len(folded.plain) - 1, len(folded.plain)) == (5, 6)
    assert folded.span(0, 2) == (0, 2)


def test_what_overlaps_is_one() -> None:
    text = "https://anna:geheim@example.com/x"
    assert told(text) == [("token", "anna:geheim@example.com")]


def test_private_keys_are_found_whole_also_without_an_end() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
    assert told(f"see {key} there") == [("token", key)]
    assert told(f"see {key[:50]}") == [("token", key[:50])]


def test_hiding_numbers_by_first_appearance_and_the_same_value_the_same() -> None:
    masks = Masks()
    hidden = masks.hide({"b": "x@y.de and z@y.de", "a": "z@y.de", "x@y.de": [1, None, True, 1.5]})
    assert hidden == {
        "b": "[email-2] and [email-1]",
        "a": "[email-1]",
        "[email-2]": [1, None, True, 1.5],
    }
    assert masks.known == {"[email-1]": "z@y.de", "[email-2]": "x@y.de"}
    assert list(hidden) == ["b", "a", "[email-2]"], "the order of fields stays"
    assert masks.hide("z@y.de, w@y.de") == "[email-1], [email-3]", "one after another"


def test_restoring_replaces_its_own_placeholders_only() -> None:
    masks = Masks()
    masks.hide("anna@example.com")
    said = "Dear [email-1], not [email-2] [Email-1] [card-1] [email-01]"
    assert (
        masks.restore(said) == "Dear anna@example.com, not [email-2] [Email-1] [card-1] [email-01]"
    )
    assert Masks().restore("[email-1]") == "[email-1]"


def test_a_text_that_looks_like_a_placeholder_is_none() -> None:
    masks = Masks()
    hidden = masks.hide("[email-1] is not anna@example.com")
    assert hidden == "[text-1] is not [email-1]"
    assert masks.restore(hidden) == "[email-1] is not anna@example.com"


def test_card_numbers_that_are_numbers_are_numbers_again() -> None:
    masks = Masks()
    given = {"card": 4111111111111111, "at": 1716900000000000, "n": 12, "text": "4111111111111111"}
    hidden = masks.hide(given)
    assert hidden == {"card": "[card-1]", "at": 1716900000000000, "n": 12, "text": "[card-2]"}
    assert masks.restored(hidden) == given
    assert masks.restore("[card-1]") == "4111111111111111"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("password", "token"),
        ("accessToken", "token"),
        ("X-Api-Key", "token"),
        ("phone_number", "phone"),
        ("phones", "phone"),
        ("firstName", "person"),
        ("shipping.address", "address"),
        ("IP_ADDRESS", "ip"),
        ("name", None),
        ("order", None),
    ],
)
def test_fields_say_by_their_name_what_they_hold(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind
    value = "030 1" if kind is None else "030 12345 x"
    hidden = Masks().hide({name: value})
    assert hidden == {name: value if kind is None else f"[{kind}-1]"}


def test_a_phone_field_without_a_number_is_read_like_any_text() -> None:
    assert Masks().hide({"phone": "none", "mobile": "", "cell": ["a", {"b": 1}]}) == {
        "phone": "none",
        "mobile": "",
        "cell": ["a", {"b": 1}],
    }


def test_a_finder_of_ones_own() -> None:
    masks = Masks(lambda text: [Found("person", 0, 4)] if text.startswith("Anna") else [])
    assert masks.hide("Anna, a@b.de") == "[person-1], a@b.de"


def test_presidio_finds_persons_and_places_besides() -> None:
    pytest.importorskip("presidio_analyzer")
    with_presidio = finder("presidio")
    text = (
        "My name is Anna Schmidt and I live in New York. My social security number is 219-09-9999. "
        "Write to anna@example.com.\nViele Grüße\nJörg Müller"
    )
    assert [(one.kind, text[one.start : one.end]) for one in with_presidio(text)] == [
        ("person", "Anna Schmidt"),
        ("place", "New York"),
        ("id", "219-09-9999"),
        ("email", "anna@example.com"),
        ("person", "Jörg Müller"),
    ]
    masks = Masks(with_presidio)
    assert masks.restored(masks.hide([text])) == [text]
    assert finder("patterns") is find


def test_without_the_extra_it_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from forestall.privacy.presidio import PresidioMissing, presidio

    presidio.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(PresidioMissing, match=re.escape("pip install 'forestall[presidio]'")):
        finder("presidio")
    presidio.cache_clear()


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a@",
        "1 ",
        "4111 ",
        "DE89 ",
        "A1b2",
        "Straße 1 ",
        "12 Baker ",
        "::1 ",
        "[email-1]",
        "\u200b",
        "a-",
    ],
)
def test_any_text_is_masked_in_linear_time(piece: str) -> None:
    small, large = (piece * (size // len(piece)) for size in (5_000, 50_000))
    find(small)
    ratio = seconds_of(lambda: Masks().hide(large)) / seconds_of(lambda: Masks().hide(small))
    assert ratio < 40, "ten times the text takes about ten times as long"
