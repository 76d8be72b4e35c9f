"""A case in words: everything is there, and what matters most is kept when there is little room."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.channels.helpdesk.port import score_of, tag, tag_in, tagged
from forestall.channels.helpdesk.text import Limits, render, shortened
from forestall.contracts.case import Advice, Hypothesis, Moment, Seen, Standing, Tried
from forestall.contracts.intervention import Case, Taken

AT = "2024-05-01T12:00:00.000000Z"
KEY = "ab" * 16
MARK = tagged(KEY)
ROOM = Limits(subject=200, body=60_000)

CASE = Case(
    id=KEY,
    intervention="d-1",
    queue="lead",
    customer="p-1",
    policy="card-declined",
    version="0123456789abcdef",
    title="Card declined twice",
    why="2 x payment.declined in 10m",
    at=AT,
    events=("e1", "e2"),
    features={"declines": 2},
    taken=(Taken(AT, "started"), Taken(AT, "failed", 2, "timeout")),
    advice="Look at the code.",
    trace="4bf92f3577b34da6a3ce929d0e0e4736",
    possibly_doubled=True,
    timeline=(
        Moment(AT, "payment.declined", "e1", matched=True, fields={"order": "o1"}),
        Moment(AT, "page.viewed", "e3"),
    ),
    seen=(Seen(AT, "Card declined?", "Another card works.", "answered", 1, "Try again"),),
    hypotheses=(
        Hypothesis("rage-clicks", "v2", "5 clicks", AT, "suppress", "cooldown"),
        Hypothesis("card-declined", "v1", "2 declines", AT),
    ),
    tried=(
        Tried(
            2,
            "action",
            "retry-charge",
            "undone",
            AT,
            "verification",
            {"payment": "pay-1"},
            {"receipt": None},
            {"dry_run": {"amount": 3}},
        ),
    ),
    consent=Standing("support", True, AT),
    traits={"plan": "gold"},
    fields={"brand": "visa"},
    runbooks=(Advice("card-declined", 7, "Look at the code.\nThen call."),),
    reply="Another card works.",
    links={"Shop": "https://shop.example/p-1"},
    tier=2,
    passed_from="payments",
    withheld=("traits",),
)

WHOLE = f"""2 x payment.declined in 10m

An earlier attempt to hand this over may have arrived: look for a double.
Nobody took it in payments; this is queue 2.
Customer: p-1
Shop: https://shop.example/p-1
Policy: card-declined 0123456789ab
Noticed: 2024-05-01T12:00:00Z
Case: {KEY}, intervention d-1
Trace: 4bf92f3577b34da6a3ce929d0e0e4736
Withheld from this queue: traits

What was tried
--------------
2. action retry-charge: undone (verification) payment=pay-1 gave receipt=null evidence dry_run={{"amount": 3}}

What the customer saw
---------------------
2024-05-01T12:00:00Z answered (Try again): Card declined? – Another card works.

Suggested reply
---------------
Another card works.

What the runbooks say
---------------------
[card-declined, version 7]
Look at the code.
Then call.

What happened
-------------
2024-05-01T12:00:00Z * payment.declined order=o1
2024-05-01T12:00:00Z   page.viewed

What is known
-------------
declines: 2
brand: visa
plan: gold

Other explanations
------------------
2024-05-01T12:00:00Z rage-clicks: 5 clicks (kept silent: cooldown)
2024-05-01T12:00:00Z card-declined: 2 declines

Course of the playbook
----------------------
2024-05-01T12:00:00Z started
2024-05-01T12:00:00Z failed step 2 (timeout)

