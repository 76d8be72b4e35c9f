"""Articles and runbooks as passages: what customers may be told, and what they never are."""

import datetime
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.runbooks import (
    MAX_BYTES,
    Runbook,
    RunbookExpired,
    current,
    expired,
    load_runbooks,
    passages_of,
    read_document,
    read_file,
    read_runbook,
    words_of,
)
from forestall.contracts.errors import InvalidFile

HEAD = "---\nid: {id}\ntitle: A *fine* title\nversion: 3\nowner: us\nreview_by: 2027-01-31\n{more}---\n"
SECRET = "for our people only"


def book(text: str, more: str = "", name: str = "b") -> Runbook:
    return read_runbook(HEAD.format(id=name, more=more) + text, f"{name}.md")


def article(text: str, more: str = "", name: str = "a") -> Runbook:
    return book(text, f"kind: article\n{more}", name)


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        read_runbook(text, "a.md")
    return [f"{one.line}:{one.column} {one.code}" for one in caught.value.problems]


def cites(found: list[Passage]) -> list[str]:
    return [one.cite for one in found]


def test_a_runbook_gives_the_customers_part_and_nothing_else() -> None:
    text = (
        f"# Title\n{SECRET}\n\n## Customer\nYour cart is **safe**.\n### If not\nCall us.\n"
        f"## Causes\n{SECRET}\n## Agent\n{SECRET}\n### Deeper\n{SECRET}\n"
    )
    found = passages_of(book(text))
    assert cites(found) == ["b@3#customer", "b@3#if-not"]
    assert [one.text for one in found] == ["Your cart is safe.", "Call us."]
    assert [one.title for one in found] == ["A fine title", "A fine title: If not"]


def test_a_message_of_the_front_matter_is_cited_as_the_customers_part() -> None:
    (found,) = passages_of(book("", "message: All *is* well.\n"))
    assert (found.cite, found.text) == ("b@3#customer", "All is well.")


def test_an_article_gives_all_but_the_agents_part() -> None:
    text = f"Hello.\n## One\na\n## AGENT\n{SECRET}\n### Deeper\n{SECRET}\n## Two\nb\n# Agent\nc\n"
    one = article(text)
    assert cites(passages_of(one)) == ["a@3#intro", "a@3#one", "a@3#two", "a@3#agent-2"]
    assert one.customer is None
    assert one.agent is not None
    assert one.agent.startswith(SECRET)


def test_an_article_may_say_more_to_people_further_down() -> None:
    one = article("## Agent\nfirst\n## Open\na\n## Agent\nsecond\n")
    assert one.agent == "first\n\nsecond"
    assert cites(passages_of(one)) == ["a@3#open"]


def test_what_the_front_matter_says_goes_along() -> None:
    more = "language: de\nproducts: [checkout]\nsignals: [payment.failed]\nactions: [retry]\n"
    (found,) = passages_of(article("Text", more))
    assert (found.products, found.signals) == (("checkout",), ("payment.failed",))
    assert (found.language, found.actions, found.version) == ("de", ("retry",), 3)
    assert (found.runbook, found.section, found.score) == ("a", "intro", 0.0)


def test_a_document_without_a_language_has_that_of_the_deployment() -> None:
    one = article("Text")
    assert [found.language for found in (*passages_of(one), *passages_of(one, "fr"))] == [
        "en",
        "fr",
    ]


def test_steps_are_a_passage_of_their_own() -> None:
    found = passages_of(book("## Customer\nHi.", "steps: [Look *twice*., Try again.]\n"))
    assert cites(found) == ["b@3#customer", "b@3#steps"]
    assert found[1].text == "1. Look twice.\n2. Try again."
    other = passages_of(article("## Steps\na", "steps: [b]\n"))
    assert cites(other) == ["a@3#steps", "a@3#front-steps"]


def test_placeholders_are_filled_with_their_defaults() -> None:
    text = '## Customer\nHi {{ subject.name | default("there") }}, order {{ event.data.id }}.'
    (found,) = passages_of(book(text, "fields: [subject.name, event.data.id]\n"))
    assert found.text == "Hi there, order …."


def test_empty_sections_are_no_passages() -> None:
    assert cites(passages_of(article("## One\n\n## Two\n<b></b>\n## Three\nx"))) == ["a@3#three"]


def test_a_lone_carriage_return_ends_a_line() -> None:
    found = passages_of(book(f"## Customer\rHi.\r## Agent\r{SECRET}"))
    assert [one.text for one in found] == ["Hi."]


@pytest.mark.parametrize(
    "text",
    [
        f"## Customer\nHi\n```\n## Agent\n{SECRET}",
        f"## Customer\nHi\n<div>\n## Agent\n{SECRET}",
        f"## Customer\nHi\n<!--\n## agent ##\n{SECRET}\n-->",
        f"## Customer\nHi\n\n   ## Agent   \n{SECRET}",
        f"## Customer\nHi\n##\tAgent\n{SECRET}",
        f"## Customer\nHi\n## *Agent*\n{SECRET}",
        f"## Customer\nHi\n> quote\n## Agent\n{SECRET}",
    ],
)
def test_however_it_is_written_the_agents_part_is_internal(text: str) -> None:
    for one in (book(text), article(text)):
        assert SECRET not in "".join(found.text for found in passages_of(one))
        assert one.agent == (f"{SECRET}\n-->" if "<!--" in text else SECRET)


