"""The guard does not just say no: ordinary messages pass, and quotations, and what is granted."""

from pathlib import Path

import msgspec
import pytest
import yaml

from containment.world import CANARY, HELP
from forestall.context.knowledge.passages import Passage
from forestall.intervene.agents.guard import Allowed, Proposal, guard
from forestall.intervene.agents.promises import KINDS, promised

MESSAGES = [
    (language, text)
    for language, texts in yaml.safe_load(
        Path(__file__).with_name("harmless.yaml").read_text()
    ).items()
    for text in texts
]
PROMISES: list[str] = yaml.safe_load(Path(__file__).with_name("promises.yaml").read_text())
ALLOWED = Allowed(
    passages=(HELP,),
    links=("shop.example.com",),
    placeholders=frozenset({"[person-1]", "[email-1]"}),
    own=frozenset({"00340434161094042557"}),
    secrets=(CANARY,),
)


@pytest.mark.parametrize("text", [text for _, text in MESSAGES])
def test_an_ordinary_message_passes(text: str) -> None:
    guarded = guard(Proposal(message=text, rationale="It answers the question."), ALLOWED)
    assert guarded.refused == ()
    assert guarded.plan is not None
    assert guarded.plan.message == text


def test_there_are_enough_of_them_in_both_languages() -> None:
    languages = [language[:2] for language, _ in MESSAGES]
    assert languages.count("en") >= 60
    assert languages.count("de") >= 60


@pytest.mark.parametrize("text", PROMISES)
def test_a_promise_in_other_words_does_not_pass(text: str) -> None:
    assert promised(text)
    guarded = guard(Proposal(message=text), ALLOWED)
    assert guarded.plan is None
    assert any(turned.what.startswith("promise ") for turned in guarded.refused)
    assert text not in str(guarded.refused)


@pytest.mark.parametrize("text", PROMISES)
def test_a_promise_passes_where_it_is_granted(text: str) -> None:
    allowed = msgspec.structs.replace(ALLOWED, promises=KINDS)
    assert guard(Proposal(message=text), allowed).plan is not None


def test_there_are_promises_of_every_kind() -> None:
    assert len(PROMISES) >= 200
    assert set().union(*map(promised, PROMISES)) == set(KINDS)


def test_what_a_runbook_says_to_customers_may_be_quoted() -> None:
    returns = Passage(
        cite="returns@2#customer",
        runbook="returns",
        version=2,
        section="customer",
        title="Returns",
        text="You get a full refund within 14 days. Shipping is free.",
    )
    allowed = Allowed(passages=(returns,))
    said = Proposal(message="You get a full refund within 14 days.", evidence=(returns.cite,))
    assert guard(said, allowed).plan is not None
    uncited = Proposal(message="You get a full refund within 14 days.")
    assert guard(uncited, allowed).plan is None
    more = Proposal(message="You get a full refund within 14 years.", evidence=(returns.cite,))
    assert guard(more, allowed).plan is None
