"""What a policy reads, and placeholders for the rest."""

from typing import Any

import pytest

from forestall.contracts.control import DecideSettings
from forestall.decide.masking import Mask, below, pruned, reads
from scenario import policy


def test_everything_that_takes_part_in_deciding_is_read() -> None:
    found = reads(
        policy(
            "  features:\n"
            "    f: {sum: event.data.amount, of: b, over: 1h, where: event.data.ok, by: event.data.k}\n"
            "  when: {sequence: [{event: a, where: event.data.x.y == 1}, {not: c, where: event.source == 's'},"
            " {event: d}], by: event.data.order}\n"
            "  if: \"features.f > 1 && subject.plan == 'pro'\"\n"
            "  playbook: [{guide: {text: 'Hi {{ event.data.name }}', channel: inapp}}]\n"
        ),
        DecideSettings(),
    )
    assert {".".join(path) for path in found} == {
        "event.data.amount",
        "event.data.ok",
        "event.data.k",
        "event.data.x.y",
        "event.source",
        "event.data.order",
        "features.f",
        "subject.plan",
    }


@pytest.mark.parametrize(
    ("settings", "spec", "there"),
    [
        (DecideSettings(), "", False),
        (DecideSettings(quiet_hours=(0, 60)), "", True),
        (DecideSettings(quiet_hours=(0, 60)), "  quiet_hours: ignore\n", False),
    ],
)
def test_quiet_hours_read_the_time_zone(settings: DecideSettings, spec: str, there: bool) -> None:
    found = reads(policy("  when: {event: a}\n" + spec), settings)
    assert (("subject", "timezone") in found) is there


DATA = {"a": {"b": 1, "c": 2}, "d": [{"e": 3}], "f": 4}


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        ([], {}),
        ([()], DATA),
        ([("a",)], {"a": {"b": 1, "c": 2}}),
        ([("a", "b")], {"a": {"b": 1}}),
        ([("a", "b"), ("f",), ("z",)], {"a": {"b": 1}, "f": 4}),
        ([("d",)], {"d": [{"e": 3}]}),
        ([("f", "deeper")], {"f": 4}),
    ],
)
def test_pruning_keeps_what_paths_lead_to(paths: list[tuple[str, ...]], kept: Any) -> None:
    assert pruned(DATA, paths) == kept


def test_a_path_above_the_root_reads_all_below_it() -> None:
    root = ("event", "data")
    assert below([("event",)], root) == [()]
    assert below([("event", "data")], root) == [()]
    assert below([("event", "data", "a", "b"), ("event", "id"), ("subject",)], root) == [("a", "b")]


def masked(value: Any, *, plain: tuple[str, ...] = (), sources: tuple[str, ...] = ()) -> Any:
    keys = frozenset({("event", "data", "k")})
    plain_paths = frozenset({("event", "data", *plain)}) if plain else frozenset()
    return Mask(sources, keys, plain_paths).value(("event", "data"), value)


def test_equal_texts_have_equal_placeholders_wherever_they_stand() -> None:
    assert masked({"a": "x", "b": ["y", {"c": "x"}], "d": None}) == {
        "a": "v1",
        "b": ["v2", {"c": "v1"}],
        "d": None,
    }


def test_numbers_are_numbered_in_keys_only() -> None:
    assert masked({"k": 4711, "n": 4711}) == {"k": 1, "n": 4711}
    assert masked({"k": {"id": 4711, "on": True}}) == {"k": {"id": 1, "on": True}}
    assert masked({"k": [7, 7.0, 8]}) == {"k": [1, 1, 2]}


def test_texts_that_an_expression_names_and_plain_fields_stay() -> None:
    value = {"a": "card", "b": "card x", "k": 5}
    assert masked(value, sources=("event.data.a == 'card'",)) == {"a": "card", "b": "v1", "k": 1}
    assert masked(value, sources=('event.data.a == "card x"',))["b"] == "card x"
    assert masked(value, plain=("b",)) == {"a": "v1", "b": "card x", "k": 1}
    assert masked(value, plain=("k",))["k"] == 5