@given(
    st.lists(
        st.sampled_from(
            ["## Customer", "## Agent", "## Other", "### Deep", "# Top", "```", "<!--", "", "- x"]
        )
    )
)
def test_no_text_of_the_agents_part_is_ever_in_a_passage(lines: list[str]) -> None:
    written, hidden, code = [], False, False
    for line in lines:
        code = (code != (line == "```")) and line != "## Agent"
        if line.startswith(("## ", "# ")) and not code:
            hidden = line == "## Agent"
        written += [line, "hidden" if hidden else "open"]
    one = article("\n".join(written) + "\n")
    assert not any("hidden" in found.text for found in passages_of(one))


def test_words_are_those_of_a_runbook_that_may_be_used() -> None:
    day = datetime.date(2027, 1, 31)
    books = {"b": book("## Customer\nHi."), "a": article("Text")}
    words = words_of(books, "b", day)
    assert (words.title, words.body.render({})) == ("A *fine* title", "Hi.")
    with pytest.raises(LookupError):
        words_of(books, "nowhere", day)
    with pytest.raises(LookupError):
        words_of(books, "a", day)
    with pytest.raises(RunbookExpired, match="2027-01-31"):
        words_of(books, "b", day + datetime.timedelta(days=1))


def test_the_day_of_review_is_the_last_one() -> None:
    one, day = article("Text"), datetime.date(2027, 1, 31)
    assert not expired(one, day)
    assert expired(one, day + datetime.timedelta(days=1))
    assert current({"a": one}, day) == {"a": one}
    assert current({"a": one}, day + datetime.timedelta(days=1)) == {}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("kind: page\n", ["7:7 runbook-type"]),
        ("language: english\n", ["7:11 runbook-type"]),
        ("language: no\n", ["7:11 runbook-type"]),
        ("language: xx\n", ["7:11 runbook-type"]),
        ("products: checkout\n", ["7:11 runbook-type"]),
        ("signals: [1]\n", ["7:10 runbook-type"]),
        ("steps: ['']\n", ["7:8 runbook-type"]),
        ("actions: {a: b}\n", ["7:10 runbook-type"]),
        ("imported: zendesk\n", ["7:11 runbook-type"]),
        ("imported: {source: z, hash: h, more: m}\n", ["7:11 runbook-type"]),
        (
            "kind: article\nmessage: Hi.\nfields: []\n",
            ["8:10 runbook-article", "9:9 runbook-article"],
        ),
        ("steps: &all [a]\nactions: *all\n", ["8:10 runbook-yaml"]),
        ("steps: " + "[" * 60 + "]" * 60 + "\n", ["7:17 runbook-yaml"]),
        ("review_by: 2027-13-45\n", ["2:1 runbook-yaml"]),
    ],
)
def test_mistakes_in_the_new_keys_have_a_place(more: str, expected: list[str]) -> None:
    assert problems(HEAD.format(id="b", more=more) + "## Customer\nHi") == expected


def test_the_language_no_is_a_word_in_quotes() -> None:
    assert article("Text", 'language: "no"\n').language == "no"
    with pytest.raises(InvalidFile, match='hint: language: "no"'):
        article("Text", "language: no\n")


def test_a_runbook_without_words_is_told_what_an_article_is() -> None:
    with pytest.raises(InvalidFile, match="kind: article"):
        book("Just text.")


def test_places_of_list_items_are_known() -> None:
    more = "kind: article\nsignals:\n  - one\n  - two\n"
    _, front = read_document(HEAD.format(id="a", more=more) + "x", "a.md")
    assert [front.at(key) for key in ("signals.1", "signals.7", "owner", "steps")] == [
        (10, 5),
        (9, 3),
        (5, 8),
        (1, 1),
    ]


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "large.md").write_bytes(b"x" * (MAX_BYTES + 1))
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(InvalidFile) as caught:
        load_runbooks(tmp_path)
    assert [one.code for one in caught.value.problems] == ["runbook-file", "runbook-file"]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.format(id="a", more="kind: article\n").encode() + b"x")
    assert read_file(path).id == "a"


def test_the_same_content_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(HEAD.format(id="a", more="kind: article\n") + "x")
    assert read_file(path) is read_file(path)


@given(st.binary(max_size=400), st.sampled_from([b"", b"---\n", b"---\nid: a\n"]))
def test_any_bytes_are_read_or_refused(raw: bytes, start: bytes) -> None:
    text = (start + raw).decode("utf-8", "replace")
    for one in (text, f"{HEAD.format(id='a', more='kind: article')}\n{text}"):
        try:
            found = read_runbook(one, "a.md")
        except InvalidFile:
            continue
        assert all(passage.text for passage in passages_of(found))


@given(
    st.text(max_size=120), st.sampled_from(["steps", "signals", "language", "title", "imported"])
)
def test_any_value_is_read_or_refused(value: str, key: str) -> None:
    text = HEAD.format(id="a", more=f"kind: article\n{key}: {value}\n")
    with suppress(InvalidFile):
        assert read_runbook(text + "x", "a.md").id == "a"
