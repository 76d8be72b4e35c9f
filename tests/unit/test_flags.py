"""Flags: what the control stream says of them, read through OpenFeature."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from forestall.app import canary
from forestall.app.flags import LOOK_EVERY, provide, switched_on
from forestall.contracts.control import Control, FlagsApplied, SwitchesApplied, Transition
from forestall.contracts.flags import DOMAIN, NAME, OWN, Value, wrong
from forestall.intervene.actions.answers import Answer
from forestall.intervene.actions.credentials import Credentials
from forestall.intervene.actions.python import PythonCalls, Refused
from forestall.kernel.settings import Flags, Lifecycle, Settings
from forestall.log.memory import MemoryLog
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import control
from forestall.policy.actions.model import Function
from forestall.policy.deployment import flagged
from forestall.policy.flags import FlagChange, InForce, changes, in_force, read
from forestall.policy.store import Registry


def applied(at: int, flags: dict[str, Value], by: str = "ann", why: str = "asked") -> FlagsApplied:
    return FlagsApplied(at, flags, by, why)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    yield
    api.shutdown()


class Fallback(InMemoryProvider):
    """A provider of somebody else's."""

    def __init__(self) -> None:
        super().__init__({"console": InMemoryFlag("off", {"off": False})})


def other() -> Fallback:
    """What a deployment names as ``provider``."""
    return Fallback()


def breaks() -> Fallback:
    raise RuntimeError("no connection")


def following(*records: FlagsApplied, call: str | None = None) -> MemoryLog:
    """A log with these records; OpenFeature is served from it."""
    log = MemoryLog()
    if records:
        log.commit([control(records)])
    provide(log, call).look()
    return log


# -- what the control stream says ------------------------------------------------------------------


def test_each_change_is_told_with_who_why_and_when() -> None:
    records: list[Control] = [
        applied(1, {"a": True, "b": 1}),
        SwitchesApplied(2, (), False, "files", ""),
        applied(3, {"a": True, "b": 2}, "bob", "more"),
        applied(4, {"b": 2}, "cat", "gone"),
    ]
    assert changes(records) == [
        FlagChange("a", None, True, "ann", "asked", 1),
        FlagChange("b", None, 1, "ann", "asked", 1),
        FlagChange("b", 1, 2, "bob", "more", 3),
        FlagChange("a", True, None, "cat", "gone", 4),
    ]
    assert in_force(records) == [InForce("b", 2, "bob", "more", 3)]


def test_true_and_one_are_not_the_same() -> None:
    assert (
        len(changes([applied(1, {"a": True}), applied(2, {"a": 1}), applied(3, {"a": 1.0})])) == 3
    )


