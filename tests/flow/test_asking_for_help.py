"""A customer looks at help, does something with it, and asks for a person: what that moves, and what
it does not."""

import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.intervening import RUNBOOK, START, World, event
from flow.storytelling import Shop, shop
from forestall.channels.redaction import redacted
from forestall.context.knowledge.runbooks import read_runbook
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import Case, Show
from forestall.intervene.effect_store import decode_case
from forestall.intervene.store import Store
from forestall.kernel.clock import wall_clock
from running import SECRET, until

FORM = "show: {as: handover}\nknown: ['Your order {{ event.data.order_id }}', A declined card]\n"
PERSON = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: person, title: A person helps, owner: payments}
spec:
  when: {sequence: [{event: payment.declined, times: 2}], within: 10m}
  playbook:
    - guide: {runbook: card-declined, channel: inapp}
    - await: {event: client.help, where: WHERE, for: 10m, then: next,
              on_failure: [{resolve: {as: resolved}}]}
    - escalate: {queue: payments}
"""
WORDS = PERSON.replace("WHERE", "'has(event.data.words)'")
TOPIC = PERSON.replace("WHERE", "event.data.topic == 'payment'")
ON_ITS_OWN = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: asked, title: Somebody asked, owner: care}
spec:
  when: {event: client.help, where: event.data.topic == 'delivery'}
  playbook:
    - guide: {text: "We read: {{ event.data.words }}", channel: inapp}
    - escalate: {queue: payments}
"""
ASKED = "The card of ann@example.org is refused, call +41 44 668 18 00."


def world(folder: Path, *texts: str) -> World:
    """A deployment whose runbook is shown as a hand-over."""
    made = World(folder, *texts)
    text = RUNBOOK.replace("---\n## Customer", FORM + "---\n## Customer")
    made.runbooks["card-declined"] = read_runbook(text, "card.md")
    made.settle(
        event("payment.declined", 0, order_id="o1"), event("payment.declined", 10, order_id="o2")
    )
    return made


def help_(seconds: float, topic: str = "payment", **data: Any) -> Record:
    return event("client.help", seconds, origin="browser", topic=topic, **data)


def receipt(made: World, kind: str, seconds: float, subject: str = "s1", **data: Any) -> Record:
    """What a page tells about the newest intervention."""
    named: dict[str, Any] = {
        "intervention": made.store.newest(1)[0].id,
        "policy": "person",
        "step": 1,
    }
    kind = f"forestall.intervention.{kind}"
    return event(kind, seconds, subject, origin="browser", **named, **data)


def case_of(made: World) -> Case:
    (effect,) = made.store.effects.waiting(START * 2, 100)
    return decode_case(effect)


def test_who_asks_gets_a_person_who_knows_the_words(tmp_path: Path) -> None:
    made = world(tmp_path, WORDS)
    (message,) = [one for _, _, one in made.store.messages_after("s1", 0, START)]
    assert message.show == Show("handover")
    assert message.known == ("Your order o2", "A declined card")
    made.settle(receipt(made, "seen", 12), receipt(made, "acted", 13, what="why"))
    made.settle(help_(20))
    assert made.store.effects.waiting(START * 2, 100) == [], "no words, no person yet"
    made.settle(help_(30, words=ASKED, policy="person", intervention=message.intervention, step=1))
    case = case_of(made)
    (asked,) = [one for one in case.timeline if one.fields.get("words")]
    assert (asked.type, asked.personal) == ("client.help", ())
    said = asked.fields["words"]
    assert said.startswith("The card of ")
    assert "ann@example.org" not in said
    assert "668 18 00" not in said
    assert [one.what for one in case.taken] == ["started", "seen", "acted why"]
    assert [(one.step, one.status) for one in case.seen] == [(1, "seen")]
    partner = redacted(case, "partner")
    assert [one.fields for one in partner.timeline] == [one.fields for one in case.timeline]


def test_words_that_the_policy_does_not_read_are_in_no_case(tmp_path: Path) -> None:
    made = world(tmp_path, TOPIC)
    made.settle(help_(20, words=ASKED))
    told = [one.fields for one in case_of(made).timeline if one.type == "client.help"]
    assert told == [{"topic": "payment"}]


