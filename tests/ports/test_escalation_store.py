"""Who has which case until when, on both databases."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from databases import postgres
from forestall.intervene.escalation_store import Escalation, EscalationStore
from forestall.intervene.store import Store

FIRST = Escalation(
    key="k1",
    tag="t1",
    intervention="i1",
    step=3,
    subject="s1",
    queue="payments",
    tier=1,
    ticket="17",
    handed_over=100,
    due=200,
    body=b"{}",
)


def another(**values: Any) -> Escalation:
    return msgspec.structs.replace(FIRST, **values)


SECOND = another(key="k2", tag="t2", queue="lead", tier=2, due=300)


class EscalationSuite:
    """The abstract suite: a subclass gives ``open``, called again to reopen the same tables."""

    open: Callable[[], Store]

    def test_a_case_is_added_once_and_found_by_key_tag_and_intervention(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            cases.add(SECOND)
            cases.add(FIRST)
            cases.add(another(ticket="18"))
        assert cases.get("k1") == cases.tagged("t1") == FIRST
        assert cases.of("i1") == [FIRST, SECOND]
        assert (cases.get("k9"), cases.tagged("t9"), cases.of("i9")) == (None, None, [])

    def test_a_case_is_known_before_it_is_delivered_and_delivered_once(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            cases.add(another(handed_over=0, ticket=None, due=None))
        assert cases.due(10_000) == []
        assert cases.tagged("t1") is not None
        with store.transaction():
            cases.delivered("k1", "17", 100, 200)
            cases.delivered("k1", "18", 150, 250)
            cases.add(another(ticket=None))
        assert cases.get("k1") == FIRST

    def test_whether_somebody_has_it_is_known(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            cases.add(FIRST)
            assert not cases.taken("i1")
            cases.take("i1", "ann", 150)
            assert cases.taken("i1")
            assert not cases.taken("i9")
            cases.add(another(key="k5", intervention="i5"))
            cases.solve("i5", 170)
            assert cases.taken("i5")

    def test_it_survives_a_restart(self) -> None:
        store = self.open()
        with store.transaction():
            EscalationStore(store.database).add(FIRST)
            EscalationStore(store.database).move("rt", "41")
        store.close()
        cases = EscalationStore(self.open().database)
        assert cases.get("k1") == FIRST
        assert cases.cursor("rt") == "41"

    def test_what_is_due_comes_longest_overdue_first(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            for case in (SECOND, FIRST, another(key="k3", due=None)):
                cases.add(case)
        assert cases.due(199) == []
        assert [one.key for one in cases.due(300)] == ["k1", "k2"]
        assert [one.key for one in cases.due(300, limit=1)] == ["k1"]
        with store.transaction():
            cases.put_off("k1", 400)
            cases.put_off("k2", None)
        assert cases.due(399) == []
        (found,) = cases.due(400)
        assert (found.key, found.attempts) == ("k1", 1)

    def test_one_person_takes_a_case_in_all_its_queues(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            cases.add(FIRST)
            cases.add(SECOND)
            cases.add(another(key="k3", intervention="i2"))
            assert cases.take("i1", "ann", 150)
            assert not cases.take("i1", "ben", 160)
            assert not cases.take("i9", "ben", 160)
        assert {(one.taken_by, one.taken_at, one.due) for one in cases.of("i1")} == {
            ("ann", 150, None)
        }
        assert [one.key for one in cases.due(1_000)] == ["k3"]

    def test_a_solved_case_is_due_no_more_and_may_be_open_again(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            cases.add(FIRST)
            cases.solve("i1", 170)
        assert [(one.solved_at, one.due) for one in cases.of("i1")] == [(170, None)]
        with store.transaction():
            cases.solve("i1", None)
        assert [(one.solved_at, one.due) for one in cases.of("i1")] == [(None, None)]

    def test_cursors_move(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        assert cases.cursor("rt") is None
        with store.transaction():
            cases.move("rt", "1")
            cases.move("mail", "1:2:3")
            cases.move("rt", "2")
        assert (cases.cursor("rt"), cases.cursor("mail")) == ("2", "1:2:3")

    def test_a_change_is_fresh_once_until_it_is_forgotten(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            assert cases.fresh("https://rt/transaction/1", 100)
            assert not cases.fresh("https://rt/transaction/1", 200)
            cases.forget(100)
            assert not cases.fresh("https://rt/transaction/1", 200)
            cases.forget(101)
            assert cases.fresh("https://rt/transaction/1", 200)

    def test_what_is_rolled_back_was_never_there(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with contextlib.suppress(KeyError), store.transaction():
            cases.add(FIRST)
            assert cases.fresh("x", 1)
            raise KeyError
        assert cases.get("k1") is None
        with store.transaction():
            assert cases.fresh("x", 1)

    def test_a_case_follows_its_customer_to_another_pseudonym(self) -> None:
        store = self.open()
        cases = EscalationStore(store.database)
        with store.transaction():
            cases.add(FIRST)
            store.join("s1", "s2")
        found = cases.get("k1")
        assert found is not None
        assert found.subject == "s2"


class _Opened(EscalationSuite):
    def _serve(self, where: Path | str) -> Iterator[None]:
        opened: list[Store] = []

        def open_() -> Store:
            opened.append(Store(where))
            return opened[-1]

        self.open = open_
        yield
        for store in opened:
            store.close()


class TestSqlite(_Opened):
    @pytest.fixture(autouse=True)
    def _in_a_file(self, tmp_path: Path) -> Iterator[None]:
        yield from self._serve(tmp_path / "app.db")


class TestPostgres(_Opened):
    @pytest.fixture(autouse=True)
    def _on_a_server(self) -> Iterator[None]:
        yield from self._serve(postgres().database())
