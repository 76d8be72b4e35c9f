import datetime
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from forestall.context.knowledge.embeddings import Embeddings, EmbeddingsMissing
from forestall.context.knowledge.index import MOST, Library, library_of
from forestall.context.knowledge.passages import Passage, Search
from forestall.context.knowledge.runbooks import load_runbooks
from forestall.context.knowledge.synonyms import Synonyms, usual
from forestall.contracts.errors import InvalidFile
from forestall.kernel.settings import Knowledge


def passage(cite: str, title: str, text: str = "", **more: Any) -> Passage:
    runbook, _, section = cite.partition("#")
    return Passage(
        cite=f"{runbook}@1#{section or 'customer'}",
        runbook=runbook,
        version=1,
        section=section or "customer",
        title=title,
        text=text,
        **more,
    )


SHOP = [
    passage(
        "card", "My card was declined", "The bank refuses a payment.", signals=("payment.failed",)
    ),
    passage("parcel", "Where is my parcel", "Follow it with the tracking number.", products=("delivery",)),
    passage("refund", "When the refund arrives", "We pay back within five days.", products=("checkout",)),
    passage("login", "Signing in", "Press forgot password to get a new password by e-mail."),
    passage("karte", "Meine Karte wurde abgelehnt", "Die Bank verweigert die Zahlung.", language="de"),
    passage("paket", "Wo ist mein Paket", "Mit der Sendungsnummer verfolgen.", language="de-AT"),
]  # fmt: skip


def found(query: str, library: Search | None = None, **how: Any) -> list[str]:
    return [one.runbook for one in (library or Library(SHOP)).search(query, **how)]


def test_words_find_what_speaks_of_them() -> None:
    assert found("why was my card declined?") == ["card"]
    assert found("tracking number") == ["parcel"]


def test_words_are_found_in_every_form() -> None:
    assert found("declining cards") == ["card"]
    assert found("abgelehnte Karten") == ["karte"]


def test_signals_find_their_runbook() -> None:
    assert found("payment.failed")[0] == "card"


def test_a_slip_of_the_finger_is_forgiven() -> None:
    assert found("forgot my pasword") == ["login"]


def test_a_title_counts_more_than_the_text() -> None:
    library = Library(
        [passage("one", "Vouchers", "see refunds"), passage("two", "Refunds", "see vouchers")]
    )
    assert found("refund", library) == ["two", "one"]
    assert found("voucher", library) == ["one", "two"]


def test_answers_are_best_first_with_scores_and_citations() -> None:
    library = Library(
        [passage("one", "Paying", "card"), passage("two", "Paying by card", "a card"), *SHOP[:2]]
    )
    answers = library.search("paying by card")
    assert answers[0].cite == "two@1#customer"
    scores = [one.score for one in answers]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "?!",
        "do you have vegan pizza",
        "what is the capital of France",
        "how to change the oil of my motorbike engine",
        "Gibt es vegane Pizza?",
    ],
)
def test_where_nothing_speaks_of_it_there_is_no_answer(query: str) -> None:
    assert found(query) == []


def test_a_word_in_common_is_no_good_answer() -> None:
    assert found("bank holiday opening hours in Berlin") == []
    assert sorted(found("bank")) == ["card", "karte"]


def test_in_a_library_of_one_passage_no_word_tells_nothing() -> None:
    one = Library([passage("card", "My card was declined", "The bank refuses.")], synonyms=usual())
    assert found("Hi, why was my creditcard rejected??", one) == ["card"]
    assert found("card declined on my visa", one) == ["card"]
    assert found("where is my parcel", one) == []


def test_a_long_complaint_is_answered_by_what_it_is_about() -> None:
    complaint = (
        "Good morning, I have sat at my desk for two hours and each time the wretched site says "
        "that my card was declined although the bank assures me that nothing is wrong whatsoever"
    )
    assert found(complaint)[0] == "card"


@pytest.mark.parametrize(
    "query",
    [
        'title:"card" AND (declined',
        "card^2 declined~1 +card -declined",
        "[card TO declined]",
        "card* NOT declined",
        "/card.*declined/",
        "card' OR 1=1 -- declined",
    ],
)
def test_words_are_words_and_never_commands(query: str) -> None:
    assert found(query)[0] == "card"


