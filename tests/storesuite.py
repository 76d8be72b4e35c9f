"""What every store does, whatever database it is in: one suite, subclassed for each."""

from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy as sa

from forestall.contracts.decision import Decision
from forestall.contracts.instants import MINUTE, SECOND, parse_time
from forestall.contracts.intervention import Message, Show
from forestall.intervene import playbook
from forestall.intervene.effect_store import Effect
from forestall.intervene.reports import report_event
from forestall.intervene.running import Running
from forestall.intervene.store import Store, StoreMissing, StoreOutdated
from forestall.intervene.tables import meta
from forestall.kernel.database.tables import TROUBLE
from forestall.policy.language.model import Await, Match, Policy, Step, When

AT = "2024-05-01T12:00:00.000000Z"
START = parse_time(AT)
DECISION = Decision(
    id="abc1",
    policy="p",
    version="v",
    mode="live",
    subject="s1",
    key=None,
    at=AT,
    outcome="intervene",
    reason=None,
    matched=("e1",),
    features={"n": 3},
    explanation="Because.",
)
POLICY = Policy(
    name="p",
    title="A policy",
    owner="",
    when=When(kind="event", steps=(Step(match=Match(types=("a",))),)),
    playbook=(Await(match=Match(types=("b",)), timeout=MINUTE),),
)


def running(intervention: str, subject: str = "s1") -> tuple[Running, Decision]:
    decision = msgspec.structs.replace(DECISION, id=intervention, subject=subject)
    state, _ = playbook.start(decision, POLICY, lateness=MINUTE, grace=SECOND)
    return state, decision


def add(store: Store, intervention: str, subject: str = "s1") -> Running:
    state, decision = running(intervention, subject)
    store.open(state, decision, "A policy")
    store.keep(state)
    return state


def message(number: int, subject: str = "s1", expires: int = START + MINUTE) -> Message:
    return Message(
        id=f"m{number}",
        intervention="abc1",
        subject=subject,
        policy="p",
        title="",
        body=f"text {number}",
        why="",
        created=START,
        expires=expires,
    )


def effect(key: str, **changes: object) -> Effect:
    plain = Effect(
        key=key,
        intervention="abc1",
        step=1,
        subject="s1",
        purpose="support",
        kind="guide",
        channel="hook",
        body=b"{}",
    )
    return msgspec.structs.replace(plain, **changes)


