"""How a runbook asks to be shown: what loads, what is told, and what becomes of it in a message."""

import datetime
import string
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.front import KEYS, LONGEST_SELECTOR
from forestall.context.knowledge.lint import Around, lint
from forestall.context.knowledge.runbooks import (
    Runbook,
    Words,
    load_runbooks,
    passages_of,
    read_runbook,
    words_of,
)
from forestall.context.knowledge.template import LONGEST_VALUE, MissingValue
from forestall.contracts.errors import InvalidFile
from forestall.contracts.intervention import Message, Show

DAY = datetime.date(2026, 6, 1)
HEAD = "---\nid: a\ntitle: A title\nversion: 1\nowner: us\nreview_by: 2027-01-31\n"
BODY = "---\n## Customer\nHi {{ subject.name }}.\n"
FIELDS = "fields: [subject.name, subject.plan, event.data.order]\n"
NAME = {"subject": {"name": "Ann", "plan": "pro"}, "event": {"data": {"order": 7}}}


def book(more: str, fields: str = FIELDS) -> Runbook:
    return read_runbook(HEAD + fields + more + BODY, "a.md")


def words(more: str) -> Words:
    return words_of({"a": book(more)}, "a", DAY)


def refused(more: str, fields: str = FIELDS) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        book(more, fields)
    return [f"{one.line}:{one.column} {one.code}" for one in caught.value.problems]


def warned(folder: Path, more: str) -> list[str]:
    (folder / "a.md").write_text(HEAD + "fields: [subject.name]\n" + more + BODY)
    _, problems = lint(folder, Around(day=DAY))
    return [
        f"{one.line}:{one.column} {one.code}{'?' if one.severity == 'warning' else ''}"
        for one in problems
    ]


def test_without_a_form_nothing_is_said_about_it() -> None:
    assert words("steps: [One.]\n") == Words("A title", words("").body)
    assert (book("").show, book("").known) == (None, ())
    assert {"show", "known", "why"} < set(KEYS)


def test_why_is_filled_as_the_text_is_and_never_found() -> None:
    one = book("why: ' Order {{ event.data.order }} was declined. '\n")
    why = words_of({"a": one}, "a", DAY).why
    assert why is not None
    assert why.render(NAME) == "Order 7 was declined."
    assert why in one.templates()
    assert not any("declined" in found.text for found in passages_of(one))
    assert words("").why is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("why: [a]\n", ["8:6 runbook-type"]),
        ("why: ' '\n", ["8:6 runbook-type"]),
        ("why: 3\n", ["8:6 runbook-type"]),
        ("why: '{{ subject.name'\n", ["8:6 runbook-template"]),
        ("why: 'You, {{ subject.x }}.'\n", ["8:6 runbook-undeclared"]),
        ("why: a\nwhy: b\n", ["9:1 runbook-key"]),
        ("why:\n", None),
    ],
)
def test_a_why_with_mistakes_does_not_load(more: str, expected: list[str] | None) -> None:
    if expected is None:
        assert book(more).why is None
    else:
        assert refused(more) == expected


def test_an_article_is_not_asked_why() -> None:
    with pytest.raises(InvalidFile) as caught:
        read_runbook(HEAD + "kind: article\nwhy: So.\n---\nText.\n", "a.md")
    assert [one.code for one in caught.value.problems] == ["runbook-article"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("why: A payment was declined, on-line and off.\n", []),
        ("why: You sent payment.failed.\n", ["7:6 knowledge-why?"]),
        ("why: You met card-declined, and payment.failed.\n", ["7:6 knowledge-why?"] * 2),
        (f"why: {'so ' * 120}\n", ["7:6 knowledge-long?"]),
        ("fields: [subject.plan]\nwhy: On {{ subject.plan }}.\n", []),
    ],
)
def test_why_is_for_customers(tmp_path: Path, more: str, expected: list[str]) -> None:
    (tmp_path / "a.md").write_text(HEAD + more + "---\n## Customer\nHi.\n")
    around = Around(day=DAY, signals=frozenset({"payment.failed", "card-declined", "so"}))
    found = lint(tmp_path, around)[1]
    assert [
        f"{one.line}:{one.column} {one.code}{'?' if one.severity == 'warning' else ''}"
        for one in found
    ] == expected


@pytest.mark.parametrize(
    ("more", "show"),
    [
        ("show: {as: toast}\n", Show("toast")),
        ("show: {as: banner}\n", Show("banner")),
        ("show: {as: handover}\n", Show("handover")),
        ("show:\n  as: hint\n  at: '[data-help=search]'\n", Show("hint", "[data-help=search]")),
        ("show: {as: checklist}\nsteps: [One.]\n", Show("checklist")),
        ("show: {as: hint}\n", None),
        ("show: {as: checklist}\n", None),
        ("show: {as: banner, at: main}\n", Show("banner")),
        ("show: null\n", None),
    ],
)
def test_a_page_is_told_only_of_a_form_that_it_can_show(more: str, show: Show | None) -> None:
    assert words(more).show == show