def test_synonyms_count_and_the_customers_own_word_counts_more() -> None:
    pair = [passage("one", "A package"), passage("two", "A parcel")]
    library = Library(pair, synonyms=Synonyms([("parcel", "package")]))
    assert found("parcel", library) == ["two", "one"]
    assert found("package", library) == ["one", "two"]
    assert found("package", Library(pair)) == ["one"]


def test_phrases_are_synonyms_of_words() -> None:
    library = Library(SHOP, synonyms=Synonyms([("money back", "refund"), ("sign in", "log in")]))
    assert found("I want my money back", library) == ["refund"]
    assert found("cannot log in", library) == ["login"]
    assert found("cannot log on", library) == []


def test_a_slip_in_a_synonym_is_forgiven() -> None:
    assert found("pakage", Library(SHOP, synonyms=usual())) == ["parcel"]


def test_a_compound_is_found_by_its_parts() -> None:
    assert found("Kartenzahlung abgelehnt", language="de") == ["karte"]
    assert found("trackingnumber") == ["parcel"]


def test_a_product_keeps_what_is_about_it_or_about_all() -> None:
    both = [
        passage("one", "Refunds", products=("Checkout",)),
        passage("two", "Refunds", products=("delivery", "app")),
        passage("all", "Refunds"),
    ]
    library = Library(both)
    assert sorted(found("refund", library)) == ["all", "one", "two"]
    assert sorted(found("refund", library, products=("checkout",))) == ["all", "one"]
    assert sorted(found("refund", library, products=("app", "checkout"))) == ["all", "one", "two"]
    assert found("refund", library, products=("billing",)) == ["all"]
    assert found("refund", library, products=("*",)) == ["all"]


def test_a_language_keeps_what_is_in_it() -> None:
    assert found("Bank", language="de") == ["karte"]
    assert found("bank", language="en-GB") == ["card"]
    assert found("bank", language="fr") == []
    assert found("Paket", language="DE") == ["paket"]


def test_answers_in_several_languages_alternate_the_best_first() -> None:
    library = Library(
        [
            passage("one", "Login", "login"),
            passage("two", "Login again", "login"),
            passage("eins", "Login", "login", language="de"),
        ]
    )
    answers = library.search("login")
    assert [one.runbook for one in answers] == ["eins", "one", "two"]
    scores = [one.score for one in answers]
    assert scores == sorted(scores, reverse=True)


def test_the_limit_holds() -> None:
    many = Library([passage(f"p{number}", "Refund") for number in range(MOST + 20)])
    assert len(found("refund", many)) == 5
    assert len(found("refund", many, limit=3)) == 3
    assert len(found("refund", many, limit=10_000)) == MOST
    assert found("refund", many, limit=0) == []
    assert found("refund", many, limit=-1) == []


def test_the_order_of_the_passages_does_not_matter() -> None:
    equal = [passage(f"p{number}", "Refund", "money") for number in range(30)]
    there, back = Library(equal), Library(reversed(equal))
    assert found("refund", there, limit=30) == found("refund", back, limit=30)


def test_an_empty_library_has_no_answer() -> None:
    assert Library([]).search("card") == []


def test_a_very_long_query_is_cut() -> None:
    assert found("declined card " * 100_000)[0] == "card"
    assert found("x" * 1_000_000) == []
    many_words = " ".join(f"word{number}" for number in range(300))
    assert found(f"card declined {many_words}") == []


def test_half_characters_and_other_scripts_are_no_trouble() -> None:
    assert found("\ud800 card \udfff declined \x00")[0] == "card"
    assert found("支付失败 🙃 البطاقة") == []


def test_a_library_in_a_language_without_spaces_is_searched() -> None:
    library = Library([passage("zh", "支付失败怎么办", "请重新输入卡号", language="zh")])
    assert found("支付失败", library) == ["zh"]


def test_many_threads_search_one_library() -> None:
    library = Library(SHOP)
    begin = threading.Barrier(4)

    def search(_: int) -> list[str]:
        begin.wait()
        return [one for _ in range(50) for one in found("card declined", library)]

    with ThreadPoolExecutor(4) as pool:
        assert set(map(tuple, pool.map(search, range(4)))) == {("card",) * 50}


