"""Runbooks: what loads, and every mistake with its place, all at once."""

import datetime
from pathlib import Path

import pytest

from forestall.context.knowledge.runbooks import load_runbooks, read_runbook
from forestall.contracts.errors import InvalidFile

GOOD = """---
id: card-declined
title: Card declined twice
version: 3
owner: payments-support
review_by: 2027-01-31
fields: [event.data.order_id, subject.plan]
---

# Card declined

Why this happens, for whoever keeps this page.

## Customer

Order {{ event.data.order_id }} is safe. Try another card.

## Agent

Look at the decline code first.

### Then

Offer an invoice on the {{ not a template here }} plan.
"""


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        read_runbook(text, "a.md")
    return [f"{p.line}:{p.column} {p.code}" for p in caught.value.problems]


def test_a_runbook_has_words_for_the_customer_and_for_the_agent() -> None:
    book = read_runbook(GOOD, "a.md")
    assert (book.id, book.title, book.version) == ("card-declined", "Card declined twice", 3)
    assert book.review_by == datetime.date(2027, 1, 31)
    assert book.customer is not None
    said = book.customer.render({"event": {"data": {"order_id": "o1"}}})
    assert said == "Order o1 is safe. Try another card."
    assert book.agent is not None
    assert book.agent.startswith("Look at the decline code first.\n\n### Then")


def test_a_short_text_may_stand_in_the_front_matter() -> None:
    text = GOOD.split("## Customer")[0].replace("fields:", "message: All is well.\nfields:")
    book = read_runbook(text, "a.md")
    assert book.customer is not None
    assert book.customer.render({}) == "All is well."
    assert book.agent is None


def test_lines_of_a_paragraph_flow_and_all_other_line_ends_stay() -> None:
    written = """Your cart is kept. Most banks decline a
first try:

- a mistyped number,
  or a limit
- a missing yes

Kettle & Fern\x20\x20
Mill Lane 5

    kept as
    it is

> said
> so"""
    text = GOOD.replace("Order {{ event.data.order_id }} is safe. Try another card.", written)
    book = read_runbook(text, "a.md")
    assert book.customer is not None
    said = book.customer.render({})
    assert said == written.replace("a\nfirst", "a first").replace("number,\n", "number, ")


def test_a_mistake_in_a_later_line_is_told_where_it_is() -> None:
    assert problems(GOOD.replace("Try another", "Try\nanother {{ subject.name }}")) == [
        "17:9 runbook-undeclared"
    ]


def test_windows_line_ends_are_fine() -> None:
    assert read_runbook(GOOD.replace("\n", "\r\n"), "a.md") == read_runbook(GOOD, "a.md")


def test_reading_an_undeclared_field_does_not_load() -> None:
    text = GOOD.replace("is safe", "is safe, {{ subject.name }}")
    with pytest.raises(InvalidFile) as caught:
        read_runbook(text, "a.md")
    assert str(caught.value) == (
        "a.md:16:42: error: the text reads subject.name, which 'fields' does not declare"
        " [runbook-undeclared]\n"
        "    hint: fields: [event.data.order_id, subject.name, subject.plan]"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("---\nid", "id", ["1:1 runbook-front-matter"]),
        ("id: card", "id: [card", ["3:6 runbook-yaml"]),
        ("id: card-declined", "id: Card Declined", ["2:5 runbook-id"]),
        ("version: 3", "version: three", ["4:10 runbook-type"]),
        ("review_by: 2027-01-31", "review_by: soon", ["6:12 runbook-type"]),
        ("owner: payments-support\n", "", ["1:1 runbook-missing"]),
        ("owner:", "ownr:", ["1:1 runbook-missing", "5:1 runbook-key"]),
        ("title: Card", "id: x\ntitle: Card", ["3:1 runbook-key"]),
        ("subject.plan]", "subject]", ["7:31 runbook-field"]),
        ("{{ event.data.order_id }} is", "{{ event.data.order_id is", ["16:7 runbook-template"]),
        ("## Customer", "## Client", ["1:1 runbook-customer"]),
        ("## Agent", "## Customer", ["18:1 runbook-part", "24:25 runbook-template"]),
        ("fields:", "message: Twice.\nfields:", ["7:10 runbook-customer"]),
    ],
)
def test_mistakes_have_a_place(old: str, new: str, expected: list[str]) -> None:
    assert problems(GOOD.replace(old, new, 1)) == expected


def test_all_mistakes_come_at_once() -> None:
    text = GOOD.replace("version: 3", "version: 0").replace("is safe", "{{ nonsense }}")
    assert problems(text) == ["4:10 runbook-type", "16:33 runbook-template"]


def test_a_folder_is_loaded_by_id_and_reports_every_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.md").write_text(GOOD)
    (tmp_path / "deep" / "b.md").write_text(GOOD.replace("card-declined", "other"))
    (tmp_path / "notes.txt").write_text("not a runbook")
    assert sorted(load_runbooks(tmp_path)) == ["card-declined", "other"]
    (tmp_path / "deep" / "c.md").write_text(GOOD)
    (tmp_path / "deep" / "d.md").write_text("hello")
    (tmp_path / "deep" / "e.md").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidFile) as caught:
        load_runbooks(tmp_path)
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["runbook-duplicate", "runbook-front-matter", "runbook-encoding"]


def test_whoever_forgot_the_front_matter_is_told_how_it_looks_on_one_line() -> None:
    with pytest.raises(InvalidFile) as caught:
        read_runbook("## Customer\nTry again.\n", "card.md")
    (problem,) = caught.value.problems
    assert problem.hint is not None
    assert "`id: card-declined`" in problem.hint
    assert "\\" not in problem.hint


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no such folder"):
        load_runbooks(tmp_path / "nowhere")
