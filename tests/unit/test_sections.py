"""Sections and their slugs: where headings are, what they are called, and that this stays so."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forestall.context.knowledge.sections import sections, slug_of

MARKDOWN = st.lists(
    st.one_of(
        st.sampled_from(
            ["# A", "## B", "## B", "### C", "#### D", "## Agent", "```", "~~~", "text", "", "##"]
        ),
        st.text(max_size=20),
    ),
    max_size=30,
).map("\n".join)


def told(text: str) -> list[tuple[str, int, str]]:
    return [(one.slug, one.level, one.text) for one in sections(text)]


def test_each_heading_up_to_the_third_level_begins_a_section() -> None:
    text = "## One\na\n### Two!\nb\n#### Four\nc\n# Three #\nd"
    assert told(text) == [
        ("one", 2, "a\n"),
        ("two", 3, "b\n#### Four\nc\n"),
        ("three", 1, "d"),
    ]


def test_what_stands_before_the_first_heading_is_the_intro() -> None:
    assert told("Hello.\n\n## Then\nb") == [("intro", 0, "Hello.\n\n"), ("then", 2, "b")]


def test_the_title_of_a_page_begins_its_intro() -> None:
    assert told("# My page\nHello.\n# Then\nb") == [("intro", 1, "Hello.\n"), ("then", 1, "b")]
    assert told("") == []
    assert told("\n \n") == []


def test_headings_that_are_alike_are_numbered() -> None:
    text = "## Fees\n## Fees\n## Fees 2\n## Fees\n"
    assert [one.slug for one in sections(text)] == ["fees", "fees-2", "fees-2-2", "fees-3"]
    long = "## " + "x" * 80 + "\n"
    assert [len(one.slug) for one in sections(long * 12)] == [63] * 12


def test_code_has_no_headings() -> None:
    text = "## One\n```sh\n# not one\n~~~\n## nor this\n```` \n## Two\n~~~\n### no\n"
    assert [one.slug for one in sections(text)] == ["one", "two"]
    assert [one.slug for one in sections("```not``` a fence\n## One")] == ["intro", "one"]


def test_a_block_of_code_that_was_not_closed_ends_before_the_agents_part() -> None:
    found = sections("## Customer\n```\ncode\n## Agent ##\nsecret\n## More\n")
    assert [one.heading for one in found] == ["Customer", "Agent", "More"]
    assert "secret" not in found[0].text


@pytest.mark.parametrize(
    "line", ["#One", "#", " \t## One", "    ## One", "####### One", "text ## One"]
)
def test_what_is_no_heading(line: str) -> None:
    found = sections(f"{line}\ntext")
    assert [one.level for one in found] == ([1] if line == "#" else [0])


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        ("How long do I have?", "how-long-do-i-have"),
        ("Rücksendung & Größe", "ruecksendung-groesse"),
        ("Café", "cafe"),
        ("支払い", "section"),
        ("  --  ", "section"),
        ("A/B", "a-b"),
        ("**Bold** `code` [link](https://x.example)", "bold-code-link"),
    ],
)
def test_a_heading_is_called_by_its_words(words: str, slug: str) -> None:
    assert sections(f"## {words}\ntext")[0].slug == slug


def test_offsets_are_those_of_the_text() -> None:
    text = "intro\n## One ##\nfirst\n### Two\n"
    for one in sections(text):
        assert text[one.start : one.start + len(one.text)] == one.text
        assert text[one.head :].startswith("#" * one.level)


@given(MARKDOWN)
@example("## ##")
@example("#\t\t")
@example("```\n## agent")
def test_slugs_are_unique_and_nothing_is_lost(text: str) -> None:
    found = sections(text)
    slugs = [one.slug for one in found]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch("[a-z0-9-]{1,63}", slug) for slug in slugs)
    assert all(text[one.start : one.start + len(one.text)] == one.text for one in found)
    joined = "".join(text[one.head : one.start + len(one.text)] for one in found)
    assert joined.strip() == text.strip() or text.startswith(joined)
    if found:
        assert found[-1].start + len(found[-1].text) == len(text)


@given(MARKDOWN, st.text(alphabet="abc \n", max_size=30))
def test_slugs_stay_when_text_below_a_heading_changes(text: str, more: str) -> None:
    before = [one.slug for one in sections(text + "\n## Last\n")]
    after = [one.slug for one in sections(text + "\n## Last\n" + more)]
    assert after == before


@given(st.text(max_size=200))
def test_any_words_have_a_slug(words: str) -> None:
    assert re.fullmatch("[a-z0-9-]{1,63}", slug_of(words))
    assert slug_of(slug_of(words)) == slug_of(words)


def test_long_lines_take_no_longer_than_they_should() -> None:
    text = "## " + " " * 200_000 + "x" + "#" * 200_000 + "\n" + "`" * 200_000 + "\n"
    assert len(sections(text * 2)) >= 1
