"""People in command: pauses and commands reach what runs, each with who and why."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from databases import postgres
from flow.intervening import event
from flow.staffed import ANN, BOB, CAT, DAN, Staffed, charge
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import HOUR
from forestall.contracts.intervention import Command, Tell
from forestall.contracts.refusals import NotThere, ReasonMissing, RoleMissing, TooLate
from forestall.intervene.deliver import Deliveries
from forestall.intervene.inbox import Inbox
from forestall.intervene.pauses import Scope
from forestall.intervene.records import Entry

GUIDE = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: hello, title: Hello, owner: web}
spec:
  cooldown: 1s
  when: {event: page.failed}
  playbook:
    - guide: {text: "Sorry.", channel: inapp}
    - await: {event: page.viewed, for: 10m, then: helped}
    - escalate: {queue: desk}
"""


@pytest.fixture(params=["sqlite", "postgres"])
def staffed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Staffed]:
    tables = postgres().database() if request.param == "postgres" else None
    world = Staffed(tmp_path, charge(), GUIDE, tables=tables)
    yield world
    world.store.close()


def pause(staffed: Staffed, scope: Scope, what: str | None = None, **more: int) -> str:
    cat = staffed.people.find(CAT)
    return staffed.office.commanding.pause(cat, scope, what, "a wrong price", **more).id


def resume(staffed: Staffed, which: str) -> None:
    staffed.office.commanding.resume(staffed.people.find(BOB), which, "mended")


def approved(staffed: Staffed, subject: str = "s1") -> str:
    """An approved charge that is about to happen; its intervention."""
    asked = staffed.ask(subject)
    staffed.approving.decide(staffed.people.find(ANN), asked.id, "approved", "fine")
    staffed.come_back()
    return asked.intervention


@pytest.mark.parametrize(
    ("scope", "what"),
    [("customer", "s1"), ("policy", "charge"), ("account", "acme"), ("everything", None)],
)
def test_a_pause_puts_acts_off_until_it_ends(
    staffed: Staffed, scope: Scope, what: str | None
) -> None:
    staffed.settle(event("forestall.identify", 0.5, traits={"account": "acme"}))
    intervention = approved(staffed)
    which = pause(staffed, scope, what)
    for _ in range(3):
        staffed.seconds += 3
        assert set(staffed.act()) <= {"again"}
        assert staffed.bench.done == []
    assert staffed.store.effects.of(intervention)[0].status == "waiting"
    resume(staffed, which)
    staffed.seconds += 3
    assert staffed.act() == ["done"]


def test_a_pause_stops_nobody_else(staffed: Staffed) -> None:
    pause(staffed, "customer", "s2")
    pause(staffed, "policy", "hello")
    pause(staffed, "account", "acme")
    approved(staffed)
    assert staffed.act() == ["done"]


def test_a_pause_is_over_after_its_time(staffed: Staffed) -> None:
    approved(staffed)
    which = pause(staffed, "everything", lasts=10_000_000)
    assert staffed.act() == []
    staffed.seconds += 11
    assert staffed.office.commanding.pauses() == []
    assert staffed.act() == ["done"]
    with pytest.raises(TooLate, match=r"^ended"):
        resume(staffed, which)


def test_guidance_is_not_shown_during_a_pause(staffed: Staffed) -> None:
    staffed.seconds = 1
    staffed.settle(event("page.failed", 1))
    inbox = Inbox(staffed.store, staffed.around)
    assert len(inbox.after("s1", None, staffed.now())) == 1
    which = pause(staffed, "customer", "s1")
    assert inbox.after("s1", None, staffed.now()) == []
    assert inbox.no_longer("s1", staffed.now()) != []
    resume(staffed, which)
    assert len(inbox.after("s1", None, staffed.now())) == 1


def test_guidance_that_leaves_is_refused_during_a_pause(tmp_path: Path) -> None:
    staffed = Staffed(tmp_path, GUIDE.replace("inapp", "hook"))
    staffed.seconds = 1
    pause(staffed, "policy", "hello")
    staffed.settle(event("page.failed", 1))
    assert staffed.act() == ["paused"]
    assert staffed.told()[-1] == "failed 1 paused"


def test_a_pause_follows_a_customer_who_signs_in(staffed: Staffed) -> None:
    pause(staffed, "customer", "anon")
    intervention = approved(staffed, "anon")
    staffed.seconds += 1
    alias = event("forestall.alias", staffed.seconds, "s1")
    staffed.settle(msgspec.structs.replace(alias, data=msgspec.Raw(b'{"from": "anon"}')))
    state = staffed.store.state(intervention)
    assert state is not None
    assert state.subject == "s1"
    staffed.seconds += 3
    assert set(staffed.act()) <= {"again"}
    assert staffed.bench.done == []
    assert staffed.office.commanding.paused("s1", "charge") is not None
    assert staffed.office.commanding.paused("anon", "charge") is None


