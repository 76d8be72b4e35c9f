"""Plain text: what a message is made of, and how spellings come together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.intervene.agents.plain import (
    LONGEST,
    LONGEST_WORD,
    folded,
    readings,
    sentences,
    spoken,
    unfit,
    words,
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Your order was shipped.",
        "Grüße aus Österreich, Łukasz! Das kostet 5 € – „so viel“ …",
        "Line one.\nLine two.",
        "1\u00bd cups, 20 m² \U0001f600 \u2713",
        "Café crème, naïve, Zoë",
        "OK",
        "Danke!",
        "Rue de la Paix 5",
    ],
)
def test_ordinary_text_is_fit(text: str) -> None:
    assert unfit(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "hello " * LONGEST,
        "a" * (LONGEST_WORD + 1),
        "zero\u200bwidth",
        "soft\u00adhyphen",
        "bidi \u202eevil\u202c",
        "isolate \u2066x\u2069",
        "bell \x07",
        "null \x00",
        "tab\there",
        "private \ue000",
        "half \ud800",
        "tag \U000e0041",
        "line\u2028separator",
        "pаy",
        "ｗｉｄｅ",
        "𝐛𝐨𝐥𝐝",
        "Ⓒⓘⓡⓒⓛⓔⓓ",
        "z\u0301\u0302\u0303algo",
        "\U0001f1f7\U0001f1ea\U0001f1eb",
        "деньги",
        "退款",
        "<b>bold</b>",
        "< script>",
        "&lt;script&gt;",
        "%3Cscript%3E",
        "![image](x)",
        "[page](x)",
        "[1]: evil.example",
        "```code```",
        "{{ subject.email }}",
        "{% if %}",
        "${x}",
        "\\u0041",
        "back\\slash",
        "r e f u n d now",
        "r.e.f.u.n.d",
        "r-e-f-u-n-d",
        "Nous vous envoyons votre argent.",
        "Le enviamos su dinero hoy mismo.",
        "Vi mandiamo il vostro denaro domani.",
        "Hello. Nous vous envoyons tout pour vous.",
    ],
)
def test_what_cannot_be_read_or_checked_is_not(text: str) -> None:
    why = unfit(text)
    assert why is not None
    assert text not in why


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ZURÜCK", "zuruck"),
        ("Straße", "strasse"),
        ("ré\u0066und", "refund"),
        ("re&#102;und", "refund"),
        ("re%66und", "refund"),
        ("we\u2019ll   pay\n you", "we'll pay you"),
        ("Łódź", "lodz"),
    ],
)
def test_spellings_come_together(one: str, other: str) -> None:
    assert folded(one) == other


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("re-fund", "refund"),
        ("re.fund", "refund"),
        ("r3fund", "refund"),
        ("m0ney", "money"),
        ("rabatt", "rabatt"),
        ("r@batt", "rabatt"),
        ("fu11", "full"),
    ],
)
def test_what_people_read_through_is_read_too(text: str, read: str) -> None:
    assert read in list(readings(text))


def test_sentences_and_words() -> None:
    assert sentences("One. Two! Three?\nFour; five. 12. ") == [
        "One.",
        "Two!",
        "Three?",
        "Four;",
        "five.",
    ]
    assert words("  Hello, World! -- ok") == "hello world ok"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("my card does not work", "en"),
        ("meine Karte geht nicht", "de"),
        ("", None),
        ("4711", None),
        ("payment", "en"),
    ],
)
def test_the_language_is_told_by_its_words(text: str, language: str | None) -> None:
    assert spoken(text) == language


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    unfit(text)
    assert folded(folded(text)) == folded(folded(folded(text)))
    assert all(isinstance(one, str) for one in readings(text))


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.!?", max_size=60))
def test_case_and_wide_letters_change_nothing(text: str) -> None:
    wide = "".join(chr(ord(one) + 0xFEE0) if "a" <= one <= "z" else one for one in text)
    assert folded(text.upper()) == folded(wide) == folded(text)
