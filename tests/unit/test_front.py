"""Front matter by itself: what it holds, where each value stands, and what is refused whole."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.cli.days import day_named
from forestall.context.knowledge.front import DEEPEST, LONGEST, Front, Imported
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.instants import DAY, day_of, parse_time

GOOD = (
    "---\nid: a\ntitle: A\nversion: 1\nowner: us\nreview_by: 2027-01-31\n"
    "signals:\n  - one\n  - two\n---\nBody\n"
)


def refused(inside: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        Front(f"---\n{inside}\n---\nBody\n", "a.md")
    return [f"{one.line}:{one.column} {one.code}" for one in caught.value.problems]


def noted(more: str) -> list[str]:
    text = GOOD.replace("signals:\n  - one\n  - two\n", f"{more}\n")
    return [f"{one.line}:{one.column} {one.message}" for one in Front(text, "a.md").problems]


def test_values_have_their_places_and_the_body_its_start() -> None:
    front = Front(GOOD, "a.md")
    assert front.problems == []
    assert front.values["review_by"] == datetime.date(2027, 1, 31)
    assert front.texts("signals") == ("one", "two")
    assert front.texts("steps") == ()
    assert [front.at(key) for key in ("id", "signals", "signals.1", "kind")] == [
        (2, 5),
        (8, 3),
        (9, 5),
        (1, 1),
    ]
    assert GOOD[front.end :] == "Body\n"


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
def test_only_newlines_end_the_lines_that_are_told(mark: str) -> None:
    """YAML ends lines at these too; editors do not."""
    front = Front(GOOD.replace("title: A", f'title: "A{mark}B"'), "a.md")
    assert [front.at(key) for key in ("title", "owner", "signals.1")] == [(3, 8), (5, 8), (9, 5)]
    assert refused(f'id: "a{mark}b"\ntitle: [') == ["4:1 runbook-yaml"]


def test_a_list_with_a_mistake_is_told_and_counts_as_empty() -> None:
    text = GOOD.replace("- two", "- [two]")
    front = Front(text, "a.md")
    assert front.texts("signals") == ()
    assert [one.code for one in front.problems] == ["runbook-type"]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", ["2:1 runbook-front-matter"]),
        ("just words", ["2:1 runbook-front-matter"]),
        ("- a list", ["2:1 runbook-front-matter"]),
        ("a: [", ["3:1 runbook-yaml"]),
        ("a: !!python/object:os.system x", ["2:4 runbook-yaml"]),
        ("a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), [f"2:{DEEPEST + 3} runbook-yaml"]),
        ("a: " + "x" * LONGEST, ["2:1 runbook-yaml"]),
        ("a: &b c\nd: *b", ["3:4 runbook-yaml"]),
        ("a: 2027-02-31", ["2:1 runbook-yaml"]),
    ],
)
def test_what_cannot_be_read_is_refused_whole(inside: str, expected: list[str]) -> None:
    assert refused(inside) == expected


@pytest.mark.parametrize("text", ["", "Body", "---\nid: a\n", " ---\nid: a\n---\n", "----\n---\n"])
def test_a_file_starts_with_two_lines_of_dashes(text: str) -> None:
    with pytest.raises(InvalidFile, match="runbook-front-matter"):
        Front(text, "a.md")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("colour: red", "7:1 unknown key 'colour'; known: id, kind,"),
        ("owner: me", "7:1 'owner' stands here twice"),
        ("kind: 3", "7:7 'kind' is runbook or article"),
        ("language: DE", "7:11 'language' is not the two letters of a language, like en"),
        ("fields: x", "7:9 'fields' is not a list of field names"),
    ],
)
def test_mistakes_are_noted_with_their_places(more: str, message: str) -> None:
    (found,) = noted(more)
    assert found.startswith(message)


def test_where_an_article_was_imported_from_is_kept() -> None:
    front = Front(GOOD.replace("signals:", "imported: {source: x:1, hash: h}\nsignals:"), "a.md")
    assert front.problems == []
    assert front.values["imported"] == {"source": "x:1", "hash": "h"}
    assert Imported("x:1", "h") == Imported(**front.values["imported"])


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("1970-01-01T00:00:00Z", "1970-01-01"),
        ("2026-12-31T23:59:59.999999Z", "2026-12-31"),
        ("2027-01-01T00:00:00+01:00", "2026-12-31"),
    ],
)
def test_a_time_lies_in_a_day(time: str, day: str) -> None:
    assert day_of(parse_time(time)).isoformat() == day


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000))
def test_a_day_later_is_the_next_day(time: int) -> None:
    assert day_of(time + DAY) - day_of(time) == datetime.timedelta(days=1)


def test_an_option_names_a_day_or_means_today() -> None:
    assert day_named("2027-01-31") == datetime.date(2027, 1, 31)
    later = datetime.timedelta(days=10)
    assert day_named(None) + later <= day_named(None, later)
    with pytest.raises(UnreadableInput, match="2027-13-01: not a day"):
        day_named("2027-13-01")
