"""What the control stream says to this room: policies by version, settings, fields, switches."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from forestall.contracts.control import (
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.event import Record, decode_data
from forestall.decide.occasion import with_doubles
from forestall.log.port import Log
from forestall.log.streams import CONTROL, read_control
from forestall.policy.bundle import policy_of
from forestall.policy.language.model import Policy


class Governing:
    """What the control stream says so far: policies by version, settings and number fields by
    the log time from which they hold, what is in force and what is switched off by now."""

    def __init__(self) -> None:
        self._applied: dict[str, PolicyInForce] = {}
        self._policies: dict[str, Policy] = {}
        self._in_force: dict[str, list[str]] = {}
        self._settings: list[tuple[int, DecideSettings]] = [(0, DecideSettings())]
        self._numbers: list[tuple[int, Mapping[str, dict[str, Any]]]] = [(0, {})]
        self._switches: SwitchesApplied | None = None
        self._position = 0

    def read(self, log: Log) -> bool:
        """Take in what is new; whether anything was."""
        before = self._position
        for batch in log.follow(CONTROL, after=before):
            self._position = batch.position
            for record in read_control(batch):
                if isinstance(record, PoliciesApplied):
                    self._apply(record)
                elif isinstance(record, SettingsApplied):
                    self._settings.append((record.received, record.settings))
                elif isinstance(record, SwitchesApplied):
                    self._switches = record
        return self._position > before

    def _apply(self, record: PoliciesApplied) -> None:
        self._in_force.clear()
        for policy in record.policies:
            self._applied[policy.version] = policy
            if policy.mode != "shadow":
                self._in_force.setdefault(policy.name, []).append(policy.version)
        self._numbers.append((record.received, record.numbers))

    def ends(self, policy: str, version: str) -> str | None:
        """Why a running intervention of that version must end: ``killed`` where the policy, or
        everything, is switched off, ``superseded`` where newer versions cancel those of older."""
        now = self._switches
        if now is not None and (now.everything_off or policy in now.off):
            return "killed"
        newer = self._in_force.get(policy, [])
        if version not in newer and any(self.policy(one).running == "cancel" for one in newer):
            return "superseded"
        return None

    def policy(self, version: str) -> Policy:
        """The policy of that version. Raises ``KeyError`` for one never applied."""
        if version not in self._policies:
            self._policies[version] = policy_of(self._applied[version])
        return self._policies[version]

    def settings(self, received: int) -> DecideSettings:
        """Those that hold at that log time."""
        return _holding(self._settings, received)

    def data(self, record: Record) -> dict[str, Any]:
        """The ``data`` of a record, numbers of declared fields as the policies see them."""
        try:
            data = decode_data(record.data)
        except msgspec.DecodeError:
            return {}
        numbers = _holding(self._numbers, record.received).get(record.type, {})
        data = with_doubles(data, numbers) if numbers else data
        return data if isinstance(data, dict) else {}


_Held = TypeVar("_Held")


def _holding(timeline: Sequence[tuple[int, _Held]], received: int) -> _Held:
    index = bisect_right(timeline, received, key=lambda entry: entry[0])
    return timeline[max(index, 1) - 1][1]