def test_pauses_are_records_with_who_and_why(staffed: Staffed) -> None:
    which = pause(staffed, "policy", "charge", lasts=HOUR)
    (known,) = staffed.office.commanding.pauses()
    assert (known.by, known.why, known.until) == ("cat", "a wrong price", staffed.now() + HOUR)
    resume(staffed, which)
    assert staffed.office.commanding.pauses() == []
    assert len(staffed.office.commanding.pauses(past=True)) == 1
    ended, started = staffed.office.records.newest()
    assert started == Entry(
        seq=started.seq,
        at=staffed.now(),
        who="cat",
        what="pause.started",
        about=which,
        why="a wrong price",
        detail={"scope": "policy", "what": "charge", "lasts": HOUR},
    )
    assert (ended.who, ended.what, ended.why) == ("bob", "pause.ended", "mended")
    with pytest.raises(TooLate, match=r"^ended"):
        resume(staffed, which)
    with pytest.raises(NotThere):
        resume(staffed, "f" * 32)


def test_pausing_takes_an_operator_and_a_reason(staffed: Staffed) -> None:
    commanding = staffed.office.commanding
    for token in (ANN, DAN):
        with pytest.raises(RoleMissing):
            commanding.pause(staffed.people.find(token), "everything", None, "because")
    with pytest.raises(ReasonMissing):
        commanding.pause(staffed.people.find(CAT), "everything", None, "")
    assert commanding.pauses() == []
    assert staffed.noted() == []


def test_a_pause_outlives_a_crash(staffed: Staffed) -> None:
    pause(staffed, "everything")
    staffed.restart()
    assert staffed.office.commanding.paused("s1", "charge") is not None


def command(staffed: Staffed, intervention: str, what: Command, *, undo: bool = False) -> None:
    cat = staffed.people.find(CAT)
    staffed.office.commanding.command(cat, intervention, what, "they called", undo=undo)


def last_tell(staffed: Staffed) -> tuple[CloudEvent, Tell]:
    event = staffed.waiting()[-1]
    assert isinstance(event.data, msgspec.Raw)
    return event, msgspec.json.decode(event.data, type=Tell)


def guided(staffed: Staffed) -> str:
    staffed.seconds += 1
    staffed.settle(event("page.failed", staffed.seconds))
    return staffed.store.newest(1)[0].id


def test_a_command_is_an_event_of_the_customer(staffed: Staffed) -> None:
    intervention = guided(staffed)
    command(staffed, intervention, "stop", undo=True)
    event, tell = last_tell(staffed)
    assert (event.type, event.subject) == ("forestall.intervention.commanded", "s1")
    assert (tell.intervention, tell.command, tell.by) == (intervention, "stop", "cat")
    assert (tell.reason, tell.undo) == ("they called", True)
    (entry,) = staffed.office.records.newest(about=intervention)
    assert (entry.who, entry.what, entry.why) == ("cat", "intervention.stop", "they called")
    assert entry.detail == {"step": 2, "policy": "hello", "undo": True}


def test_stop_ends_it_and_takes_its_words_back(staffed: Staffed) -> None:
    intervention = guided(staffed)
    command(staffed, intervention, "stop")
    staffed.come_back()
    assert staffed.ending(intervention) == "cancelled"
    assert staffed.messages() == []
    with pytest.raises(TooLate, match=r"^ended: .*cancelled"):
        command(staffed, intervention, "stop")


def test_take_over_hands_it_to_the_person(staffed: Staffed) -> None:
    intervention = guided(staffed)
    command(staffed, intervention, "take_over")
    staffed.come_back()
    assert staffed.ending(intervention) == "escalated"
    assert staffed.store.effects.of(intervention) == []


def test_force_goes_on_as_if_the_wait_were_over(staffed: Staffed) -> None:
    intervention = guided(staffed)
    command(staffed, intervention, "force")
    staffed.come_back()
    assert [one.channel for one in staffed.store.effects.of(intervention)] == ["desk"]


def test_the_same_command_twice_is_two_events(staffed: Staffed) -> None:
    intervention = guided(staffed)
    command(staffed, intervention, "repeat")
    command(staffed, intervention, "repeat")
    events = [one.id for one in staffed.waiting() if one.type.endswith("commanded")]
    assert len(set(events)) == 2
    assert staffed.noted() == ["cat intervention.repeat"] * 2


def test_repeat_does_an_act_again(staffed: Staffed) -> None:
    intervention = approved(staffed)
    assert staffed.act() == ["done"]
    command(staffed, intervention, "repeat")
    staffed.come_back()
    first, *_ = staffed.store.effects.of(intervention)
    assert first.status == "done"
    assert staffed.office.records.requested(intervention) == {"cat"}


def test_repeat_takes_the_place_of_what_has_not_begun(staffed: Staffed) -> None:
    intervention = approved(staffed)
    for _ in range(2):
        command(staffed, intervention, "repeat")
        staffed.come_back()
    assert sorted(staffed.act()) == ["done", "superseded", "superseded"]
    assert len(staffed.bench.done) == 1
    staffed.come_back()
    assert staffed.ending(intervention) == "resolved"


