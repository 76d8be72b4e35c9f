"""The tables of app.db: what is written together is there together, and what is found again."""

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from forestall.contracts.decision import Decision
from forestall.contracts.instants import MINUTE, SECOND, parse_time
from forestall.contracts.intervention import Message
from forestall.intervene import playbook
from forestall.intervene.effect_store import Effect
from forestall.intervene.running import Running
from forestall.intervene.store import Store, StoreMissing
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


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"app\.db: there is no such file"):
        Store(tmp_path / "app.db", read_only=True)


def test_a_reader_sees_what_is_committed_and_cannot_write(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    add(store, "abc1")
    reader = Store(tmp_path / "app.db", read_only=True)
    assert [one.id for one in reader.newest()] == ["abc1"]
    with store.transaction():
        add(store, "abc2")
        assert [one.id for one in reader.newest()] == ["abc1"]
    assert [one.id for one in reader.newest()] == ["abc2", "abc1"]
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        reader.move("signals", 1)


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")

    def cut_off() -> None:
        with store.transaction():
            store.move("signals", 7)
            add(store, "abc1")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cut_off()
    assert (store.cursor("signals"), store.newest(), store.has("abc1")) == (0, [], False)


def test_the_folder_keeps_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    assert store.identity("first") == "first"
    store.close()
    assert Store(tmp_path / "app.db").identity("second") == "first"


def test_running_ones_come_back_as_they_were_and_ended_ones_do_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    first, second = add(store, "abc1"), add(store, "abd2")
    store.keep(playbook.stop(first, "killed", START)[0])
    assert store.running() == [second]
    assert store.state("abd2") == second
    assert store.state("nothing") is None
    ended = store.find("abc")[0]
    assert (ended.outcome, ended.reason, ended.ended) == ("cancelled", "killed", AT)


def test_interventions_are_found_by_the_start_of_their_id(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    for intervention in ("abc1", "abc2", "abd1"):
        add(store, intervention)
    assert [one.id for one in store.find("abc")] == ["abc1", "abc2"]
    assert [one.id for one in store.find("abd1")] == ["abd1"]
    assert store.find("zzz") == []
    assert [one.id for one in store.newest(2)] == ["abd1", "abc2"]
    assert store.newest(subject="s2") == []
    with pytest.raises(KeyError):
        store.decision("zzz")


def test_what_was_done_is_remembered_once_and_only_of_the_subject(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    add(store, "abc1")
    assert store.note("s1", "abc1", "shown", 1, START, None)
    assert not store.note("s1", "abc1", "shown", 1, START + 1, None)
    assert not store.note("s2", "abc1", "dismissed", None, START, None)
    assert not store.note("s1", "other", "shown", 1, START, None)
    (taken,) = store.history("abc1")
    assert (taken.at, taken.what, taken.step, taken.reason) == (AT, "shown", 1, None)


def test_messages_are_those_that_still_hold(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
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


def test_withdrawing_stops_what_has_not_begun(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    store.effects.intend(effect("k1"))
    store.effects.intend(effect("k2", began=1))
    store.effects.intend(effect("k3", intervention="other"))
    store.withdraw("abc1", "opted_out")
    assert [one.key for one in store.effects.waiting(START, 9)] == ["k2", "k3"]
    refused = store.effects.get("k1")
    assert refused is not None
    assert (refused.status, refused.detail) == ("refused", "opted_out")


def test_an_intent_stays_as_it_was_first_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    store.effects.intend(effect("k1", channel="first"))
    store.effects.intend(effect("k1", channel="second"))
    kept = store.effects.get("k1")
    assert kept is not None
    assert kept.channel == "first"


def test_effects_wait_for_their_time_longest_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    for key, not_before in (("k1", 30), ("k2", 10), ("k3", 99)):
        store.effects.intend(effect(key, not_before=not_before))
    assert [one.key for one in store.effects.waiting(50, 9)] == ["k2", "k1"]
    assert [one.key for one in store.effects.waiting(50, 1)] == ["k2"]
    assert store.effects.get("k9") is None


def test_a_joined_subject_takes_what_is_on_its_way(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
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


def test_traits_are_kept_by_subject(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    store.keep_traits("s1", {"plan": "pro"})
    store.keep_traits("s1", {"plan": None})
    assert store.traits("s1") == {"plan": None}
    assert store.traits("s2") == {}


def test_what_only_moves_cursors_waits_for_no_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    waits = "PRAGMA synchronous"
    with store.transaction(durable=False):
        store.move("signals", 7)
        assert store._one(waits) == (1,)
    assert store._one(waits) == (2,)
    with store.transaction():
        assert store._one(waits) == (2,)
    with pytest.raises(RuntimeError), store.transaction(durable=False):
        raise RuntimeError
    assert (store._one(waits), store.cursor("signals")) == ((2,), 7)
    store.close()
