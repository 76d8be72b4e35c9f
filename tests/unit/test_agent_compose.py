"""The composer: what our knowledge says, in a fitting tone, cited, and nothing else; quickly."""

import time
from typing import Any

import msgspec
import numpy as np
import pytest

from forestall.context.knowledge.index import Library
from forestall.context.knowledge.passages import Passage
from forestall.context.tone import Level, Mood, Signs
from forestall.contracts.inference import Plan
from forestall.intervene.agents.compose import MOST_WORDS, TRIED, Composing, compose
from forestall.intervene.agents.guard import Allowed, Granted


def passage(runbook: str, text: str, section: str = "customer", **more: Any) -> Passage:
    return Passage(
        **{
            "cite": f"{runbook}@1#{section}",
            "runbook": runbook,
            "version": 1,
            "section": section,
            "title": runbook.replace("-", " ").capitalize(),
            "text": text,
            **more,
        }
    )


DECLINED = passage(
    "card-declined",
    "Your bank declined the card. You can try another card or pay by invoice.",
    signals=("payment.failed",),
    actions=("resend-receipt", "retry-charge"),
)
STEPS = passage("card-declined", "Look at the decline code of the gateway first.", "steps")
RECEIPT = passage(
    "receipt-missing",
    "We have sent the receipt of your payment again.",
    actions=("resend-receipt",),
)
ARTICLE = passage(
    "delivery-times",
    "Parcels usually arrive on a working day.\nA tracking number is in the e-mail.",
    "tracking",
    kind="article",
)
GERMAN = passage(
    "karte-abgelehnt",
    "Ihre Bank hat die Karte abgelehnt. Sie können eine andere Karte verwenden.",
    language="de",
    signals=("payment.failed",),
)
KNOWN = (DECLINED, STEPS, RECEIPT, ARTICLE, GERMAN)


def composed(
    *words: str, signals: tuple[str, ...] = (), level: Level = "calm", **more: Any
) -> Plan | None:
    allowed = more.pop("allowed", Allowed())
    known = more.pop("known", KNOWN)
    found = compose(
        Composing(
            signals=signals,
            words=words,
            mood=Mood(level=level),
            search=Library(known),
            allowed=allowed,
            **more,
        )
    )
    assert not (found.plan and found.refused)
    return found.plan


def test_the_runbook_about_the_signal_comes_before_the_words() -> None:
    plan = composed("where is my parcel and its tracking number", signals=("payment.failed",))
    assert plan == Plan(
        runbook="card-declined",
        evidence=("card-declined@1#customer",),
        rationale="Our knowledge says: Card declined",
    )


def test_without_a_signal_the_words_choose() -> None:
    plan = composed("where is the receipt of my payment?", signals=("page.viewed",))
    assert plan is not None
    assert plan.runbook == "receipt-missing"


def test_an_article_is_said_as_it_stands_with_its_source() -> None:
    plan = composed("which day will the parcel arrive, and where is the tracking number")
    assert plan is not None
    assert plan.message == (
        "Parcels usually arrive on a working day.\nA tracking number is in the e-mail.\n"
        "(From our help page: Delivery times)"
    )
    assert plan.runbook is None
    assert plan.evidence == ("delivery-times@1#tracking",)


def test_what_is_for_our_people_is_never_said() -> None:
    assert composed("decline code of the gateway", known=(STEPS,)) is None


@pytest.mark.parametrize("words", ["", "zebra quantum saxophone", "\x00\u202e", "a" * 5_000])
def test_where_nothing_fits_nothing_is_said(words: str) -> None:
    assert composed(words) is None


@pytest.mark.parametrize(
    ("language", "words", "runbook"),
    [
        ("de-CH", "", "karte-abgelehnt"),
        ("en-GB", "", "card-declined"),
        (None, "meine Karte wurde nicht angenommen und ich kann nicht zahlen", "karte-abgelehnt"),
        (None, "my card was not accepted", "card-declined"),
        (None, "", "card-declined"),
        ("fr", "ma carte", None),
    ],
)
def test_the_answer_is_in_the_customers_language(
    language: str | None, words: str, runbook: str | None
) -> None:
    plan = composed(words, signals=("payment.failed",), language=language)
    assert (plan.runbook if plan else None) == runbook


@pytest.mark.parametrize(
    ("level", "signs", "opening"),
    [
        ("calm", Signs(failures=5), ""),
        ("annoyed", Signs(), "Sorry for the trouble."),
        ("annoyed", Signs(failures=2), "Sorry that it failed again."),
        ("annoyed", Signs(repetitions=3), "Sorry that you have to try this again."),
        ("upset", Signs(waiting=300), "Sorry for the wait."),
        ("upset", Signs(), "We are sorry: this should have worked, and it did not."),
    ],
)
def test_the_opening_fits_the_mood(level: Level, signs: Signs, opening: str) -> None:
    plan = composed(signals=("payment.failed",), level=level, signs=signs)
    assert plan is not None
    assert plan.message == opening
    assert plan.runbook == "card-declined"


