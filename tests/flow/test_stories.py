"""Stories of customers in trouble, told with real servers that fail, hang and lie."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.storytelling import ANNA, BEN, HOOK, OTHER_HOOK, Shop, shop
from running import until
from scripts.request_tracker import request_tracker

HEAD = """
apiVersion: forestall/v1
kind: Policy
metadata: {{name: {name}, title: {title}, owner: payments}}
spec:
  cooldown: 1s
  priority: {priority}
"""


def policy(body: str, name: str = "help", title: str = "Help", priority: int = 50) -> str:
    """A policy with a head, so that stories show only what matters to them."""
    return HEAD.format(name=name, title=title, priority=priority) + body


CARD = policy(
    """
  when: {event: payment.failed}
  playbook:
    - enrich: {from: payment, with: {payment: event.data.payment}, fields: [retryable, card_brand]}
    - branch:
        - if: fields.retryable == true
          do:
            - ask: {text: "Your card was declined. Try once more?", channel: inapp,
                    choices: {retry: "Try again", no: "Not now"}, as: answer, for: 10m}
            - branch:
                - if: fields.answer == "retry"
                  do:
                    - approve: {by: approver, for: 30m, why: "A second charge.",
                                on_failure: [{escalate: {queue: payments}}]}
                    - remediate: {action: retry-charge, with: {payment: event.data.payment},
                                  fields: [receipt], queue: payments}
                    - guide: {text: "You have paid.", channel: inapp}
                    - resolve: {as: resolved}
        - else:
            - escalate: {queue: payments}
""",
    name="card-declined",
)


SOON = (
    CARD.replace("for: 30m", "for: 1s")
    .replace("card-declined", "card-soon")
    .replace("payment.failed", "payment.declined")
)
TOKEN = policy(
    """
  when:
    sequence: [{event: api.unauthorized, times: 2}]
    within: 5m
  playbook:
    - remediate: {action: reissue-token, with: {customer: event.data.customer}, queue: payments}
    - guide: {text: "Your token had expired. You have a new one.", channel: inapp}
""",
    name="token",
)
TOLD_TWICE = """
  when: {event: payment.refused}
  playbook:
    - guide: {text: "From %s.", channel: inapp}
"""
FIRST = policy(TOLD_TWICE % "first", "first", priority=80)
SECOND = policy(TOLD_TWICE % "second", "second")
TWO_REMEDIES = policy(
    """
  when: {event: payment.unclear}
  playbook:
    - remediate: {action: reissue-token, with: {customer: event.data.customer}, queue: payments}
    - remediate: {action: resend-receipt, with: {payment: event.data.payment}, queue: payments,
                  timeout: 2s}
""",
    name="two-remedies",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    policies = "---".join((CARD, SOON, TOKEN, FIRST, SECOND, TWO_REMEDIES))
    with shop(tmp_path_factory.mktemp("shop"), policies) as made:
        yield made


@pytest.fixture
def story(whole: Shop, request: pytest.FixtureRequest) -> Shop:
    """The shop for a customer of this story's own, in which nothing has happened yet."""
    return whole.of(request.node.name)


def test_a_declined_card_is_mended_by_a_second_charge_that_a_person_approved(
    story: Shop,
) -> None:
    story.payments.add("p1", amount=20)
    story.happens("payment.failed", payment="p1")

    (question,) = story.messages(1)
    assert question["choices"] == {"retry": "Try again", "no": "Not now"}
    story.answers(question, 3, "retry")

    request = story.approval()
    assert (request["action"], request["arguments"]) == ("retry-charge", {"payment": "p1"})
    assert request["evidence"]["dry_run"], "what it would do was tried"
    assert story.payments.charges == {}, "and had no effect"
    assert story.decides(request, "approved") == 201

    (message,) = story.messages(1)
    assert message["body"] == "You have paid."
    assert story.ended() == "resolved"
    assert story.told() == [
        ("started", None),
        ("filled", 1),
        ("answered", 3),
        ("approved", 5),
        ("remediated", 7),
        ("resolved", 9),
    ]
    assert [one["status"] for one in story.payments.charges.values()] == ["succeeded"]
    proves_who_approved(story, request["id"])


def proves_who_approved(story: Shop, approval: str) -> None:
    """The receipt of an approval holds without the server, and only as it is."""
    folder = story.server.folder
    receipt = story.ask("GET", f"/v1/approvals/{approval}/receipt").json()
    (folder / "receipt.json").write_text(json.dumps(receipt))
    (folder / "key.pem").write_bytes(story.ask("GET", "/v1/approvals/key").content)
    verify = ("approval", "verify", "receipt.json", "--key", "key.pem")
    assert "anna" in story.server.run(*verify).stdout
    forged = json.dumps(receipt).replace("p1", "p2").replace("anna", "otto")
    (folder / "receipt.json").write_text(forged)
    assert story.server.run(*verify).returncode == 1


def test_an_expired_token_is_issued_anew(story: Shop) -> None:
    story.happens("api.unauthorized", customer="c7")
    story.happens("api.unauthorized", customer="c7")
    (message,) = story.messages(1)
    assert message["body"].endswith("You have a new one.")
    (made,) = story.payments.reissued.values()
    assert (made["customer"], made["scope"], made["revoked"]) == ("c7", "read", False)
    assert story.ended() == "remediated"


