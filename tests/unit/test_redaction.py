"""What a partner may see of a case, and that nothing personal slips through in words."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.channels.redaction import BLOT, redacted
from forestall.contracts.case import Advice, Hypothesis, Moment, Seen, Standing, Tried
from forestall.contracts.intervention import Case, Taken

AT = "2024-05-01T12:00:00.000000Z"
CANARIES = ("Kim Muster", "kim@example.com", "visa-4242", "pay-777", "10.9.8.7", "rcpt-31337")

CASE = Case(
    id="k",
    intervention="d-1",
    queue="payments",
    customer="p-1",
    policy="card-declined",
    title="Card of Kim Muster declined",
    why="visa-4242 declined twice",
    at=AT,
    events=("e1",),
    features={"last_ip": "10.9.8.7", "declines": 2},
    taken=(Taken(AT, "failed", 2, "pay-777 is gone"),),
    advice="Look at the code.",
    trace=None,
    timeline=(
        Moment(
            AT, "payment.declined", "e1", fields={"ip": "10.9.8.7", "code": 51}, personal=("ip",)
        ),
    ),
    seen=(Seen(AT, "Hello Kim Muster", "We wrote to KIM@example.com", "shown", 1),),
    hypotheses=(Hypothesis("card-declined", "v", "visa-4242 declined", AT),),
    tried=(
        Tried(
            2,
            "action",
            "retry-charge",
            "failed",
            reason="pay-777 refused",
            arguments={"payment": "pay-777"},
            fields={"receipt": "rcpt-31337"},
            evidence={"request": {"email": "kim@example.com"}},
        ),
    ),
    consent=Standing("support", True),
    traits={"name": "Kim Muster", "emails": ["kim@example.com"], "vip": True, "n": 7},
    fields={"card": {"token": "visa-4242"}},
    runbooks=(Advice("card-declined", 7, "Look at the code."),),
    reply="Dear Kim Muster, your receipt is rcpt-31337.",
    links={"Shop": "https://shop.example/kim@example.com"},
)


def test_an_agent_sees_everything() -> None:
    assert redacted(CASE, "agent") is CASE


def test_a_partner_sees_nothing_personal_anywhere() -> None:
    text = msgspec.json.encode(redacted(CASE, "partner")).decode()
    for canary in CANARIES:
        assert canary.lower() not in text.lower()


def test_a_partner_sees_what_happened_and_what_to_do() -> None:
    case = redacted(CASE, "partner")
    assert case.title == f"Card of {BLOT} declined"
    assert case.timeline[0].fields == {"code": 51}
    assert case.features == {"last_ip": BLOT, "declines": 2}
    assert (case.tried[0].name, case.tried[0].outcome) == ("retry-charge", "failed")
    assert case.tried[0].arguments == {}
    assert case.runbooks == CASE.runbooks
    assert case.consent == CASE.consent
    assert case.withheld == ("traits", "looked up", "personal fields", "links")


def test_what_is_not_there_is_not_said_to_be_withheld() -> None:
    plain = msgspec.structs.replace(
        CASE, traits={}, fields={}, tried=(), timeline=(), links={}, reply=None
    )
    case = redacted(plain, "partner")
    assert case.withheld == ()
    assert case.reply is None
    assert case.title == CASE.title


def test_a_value_within_a_longer_word_stays_readable() -> None:
    case = msgspec.structs.replace(CASE, traits={"plan": "gold"}, why="golden goldfish, gold card")
    assert redacted(case, "partner").why == f"golden goldfish, {BLOT} card"


@settings(deadline=None)
@given(st.text(min_size=3, max_size=30).filter(lambda text: len(text.strip()) >= 3))
def test_any_trait_quoted_as_a_whole_is_blotted_out(value: str) -> None:
    case = msgspec.structs.replace(CASE, traits={"x": value}, why=f"({value})")
    why = redacted(case, "partner").why
    assert value.strip().casefold() not in why.casefold() or value.strip() in BLOT


def test_redacting_twice_is_redacting_once() -> None:
    once = redacted(CASE, "partner")
    again = redacted(once, "partner")
    assert msgspec.structs.replace(again, withheld=once.withheld) == once
