"""What a customer said is found: the whole, a sentence of it, a single word; and no ids."""

import pytest

from forestall.context.knowledge.index import Library
from forestall.context.knowledge.passages import Passage
from forestall.intervene.agents.seeking import said, seek


def passage(name: str, title: str, text: str, language: str = "en") -> Passage:
    return Passage(
        cite=f"{name}@1#{name}",
        runbook=name,
        version=1,
        section=name,
        title=title,
        text=text,
        language=language,
        kind="article",
    )


LIBRARY = Library(
    [
        passage("declined", "Why a card was rejected", "The bank rejected your card. Try another."),
        passage("refunds", "When you get your refund", "A refund takes five working days."),
        passage("delivery", "When your order arrives", "Parcels arrive on the third day."),
        passage("vouchers", "Vouchers", "A voucher is entered at the payment step."),
        passage("ruecksendung", "Rückgabe", "Eine Rückgabe ist kostenlos.", "de"),
    ]
)


def found(*words: str, language: str = "en") -> list[str]:
    passages = seek(LIBRARY, words, products=(), language=language, limit=3)
    return [passage.runbook for passage in passages]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Refund?",
            "Rückgabe?",
            "refund",
            "(voucher)",
            "e-mail",
            "don't",
            "返金？",
            "where is it",
        ),
        *("Rückerstattung!!", "VAT?", "Why..."),
    ],
)
def test_words_are_said(text: str) -> None:
    assert list(said([f" {text} "])) == [text]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "pay_91", "91", "4c6f7265", "deadbeef", "EUR", "en", "de-CH", "p-1", "a" * 33),
        *("0b8f2d3c-8d5e-4a57-9f0e-0f2d3b6a1c11", "payment.failed", "https://x.example", "a/b"),
        *("ABC123XYZ", "2026-11-23T07:00:00Z", "user@example.com"),
    ],
)
def test_ids_and_codes_are_not(text: str) -> None:
    assert list(said([text])) == []


@pytest.mark.parametrize(
    "words",
    [
        ("why was my card rejected",),
        ("This is the third time! My card was rejected AGAIN and nobody helps",),
        ("My card was rejected. I have been a loyal member since summer and my cousin Barbara "
         "laughs about you in front of her entire choir and orchestra",),
        ("Barbara sings in a choir with an orchestra on summer evenings.", "card rejected again?"),
    ],
)  # fmt: skip
def test_what_is_asked_is_found_beneath_anger(words: tuple[str, ...]) -> None:
    assert found(*words)[:1] == ["declined"]


@pytest.mark.parametrize(
    ("words", "runbook", "language"),
    [("Refund?", "refunds", "en"), ("Rückgabe?", "ruecksendung", "de")],
)
def test_a_single_word_is_enough(words: str, runbook: str, language: str) -> None:
    assert found(words, language=language) == [runbook]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("",),
        ("This is the third time! Nobody helps!",),
        ("Do you sell saxophones? My orchestra needs several of them.",),
        ("Barbara sings in a choir on summer evenings, and her cousin paints. A card.",),
    ],
)
def test_where_nothing_fits_nothing_is_found(words: tuple[str, ...]) -> None:
    assert found(*words) == []


def test_only_so_many_are_given_and_each_once() -> None:
    noise = "Barbara sings tenor, paints landscapes, juggles, cooks, knits, hikes and sails."
    every = (noise, "Card rejected by bank?", "How long takes a refund?", "Where enter a voucher?",
             "Card rejected by bank?")  # fmt: skip
    passages = seek(LIBRARY, every, products=(), language="en", limit=2)
    assert len({passage.cite for passage in passages}) == len(passages) == 2