Consent
-------
for support: granted since 2024-05-01T12:00:00Z"""


def big(**values: object) -> Case:
    return msgspec.structs.replace(CASE, **values)


def test_everything_is_there_where_there_is_room() -> None:
    words = render(CASE, ROOM, MARK)
    assert words.subject == f"{MARK} Card declined twice"
    assert words.body == WHOLE
    assert words.cut == ()


def test_a_bare_case_says_the_least() -> None:
    bare = big(
        **dict.fromkeys(("timeline", "seen", "tried", "hypotheses", "runbooks", "taken"), ()),
        **{name: {} for name in ("features", "traits", "fields", "links")},
        **dict.fromkeys(("consent", "reply", "advice", "trace", "passed_from"), None),
        possibly_doubled=False,
        withheld=(),
        version="",
    )
    lines = render(bare, ROOM, MARK).body.split("\n")
    assert [line.partition(":")[0] for line in lines[2:]] == [
        "Customer",
        "Policy",
        "Noticed",
        "Case",
    ]


def test_advice_without_versions_is_said_as_it_is() -> None:
    assert "Look at the code." in render(big(runbooks=()), ROOM, MARK).body


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing("support"), "for support: never asked"),
        (Standing("support", False, AT, True), "withdrawn since 2024-05-01T12:00:00Z; opted out"),
    ],
)
def test_consent_is_told_as_it_stands(standing: Standing, said: str) -> None:
    assert said in render(big(consent=standing), ROOM, MARK).body


def test_the_least_important_is_cut_first_and_that_is_said() -> None:
    moments = tuple(Moment(AT, f"page.viewed.{number}", f"e{number}") for number in range(200))
    words = render(big(timeline=moments), Limits(200, 2_000), MARK)
    assert len(words.body) <= 2_000
    assert "What was tried" in words.body
    assert "page.viewed.199" in words.body
    assert "page.viewed.0 " not in words.body
    assert "more left out)" in words.body
    gone = words.body.rpartition("Left out for length: ")[2].split(", ")
    assert gone[-3:] == ["Other explanations", "Course of the playbook", "Consent"]
    assert "What was tried" not in gone
    assert "What happened" in words.cut


def test_the_newest_of_what_happened_is_kept_and_the_beginning_of_advice() -> None:
    advice = tuple(Advice(f"book-{number}", 1, "words " * 20) for number in range(40))
    body = render(big(runbooks=advice), Limits(200, 3_000), MARK).body
    assert "book-0," in body
    assert "book-39," not in body


def test_a_long_title_and_a_long_reason_are_shortened() -> None:
    words = render(big(title="x" * 500, why="y" * 9_000), Limits(100, 1_200), MARK)
    assert len(words.subject) == 100
    assert words.subject.startswith(f"{MARK} xxx")
    assert words.subject.endswith("…")
    assert words.body.startswith("yyy")
    assert f"Case: {KEY}" in words.body
    assert len(words.body) <= 1_200


def test_what_a_customer_typed_cannot_pose_as_a_line_of_ours() -> None:
    evil = "order\r\nCustomer: p-2\x00\x1b[2J"
    words = render(big(why=evil, title=evil, traits={"name": evil}), ROOM, MARK)
    assert "\r" not in words.subject + words.body
    assert "\x1b" not in words.subject + words.body
    assert "\n" not in words.subject
    assert [line for line in words.body.split("\n") if line.startswith("Customer:")] == [
        "Customer: p-1"
    ]


def test_a_time_that_is_none_is_said_as_it_is() -> None:
    assert "Noticed: yesterday" in render(big(at="yesterday"), ROOM, MARK).body


@pytest.mark.parametrize("limits", [Limits(24, 60_000), Limits(200, 999)])
def test_limits_without_room_are_refused(limits: Limits) -> None:
    with pytest.raises(ValueError, match="too small"):
        render(CASE, limits, MARK)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(min_value=1_000, max_value=6_000),
    st.integers(min_value=30, max_value=255),
    st.integers(min_value=0, max_value=60),
    st.text(max_size=3_000),
)
def test_whatever_the_limits_the_essential_is_there(
    body: int, subject: int, events: int, why: str
) -> None:
    moments = tuple(Moment(AT, "page.viewed", f"e{number}") for number in range(events))
    words = render(big(timeline=moments, why=why), Limits(subject, body), MARK)
    assert len(words.body) <= body
    assert len(words.subject) <= subject
    assert words.subject.startswith(MARK)
    for essential in ("Customer: p-1", f"Case: {KEY}", "Trace: 4bf", "https://shop.example/p-1"):
        assert essential in words.body


def test_a_tag_is_found_wherever_a_subject_has_it() -> None:
    assert tag_in(f"Re: AW: {MARK} Card") == tag(KEY)
    assert tag_in("[case 123] Card") is None
    assert tag(KEY) != tag("cd" * 16)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("4", 4.0),
        (" 4.5/5 ", 4.5),
        ("good", 5.0),
        ("Bad", 1.0),
        ("0", None),
        ("6", None),
        ("five", None),
        ("", None),
        ("٤", None),
        ("1e0", None),
    ],
)
def test_satisfaction_is_read_as_people_write_it(text: str, score: float | None) -> None:
    assert score_of(text) == score


def test_shortened_keeps_what_fits() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