class StoreSuite:
    """``open`` opens the same store again and again; the caller closes what writes first."""

    open: Callable[..., Store]

    def test_a_reader_sees_what_is_committed_and_cannot_write(self) -> None:
        store = self.open()
        add(store, "abc1")
        reader = self.open(read_only=True)
        assert [one.id for one in reader.newest()] == ["abc1"]
        with store.transaction():
            add(store, "abc2")
            assert [one.id for one in reader.newest()] == ["abc1"]
        assert [one.id for one in reader.newest()] == ["abc2", "abc1"]
        with pytest.raises((*TROUBLE, sa.exc.DBAPIError), match=r"read-?only"):
            reader.move("signals", 1)

    def test_there_is_nothing_to_read_before_somebody_wrote(self) -> None:
        with pytest.raises(StoreMissing, match="start `forestall serve`"):
            self.open(read_only=True)

    def test_tables_of_another_version_are_refused(self) -> None:
        store = self.open()
        store.database.run(sa.update(meta).values(value="1").where(meta.c.name == "version"))
        store.close()
        for read_only in (False, True):
            with pytest.raises(StoreOutdated, match="not of version 2"):
                self.open(read_only=read_only)

    def test_a_transaction_that_raises_leaves_nothing(self) -> None:
        store = self.open()

        def cut_off() -> None:
            with store.transaction():
                store.move("signals", 7)
                add(store, "abc1")
                raise InterruptedError

        with pytest.raises(InterruptedError):
            cut_off()
        assert (store.cursor("signals"), store.newest(), store.has("abc1")) == (0, [], False)

    def test_the_folder_keeps_its_name(self) -> None:
        store = self.open()
        assert store.identity("first") == "first"
        store.close()
        assert self.open().identity("second") == "first"

    def test_running_ones_come_back_as_they_were_and_ended_ones_do_not(self) -> None:
        store = self.open()
        first, second = add(store, "abc1"), add(store, "abd2")
        store.keep(playbook.stop(first, "killed", START)[0])
        assert store.running() == [second]
        assert store.state("abd2") == second
        assert store.state("nothing") is None
        ended = store.find("abc")[0]
        assert (ended.outcome, ended.reason, ended.ended) == ("cancelled", "killed", AT)

    def test_interventions_are_found_by_the_start_of_their_id(self) -> None:
        store = self.open()
        for intervention in ("abc1", "abc2", "abd1"):
            add(store, intervention)
        assert [one.id for one in store.find("abc")] == ["abc1", "abc2"]
        assert [one.id for one in store.find("abd1")] == ["abd1"]
        assert store.find("zzz") == []
        assert [one.id for one in store.newest(2)] == ["abd1", "abc2"]
        assert store.newest(subject="s2") == []
        with pytest.raises(KeyError):
            store.decision("zzz")

    def test_what_was_done_is_remembered_once_and_only_of_the_subject(self) -> None:
        store = self.open()
        add(store, "abc1")
        assert store.note("s1", "abc1", "shown", 1, START, None)
        assert not store.note("s1", "abc1", "shown", 1, START + 1, None)
        assert not store.note("s2", "abc1", "dismissed", None, START, None)
        assert not store.note("s1", "other", "shown", 1, START, None)
        (taken,) = store.history("abc1")
        assert (taken.at, taken.what, taken.step, taken.reason) == (AT, "shown", 1, None)

    def test_messages_are_those_that_still_hold(self) -> None:
        store = self.open()
        for number, expires in ((1, START + 10), (2, START + 20)):
            store.add_message(message(number, expires=expires), 1, "support")
        store.add_message(message(3, "s2"), 1, "support")

        def held(after: int, now: int) -> list[str]:
            return [one.id for _, _, one in store.messages_after("s1", after, now)]

        assert held(0, START) == ["m1", "m2"]
        assert held(0, START + 10) == ["m2"]
        assert held(store.message_number("m1") or 0, START) == ["m2"]
        assert store.message("m1") == ("s1", "abc1", 1)
        assert (store.message("m9"), store.message_number("m9")) == (None, None)
        store.withdraw("abc1", "resolved")
        assert held(0, START) == []

    def test_a_message_comes_back_as_it_was_and_so_does_an_older_one(self) -> None:
        store = self.open()
        full = msgspec.structs.replace(
            message(1), show=Show("hint", "#a"), steps=("x",), known=("k",), version="v"
        )
        store.add_message(full, 1, "support")
        store.add_message(message(2), 1, "support")
        assert [one for _, _, one in store.messages_after("s1", 0, START)] == [full, message(2)]

    def test_withdrawing_stops_what_has_not_begun(self) -> None:
        store = self.open()
        store.effects.intend(effect("k1"))
        store.effects.intend(effect("k2", began=1))
        store.effects.intend(effect("k3", intervention="other"))
        store.withdraw("abc1", "opted_out")
        assert [one.key for one in store.effects.waiting(START, 9)] == ["k2", "k3"]
        refused = store.effects.get("k1")
        assert refused is not None
        assert (refused.status, refused.detail) == ("refused", "opted_out")

    def test_an_intent_stays_as_it_was_first_written(self) -> None:
        store = self.open()
        store.effects.intend(effect("k1", channel="first"))
        store.effects.intend(effect("k1", channel="second"))
        kept = store.effects.get("k1")
        assert kept is not None
        assert kept.channel == "first"

    def test_effects_wait_for_their_time_longest_first(self) -> None:
        store = self.open()
        for key, not_before in (("k1", 30), ("k2", 10), ("k3", 99)):
            store.effects.intend(effect(key, not_before=not_before))
        assert [one.key for one in store.effects.waiting(50, 9)] == ["k2", "k1"]
        assert [one.key for one in store.effects.waiting(50, 1)] == ["k2"]
        assert store.effects.get("k9") is None

    def test_a_joined_subject_takes_what_is_on_its_way(self) -> None:
        store = self.open()
        ended = add(store, "abc0")
        store.keep(playbook.stop(ended, "killed", START)[0])
        add(store, "abc1")
        store.add_message(message(1), 1, "support")
        store.effects.intend(effect("k1"))
        store.join("s1", "s2")
        assert [one.id for one in store.newest(subject="s2")] == ["abc1"]
        assert [one.id for one in store.newest(subject="s1")] == ["abc0"]
        assert len(store.messages_after("s2", 0, START)) == 1
        moved = store.effects.get("k1")
        assert moved is not None
        assert moved.subject == "s2"

    def test_traits_are_kept_by_subject(self) -> None:
        store = self.open()
        store.keep_traits("s1", {"plan": "pro"})
        store.keep_traits("s1", {"plan": None})
        assert store.traits("s1") == {"plan": None}
        assert store.traits("s2") == {}

    def test_what_need_not_be_durable_is_there_all_the_same(self) -> None:
        store = self.open()
        with store.transaction(durable=False):
            store.move("signals", 7)
        assert store.cursor("signals") == 7

    def test_a_message_is_shown_once(self) -> None:
        store = self.open()
        store.add_message(message(1), 1, "support")
        assert [store.shown("m1"), store.shown("m1"), store.shown("m9")] == [True, False, False]

    def test_an_effect_comes_back_as_it_was_kept(self) -> None:
        store = self.open()
        store.effects.intend(effect("k1", step=2, expires=5))
        store.effects.intend(effect("k2", kind="undo"))
        later = effect(
            "k1",
            step=2,
            expires=5,
            status="waiting",
            attempt=3,
            began=2,
            not_before=9,
            deadline=99,
            uncertain=True,
            detail="because",
            result=b"{}",
        )
        store.effects.keep(later)
        assert store.effects.get("k1") == later
        assert [one.key for one in store.effects.of("abc1")] == ["k2", "k1"]
        assert {one.key for one in store.effects.waiting_of("s1")} == {"k1", "k2"}

    def test_busy_channels_are_left_out(self) -> None:
        store = self.open()
        for key, channel in (("k1", "hook"), ("k2", "spare"), ("k3", "third")):
            store.effects.intend(effect(key, channel=channel))
        found = store.effects.waiting(START, 9, ("hook", "third"))
        assert [one.key for one in found] == ["k2"]

    def test_what_is_owed_is_not_withdrawn(self) -> None:
        store = self.open()
        store.effects.intend(effect("k1", kind="undo"))
        store.withdraw("abc1", "opted_out")
        assert [one.key for one in store.effects.waiting(START, 9)] == ["k1"]

    def test_reports_leave_in_order_and_once(self) -> None:
        store = self.open()
        _, decision = running("abc1")
        for told in ("started", "shown", "started"):
            store.report(report_event(decision, "s1", told, START))
        (first, _), (second, _) = store.reports()
        assert first < second
        store.reported([first])
        assert [number for number, _ in store.reports()] == [second]
        store.reported([])