def test_the_steps_of_a_checklist_are_filled_as_the_text_is() -> None:
    said = words(
        "show: {as: checklist}\nsteps:\n"
        '  - Look at order {{ event.data.order }}.\n  - Ask {{ subject.plan | default("us") }}.\n'
    )
    assert [one.render(NAME) for one in said.steps] == ["Look at order 7.", "Ask pro."]
    assert [one.render({"event": {"data": {"order": 8}}}) for one in said.steps] == [
        "Look at order 8.",
        "Ask us.",
    ]
    assert said.body.render(NAME) == "Hi Ann."


def test_steps_elsewhere_stay_the_plain_texts_they_are() -> None:
    one = book("steps: ['Write {{ this }}.', 'And {{ }}.']\n")
    assert (one.steps, one.checklist) == (("Write {{ this }}.", "And {{ }}."), ())
    assert passages_of(one)[-1].text == "1. Write {{ this }}.\n2. And {{ }}."


def test_what_is_found_of_a_checklist_has_nobodys_values() -> None:
    one = book(
        "show: {as: checklist}\nsteps:\n  - Order {{ event.data.order }}\n"
        '  - On {{ subject.plan | default("any plan") }}\n'
    )
    assert passages_of(one)[-1].text == "1. Order …\n2. On any plan"


def test_what_people_know_is_told_with_a_hand_over_only_and_never_found() -> None:
    known = "known:\n  - Your order {{ event.data.order }}\n  - That the card was refused\n"
    said = words("show: {as: handover}\n" + known)
    assert [one.render(NAME) for one in said.known] == [
        "Your order 7",
        "That the card was refused",
    ]
    with pytest.raises(MissingValue):
        said.known[0].render({})
    assert words("show: {as: banner}\n" + known).known == ()
    assert words(known).known == ()
    found = passages_of(book("show: {as: handover}\n" + known))
    assert not any("refused" in one.text for one in found)


def test_values_are_cut_as_in_the_text() -> None:
    said = words("show: {as: handover}\nknown: ['{{ subject.plan }}']\n").known[0]
    long = "x" * (LONGEST_VALUE + 1)
    assert said.render({"subject": {"plan": long}}) == "x" * LONGEST_VALUE
    assert said.render({"subject": {"plan": "a\u202eb\n<i>c"}}) == "a b <i>c"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("show: banner\n", ["8:7 runbook-type"]),
        ("show: [banner]\n", ["8:7 runbook-type"]),
        ("show: {}\n", ["8:7 runbook-type"]),
        ("show: {at: main}\n", ["8:7 runbook-type"]),
        ("show: {as: banner, colour: red}\n", ["8:7 runbook-type"]),
        ("show: {as: popup}\n", ["8:12 runbook-type"]),
        ("show: {as: question}\n", ["8:12 runbook-type"]),
        ("show: {as: [banner]}\n", ["8:12 runbook-type"]),
        ("show: {as: hint, at: [data-help]}\n", ["8:22 runbook-type"]),
        ("show: {as: hint, at: ' '}\n", ["8:22 runbook-type"]),
        ("show: {as: hint, at: null}\n", ["8:22 runbook-type"]),
        (f"show: {{as: hint, at: {'x' * 201}}}\n", ["8:22 runbook-type"]),
        ('show: {as: hint, at: "a\\nb"}\n', ["8:22 runbook-type"]),
        ("show:\n  as: popup\n  at: 3\n", ["9:7 runbook-type", "10:7 runbook-type"]),
        ("known: x\n", ["8:8 runbook-type"]),
        ("known: [x, 3]\n", ["8:8 runbook-type"]),
        ("known: ['']\n", ["8:8 runbook-type"]),
        ("known: [a, '{{ subject.name']\n", ["8:12 runbook-template"]),
        ("known: [a, '{{ subject.x }}']\n", ["8:12 runbook-undeclared"]),
        ("show: {as: checklist}\nsteps: [a, '{{ x }}']\n", ["9:12 runbook-template"]),
        (
            "show: {as: checklist}\nsteps:\n  - '{{ subject.x }}'\n  - '{{ subject.y }}'\n",
            ["10:5 runbook-undeclared", "11:5 runbook-undeclared"],
        ),
    ],
)
def test_mistakes_have_a_place(more: str, expected: list[str]) -> None:
    assert refused(more) == expected


def test_an_undeclared_field_is_told_with_what_would_declare_it() -> None:
    with pytest.raises(InvalidFile) as caught:
        book("known: ['{{ subject.x }}']\n", "fields: [subject.name]\n")
    (problem,) = caught.value.problems
    assert problem.hint == "fields: [subject.name, subject.x]"


