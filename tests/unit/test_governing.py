"""What governs running interventions: settings by time, policies by version, and what ends them."""

import msgspec
import pytest

from flow.intervening import DECLINED_TWICE, SILENT_AFTER, applied, event
from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.intervene.governing import Governing
from forestall.log import streams
from forestall.log.memory import MemoryLog

NEWER = DECLINED_TWICE.replace("for: 10m", "for: 11m")
CANCELLING = NEWER.replace("spec:\n", "spec:\n  running: cancel\n")


def governing(*records: Control) -> tuple[Governing, MemoryLog]:
    log = MemoryLog()
    log.commit([streams.control(records)])
    found = Governing()
    assert found.read(log)
    assert not found.read(log), "nothing is new"
    return found, log


def version_of(record: PoliciesApplied, name: str = "card-declined") -> str:
    return next(policy.version for policy in record.policies if policy.name == name)


def in_mode(record: PoliciesApplied, mode: str) -> PoliciesApplied:
    policies = tuple(msgspec.structs.replace(one, mode=mode) for one in record.policies)
    return msgspec.structs.replace(record, policies=policies)


def test_policies_are_known_by_version_also_when_they_are_no_longer_in_force() -> None:
    first, second = applied(DECLINED_TWICE), applied(NEWER)
    found, _ = governing(first, second)
    assert found.policy(version_of(first)).name == "card-declined"
    assert found.policy(version_of(second)).playbook != found.policy(version_of(first)).playbook
    with pytest.raises(KeyError):
        found.policy("another")


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ((applied(NEWER),), None),
        ((applied(CANCELLING),), "superseded"),
        ((in_mode(applied(CANCELLING), "shadow"),), None),
        ((applied(CANCELLING), applied(NEWER)), None),
        ((applied(CANCELLING), applied(SILENT_AFTER)), None),
        ((applied(SILENT_AFTER),), None),
    ],
)
def test_only_a_newer_version_in_force_that_says_so_ends_an_older_one(
    records: tuple[PoliciesApplied, ...], why: str | None
) -> None:
    first = applied(DECLINED_TWICE)
    found, _ = governing(first, *records)
    assert found.ends("card-declined", version_of(first)) == why
    if why is not None:
        assert found.ends("card-declined", version_of(records[-1])) is None


def test_a_version_that_still_serves_a_share_is_not_superseded() -> None:
    both = applied(DECLINED_TWICE, CANCELLING)
    found, _ = governing(both)
    for policy in both.policies:
        assert found.ends("card-declined", policy.version) is None


@pytest.mark.parametrize("off", [(("card-declined",), False), ((), True)])
def test_what_is_switched_off_ends(off: tuple[tuple[str, ...], bool]) -> None:
    first = applied(DECLINED_TWICE, SILENT_AFTER)
    switches = SwitchesApplied(received=1, off=off[0], everything_off=off[1], by="", why="")
    found, log = governing(first, switches)
    assert found.ends("card-declined", version_of(first)) == "killed"
    assert found.ends("silent", "v") == ("killed" if off[1] else None)
    again = SwitchesApplied(received=2, off=(), everything_off=False, by="", why="")
    log.commit([streams.control([again])])
    assert found.read(log)
    assert found.ends("card-declined", version_of(first)) is None


def test_settings_hold_from_their_time_on() -> None:
    early = SettingsApplied(10, DecideSettings(lateness=1), by="", why="")
    late = SettingsApplied(20, DecideSettings(lateness=2), by="", why="")
    found, _ = governing(early, late)
    lateness = [found.settings(at).lateness for at in (5, 10, 19, 20, 99)]
    assert lateness[1:] == [1, 1, 2, 2]


def test_data_that_is_no_object_is_empty() -> None:
    found, _ = governing(applied(DECLINED_TWICE))
    record = event("payment.declined", 0, order_id="o1")
    assert found.data(record) == {"order_id": "o1"}
    for raw in (b"[1]", b"{", b"7"):
        assert found.data(msgspec.structs.replace(record, data=msgspec.Raw(raw))) == {}