def test_a_call_for_help_may_set_off_a_policy_of_its_own(tmp_path: Path) -> None:
    made = World(tmp_path, ON_ITS_OWN)
    made.settle(help_(1, topic="payment", words="x"))
    assert made.store.newest() == []
    made.settle(help_(2, topic="delivery", words="Where is it?"))
    assert made.messages() == ["We read: Where is it?"]
    (moment,) = [one for one in case_of(made).timeline if one.matched]
    assert moment.fields == {"topic": "delivery", "words": "Where is it?"}


def test_each_act_is_remembered_once_and_never_in_the_pages_words(tmp_path: Path) -> None:
    made = world(tmp_path, WORDS)
    acts: list[dict[str, Any]] = [
        {"what": "step", "value": "1"},
        {"what": "step", "value": "2"},
        {"what": "step", "value": "1"},
        {"what": "step", "value": "<b>x"},
        {"what": "step", "value": "100"},
        {"what": "link", "value": "https://x.example/?token=y"},
        {"what": "why"},
    ]
    made.settle(
        *(receipt(made, "acted", 11 + number, **one) for number, one in enumerate(acts)),
        receipt(made, "acted", 30, "s2", what="choice"),
    )
    (found,) = made.store.newest(1)
    told = [one.what for one in found.taken]
    assert told == [
        "started",
        "acted step 1",
        "acted step 2",
        "acted step",
        "acted link",
        "acted why",
    ]
    assert {one.step for one in found.taken[1:]} == {1}
    assert found.outcome == "running"


def test_what_ended_stays_ended_and_is_told_all_the_same(tmp_path: Path) -> None:
    made = world(tmp_path, WORDS)
    made.settle(receipt(made, "dismissed", 20))
    made.settle(receipt(made, "seen", 21), receipt(made, "acted", 22, what="link"))
    (found,) = made.store.newest(1)
    assert found.outcome == "dismissed"
    assert [one.what for one in found.taken] == ["started", "dismissed", "seen", "acted link"]


LIKE_NOTHING = "forestall.optin"
"""An event of ours that means nothing to a playbook."""

_KINDS = st.sampled_from(["note", "note", "client.help", "dismissed", "payment.declined", "tick"])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(_KINDS, st.sampled_from(["seen", "acted"]), st.integers(1, 200)), max_size=8)
)
def test_notes_change_nothing_that_an_event_without_meaning_would_not(
    tmp_path_factory: pytest.TempPathFactory, happened: list[tuple[str, str, int]]
) -> None:
    with_notes, without = (
        _history(tmp_path_factory.mktemp("world"), happened, notes) for notes in (True, False)
    )
    assert with_notes == without


def _history(folder: Path, happened: list[tuple[str, str, int]], notes: bool) -> list[Any]:
    made = world(folder, WORDS)
    at = 10
    for kind, note, gap in happened:
        at += gap
        if kind == "tick":
            made.tick(at)
            made.settle()
        elif kind == "note" and notes:
            made.settle(receipt(made, note, at, what="why"))
        elif kind == "note":
            made.settle(event(LIKE_NOTHING, at))
        elif kind == "dismissed":
            made.settle(receipt(made, "dismissed", at))
        elif kind == "client.help":
            made.settle(help_(at, words="Please."))
        else:
            made.settle(event(kind, at, order_id="o3"))
    ends = [
        (one.outcome, one.reason, one.ended, one.at, [t.what for t in one.taken if _moves(t.what)])
        for one in made.store.newest(100)
    ]
    waiting = [(one.kind, one.step) for one in made.store.effects.waiting(START * 2, 100)]
    found = [ends, waiting, made.told(), made.messages(seconds=at - 1)]
    made.store.close()
    return found


def _moves(what: str) -> bool:
    return what != "seen" and not what.startswith("acted")


SERVED = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: person, title: A person helps, owner: payments}
spec:
  cooldown: 1s
  when: {event: payment.failed}
  playbook:
    - guide: {runbook: payment, channel: inapp}
    - await: {event: client.help, where: 'has(event.data.words)', for: 30m, then: next}
    - escalate: {queue: payments}
