import pytest

from forestall.context.knowledge.words import analyser, clean, spoken


def test_words_are_lowered_stemmed_and_freed_of_accents() -> None:
    assert analyser("en").words("Declined CARDS at the café") == [
        "declin", "card", "at", "the", "cafe",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("de", "Häuser", "Haus"),
        ("de", "Rückerstattungen", "Rückerstattung"),
        ("fr", "remboursements", "remboursement"),
        ("es", "tarjetas", "tarjeta"),
        ("sv", "bygglovet", "bygglov"),
        ("nl", "betalingen", "betaling"),
        ("en", "payments", "payment"),
    ],
)
def test_each_language_has_its_own_stems(language: str, one: str, other: str) -> None:
    assert analyser(language).words(one) == analyser(language).words(other)


def test_an_unknown_language_is_searched_as_it_is_written() -> None:
    assert analyser("pl").words("Zwroty pieniędzy") == ["zwroty", "pieniedzy"]


def test_languages_without_spaces_are_cut_into_pairs() -> None:
    assert analyser("zh").words("支付失败") == ["支付", "付失", "失败"]


def test_words_that_say_nothing_are_left_out() -> None:
    assert analyser("en").telling("Hello, how can I please get a refund?") == ["refund"]
    assert analyser("de").telling("Hallo, wie bekomme ich bitte mein Geld?") == ["geld"]


def test_a_query_of_nothing_but_such_words_keeps_them() -> None:
    assert analyser("en").telling("how to do it?") == ["how", "to", "do", "it"]


@pytest.mark.parametrize("language", ["en", "de", "zh", "xx"])
def test_there_are_as_many_words_before_they_are_stemmed(language: str) -> None:
    text = "Déclined cards, Rückerstattungen 支付失败 can't " + "x" * 80
    one = analyser(language)
    assert len(one.unstemmed(text)) == len(one.words(text))
    assert analyser("en").unstemmed("Declined CARDS") == ["declined", "cards"]


def test_signals_fall_into_their_words() -> None:
    assert analyser("en").words("payment.failed checkout_step-2") == [
        "payment", "fail", "checkout", "step", "2",
    ]  # fmt: skip


def test_very_long_words_are_left_out() -> None:
    assert analyser("en").words("x" * 500 + " card") == ["card"]


@pytest.mark.parametrize(
    ("tag", "language"),
    [("de", "de"), ("de-AT", "de"), ("DE_at", "de"), (" en ", "en"), ("nb", "no"), ("", "")],
)
def test_a_tag_names_its_language(tag: str, language: str) -> None:
    assert spoken(tag) == language


def test_text_has_one_form_and_no_half_characters() -> None:
    assert clean("cafe\u0301 ﬁne") == "café fine"
    assert clean("\ud800card") == "?card"
