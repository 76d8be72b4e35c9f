"""Streams that do not come as they used to, and whom that concerns."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from forestall.contracts.catalogue import Catalogue, load_catalogue
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR
from forestall.measure.stream_checks import Finding, Pulse, Streams
from forestall.measure.surprise import surprising
from watched import moment

DAYS = 15
"""14 days to compare with, and the last one."""

PULSE = Pulse(now=moment(DAYS * 24), earlier=14)
CONTRACT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "x-owner": "payments",
    "type": "object",
    "properties": {
        "method": {"type": "string"},
        "session": {"type": "string"},
        "amount": {"type": ["number", "null"]},
        "bank": {"type": "object", "properties": {"country": {"type": "string"}}},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {}}}},
    },
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder = tmp_path_factory.mktemp("contracts")
    return contracts(folder, "payment.failed")


def contracts(folder: Path, *names: str) -> Catalogue:
    for name in names:
        (folder / f"{name}.v1.json").write_text(json.dumps({**CONTRACT, "title": name}))
    return load_catalogue(folder)


def event(hours: float, data: Any, name: str = "payment.failed") -> Record:
    at = moment(hours)
    return Record("i", "s", name, "u", at, at, data=msgspec.Raw(msgspec.json.encode(data)))


def day(number: int, count: int, **data: Any) -> list[Record]:
    """``count`` events of one day, evenly; a function of the event's number makes a field."""
    found = []
    for at in range(count):
        values = {key: value(at) if callable(value) else value for key, value in data.items()}
        found.append(event(number * 24 + 24 * (at + 0.5) / count, values))
    return found


FULL: dict[str, Any] = {
    "method": lambda at: ("card", "bank", "wallet")[at % 3],
    "session": lambda at: f"session-{at}",
    "amount": lambda at: float(at),
    "bank": {"country": "CH"},
}


def usual(seed: int = 1, days: int = DAYS - 1) -> list[Record]:
    counts = np.random.default_rng(seed).poisson(200, days).tolist()
    return [one for number, count in enumerate(counts) for one in day(number, count, **FULL)]


def look(
    catalogue: Catalogue, records: Iterable[Record], alpha: float = 0.01, pulse: Pulse = PULSE
) -> list[Finding]:
    streams = Streams(catalogue, pulse, alpha)
    for one in records:
        streams.take(one)
    return list(streams.result())


def alarms(found: list[Finding]) -> set[tuple[str, str | None]]:
    return {(one.check, one.field) for one in found if one.alarm}


def test_a_day_like_the_others_raises_no_alarm(catalogue: Catalogue) -> None:
    found = look(catalogue, usual() + day(14, 200, **FULL))
    assert alarms(found) == set()
    assert {(one.check, one.field) for one in found} >= {
        ("volume", None),
        ("freshness", None),
        ("nulls", "method"),
        ("nulls", "bank.country"),
    }


def test_an_alarm_names_the_owner_and_comes_first(catalogue: Catalogue) -> None:
    first, *rest = look(catalogue, usual() + day(14, 600, **FULL))
    assert (first.type, first.owner, first.alarm) == ("payment.failed", "payments", True)
    assert first.text.startswith("600 events; ")
    assert not any(one.alarm for one in rest)


@pytest.mark.parametrize("count", [0, 40, 700])
def test_too_few_and_too_many_events_are_an_alarm(catalogue: Catalogue, count: int) -> None:
    assert ("volume", None) in alarms(look(catalogue, usual() + day(14, count, **FULL)))


def test_a_change_of_volume_that_is_small_is_no_alarm(catalogue: Catalogue) -> None:
    found = look(catalogue, usual() + day(14, 290, **FULL))
    volume = next(one for one in found if one.check == "volume")
    assert volume.chance < 1e-3
    assert not volume.alarm


def test_a_stream_that_varies_may_vary(catalogue: Catalogue) -> None:
    counts = [100, 300] * 7
    records = [one for at, count in enumerate(counts) for one in day(at, count, **FULL)]
    assert alarms(look(catalogue, records + day(14, 60, **FULL))) == set()


def test_a_field_that_is_suddenly_missing_is_an_alarm(catalogue: Catalogue) -> None:
    fewer = {**FULL, "amount": lambda at: None if at % 2 else 1.0}
    found = look(catalogue, usual() + day(14, 200, **fewer))
    assert alarms(found) == {("nulls", "amount")}
    assert found[0].text == "50.0% without amount; 0.0% are usual"


def test_a_nested_field_that_is_suddenly_missing_is_an_alarm(catalogue: Catalogue) -> None:
    fewer = {key: value for key, value in FULL.items() if key != "bank"}
    assert alarms(look(catalogue, usual() + day(14, 200, **fewer))) == {("nulls", "bank.country")}


def test_a_field_that_was_always_missing_is_none(catalogue: Catalogue) -> None:
    empty: dict[str, Any] = {}
    records = [one for at in range(DAYS) for one in day(at, 100, **empty)]
    assert alarms(look(catalogue, records)) == set()


