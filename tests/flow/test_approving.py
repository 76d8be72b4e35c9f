"""High risk waits for people: from the request over the answer to the act, with the real stage."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from databases import postgres
from flow.staffed import ANN, BOB, CAT, EVE, Staffed, charge
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import HOUR, MINUTE
from forestall.contracts.refusals import NotThere, OwnRequest, ReasonMissing, RoleMissing, TooLate
from forestall.intervene.approvals import Approval, digest
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.receipts import read_public, verify


@pytest.fixture(params=["sqlite", "postgres"])
def staffed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Staffed]:
    tables = postgres().database() if request.param == "postgres" else None
    world = Staffed(tmp_path, tables=tables)
    yield world
    world.store.close()


def decide(staffed: Staffed, approval: str, token: str = ANN, *, yes: bool = True) -> Approval:
    who = staffed.people.find(token)
    return staffed.approving.decide(who, approval, "approved" if yes else "declined", "I looked")


def last_report(staffed: Staffed) -> CloudEvent:
    return staffed.waiting()[-1]


def test_a_request_shows_what_a_person_needs(staffed: Staffed) -> None:
    asked = staffed.ask()
    assert (asked.status, asked.action, asked.people, asked.role) == (
        "open",
        "retry-charge",
        1,
        "approver",
    )
    assert asked.arguments == {"payment": "p1", "amount": 20}
    assert asked.covers is not None
    evidence = asked.evidence
    assert evidence.explanation
    assert evidence.events == ("payment.failed-1.0-s1",)
    assert evidence.why == "A second charge."
    assert evidence.alternatives[-1] == "end"
    assert "escalate to payments" in evidence.alternatives[0]
    assert evidence.last == {"type": "payment.failed", "data": {"payment": "p1", "amount": 20}}
    assert evidence.fields == {}
    assert evidence.customers == 1
    assert evidence.dry_run == {
        "outcome": "done",
        "reason": None,
        "detail": "",
        "evidence": {"would": "charge 20"},
    }
    assert asked.expires == asked.asked + 30 * MINUTE
    assert staffed.bench.done == []


def test_what_was_looked_up_is_evidence(tmp_path: Path) -> None:
    lookup = "    - enrich: {from: billing, with: {p: event.data.payment}, fields: [receipt]}\n"
    staffed = Staffed(tmp_path, charge().replace("  playbook:\n", f"  playbook:\n{lookup}"))
    staffed.fail("s1")
    assert staffed.act() == ["done"]
    staffed.come_back()
    staffed.tend()
    (asked,) = staffed.asked()
    assert asked.evidence.fields == {"receipt": "r1"}
    assert asked.step == 2
    staffed.store.close()


def test_nobody_decides_before_the_dry_run(staffed: Staffed) -> None:
    staffed.fail("s1")
    (asked,) = staffed.asked("preparing")
    with pytest.raises(TooLate, match=r"^preparing"):
        decide(staffed, asked.id)
    staffed.tend()
    assert decide(staffed, asked.id).status == "approved"


def test_a_yes_is_told_to_the_log_and_the_act_follows(staffed: Staffed) -> None:
    asked = staffed.ask()
    assert staffed.act() == []
    decide(staffed, asked.id)
    told = last_report(staffed)
    assert told.type == "forestall.intervention.approved"
    assert isinstance(told.data, msgspec.Raw)
    data = msgspec.json.decode(told.data)
    assert (data["step"], data["by"], "reason" in data) == (asked.step, "ann", False)
    staffed.come_back()
    assert staffed.act() == ["done"]
    (job,) = staffed.bench.done
    assert (job.name, job.arguments, job.approval) == ("retry-charge", asked.arguments, asked.id)
    staffed.come_back()
    assert staffed.ending(asked.intervention) == "resolved"
    assert staffed.noted() == ["ann approval.approved"]


def test_a_no_follows_the_playbook(staffed: Staffed) -> None:
    asked = staffed.ask()
    assert decide(staffed, asked.id, yes=False).status == "declined"
    assert staffed.told()[-1].startswith("declined")
    assert staffed.told()[-1].endswith("I looked")
    staffed.come_back()
    (effect,) = staffed.store.effects.of(asked.intervention)
    assert (effect.kind, effect.channel) == ("escalation", "payments")
    assert staffed.bench.done == []


def test_what_nobody_answers_expires_as_declined(staffed: Staffed) -> None:
    asked = staffed.ask()
    staffed.seconds += 30 * 60 - 1
    staffed.tend()
    assert staffed.approving.get(asked.id).status == "open"
    staffed.seconds += 1
    with pytest.raises(TooLate, match=r"^expired"):
        decide(staffed, asked.id)
    staffed.tend()
    assert staffed.approving.get(asked.id).status == "expired"
    assert staffed.told()[-1] == f"declined {asked.step} expired"
    with pytest.raises(TooLate, match=r"^expired"):
        decide(staffed, asked.id)
    staffed.tend()
    assert staffed.told().count(f"declined {asked.step} expired") == 1
    staffed.come_back()
    assert [one.kind for one in staffed.store.effects.of(asked.intervention)] == ["escalation"]
    assert staffed.noted() == ["forestall approval.expired"]


def test_a_request_that_is_never_prepared_expires_too(staffed: Staffed) -> None:
    staffed.fail("s1")
    staffed.seconds += 3_600
    staffed.tend()
    assert [one.status for one in staffed.asked(None)] == ["expired"]


def test_two_people_where_the_policy_or_the_action_says_so(tmp_path: Path) -> None:
    for folder, people, demanded in (("policy", 2, 1), ("action", 1, 2)):
        (tmp_path / folder).mkdir()
        staffed = Staffed(tmp_path / folder, charge(people=people))
        staffed.demands["retry-charge"] = demanded
        asked = staffed.ask()
        assert asked.people == 2
        assert decide(staffed, asked.id).status == "open"
        with pytest.raises(OwnRequest):
            decide(staffed, asked.id)
        assert staffed.told()[-1].startswith("started")
        assert decide(staffed, asked.id, BOB).status == "approved"
        receipt = staffed.approving.receipt(asked.id)
        assert [one["name"] for one in receipt.statement["people"]] == ["ann", "bob"]


def test_only_the_role_that_is_asked_for(staffed: Staffed) -> None:
    asked = staffed.ask()
    for token in (CAT, EVE):
        with pytest.raises(RoleMissing):
            decide(staffed, asked.id, token)
    with pytest.raises(ReasonMissing):
        staffed.approving.decide(staffed.people.find(ANN), asked.id, "approved", "  ")
    with pytest.raises(NotThere):
        decide(staffed, "f" * 32)
    assert staffed.noted() == []


def test_nobody_approves_what_they_had_repeated(staffed: Staffed) -> None:
    asked = staffed.ask()
    bob = staffed.people.find(BOB)
    staffed.office.commanding.command(bob, asked.intervention, "repeat", "ask again")
    staffed.come_back()
    staffed.tend()
    (again,) = staffed.asked()
    assert (again.id, again.asked > asked.asked) == (asked.id, True)
    with pytest.raises(OwnRequest, match="bob commanded"):
        decide(staffed, again.id, BOB)
    assert decide(staffed, again.id).status == "approved"
    staffed.come_back()
    assert staffed.act() == ["done"]


def test_who_commands_after_saying_yes_has_not_approved(staffed: Staffed) -> None:
    asked = staffed.ask()
    decide(staffed, asked.id, BOB)
    staffed.come_back()
    bob = staffed.people.find(BOB)
    staffed.office.commanding.command(bob, asked.intervention, "repeat", "once more")
    staffed.come_back()
    assert set(staffed.act()) == {"failed", "superseded"}
    assert staffed.bench.done == []


def test_a_forced_wait_is_no_approval(staffed: Staffed) -> None:
    asked = staffed.ask()
    cat = staffed.people.find(CAT)
    staffed.office.commanding.command(cat, asked.intervention, "force", "hurry")
    staffed.come_back()
    assert staffed.approving.get(asked.id).status == "void"
    (effect,) = staffed.store.effects.of(asked.intervention)
    assert (effect.kind, effect.channel) == ("escalation", "payments")
    with pytest.raises(TooLate, match=r"^void"):
        decide(staffed, asked.id)


def test_what_ended_needs_no_answer(staffed: Staffed) -> None:
    asked = staffed.ask()
    cat = staffed.people.find(CAT)
    staffed.office.commanding.command(cat, asked.intervention, "stop", "the customer called")
    staffed.come_back()
    assert staffed.ending(asked.intervention) == "cancelled"
    assert staffed.approving.get(asked.id).status == "void"
    with pytest.raises(TooLate, match=r"^void"):
        decide(staffed, asked.id)


def test_a_request_left_over_by_a_crash_is_void(staffed: Staffed) -> None:
    asked = staffed.ask()
    state = staffed.store.state(asked.intervention)
    assert state is not None
    staffed.store.keep(replace(state, ending="cancelled", ended=state.clock))
    with pytest.raises(TooLate, match=r"^ended"):
        decide(staffed, asked.id)
    staffed.seconds += 60
    staffed.tend()
    assert staffed.approving.get(asked.id).status == "void"


def test_a_changed_argument_voids_the_approval(staffed: Staffed) -> None:
    asked = staffed.ask()
    decide(staffed, asked.id)
    job = Job(kind="action", name="retry-charge", arguments=dict(asked.arguments))
    about = (asked.intervention, asked.covers or 0, asked.version)
    assert staffed.approving.granted(asked.id, job, *about)
    assert not staffed.approving.granted("f" * 32, job, *about)
    for changed in (
        replace(job, arguments={**job.arguments, "amount": 2000}),
        replace(job, name="refund"),
    ):
        put = staffed.approving.get(asked.id)
        assert put.status == "approved"
        assert not staffed.approving.granted(asked.id, changed, *about)
        assert staffed.approving.get(asked.id).status == "void"
        assert not staffed.approving.granted(asked.id, job, *about)
        staffed.approving._kept.put(put)
    for elsewhere in (
        ("other", about[1], about[2]),
        (about[0], 9, about[2]),
        (about[0], about[1], "v2"),
    ):
        assert not staffed.approving.granted(asked.id, job, *elsewhere)
        staffed.approving._kept.put(put)


def test_an_action_that_asks_for_more_people_by_now_gets_them(staffed: Staffed) -> None:
    grant = staffed.approving.add_grant(
        staffed.people.find(ANN), "retry-charge", budget=1, lasts=HOUR, reason="a busy hour"
    )
    by_grant = staffed.ask("s1")
    assert by_grant.grant == grant.id
    asked = staffed.ask("s2")
    decide(staffed, asked.id)
    staffed.come_back()
    staffed.demands["retry-charge"] = 2
    assert staffed.act() == ["failed", "failed"]
    assert staffed.bench.done == []


def test_arguments_changed_on_disk_are_refused_at_the_door(staffed: Staffed) -> None:
    asked = staffed.ask()
    decide(staffed, asked.id)
    staffed.come_back()
    (effect,) = staffed.store.effects.of(asked.intervention)
    job = msgspec.json.decode(effect.body, type=Job)
    body = msgspec.json.encode(replace(job, arguments={**job.arguments, "amount": 2000}))
    staffed.store.effects.keep(replace(effect, body=body))
    assert staffed.act() == ["failed"]
    assert staffed.told()[-1] == f"failed {asked.covers} needs-approval"
    assert staffed.bench.done == []
    assert staffed.approving.get(asked.id).status == "void"
    assert staffed.noted()[-1] == "forestall approval.voided"


def test_a_high_risk_action_without_an_approval_is_refused(staffed: Staffed) -> None:
    asked = staffed.ask()
    decide(staffed, asked.id)
    staffed.come_back()
    (effect,) = staffed.store.effects.of(asked.intervention)
    job = msgspec.json.decode(effect.body, type=Job)
    workshop = staffed.around.workshop
    assert workshop is not None
    bare = replace(job, approval=None)
    refused = asyncio.run(workshop.perform(bare, effect.key))
    assert (refused.outcome, refused.reason) == ("failed", "needs-approval")
    unknown = asyncio.run(workshop.perform(job, "0" * 32))
    assert unknown.reason == "needs-approval"
    assert asyncio.run(workshop.perform(bare, effect.key, dry=True)).outcome == "done"
    harmless = Job(kind="action", name="resend-receipt")
    assert asyncio.run(workshop.perform(harmless, "1" * 32)).outcome == "done"
    undo = Job(kind="undo", name="retry-charge", undoes=effect.key)
    assert asyncio.run(workshop.perform(undo, "2" * 32)).outcome == "done"
    assert workshop.deduplication(job) == "dedupes"
    assert asyncio.run(workshop.find(job, effect.key)) is None


def test_a_receipt_verifies_offline_and_names_what_was_seen(staffed: Staffed) -> None:
    asked = staffed.ask()
    with pytest.raises(NotThere, match="no receipt"):
        staffed.approving.receipt(asked.id)
    decide(staffed, asked.id)
    text = msgspec.json.encode(staffed.approving.receipt(asked.id))
    statement = verify(text, read_public(staffed.approving.public_key.encode()))
    assert statement["people"][0]["name"] == "ann"
    assert statement["evidence_hash"] == digest(asked.evidence)
    assert statement["version"] == asked.version
    assert statement["binding"] == asked.hash


def grant(staffed: Staffed, token: str = ANN, **changes: object) -> str:
    wanted = {"budget": 50, "lasts": 2 * HOUR, "reason": "the bank is back", **changes}
    who = staffed.people.find(token)
    action = str(wanted.pop("action", "retry-charge"))
    return staffed.approving.add_grant(who, action, **wanted).id  # type: ignore[arg-type]


def test_fifty_customers_by_a_grant_and_the_next_asks_again(staffed: Staffed) -> None:
    given = grant(staffed)
    staffed.fail(*(f"c{number}" for number in range(51)))
    staffed.tend()
    approved = staffed.asked("approved")
    assert len(approved) == 50
    assert {one.grant for one in approved} == {given}
    (left,) = staffed.asked()
    assert left.subject not in {one.subject for one in approved}
    staffed.come_back()
    assert staffed.act() == ["done"] * 50
    assert len({job.approval for job in staffed.bench.done}) == 50
    receipt = staffed.approving.receipt(approved[0].id)
    assert receipt.statement["grant"]["id"] == given
    assert receipt.statement["grant"]["by"] == "ann"
    (kept,) = staffed.approving.grants()
    assert (kept.used, kept.budget) == (50, 50)
    assert staffed.noted().count("forestall grant.used") == 50


def test_a_grant_answers_what_waits_already(staffed: Staffed) -> None:
    staffed.ask("s1", "s2")
    grant(staffed, budget=1)
    assert len(staffed.asked("approved")) == 1
    assert len(staffed.asked()) == 1


def test_a_grant_is_over_after_its_time_or_when_revoked(staffed: Staffed) -> None:
    given = grant(staffed)
    staffed.seconds += 2 * 3_600
    assert staffed.ask("s1").status == "open"
    later = grant(staffed)
    assert staffed.approving.get(staffed.asked(None)[0].id).status == "approved"
    staffed.approving.revoke_grant(staffed.people.find(BOB), later, "enough")
    assert staffed.ask("s2").status == "open"
    with pytest.raises(TooLate, match=r"^revoked"):
        staffed.approving.revoke_grant(staffed.people.find(BOB), later, "enough")
    with pytest.raises(NotThere):
        staffed.approving.revoke_grant(staffed.people.find(BOB), "f" * 32, "enough")
    assert given != later


def test_a_grant_keeps_to_its_limits(staffed: Staffed) -> None:
    grant(staffed, limits={"amount": 20.0})
    assert staffed.ask("s1", amount=20).status == "approved"
    assert staffed.ask("s2", amount=21).status == "open"
    grant(staffed, policy="another", limits={})
    assert len(staffed.asked()) == 1


def test_a_grant_never_answers_where_two_people_have_to(tmp_path: Path) -> None:
    staffed = Staffed(tmp_path, charge(people=2))
    grant(staffed)
    assert staffed.ask().status == "open"


def test_a_grant_does_not_answer_after_a_dry_run_that_failed(staffed: Staffed) -> None:
    grant(staffed)
    staffed.bench.dry = Outcome(outcome="failed", reason="precondition")
    asked = staffed.ask()
    assert asked.status == "open"
    assert asked.evidence.dry_run is not None
    assert asked.evidence.dry_run["reason"] == "precondition"
    assert decide(staffed, asked.id).status == "approved"


def test_giving_and_revoking_take_an_approver_and_a_reason(staffed: Staffed) -> None:
    given = grant(staffed)
    for token in (CAT, EVE):
        with pytest.raises(RoleMissing):
            grant(staffed, token)
        with pytest.raises(RoleMissing):
            staffed.approving.revoke_grant(staffed.people.find(token), given, "no")
    with pytest.raises(ReasonMissing):
        grant(staffed, reason="")
    assert len(staffed.approving.grants()) == 1


def test_everything_outlives_a_crash(staffed: Staffed) -> None:
    staffed.fail("s1")
    staffed.restart()
    staffed.tend()
    (asked,) = staffed.asked()
    staffed.restart()
    decide(staffed, asked.id)
    receipt = staffed.approving.receipt(asked.id)
    staffed.restart()
    assert staffed.approving.receipt(asked.id) == receipt
    staffed.come_back()
    staffed.restart()
    assert staffed.act() == ["done"]


def test_a_decision_that_cannot_be_written_is_not_made(
    staffed: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = staffed.ask()
    waiting = len(staffed.waiting())

    def broken(_event: CloudEvent) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(staffed.store, "report", broken)
        with pytest.raises(RuntimeError):
            decide(staffed, asked.id)
    assert staffed.approving.get(asked.id).status == "open"
    assert staffed.noted() == []
    assert len(staffed.waiting()) == waiting
    assert decide(staffed, asked.id).status == "approved"


def test_the_loop_prepares_and_expires_by_itself(staffed: Staffed) -> None:
    async def through() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(staffed.approving.run(stopping))
        staffed.fail("s1")
        async with asyncio.timeout(20):
            while not staffed.asked():
                await asyncio.sleep(0)
            staffed.seconds += 3_600
            while not staffed.asked("expired"):
                await asyncio.sleep(0.01)
        stopping.set()
        await running

    asyncio.run(through())