def test_no_article_has_a_form() -> None:
    text = HEAD + "kind: article\nshow: {as: banner}\nknown: [x]\n---\nText.\n"
    with pytest.raises(InvalidFile) as caught:
        read_runbook(text, "a.md")
    assert [(one.line, one.code) for one in caught.value.problems] == [
        (8, "runbook-article"),
        (9, "runbook-article"),
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("show: {as: banner}\n", []),
        ("show: {as: hint, at: main}\n", []),
        ("show: {as: handover}\nknown: [That it failed]\n", []),
        ("show: {as: checklist}\nsteps: ['{{ subject.name }}']\n", []),
        ("show: {as: checklist}\n", ["8:12 knowledge-show?"]),
        ("show: {as: hint}\n", ["8:12 knowledge-show?"]),
        ("show: {as: banner, at: main}\n", ["8:24 knowledge-show?"]),
        ("known: [x]\n", ["8:8 knowledge-show?"]),
        ("show: {as: banner}\nknown: [x]\n", ["9:8 knowledge-show?"]),
        (f"show: {{as: handover}}\nknown: [a, {'x' * 301}]\n", ["9:12 knowledge-long?"]),
        (f"show: {{as: handover}}\nknown: [{', '.join('x' * 13)}]\n", ["9:8 knowledge-long?"]),
        (f"show: {{as: checklist}}\nsteps: [{', '.join('x' * 13)}]\n", ["9:8 knowledge-long?"]),
        (f"steps: [{', '.join('x' * 13)}]\n", []),
    ],
)
def test_what_loads_and_cannot_be_shown_so_is_told(
    tmp_path: Path, more: str, expected: list[str]
) -> None:
    assert warned(tmp_path, more) == expected


def test_a_field_that_only_a_step_or_what_is_known_reads_is_read(tmp_path: Path) -> None:
    both = "  - '{{ event.data.order }}'\nfields: [subject.name, event.data.order]\n"
    for more in (
        f"show: {{as: checklist}}\nsteps:\n{both}",
        f"show: {{as: handover}}\nknown:\n{both}",
    ):
        (tmp_path / "a.md").write_text(HEAD + more + BODY)
        assert lint(tmp_path, Around(day=DAY)) == (1, [])


def test_a_message_of_an_older_version_still_loads_and_says_only_what_is_set() -> None:
    old = (
        b'{"id":"m","intervention":"i","subject":"s","policy":"p","title":"","body":"b","why":"",'
        b'"created":1,"expires":2,"step":1,"choices":{"a":"A"}}'
    )
    message = msgspec.json.decode(old, type=Message)
    assert (message.show, message.steps, message.known, message.version) == (None, (), (), None)
    assert msgspec.json.encode(message) == old.replace(b'"why":"",', b"")
    full = msgspec.structs.replace(
        message, show=Show("hint", "#a"), steps=("1",), known=("k",), version="v"
    )
    told = msgspec.json.decode(msgspec.json.encode(full))
    assert told["show"] == {"as": "hint", "at": "#a"}
    assert (told["steps"], told["known"], told["version"]) == (["1"], ["k"], "v")
    assert msgspec.json.decode(msgspec.json.encode(full), type=Message) == full


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.printable, max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["as", "at", "x"]) | st.text(max_size=3), inner)
    ),
    max_leaves=5,
)


@given(show=_ANY, known=_ANY, steps=_ANY)
def test_whatever_stands_there_is_refused_with_its_place_or_can_be_shown(
    show: object, known: object, steps: object
) -> None:
    given_ = {"show": show, "known": known, "steps": steps}
    more = "".join(f"{key}: {msgspec.json.encode(one).decode()}\n" for key, one in given_.items())
    try:
        said = words(more)
    except InvalidFile as error:
        problems = error.problems
        said = None
    if said is None:
        assert problems
        assert all(1 <= one.line <= 10 and one.column >= 1 for one in problems)
        return
    form = None if said.show is None else said.show.as_
    assert (form == "hint") == (said.show is not None and said.show.at is not None)
    assert form != "checklist" or said.steps
    assert bool(said.known) <= (form == "handover")
    assert said.show is None or len(said.show.at or "") <= LONGEST_SELECTOR


def test_the_shop_shows_each_form_where_it_fits() -> None:
    books = load_runbooks(Path(__file__).parents[2] / "examples" / "shop" / "runbooks")
    said = {name: words_of(books, name, DAY) for name, one in books.items() if one.customer}
    forms = {name: one.show.as_ for name, one in said.items() if one.show is not None}
    expected = {
        "checkout-failed": "handover",
        "checkout-steps": "banner",
        "error-page": "banner",
        "finding-things": "hint",
        "payment-failed": "checklist",
        "ways-to-pay": "hint",
        "welcome-back": "toast",
    }
    assert {name: forms.get(name) for name in expected} == expected
    known = said["checkout-failed"].known
    told = [one.render({"event": {"data": {"platform": "tablet"}}}) for one in known]
    assert told[0] == "The checkout stopped on your tablet."
    assert known[0].render({}) == "The checkout stopped on your device."