STUCK = policy("""
  when: {sequence: [{event: export.started}, {not: export.finished, for: 1s}]}
  playbook:
    - escalate: {queue: exports}
""")

DESK = """
[helpdesks.tracker]
kind = "request-tracker"
url = "{url}"
token = "{token}"
queue = "payments"
poll = "200ms"
[queues.exports]
helpdesk = "tracker"
solved = "Your export is on its way."
"""


def test_a_stuck_export_is_handed_to_a_person_who_solves_it(tmp_path: Path) -> None:
    (tmp_path / "tracker").mkdir()
    with request_tracker(tmp_path / "tracker") as tracker, tracker.person("ann") as ann:
        more = DESK.format(url=tracker.url, token=tracker.tokens["forestall"])
        with shop(tmp_path / "shop", STUCK, more=more) as story:
            story.happens("export.started", export="x1")
            story.waits_for("escalated", 1)
            story.waits_for("forestall.ticket.opened")
            found = ann.get("tickets", params={"query": "id > 0"}).json()["items"]
            (ticket,) = [str(one["id"]) for one in found]
            assert ann.put(f"ticket/{ticket}", json={"Owner": "ann"}).status_code == 200
            story.waits_for("taken")
            assert ann.put(f"ticket/{ticket}", json={"Status": "resolved"}).status_code == 200
            story.waits_for("forestall.ticket.closed")
            (message,) = story.messages(1)
            assert message["body"] == "Your export is on its way."


def test_an_approval_expires_and_a_person_gets_the_case(story: Shop) -> None:
    story.payments.add("p1")
    story.happens("payment.declined", payment="p1")
    (question,) = story.messages(1)
    story.answers(question, 3, "retry")
    request = story.approval()
    assert story.waits_for("declined", 5)["reason"] == "expired"
    assert story.decides(request, "approved") == 409, "too late is too late"
    assert story.ended() == "escalated"
    assert story.payments.charges == {}
    assert len(story.desk.cases) == 1


def test_a_helpdesk_refuses_a_wrong_signature_and_gets_every_case_once_it_is_right(
    tmp_path: Path,
) -> None:
    failed = policy("""
  when: {event: export.failed}
  playbook:
    - escalate: {queue: payments}
""")
    with shop(tmp_path, failed, hook=OTHER_HOOK) as story:
        story.happens("export.failed")
        until(lambda: story.desk.refused)
        until(lambda: "401" in story.server.log.read_text())
        assert HOOK not in story.server.log.read_text()
        assert story.desk.cases == set()
        until(story.told)
        assert story.told() == [("started", None)], "it waits; nothing is given up"
        story.server.stop()
        config = story.server.config
        config.write_text(config.read_text().replace(OTHER_HOOK, HOOK))
        story.server.start()
        assert story.ended() == "escalated"
        assert len(story.desk.cases) == 1


def test_a_customer_opts_out_halfway(story: Shop) -> None:
    story.payments.add("p1")
    story.happens("payment.failed", payment="p1")
    (question,) = story.messages(1)
    story.answers(question, 3, "retry")
    request = story.approval()
    story.happens("forestall.optout")
    assert story.ended() == "cancelled"
    story.decides(request, "approved")
    until(story.server.settled)
    assert "charge" not in story.payments.calls
    assert story.payments.charges == {}


def test_two_policies_at_once_reach_the_customer_once(story: Shop) -> None:
    story.happens("payment.refused", payment="p1")
    (message,) = story.messages(1)
    assert message["body"] == "From first."
    until(story.server.settled)
    assert story.reasons() == {"first": None, "second": "outranked"}
    until(story.told)
    assert story.told() == [("started", None)]


def test_what_was_done_is_undone_when_the_next_remedy_lies(story: Shop) -> None:
    story.payments.add("p1")
    story.payments.trouble["resendReceipt"] = "lie"
    story.happens("payment.unclear", payment="p1", customer="c7")
    assert story.waits_for("failed", 2)["reason"] == "verification"
    assert story.ended() == "escalated"
    (token,) = story.payments.reissued.values()
    assert token["revoked"], "the first remedy was taken back"
    assert [kind for kind, _ in story.told()][-2:] == ["undone", "escalated"]
    assert len(story.desk.cases) == 1


def test_a_crash_in_the_middle_of_a_charge_makes_no_second_one(story: Shop) -> None:
    story.payments.add("p1")
    story.happens("payment.failed", payment="p1")
    (question,) = story.messages(1)
    story.answers(question, 3, "retry")
    story.payments.trouble["charge"] = "lost"
    request = story.approval()
    assert story.decides(request, "approved", BEN) == 201
    until(lambda: "charge" in story.payments.calls)
    story.server.kill("app")
    del story.payments.trouble["charge"]
    assert story.messages(1)[0]["body"] == "You have paid."
    assert story.ended() == "resolved"
    assert len(story.payments.charges) == 1
    assert [kind for kind, _ in story.told()].count("remediated") == 1


def test_nobody_without_the_role_approves(story: Shop) -> None:
    story.payments.add("p1")
    story.happens("payment.failed", payment="p1")
    (question,) = story.messages(1)
    story.answers(question, 3, "retry")
    request = story.approval()
    assert story.decides(request, "approved", "somebody-else-entirely") == 401
    assert story.decides(request, "approved", ANNA) == 201
    assert story.decides(request, "approved", ANNA) == 409
    assert story.messages(1)[0]["body"] == "You have paid."
    assert story.ended() == "resolved"
