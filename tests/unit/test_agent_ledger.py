"""Calls of models are noted before they are sent; what was answered once is never asked again."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from forestall.contracts.instants import DAY, SECOND
from forestall.intervene.agents.asking import ModelFailed, Said, ToolCall
from forestall.intervene.agents.ledger import KEPT, Call, CutOff, Ledger, Spent, open_ledger

NOW = 20_000 * DAY + 5
SAID = Said(text="Hm", calls=(ToolCall("c", "propose", "{no json"),), tokens_in=9, tokens_out=4)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "agents.db")
    yield opened
    opened.close()


def call(key: str = "k", number: int = 1, at: int = NOW, agent: str = "helper") -> Call:
    return Call(
        key=key,
        number=number,
        prompt="p1",
        agent=agent,
        model="openai:x",
        at=at,
        ended="begun",
        tokens_in=100,
        tokens_out=400,
        cost=0.5,
    )


def test_what_was_never_begun_is_not_known(ledger: Ledger) -> None:
    assert ledger.recall("k", 1, "p1") is None
    assert ledger.call("k", 1) is None
    assert ledger.calls("k") == []


def test_an_answer_is_remembered_as_it_was(ledger: Ledger) -> None:
    ledger.begin(call())
    ledger.said("k", 1, SAID, 0.01, 7)
    assert ledger.recall("k", 1, "p1") == SAID
    assert ledger.calls("k") == [
        msgspec.structs.replace(
            call(), ended="said", said=SAID, tokens_in=9, tokens_out=4, cost=0.01, latency=7
        )
    ]


def test_an_answer_to_something_else_is_not_used(ledger: Ledger) -> None:
    ledger.begin(call())
    ledger.said("k", 1, SAID, 0.01, 7)
    with pytest.raises(CutOff):
        ledger.recall("k", 1, "p2")
    assert ledger.recall("k", 1, "p1") == SAID


def test_a_call_without_an_answer_is_spent(ledger: Ledger) -> None:
    ledger.begin(call())
    for _ in range(2):
        with pytest.raises(CutOff):
            ledger.recall("k", 1, "p1")
    assert [one.ended for one in ledger.calls("k")] == ["cut-off"]
    assert ledger.spent(NOW // DAY) == Spent(1, 100, 400, 0.5)


def test_a_failure_is_remembered_with_what_it_took(ledger: Ledger) -> None:
    ledger.begin(call())
    error = ModelFailed("rate-limited", "status 429", retry_after=3 * SECOND, tokens_in=5)
    ledger.failed("k", 1, error, 0.02, 8)
    with pytest.raises(ModelFailed) as caught:
        ledger.recall("k", 1, "p1")
    assert (caught.value.reason, caught.value.retry_after) == ("rate-limited", 3 * SECOND)
    assert (caught.value.tokens_in, caught.value.tokens_out) == (5, 0)


def test_a_call_is_begun_once(ledger: Ledger) -> None:
    ledger.begin(call())
    with pytest.raises(sqlite3.IntegrityError):
        ledger.begin(call())
    ledger.begin(call(number=2))


def test_a_call_under_way_counts_with_all_that_it_may_take(ledger: Ledger) -> None:
    ledger.begin(call())
    assert ledger.spent(NOW // DAY).tokens == 500
    ledger.said("k", 1, SAID, 0.01, 7)
    assert ledger.spent(NOW // DAY) == Spent(1, 9, 4, 0.01)


def test_days_and_agents_are_told_apart(ledger: Ledger) -> None:
    ledger.begin(call("a"))
    ledger.begin(call("b", agent="other"))
    ledger.begin(call("c", at=NOW + DAY))
    assert ledger.spent(NOW // DAY).calls == 2
    assert ledger.spent(NOW // DAY, "other") == Spent(1, 100, 400, 0.5)
    assert ledger.spent(NOW // DAY + 1).calls == 1
    assert ledger.spent(NOW // DAY - 1) == Spent()
    assert [one.key for one in ledger.recent("helper")] == ["c", "a"]
    assert [one.key for one in ledger.recent("helper", 1)] == ["c"]


def test_all_of_it_survives_the_process(ledger: Ledger, tmp_path: Path) -> None:
    ledger.begin(call())
    ledger.said("k", 1, SAID, 0.01, 7)
    ledger.keep("k", "asked", {"fields": {"status": "declined", "rate": 0.1, "none": None}}, NOW)
    again = Ledger(tmp_path / "agents.db")
    assert again.recall("k", 1, "p1") == SAID
    assert again.found("k", "asked") == {
        "fields": {"status": "declined", "rate": 0.1, "none": None}
    }
    assert again.found("k", "other") is None
    assert again.found("other", "asked") is None
    again.close()


def test_the_old_is_forgotten(ledger: Ledger) -> None:
    ledger.begin(call("old"))
    ledger.keep("old", "asked", {}, NOW)
    ledger.begin(call("kept", at=NOW + 1))
    ledger.begin(call("new", at=NOW + KEPT + 1))
    assert (ledger.calls("old"), ledger.found("old", "asked")) == ([], None)
    assert len(ledger.calls("kept")) == len(ledger.calls("new")) == 1


def test_it_is_read_beside_the_server_and_not_made_by_reading(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.begin(call())
    reading = open_ledger(tmp_path)
    assert reading is not None
    assert len(reading.calls("k")) == 1
    with pytest.raises(sqlite3.OperationalError):
        reading.begin(call("other"))
    reading.close()
    assert open_ledger(tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()