def test_openings_are_in_german_too() -> None:
    plan = composed(signals=("payment.failed",), level="upset", language="de")
    assert plan is not None
    assert plan.message.startswith("Es tut uns leid")


def grant(**more: Any) -> Granted:
    plain: dict[str, Any] = {"bound": {"payment": "p-1"}, "wrong": lambda _: None}
    return Granted(**{**plain, **more})


def test_recommended_actions_are_planned_where_they_are_granted_and_leave_no_choice() -> None:
    allowed = Allowed(actions={"resend-receipt": grant(approve=True, people=2)})
    plan = composed("where is the receipt of my payment?", allowed=allowed)
    assert plan is not None
    (action,) = plan.actions
    assert (action.action, action.arguments) == ("resend-receipt", {"payment": "p-1"})
    assert (action.approve, action.people) == (True, 2)


@pytest.mark.parametrize(
    "granted",
    [
        {},
        {"resend-receipt": grant(bound=None)},
        {"resend-receipt": grant(wrong=lambda _: "arguments.scope is missing")},
        {"resend-receipt": grant(risk="high")},
    ],
)
def test_an_action_that_is_not_to_be_had_is_left_out(granted: dict[str, Granted]) -> None:
    plan = composed("where is the receipt of my payment?", allowed=Allowed(actions=granted))
    assert plan is not None
    assert plan.actions == ()
    assert plan.runbook == "receipt-missing"


def test_an_article_recommends_no_action() -> None:
    poisoned = msgspec.structs.replace(ARTICLE, actions=("resend-receipt",))
    allowed = Allowed(actions={"resend-receipt": grant()})
    plan = composed("tracking number of my parcel", known=(poisoned,), allowed=allowed)
    assert plan is not None
    assert plan.actions == ()


@pytest.mark.parametrize(
    "text",
    [
        "Parcels are late. Track them at https://evil.example/track.",
        "Parcels are late. You get your money back.",
        "Parcels are late. Send us your password.",
        "Parcels are late. Call +44 20 7946 0958.",
    ],
)
def test_an_imported_article_that_may_not_be_said_gives_way_to_the_next(text: str) -> None:
    bad = passage("late-parcels", text, "late", kind="article")
    plan = composed("why are parcels late", known=(bad,))
    assert plan is None
    good = passage("parcels", "Parcels are late in storms.", "storms", kind="article")
    plan = composed("why are parcels late", known=(bad, good))
    assert plan is not None
    assert plan.evidence == ("parcels@1#storms",)


def test_a_runbook_that_leads_elsewhere_needs_its_host_listed() -> None:
    book = passage("track", "Track your parcel at shop.example.com/track, {{ event.data.name }}.")
    assert composed("track my parcel", known=(book,)) is None
    allowed = Allowed(links=("shop.example.com",))
    plan = composed("track my parcel", known=(book,), allowed=allowed)
    assert plan is not None
    assert plan.runbook == "track"


def test_it_gives_up_after_a_few() -> None:
    bad = [
        passage(f"late-{number}", "Parcels are late. See evil.example.", "late", kind="article")
        for number in range(TRIED)
    ]
    worse = passage("z", "Parcels and other things, late or not, in the long run.", kind="article")
    assert composed("why are parcels late", known=(*bad, worse)) is None


def test_a_long_article_is_cut_at_a_sentence() -> None:
    long = passage("long", "Parcels are packed by hand. " * 100, "packing", kind="article")
    plan = composed("how are parcels packed", known=(long,))
    assert plan is not None
    said, source = plan.message.split("\n")
    assert len(said) <= MOST_WORDS
    assert said.endswith("by hand.")
    assert source == "(From our help page: Long)"


def test_the_same_question_has_the_same_answer() -> None:
    assert len({str(composed("my card was declined", level="upset")) for _ in range(3)}) == 1


def test_among_ten_thousand_documents_it_answers_within_fifty_milliseconds() -> None:
    chance = np.random.default_rng(7)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]
    known = [
        passage(f"book-{number}", " ".join(chance.choice(words, 60)), kind="article")
        for number in range(10_000)
    ]
    library = Library([*known, *KNOWN])
    questions = [" ".join(chance.choice(words, 12)) for _ in range(40)]
    took = []
    for question in [*questions, "my card was declined by the bank"]:
        request = Composing(
            signals=("payment.failed", "nothing"),
            words=(question,),
            mood=Mood(level="upset"),
            search=library,
            allowed=Allowed(),
        )
        began = time.process_time()
        assert compose(request).plan is not None
        took.append(time.process_time() - began)
    assert sorted(took)[len(took) // 2] < 0.05
