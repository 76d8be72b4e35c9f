"""What a channel is, and how a delivery ended. A failing network is a value here, no exception."""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from forestall.contracts.errors import ForestallError
from forestall.contracts.intervention import Case, Message

Deduplication = Literal["dedupes", "lookup", "neither"]
"""What the vendor does with a repeated key: ignore it, say whether it knows it, or nothing."""

Reason = Literal[
    "delivered",
    "unreachable",
    "blocked-address",
    "timeout",
    "refused",
    "gone",
    "parked",
    "expired",
    "too-large",
]
"""Why a delivery ended as it did; stable, for records and metrics."""


class UnknownChannel(ForestallError):
    """A policy or a queue names a channel that this deployment does not have."""

    code = "unknown-channel"
    exit_code = 2


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one ``send`` ended, its own retries included.

    ``uncertain`` means that the vendor may have it: the connection broke after the request went
    out. ``again`` says that a later attempt may do better, not before ``retry_after`` (a duration
    in microseconds) where that is given. ``status`` is the last HTTP status, ``detail`` for people,
    ``ticket`` the id that a helpdesk gave a case.
    """

    outcome: Literal["delivered", "failed", "uncertain"]
    reason: Reason
    detail: str = ""
    attempts: int = 0
    status: int | None = None
    again: bool = False
    retry_after: int | None = None
    ticket: str | None = None


class Channel(Protocol):
    """Carries messages to customers."""

    @property
    def name(self) -> str:
        """What policies call it."""

    @property
    def deduplication(self) -> Deduplication:
        """What its vendor does with a repeated key."""

    async def send(self, message: Message, key: str) -> Delivery:
        """Deliver ``message`` once per ``key``, or say what happened instead."""


class Desk(Protocol):
    """Takes the cases of a queue."""

    @property
    def name(self) -> str:
        """What ``[queues]`` calls it."""

    @property
    def deduplication(self) -> Deduplication:
        """What its vendor does with a repeated key."""

    async def hand_over(self, case: Case, key: str) -> Delivery:
        """Hand ``case`` over once per ``key``, or say what happened instead."""


class Channels:
    """The channels of a deployment, by name."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}

    def __getitem__(self, name: str) -> Channel:
        """The channel of that name. Raises ``UnknownChannel``."""
        if name not in self._channels:
            known = ", ".join(sorted(self._channels)) or "none"
            raise UnknownChannel(
                f"there is no channel {name!r} (known: {known}); declare it under [webhooks.{name}]"
                " or name another in the policy"
            )
        return self._channels[name]

    def names(self) -> frozenset[str]:
        """All names, for checking policies before they run."""
        return frozenset(self._channels)