def test_a_new_value_of_a_field_with_few_is_an_alarm(catalogue: Catalogue) -> None:
    more = {**FULL, "method": lambda at: "crypto" if at % 10 == 0 else "card"}
    found = look(catalogue, usual() + day(14, 200, **more))
    assert alarms(found) == {("new-value", "method")}
    assert found[0].text == "method was 'crypto' 20 times, which it never was before"


def test_a_version_that_goes_live_is_no_surprise(tmp_path: Path) -> None:
    """Of our own events the policy and its version are known to be new."""
    name = "forestall.intervention.started"
    records = [
        event(
            24 * at + (n + 1) / 10,
            {"policy": "p", "version": "old" if at < DAYS - 1 else "new"},
            name,
        )
        for at in range(DAYS)
        for n in range(100)
    ]
    found = look(contracts(tmp_path), records)
    assert {one.type for one in found} == {name}
    assert alarms(found) == set()


def test_a_new_value_that_came_once_may_be_chance(catalogue: Catalogue) -> None:
    more = {**FULL, "method": lambda at: "crypto" if at == 7 else "card"}
    found = look(catalogue, usual() + day(14, 200, **more))
    assert alarms(found) == set()
    assert any(one.check == "new-value" for one in found)


def test_a_field_with_many_values_has_new_ones_every_day(catalogue: Catalogue) -> None:
    more = {**FULL, "session": lambda at: f"other-{at % 5}"}
    assert alarms(look(catalogue, usual() + day(14, 200, **more))) == set()


def test_silence_longer_than_ever_is_an_alarm(catalogue: Catalogue) -> None:
    last = [one for one in day(14, 200, **FULL) if one.received < PULSE.now - 8 * HOUR]
    found = look(catalogue, usual() + last)
    fresh = next(one for one in found if one.check == "freshness")
    assert fresh.alarm
    assert fresh.text.startswith("silent for ")
    assert " before" in fresh.text


def test_nights_are_no_silence(catalogue: Catalogue) -> None:
    """Nothing comes in the second half of any day."""
    records = [
        one
        for at in range(DAYS)
        for one in day(at, 400, **FULL)
        if (one.received - moment(0)) % DAY < DAY // 2
    ]
    assert ("freshness", None) not in alarms(look(catalogue, records))


def test_without_a_week_to_compare_with_nothing_is_said(catalogue: Catalogue) -> None:
    pulse = Pulse(now=moment(7 * 24), earlier=14)
    assert look(catalogue, usual(days=6) + day(6, 5, **FULL), pulse=pulse) == []


def test_what_is_older_than_the_reference_is_left_out(catalogue: Catalogue) -> None:
    pulse = Pulse(now=moment(DAYS * 24), earlier=7)
    flood = [one for at in range(5) for one in day(at, 1_000, **FULL)]
    rest = [one for at in range(5, 15) for one in day(at, 100, **FULL)]
    assert alarms(look(catalogue, flood + rest, pulse=pulse)) == set()


def test_a_type_without_a_contract_is_not_looked_at(catalogue: Catalogue) -> None:
    records = [event(at, {}, "unknown.type") for at in range(DAYS * 24)]
    assert look(catalogue, records) == []


@pytest.mark.parametrize("data", [[1], "text", 5, None, {"bank": 3}, {"method": {"a": 1}}])
def test_any_data_may_come(catalogue: Catalogue, data: Any) -> None:
    records = [event(at / 4, data) for at in range(DAYS * 24 * 4)]
    assert alarms(look(catalogue, records)) == set()


def test_an_empty_log_has_no_findings(catalogue: Catalogue) -> None:
    assert look(catalogue, []) == []


def test_memory_is_that_of_the_contracts(catalogue: Catalogue) -> None:
    streams = Streams(catalogue, PULSE)
    for number in range(3_000):
        streams.take(event(number / 10, {"session": f"s{number}", "method": f"m{number}"}))
    for field in streams._streams["payment.failed"].fields.values():
        assert field.before is None or len(field.before) <= 50
        assert len(field.new) <= 50


def test_false_alarms_are_as_rare_as_stated(tmp_path: Path) -> None:
    """1,000 runs of three streams that come at random, at 5 %, what matters or not left aside."""
    names = ["a.seen", "b.seen", "c.seen"]
    catalogue = contracts(tmp_path, *names)
    cried = 0
    for run in range(1_000):
        chance = np.random.default_rng(run)
        streams = Streams(catalogue, PULSE, 0.05)
        streams._first = moment(0)
        for name in names:
            stream = streams._streams[name]
            stream.counts = chance.poisson(100, DAYS).tolist()
            for field in stream.fields.values():
                field.nulls = chance.binomial(stream.counts, 0.1).tolist()
                field.before = {"a"}
                field.seen = 1_000
                if chance.random() < 0.05:
                    field.new["b"] = 1
            gaps = chance.exponential(HOUR / 4, 1_400)
            stream.longest = int(gaps.max())
            stream.last = PULSE.now - int(chance.exponential(HOUR / 4))
        cried += any(surprising([one.chance for one in streams.result()], 0.05))
    assert cried / 1_000 <= 0.068