def test_what_is_set_again_is_as_of_then() -> None:
    records: list[Control] = [applied(1, {"a": 1}), applied(2, {}), applied(3, {"a": 1}, "bob")]
    assert in_force(records) == [InForce("a", 1, "bob", "asked", 3)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("3", 3),
        ("0.5", 0.5),
        ("blue", "blue"),
        ('"3"', "3"),
        ("null", "null"),
        ("[1]", "[1]"),
        ("", ""),
    ],
)
def test_values_are_read_as_people_write_them(text: str, value: Value) -> None:
    found = read(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a" * 101, "-a", "ä"])
def test_names_that_cannot_be(name: str) -> None:
    assert NAME
    assert "is no name of a flag" in (wrong(name, True) or "")


def test_values_that_cannot_be() -> None:
    assert wrong("a-b_c.d1", "x" * 1000) is None
    assert "at most 1,000" in (wrong("a", "x" * 1001) or "")
    assert "finite" in (wrong("a", float("nan")) or "")
    assert "finite" in (wrong("a", 2**53) or "")
    assert all("true or false" in (wrong(name, 1) or "") for name in OWN)
    assert all(wrong(name, False) is None for name in OWN)


def test_a_transition_of_the_flag_itself_says_who_and_why() -> None:
    """Two people set two flags at once: the record of all flags can name one of them only."""
    moved = [
        Transition(
            received=1,
            number=n,
            artifact=kind,
            name="a",
            version="v",
            before="draft",
            after="live",
            by=by,
            why="her reason",
        )
        for n, (kind, by) in enumerate((("flag", "ann"), ("policy", "cat")), 1)
    ]
    found = in_force([*moved, applied(1, {"a": 1, "b": 2}, "bob", "his reason")])
    assert [(one.name, one.by, one.why) for one in found] == [
        ("a", "ann", "her reason"),
        ("b", "bob", "his reason"),
    ]


# -- files -----------------------------------------------------------------------------------------


def wants(values: dict[str, Value], *, managed: bool = False) -> Settings:
    return Settings(flags=Flags(values=values), lifecycle=Lifecycle(managed=managed))


def test_files_put_flags_in_force_where_they_differ() -> None:
    assert flagged(wants({}), []) == []
    (first,) = flagged(wants({"a": True}), [])
    assert first == FlagsApplied(0, {"a": True}, "files", "flags changed")
    assert flagged(wants({"a": True}), [first]) == []
    assert flagged(wants({}), [first]) == [FlagsApplied(0, {}, "files", "flags changed")]
    assert flagged(wants({"a": 1}), [first]) != []


def test_files_put_no_flag_in_force_where_the_deployment_is_managed() -> None:
    assert flagged(wants({"a": True}, managed=True), [applied(1, {"a": False})]) == []


# -- through OpenFeature ---------------------------------------------------------------------------


def test_flags_are_read_through_openfeature_with_who_and_why() -> None:
    following(applied(1, {"on": True, "n": 3, "x": 0.5, "colour": "blue"}))
    client = api.get_client(DOMAIN)
    assert client.get_boolean_value("on", False) is True
    assert client.get_integer_value("n", 0) == 3
    assert client.get_float_value("x", 0.0) == 0.5
    assert client.get_float_value("n", 0.0) == 3.0
    assert client.get_string_value("colour", "red") == "blue"
    details = client.get_boolean_details("on", False)
    assert details.reason == Reason.STATIC
    assert dict(details.flag_metadata) == {
        "by": "ann",
        "why": "asked",
        "since": "1970-01-01T00:00:00.000001Z",
    }
    assert api.get_provider_metadata(DOMAIN).name == DOMAIN


def test_what_is_not_set_or_of_another_type_gives_the_default() -> None:
    following(applied(1, {"on": True, "n": 3}))
    client = api.get_client(DOMAIN)
    missing = client.get_boolean_details("other", True)
    assert (missing.value, missing.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    for details in (
        client.get_integer_details("on", 7),
        client.get_string_details("n", "seven"),
        client.get_boolean_details("n", False),
        client.get_object_details("n", {"a": 1}),
    ):
        assert details.value in (7, "seven", False, {"a": 1})
        assert details.error_code == ErrorCode.TYPE_MISMATCH


def test_evaluating_asynchronously_gives_the_same() -> None:
    following(applied(1, {"on": True}))
    assert asyncio.run(api.get_client(DOMAIN).get_boolean_value_async("on", False)) is True


def test_a_change_is_seen_and_told_to_who_listens() -> None:
    log = MemoryLog()
    follows = provide(log, None)
    told: list[Sequence[str]] = []
    heard = threading.Event()

    def hear(details: EventDetails) -> None:
        told.append(details.flags_changed or [])
        heard.set()

    api.get_client(DOMAIN).add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, hear)
    log.commit([control([applied(1, {"a": True, "b": 1})])])
    follows.look()
    assert heard.wait(10)
    heard.clear()
    log.commit([control([applied(2, {"b": 1})])])
    follows.look()
    assert heard.wait(10)
    assert told == [["a", "b"], ["a"]]
    follows.look()
    assert api.get_client(DOMAIN).get_boolean_value("a", False) is False


def test_following_goes_on_until_it_is_stopped() -> None:
    async def scenario() -> bool:
        log, stop = MemoryLog(), asyncio.Event()
        running = asyncio.create_task(provide(log, None).run(stop))
        log.commit([control([applied(1, {"console": False})])])
        async with asyncio.timeout(40 * LOOK_EVERY):
            while switched_on("console", otherwise=True):
                await asyncio.sleep(0)
        stop.set()
        await running
        return switched_on("console", otherwise=True)

    assert asyncio.run(scenario()) is False


def test_what_is_not_about_flags_is_not_kept() -> None:
    log = MemoryLog()
    follows = provide(log, None)
    moved = [
        Transition(
            received=1,
            number=number,
            artifact=kind,
            name="a",
            version="v",
            before="draft",
            after="live",
            by="ann",
            why="asked",
        )
        for number, kind in enumerate(("policy", "flag", "model"), 1)
    ]
    told: list[Control] = [*moved, SwitchesApplied(2, (), False, "files", ""), applied(3, {"a": 1})]
    log.commit([control(told)])
    follows.look()
    assert follows._told == [moved[1], told[-1]]


def test_our_own_switches_have_an_otherwise() -> None:
    assert switched_on("console", otherwise=True) is True
    following()
    assert switched_on("console", otherwise=True) is True
    assert switched_on("canary-automatic", otherwise=False) is False
    following(applied(1, {"console": False, "canary-automatic": True}))
    assert switched_on("console", otherwise=True) is False
    assert switched_on("canary-automatic", otherwise=False) is True


def test_another_provider_can_take_the_place_of_ours() -> None:
    following(applied(1, {"console": True}), call=f"{__name__}:other")
    assert api.get_provider_metadata(DOMAIN).name == "In-Memory Provider"
    ready = threading.Event()
    api.get_client(DOMAIN).add_handler(ProviderEvent.PROVIDER_READY, lambda _: ready.set())
    assert ready.wait(10)
    assert switched_on("console", otherwise=True) is False


@pytest.mark.parametrize("call", ["nowhere:made", f"{__name__}:missing", f"{__name__}:breaks"])
def test_a_provider_that_cannot_be_had_leaves_ours(call: str) -> None:
    following(applied(1, {"console": False}), call=call)
    assert api.get_provider_metadata(DOMAIN).name == DOMAIN
    assert switched_on("console", otherwise=True) is False


# -- who reads them --------------------------------------------------------------------------------


def refund(values: dict[str, Any], *, key: str | None, dry: bool, credential: str | None) -> Any:
    """A deployment's own action, as the how-to writes one."""
    assert (key, dry, credential) == (None, False, None)
    client = api.get_client(DOMAIN)
    if not client.get_boolean_value("refunds", False):
        raise Refused("refunds are switched off")
    return {"refunded": min(values["amount"], client.get_integer_value("refund-limit", 0))}


def test_a_deployments_own_action_reads_flags() -> None:
    log = MemoryLog()
    follows = provide(log, None)
    calls = PythonCalls([f"{__name__}:refund"], Credentials({}))

    def called() -> Answer:
        way = Function(call=f"{__name__}:refund")
        return asyncio.run(calls.call(way, {"amount": 50}, None, 10.0))

    assert (called().ended, called().detail) == ("refused", "refunds are switched off")
    log.commit([control([applied(1, {"refunds": True, "refund-limit": 20})])])
    follows.look()
    assert called().body == {"refunded": 20}


def canaries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the controller of canaries would let one grow by itself."""
    told: list[bool] = []

    async def scenario() -> None:
        stop = asyncio.Event()

        def act(*_: object, automatic: bool) -> None:
            told.append(automatic)
            stop.set()

        monkeypatch.setattr(canary, "act", act)
        registry = Registry(folder / "registry.db")
        try:
            async with asyncio.timeout(30):
                await canary.keep_canaries(Settings(data=folder), registry, lambda: 0, stop)
        finally:
            registry.close()

    asyncio.run(scenario())
    return told[0]


def test_a_flag_lets_canaries_grow_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gateway.db", "worker.db"):
        SqliteLog(tmp_path / name).close()
    assert canaries(tmp_path, monkeypatch) is False
    following(applied(1, {"canary-automatic": True}))
    assert canaries(tmp_path, monkeypatch) is True
