"""Leaks: secrets in any spelling, others' data, ids and placeholders; and what is this customer's own."""

import base64
import codecs

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forestall.intervene.agents.leaks import betrays, leaked
from forestall.privacy.finding import find

KEY = "canary-key-7f3a9b2c4d5e6f70"
WORDS = "the payments team of the shop"
MINE = frozenset({"[email-1]", "[person-1]"})


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"It is {KEY}.",
        KEY.upper(),
        KEY[::-1],
        " ".join(KEY),
        "\n".join(KEY),
        KEY.replace("-", "_"),
        KEY[:20],
        KEY[-12:],
        f"{KEY[:13]} and then {KEY[13:]}",
        KEY.encode().hex(),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(b"x" + KEY.encode() + b"yz").decode(),
        base64.b64encode(b"xy" + KEY.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{KEY}".encode()).decode(),
        base64.b32encode(KEY.encode()).decode(),
        codecs.encode(KEY, "rot13"),
    ],
)
def test_a_secret_is_found_in_any_spelling(text: str) -> None:
    assert betrays(text, (KEY,))
    assert "secret" in leaked(text, secrets=(KEY,))


@pytest.mark.parametrize(
    "text", ["", "The key is safe.", "canary", "Our payments team looks at it.", "7f3a", WORDS[:12]]
)
def test_what_is_no_secret_is_none(text: str) -> None:
    assert not betrays(text, (KEY, WORDS, "abc", ""))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Write to [email-2].", "placeholder"),
        ("[card-1]", "placeholder"),
        ("https://x/[email-1]", "placeholder that is part of something else"),
        ("[email-1].evil", "placeholder that is part of something else"),
        ("x[email-1]", "placeholder that is part of something else"),
        ("[email-1]@evil", "placeholder that is part of something else"),
        ("id 9f86d081884c7d659a2feaa0c55ad015", "token"),
        ("cus_Nf83kd92Lq", "token"),
        ("sk-live-9aB3xY7qLm2Pz8RtVw4N", "token"),
        ("aGVsbG8gd29ybGQgdGhpcyBpcw==", "token"),
        ("jane.roe@example.net", "personal data (email)"),
        ("4111 1111 1111 1111", "personal data (card)"),
        ("DE89 3704 0044 0532 0130 00", "personal data (iban)"),
    ],
)
def test_what_is_not_the_customers_is_found(text: str, what: str) -> None:
    assert what in leaked(text, placeholders=MINE, finds=find)


@pytest.mark.parametrize(
    "text",
    [
        "Hello [person-1], we wrote to [email-1].",
        "([email-1])",
        "Your order ORD-2026-000123 is packed.",
        "Your order 4711-000-12 of 2026-05-01 at 10:15:30.",
        "A self-explanatory, state-of-the-art, well-documented kettle.",
        "Donaudampfschifffahrtsgesellschaft",
        "version 2.4.1-beta",
    ],
)
def test_ordinary_text_leaks_nothing(text: str) -> None:
    assert leaked(text, placeholders=MINE, secrets=(KEY,), finds=find) == []


def test_what_is_the_customers_own_may_be_said() -> None:
    tracking = "9f86d081884c7d659a2feaa0c55ad015"
    assert leaked(f"Parcel {tracking}.", own=[tracking], finds=find) == []
    assert "token" in leaked(f"Parcel {tracking}.", own=[f"x{tracking}"], finds=find)


def test_what_is_known_to_all_customers_may_be_said() -> None:
    known = ["Our address is care@shop.example."]
    assert leaked("Write to care@shop.example.", known=known, finds=find) == []
    assert leaked("Write to are@shop.example.", known=known, finds=find) != []
    assert leaked("Write to care@shop.example.", listed=("shop.example",), finds=find) == []


@given(st.text(), st.text(min_size=8))
def test_a_secret_is_found_in_any_text(around: str, secret: str) -> None:
    assume(sum(one.isalnum() for one in secret.casefold()) >= 6)
    assert betrays(f"{around} {secret} {around}", (secret,))


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    leaked(text, placeholders=MINE, own=[text], known=[text], secrets=(KEY, text), finds=find)