"""
PAYMENT = """---
id: payment
title: Your payment did not go through
version: 1
owner: payments
review_by: 2099-01-01
show: {as: handover}
known: ["Your payment {{ event.data.payment }}"]
fields: [event.data.payment]
---
## Customer
Shall somebody look at payment {{ event.data.payment }} with you?
"""


def test_a_page_gets_it_tells_of_it_and_asks(tmp_path: Path) -> None:
    files = {"runbooks/payment.md": PAYMENT}
    more = '[runbooks]\nfolder = "runbooks"\n'
    with shop(tmp_path, SERVED, more=more, files=files) as story:
        story.happens("payment.failed", payment="p-17")
        started = story.waits_for("started")
        frame = until(lambda: _frame(story))
        assert [line.partition(":")[0] for line in frame] == ["id", "event", "data"]
        message = json.loads(frame[2].removeprefix("data: "))
        assert frame[0] == f"id: {message['id']}"
        assert {
            name: message[name] for name in ("show", "known", "version", "step", "title", "body")
        } == {
            "show": {"as": "handover"},
            "known": ["Your payment p-17"],
            "version": started["version"],
            "step": 1,
            "title": "Your payment did not go through",
            "body": "Shall somebody look at payment p-17 with you?",
        }
        assert not {"steps", "choices", "locale"} & message.keys()
        about = {name: message[name] for name in ("intervention", "policy", "version", "step")}
        seen = "forestall.intervention.seen"
        assert _page(story, seen, about, None) == ("quarantined", "subject-token-required")
        assert _page(story, seen, about, "mallory") == ("quarantined", "subject-token-mismatch")
        assert _page(story, seen, about, story.customer) == ("accepted", None)
        acted = "forestall.intervention.acted"
        assert _page(story, acted, {**about, "what": "typed"}, story.customer) == (
            "quarantined",
            "invalid-data",
        )
        assert _page(story, acted, {**about, "what": "why"}, story.customer)[0] == "accepted"
        words = {"topic": "payment", "words": "Please call me.", **about}
        assert _page(story, "client.help", words, None)[0] == "accepted"
        until(lambda: story.desk.cases)
        case = _case(story, message["intervention"])
        told = [one.fields.get("words") for one in case.timeline if one.type == "client.help"]
        assert told == ["Please call me."]
        assert {"seen", "acted why"} <= {one.what for one in case.taken}
        assert len(story.desk.cases) == 1
        shown = story.server.run("interventions", "show", message["intervention"]).stdout
        assert "  seen step 1\n" in shown
        assert "  acted why step 1\n" in shown


def _frame(story: Shop) -> list[str]:
    """The lines of the first ``message`` on the customer's stream, as they come over the wire."""
    head = {"authorization": f"Bearer {_token(story.customer)}"}
    address = f"{story.server.client.base_url}/v1/stream"
    with httpx.stream("GET", address, headers=head, timeout=20) as stream:
        lines: list[str] = []
        for line in stream.iter_lines():
            if line:
                lines.append(line)
            elif "event: message" in lines:
                return lines
            else:
                lines = []
    return []


def _token(who: str) -> str:
    return jwt.encode({"sub": who, "exp": wall_clock() // SECOND + 600}, SECRET, "HS256")


def _page(story: Shop, kind: str, data: dict[str, Any], who: str | None) -> tuple[str, str | None]:
    """What the gateway says to an event of the customer's page, sent with the token of ``who``."""
    sent = {
        "specversion": "1.0",
        "id": f"page-{kind}-{who}-{data.get('what')}",
        "source": "/web/1",
        "type": kind,
        "subject": story.customer,
        "data": data,
    }
    head = {} if who is None else {"forestall-subject-token": _token(who)}
    head["content-type"] = "application/cloudevents-batch+json"
    answer = story.server.client.post(
        "/v1/events", json=[sent], auth=("browser-key", ""), headers=head
    )
    (verdict,) = answer.json()["verdicts"]
    return verdict["verdict"], verdict.get("code")


def _case(story: Shop, intervention: str) -> Case:
    store = Store(story.server.data / "app.db", read_only=True)
    try:
        cases = [one for one in store.effects.of(intervention) if one.kind == "escalation"]
    finally:
        store.close()
    return decode_case(cases[0])