@pytest.mark.parametrize(("began", "uncertain"), [(1, False), (0, True)])
def test_repeat_waits_for_what_may_have_happened(
    staffed: Staffed, began: int, *, uncertain: bool
) -> None:
    intervention = approved(staffed)
    (effect,) = staffed.store.effects.of(intervention)
    under_way = msgspec.structs.replace(effect, began=began, uncertain=uncertain)
    with staffed.store.transaction():
        staffed.store.effects.keep(under_way)
    command(staffed, intervention, "repeat")
    staffed.come_back()
    deliveries = Deliveries(staffed.store, staffed.around)
    (again,) = (one for one in staffed.store.effects.of(intervention) if one.key != effect.key)
    assert asyncio.run(deliveries.attempt(again.key, 1)) == "again"
    for status, answer in (("dropped", "superseded"), ("waiting", "again"), ("done", "superseded")):
        with staffed.store.transaction():
            staffed.store.effects.keep(msgspec.structs.replace(under_way, began=1, status=status))
            staffed.store.effects.keep(again)
        assert asyncio.run(deliveries.attempt(again.key, 1)) == answer
    assert staffed.bench.done == []


def test_what_a_forced_step_left_behind_never_begins(staffed: Staffed) -> None:
    intervention = approved(staffed)
    (effect,) = staffed.store.effects.of(intervention)
    failed = msgspec.structs.replace(effect, began=1, attempt=2)
    with staffed.store.transaction():
        staffed.store.effects.keep(failed)
    state = staffed.store.state(intervention)
    assert state is not None
    staffed.store.keep(msgspec.structs.replace(state, step=state.step + 1))
    assert staffed.act() == ["superseded"]
    assert staffed.bench.done == []


def test_stop_with_undo_waits_for_the_act_under_way(staffed: Staffed) -> None:
    intervention = approved(staffed)
    (effect,) = staffed.store.effects.of(intervention)
    with staffed.store.transaction():
        staffed.store.effects.keep(msgspec.structs.replace(effect, began=1))
    command(staffed, intervention, "stop", undo=True)
    staffed.come_back()
    assert staffed.ending(intervention) is None
    with staffed.store.transaction():
        staffed.store.effects.keep(effect)
    assert staffed.act() == ["not_needed"]
    staffed.come_back()
    assert staffed.ending(intervention) == "cancelled"
    assert staffed.bench.done == []


def test_what_was_done_after_all_is_undone(staffed: Staffed) -> None:
    intervention = approved(staffed)
    assert staffed.act() == ["done"]
    told = staffed.store.reports()
    staffed.store.reported(number for number, _ in told)
    command(staffed, intervention, "stop", undo=True)
    staffed.come_back()
    with staffed.store.transaction():
        for _, event in told:
            staffed.store.report(msgspec.json.decode(event, type=CloudEvent))
    staffed.come_back()
    assert staffed.act() == ["done"]
    assert [job.kind for job in staffed.bench.done] == ["action", "undo"]
    staffed.come_back()
    assert staffed.ending(intervention) == "cancelled"


def test_commanding_takes_an_operator_a_reason_and_something_that_runs(staffed: Staffed) -> None:
    intervention = guided(staffed)
    commanding = staffed.office.commanding
    with pytest.raises(RoleMissing):
        commanding.command(staffed.people.find(ANN), intervention, "stop", "because")
    with pytest.raises(ReasonMissing):
        commanding.command(staffed.people.find(CAT), intervention, "stop", " ")
    with pytest.raises(NotThere):
        commanding.command(staffed.people.find(CAT), "f" * 32, "stop", "because")
    assert staffed.noted() == []
    assert staffed.told() == ["started"]


def test_the_beginning_of_an_id_is_enough(staffed: Staffed) -> None:
    intervention = guided(staffed)
    cat = staffed.people.find(CAT)
    told = staffed.office.commanding.command(cat, intervention[:12], "stop", "they called")
    assert told == intervention
    assert staffed.office.records.newest()[0].about == intervention
    staffed.fail("s1", "s2")
    for unclear in ("", "%"):
        with pytest.raises(NotThere):
            staffed.office.commanding.command(cat, unclear, "stop", "which?")


def test_a_record_is_found_by_what_it_is_about(staffed: Staffed) -> None:
    records = staffed.office.records
    for number, about in enumerate(("abc1", "abc2", "abd", "a%c")):
        records.add(Entry(at=number, who="cat", what="x", about=about, why="w"))
    assert [one.about for one in records.newest(about="abc")] == ["abc2", "abc1"]
    assert [one.about for one in records.newest(about="a%")] == ["a%c"]
    assert [one.about for one in records.newest(2)] == ["a%c", "abd"]
    numbers = [one.seq for one in records.newest()]
    assert numbers == sorted(numbers, reverse=True)


def test_who_waits_for_nothing_is_not_paused(staffed: Staffed) -> None:
    assert Deliveries(staffed.store, staffed.around).waiting(10) == []
    assert staffed.office.commanding.paused("s1", "charge") is None