class Topics:
    """Knows a few words by what they are about."""

    rows = {"parcel": 0, "arrive": 0, "where": 0, "consignment": 0, "bicycle": 1}  # noqa: RUF012

    def no_padding(self) -> None: ...

    def no_truncation(self) -> None: ...

    def encode_batch(self, texts: list[str], **_: Any) -> list[SimpleNamespace]:
        words = [text.lower().split() for text in texts]
        return [SimpleNamespace(ids=[self.rows.get(one, 2) for one in own]) for own in words]


@pytest.fixture
def topics() -> Embeddings:
    return Embeddings(np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32), Topics())


def test_meaning_finds_what_no_word_does(topics: Embeddings) -> None:
    assert found("consignment", Library(SHOP)) == []
    assert found("consignment", Library(SHOP, embeddings=topics))[0] == "parcel"
    assert found("bicycle", Library(SHOP, embeddings=topics)) == []


def test_meaning_keeps_to_products_and_languages(topics: Embeddings) -> None:
    library = Library(SHOP, embeddings=topics)
    assert found("consignment", library, products=("delivery",))[0] == "parcel"
    assert "parcel" not in found("consignment", library, products=("billing",))
    assert found("consignment", library, language="de") == []


def test_words_and_meaning_together_come_first(topics: Embeddings) -> None:
    both = [
        passage("bike", "A bicycle", "bicycle"),
        passage("words", "A consignment of pens"),
        passage("meaning", "Where will it arrive"),
        passage("both", "The consignment will arrive", "parcel consignment"),
    ]
    answers = Library(both, embeddings=topics).search("consignment")
    assert answers[0].runbook == "both"
    assert {one.runbook for one in answers} == {"both", "words", "meaning"}
    assert answers[0].score <= 2 / 61


ARTICLE = """---
id: {id}
title: {title}
version: 3
owner: help
kind: article
review_by: {day}
---
{text}
"""


def shelf(folder: Path) -> Path:
    (folder / "parcels.md").write_text(
        ARTICLE.format(id="parcels", title="Parcels", day="2027-01-01", text="## Late\nWait a day.")
    )
    (folder / "old.md").write_text(
        ARTICLE.format(id="old", title="Old parcels", day="2026-01-01", text="## Late\nNo longer.")
    )
    return folder


def test_a_library_is_made_of_what_may_be_used_on_its_day(tmp_path: Path) -> None:
    runbooks = load_runbooks(shelf(tmp_path))
    spring = library_of(runbooks, datetime.date(2026, 5, 1), Knowledge())
    assert [one.cite for one in spring.search("late parcel")] == ["parcels@3#late"]
    assert library_of(runbooks, datetime.date(2027, 5, 1), Knowledge()).search("parcel") == []


def test_a_library_has_the_usual_synonyms_and_those_of_the_file(tmp_path: Path) -> None:
    runbooks, day = load_runbooks(shelf(tmp_path)), datetime.date(2026, 5, 1)
    assert found("shipment", library_of(runbooks, day, Knowledge())) == ["parcels"]
    assert found("crate", library_of(runbooks, day, Knowledge())) == []
    words = tmp_path / "words.txt"
    words.write_text("crate, parcel\n")
    settings = Knowledge(synonyms=str(words))
    assert found("crate", library_of(runbooks, day, settings)) == ["parcels"]
    words.write_text("crate\n")
    with pytest.raises(InvalidFile, match=r"words\.txt:1:1"):
        library_of(runbooks, day, settings)


def test_a_library_uses_embeddings_where_they_are_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Embeddings:
        raise EmbeddingsMissing("none")

    monkeypatch.setattr("forestall.context.knowledge.index.load_embeddings", missing)
    runbooks, day = load_runbooks(shelf(tmp_path)), datetime.date(2026, 5, 1)
    assert library_of(runbooks, day, Knowledge()).search("parcel")
    with pytest.raises(EmbeddingsMissing):
        library_of(runbooks, day, Knowledge(embeddings=True))
