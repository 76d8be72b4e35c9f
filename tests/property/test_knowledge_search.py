"""Searching, whatever stands in the query and in the library."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.context.knowledge.fusion import fuse
from forestall.context.knowledge.index import Library
from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.spelling import nearest
from forestall.context.knowledge.synonyms import Synonyms, read_synonyms, usual
from forestall.context.knowledge.words import analyser
from forestall.contracts.errors import InvalidFile, Problem

LANGUAGES = st.sampled_from(["en", "de", "fr", "pl", "zh", "sv"])
PRODUCTS = st.sampled_from(["checkout", "delivery", "account"])
TEXT = st.text(alphabet=st.characters(), max_size=60)
TITLE = st.lists(
    st.text(alphabet=string.ascii_lowercase, min_size=3, max_size=9), min_size=1, max_size=5
).map(" ".join)


@st.composite
def passages(draw: st.DrawFn) -> list[Passage]:
    return [
        Passage(
            cite=f"p{number}@1#s",
            runbook=f"p{number}",
            version=1,
            section="s",
            title=draw(TITLE),
            text=draw(TEXT),
            language=draw(LANGUAGES),
            products=tuple(draw(st.lists(PRODUCTS, max_size=2, unique=True))),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


SHELF = Library(
    [
        Passage(
            cite=f"p{number}@1#s",
            runbook=f"p{number}",
            version=1,
            section="s",
            title=title,
            text="Pay by card or by invoice.",
            language=language,
        )
        for number, (title, language) in enumerate(
            [("Card declined", "en"), ("Karte abgelehnt", "de"), ("支付失败", "zh")]
        )
    ],
    synonyms=usual(),
)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=300), st.integers(-2, 300))
def test_no_query_raises(query: str, limit: int) -> None:
    answers = SHELF.search(query, limit=limit)
    assert len(answers) <= max(limit, 0)


@settings(deadline=None)
@given(st.text(alphabet='abc"+-*:^~()[]{}/\\ ANDORT', max_size=80))
def test_no_syntax_is_a_command(query: str) -> None:
    words = "".join(letter if letter.isalnum() else " " for letter in query)
    assert SHELF.search(query) == SHELF.search(words)


@settings(max_examples=25, deadline=None)
@given(passages())
def test_a_title_finds_its_passage(found: list[Passage]) -> None:
    library = Library(found)
    for one in found:
        answers = library.search(one.title, language=one.language, limit=100)
        assert one.cite in {answer.cite for answer in answers}


@settings(max_examples=25, deadline=None)
@given(passages(), TITLE, st.lists(PRODUCTS, max_size=2), st.none() | LANGUAGES)
def test_filters_hold(
    found: list[Passage], query: str, products: list[str], language: str | None
) -> None:
    query = " ".join([query, *(one.title for one in found)])
    for one in Library(found).search(query, products=tuple(products), language=language, limit=100):
        assert language is None or one.language == language
        assert not products or not one.products or set(one.products) & set(products)


@settings(max_examples=25, deadline=None)
@given(passages(), st.randoms(use_true_random=False))
def test_the_answer_is_the_same_in_whatever_order_the_library_was_filled(
    found: list[Passage], random: object
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    query = " ".join(one.title for one in found[:2])
    answers = Library(found).search(query)
    assert answers == Library(shuffled).search(query)
    scores = [one.score for one in answers]
    assert scores == sorted(scores, reverse=True)
    assert len({one.cite for one in answers}) == len(answers)


@given(TEXT, LANGUAGES)
def test_a_text_has_as_many_words_stemmed_as_unstemmed(text: str, language: str) -> None:
    one = analyser(language)
    assert len(one.words(text)) == len(one.unstemmed(text))
    assert set(one.telling(text)) <= set(one.words(text))


RANKING = st.lists(st.integers(0, 30), unique=True, max_size=15)


@given(st.lists(RANKING, max_size=4), st.randoms(use_true_random=False))
def test_fusion_does_not_care_for_the_order_of_the_rankings(
    rankings: list[list[int]], random: object
) -> None:
    shuffled = list(rankings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    there, back = dict(fuse(rankings)), dict(fuse(shuffled))
    assert there.keys() == back.keys() == {thing for ranking in rankings for thing in ranking}
    assert all(abs(there[thing] - back[thing]) < 1e-12 for thing in there)


@given(st.lists(RANKING.filter(lambda one: len(one) > 1), min_size=1, max_size=4), st.data())
def test_fusion_never_punishes_a_better_rank(
    rankings: list[list[int]], data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(rankings) - 1))
    rank = data.draw(st.integers(1, len(rankings[which]) - 1))
    thing = rankings[which][rank]
    better = [list(ranking) for ranking in rankings]
    better[which][rank - 1 : rank + 1] = [thing, better[which][rank - 1]]
    assert dict(fuse(better))[thing] > dict(fuse(rankings))[thing]


def told(text: str) -> list[Problem]:
    """What is wrong with a file of synonyms."""
    try:
        groups = read_synonyms(text, "words.txt").groups
    except InvalidFile as error:
        return list(error.problems)
    assert all(len(group) > 1 for group in groups)
    return []


@given(st.text(max_size=200))
def test_a_file_of_synonyms_is_read_or_told(text: str) -> None:
    lines = text.splitlines()
    for problem in told(text):
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(TITLE, min_size=2, max_size=4, unique=True), max_size=3))
def test_a_synonym_finds_what_its_word_finds(groups: list[list[str]]) -> None:
    library = Library(
        [
            Passage(
                cite=f"p{number}@1#s",
                runbook=f"p{number}",
                version=1,
                section="s",
                title=group[0],
                text="",
            )
            for number, group in enumerate(groups)
        ],
        synonyms=Synonyms(groups),
    )
    for number, group in enumerate(groups):
        for word in group:
            assert f"p{number}@1#s" in {one.cite for one in library.search(word, limit=100)}


@given(st.text(alphabet="abcdeé1", max_size=12), st.sets(st.text(alphabet="abcde", max_size=12)))
def test_a_mended_word_is_known_and_one_slip_away(word: str, words: set[str]) -> None:
    meant = nearest(word, lambda one: int(one in words))
    if meant is not None:
        assert meant in words
        assert meant[0] == word[0]
        assert abs(len(meant) - len(word)) <= 1
