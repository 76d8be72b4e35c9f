"""What replies mean, for whatever bytes come in the mail."""

from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from forestall.channels.helpdesk.mailbox import CASE, PROOF, STATUS, Letter, Reader

TAG = "0123456789abcdef"
ROOT = f"<case.{TAG}@example.com>"
READER = Reader(
    own="desk@example.com",
    agents=("@example.com", "ben@partner.example"),
    authserv=None,
    secret="s3cret",
    account="imap://desk@mail",
)


def letter(text: str = "", /, subtype: Any = "plain", **headers: Any) -> Letter:
    message = EmailMessage()
    plain = {"From": "Ann <ann@example.com>", "Message-ID": "<1@x>", "In-Reply-To": ROOT}
    for name, value in {**plain, **headers}.items():
        if value is not None:
            message[name.replace("_", "-")] = value
    message.set_content(text, subtype=subtype)
    return Letter(7, 1_000, message.as_bytes())


def kinds(one: Letter, reader: Reader = READER) -> list[tuple[str, float | None]]:
    return [(change.kind, change.score) for change in reader.changes(one)]


TAKEN: tuple[str, float | None] = ("taken", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I look at it", []),
        ("", []),
        ("#solved", [("solved", None)]),
        ("\n\n  #SOLVED  \nthe card was fine", [("solved", None)]),
        ("#solved\n#rating 5\n\nbye", [("solved", None), ("rated", 5.0)]),
        ("#reopened", [("reopened", None)]),
        ("#rating 4/5", [("rated", 4.0)]),
        ("#rating 9", []),
        ("#unknown\n#solved", [("solved", None)]),
        ("thanks\n#solved", []),
        ("> #solved", []),
    ],
)
def test_the_first_lines_of_a_reply_are_heeded(
    text: str, said: list[tuple[str, float | None]]
) -> None:
    assert kinds(letter(text)) == [TAKEN, *said]


def test_a_reply_in_html_is_read_too() -> None:
    found = kinds(letter("<html><p>#solved</p><p>Bye</p></html>", subtype="html"))
    assert found == [TAKEN, ("solved", None)]


def test_every_change_has_an_id_of_its_own_that_stays() -> None:
    one = letter("#solved\n#rating 5")
    ids = [change.id for change in READER.changes(one)]
    assert len(set(ids)) == 3
    moved = Letter(99, 2_000, one.raw)
    assert [change.id for change in READER.changes(moved)] == ids


@pytest.mark.parametrize(
    ("headers", "speaks"),
    [
        ({}, True),
        ({"From": "BEN@Partner.example"}, True),
        ({"From": "eve@partner.example"}, False),
        ({"From": "ann@sub.example.com"}, False),
        ({"From": '"ann@example.com" <eve@evil.example>'}, False),
        ({"From": None}, False),
        ({"From": "desk@example.com"}, False),
        ({"Auto-Submitted": "auto-replied"}, False),
        ({"Auto-Submitted": "no"}, True),
        ({"In-Reply-To": None}, False),
        ({"In-Reply-To": None, "References": f"<a@b> {ROOT}"}, True),
        ({"In-Reply-To": None, "Subject": f"Re: [case {TAG}] x"}, True),
        ({"In-Reply-To": None, "Subject": "Re: [case 12] x"}, False),
    ],
)
def test_only_agents_in_person_speak_and_only_of_cases(
    headers: dict[str, Any], speaks: bool
) -> None:
    assert bool(READER.changes(letter("#solved", **headers))) is speaks


def ours(status: str, *, proof: str | None = None, identity: str = ROOT) -> Letter:
    made = READER.proof(identity, status) if proof is None else proof
    return letter(
        "x",
        **{
            "From": "desk@example.com",
            "Message-ID": identity,
            "In-Reply-To": None,
            CASE: TAG,
            STATUS: status,
            PROOF: made,
        },
    )


def test_our_own_copies_say_what_we_did() -> None:
    assert kinds(ours("opened")) == [("opened", None)]
    assert kinds(ours("solved")) == [("solved", None)]
    assert kinds(ours("noted")) == []
    assert READER.changes(ours("opened"))[0].by == "desk@example.com"


def test_nobody_else_can_say_it_for_us() -> None:
    assert kinds(ours("solved", proof="0" * 64)) == []
    assert kinds(ours("solved", proof="ü")) == []
    assert kinds(ours("solved", proof=READER.proof(ROOT, "opened"))) == []
    other = "<case.ffffffffffffffff@example.com>"
    assert kinds(ours("solved", proof=READER.proof(other, "solved"))) == []


@pytest.mark.parametrize(
    ("headers", "genuine"),
    [
        (["mx.example.com; dmarc=pass"], True),
        (["MX.example.com 1;\r\n dmarc = pass header.from=example.com"], True),
        (["mx.example.com; xdmarc=pass"], False),
        (["mx.example.com; dmarc=passed"], False),
        (["mx.evil.example; dmarc=pass"], False),
        (["mx.example.com; dmarc=fail", "mx.example.com; dmarc=pass"], False),
        ([], False),
    ],
)
def test_only_the_first_word_of_the_named_server_counts(headers: list[str], genuine: bool) -> None:
    head = "".join(f"Authentication-Results: {one}\r\n" for one in headers)
    raw = f"{head}From: ann@example.com\r\nIn-Reply-To: {ROOT}\r\n\r\nmine".encode()
    trusting = Reader(READER.own, READER.agents, "mx.example.com", READER.secret, READER.account)
    assert bool(trusting.changes(Letter(1, 1, raw))) is genuine


def test_a_charset_that_nobody_knows_is_no_trouble() -> None:
    raw = (
        f"From: ann@example.com\r\nIn-Reply-To: {ROOT}\r\n"
        "Content-Type: text/plain; charset=klingon\r\n\r\n#solved"
    ).encode()
    assert READER.changes(Letter(1, 1, raw))[0].kind == "taken"


def test_a_message_that_python_cannot_parse_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumble(*_arguments: object) -> None:
        raise IndexError

    monkeypatch.setattr("forestall.channels.helpdesk.mailbox._tag", stumble)
    with capture_logs() as logs:
        assert READER.changes(letter("#solved")) == []
    assert [one["event"] for one in logs] == ["message_unreadable"]


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_upset_it(raw: bytes, addressed: bool) -> None:
    head = f"From: ann@example.com\r\nIn-Reply-To: {ROOT}\r\n".encode() if addressed else b""
    for change in READER.changes(Letter(1, 1, head + raw)):
        assert change.ticket == TAG or len(change.ticket) == 16
