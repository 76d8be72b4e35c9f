"""The verbs of the SDK, each of which makes one event and hands it on.

An event is made whole in the call: its id, its time and its JSON text never change afterwards, so
that sending it again is harmless, and later changes to a dictionary change nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from forestall.client.options import Trouble
from forestall.contracts.instants import format_time
from forestall.contracts.naming import CONTROL, event_type, url_path
from forestall.kernel.clock import Clock, Tokens

R = TypeVar("R", covariant=True)
Id = str | int
Data = Mapping[str, Any]

ESSENTIAL = frozenset(
    {
        "forestall.consent.granted",
        "forestall.consent.withdrawn",
        "forestall.optout",
        "forestall.optin",
    }
)
"""Types that say consent or opt-out: a full queue still has a little room for them."""

_encode = msgspec.json.Encoder().encode


class Item(msgspec.Struct, frozen=True, gc=False):
    """An event ready to be sent: its JSON text, and whether it says consent or opt-out."""

    id: str
    body: bytes
    essential: bool = False

    def __repr__(self) -> str:
        return f"Item({self.id!r})"


class Verbs(ABC, Generic[R]):
    """What a backend can say about a customer.

    ``user_id`` is your own id of the customer; where nobody is signed in leave it out (none) and
    give ``anonymous_id``. ``at`` is when it happened (with a time zone; otherwise now), ``event_id``
    an id of your own for the event if it has one, ``traceparent`` a W3C trace context.
    """

    _clock: Clock
    _ids: Tokens
    _source: str
    _event_bytes: int

    @abstractmethod
    def _take(self, made: Item | Trouble) -> R:
        """Queue an event, or tell why there is none."""

    def track(
        self,
        user_id: Id | None,
        event: str,
        properties: Data | None = None,
        *,
        anonymous_id: Id | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
        traceparent: str | None = None,
    ) -> R:
        """Something happened: ``Payment Failed`` is sent as an event of type ``payment.failed``."""
        try:
            named = event if event.startswith(CONTROL) else event_type(event)
        except AttributeError:
            named = ""
        who = (user_id, anonymous_id)
        return self._make(named, who, properties, at=at, event_id=event_id, traceparent=traceparent)

    def identify(
        self,
        user_id: Id | None,
        traits: Data | None = None,
        *,
        anonymous_id: Id | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> R:
        """What is known of a customer; with both ids, that this visitor signed in."""
        who, said = (user_id, anonymous_id), {"traits": {} if traits is None else traits}
        return self._make("forestall.identify", who, said, at=at, event_id=event_id)

    def page(
        self,
        user_id: Id | None,
        name: str | None = None,
        properties: Data | None = None,
        *,
        category: str | None = None,
        anonymous_id: Id | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> R:
        """A page was viewed. Of ``path`` or ``url`` among the properties only the path is sent."""
        given = properties if isinstance(properties, Mapping) else {}
        path = given.get("path") or given.get("url")
        found = {
            "name": name or given.get("name"),
            "category": category or given.get("category"),
            "path": url_path(path) if isinstance(path, str) else None,
        }
        data = {key: value for key, value in found.items() if value is not None}
        return self._make("page.viewed", (user_id, anonymous_id), data, at=at, event_id=event_id)

    def group(
        self,
        user_id: Id | None,
        group_id: Id,
        traits: Data | None = None,
        *,
        anonymous_id: Id | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> R:
        """The customer belongs to a group, such as an account."""
        data = {"group": str(group_id), "traits": {} if traits is None else traits}
        return self._make("group.joined", (user_id, anonymous_id), data, at=at, event_id=event_id)

    def alias(
        self,
        previous_id: Id,
        user_id: Id,
        *,
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> R:
        """The visitor ``previous_id`` is the customer ``user_id``."""
        return self._make(
            "forestall.identify", (user_id, previous_id), {"traits": {}}, at=at, event_id=event_id
        )

    def consent(
        self,
        user_id: Id | None,
        purpose: str,
        granted: bool = True,
        *,
        anonymous_id: Id | None = None,
        event_id: str | None = None,
    ) -> R:
        """The customer consents to being helped for ``purpose``, or takes it back."""
        type_ = "forestall.consent.granted" if granted else "forestall.consent.withdrawn"
        return self._make(type_, (user_id, anonymous_id), {"purpose": purpose}, event_id=event_id)

    def opt_out(
        self,
        user_id: Id | None,
        reason: str | None = None,
        *,
        anonymous_id: Id | None = None,
        event_id: str | None = None,
    ) -> R:
        """The customer wants no help at all."""
        data = {"reason": reason} if reason else {}
        return self._make("forestall.optout", (user_id, anonymous_id), data, event_id=event_id)

    def opt_in(
        self, user_id: Id | None, *, anonymous_id: Id | None = None, event_id: str | None = None
    ) -> R:
        """The customer takes an opt-out back."""
        return self._make("forestall.optin", (user_id, anonymous_id), {}, event_id=event_id)

    def ticket_opened(
        self,
        user_id: Id,
        ticket: Id,
        *,
        category: str | None = None,
        channel: str | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> R:
        """The customer opened a support ticket."""
        data = _ticket(ticket, category, channel)
        return self._make(
            "forestall.ticket.opened", (user_id, None), data, at=at, event_id=event_id
        )

    def ticket_closed(
        self,
        user_id: Id,
        ticket: Id,
        *,
        category: str | None = None,
        channel: str | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> R:
        """The support ticket is closed."""
        data = _ticket(ticket, category, channel)
        return self._make(
            "forestall.ticket.closed", (user_id, None), data, at=at, event_id=event_id
        )

    def _make(
        self,
        type_: str,
        who: tuple[Id | None, Id | None],
        data: Data | None,
        *,
        at: datetime | None = None,
        event_id: str | None = None,
        traceparent: str | None = None,
    ) -> R:
        return self._take(
            self._made(type_, who, data, at, str(event_id or self._ids()), traceparent)
        )

    def _made(
        self,
        type_: str,
        who: tuple[Id | None, Id | None],
        data: Data | None,
        at: datetime | None,
        event_id: str,
        traceparent: str | None,
    ) -> Item | Trouble:
        user, anonymous = _text(who[0]), _text(who[1])
        if not type_:
            return Trouble("cannot-send", "the event has no name", (event_id,))
        if user is None and anonymous is None:
            return Trouble("cannot-send", "give user_id or anonymous_id", (event_id,))
        if data is not None and not isinstance(data, Mapping):
            return Trouble("cannot-send", "properties and traits have to be a mapping", (event_id,))
        if at is not None and at.tzinfo is None:
            return Trouble("cannot-send", "the time needs a time zone", (event_id,))
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": event_id,
            "source": self._source,
            "type": type_,
            "time": at or format_time(self._clock()),
            "data": dict(data or {}),
        }
        if user is not None:
            event["subject"] = user
        if anonymous is not None:
            event["anonymousid"] = anonymous
        if traceparent is not None:
            event["traceparent"] = traceparent
        return self._encoded(event, event_id)

    def _encoded(self, event: dict[str, Any], event_id: str) -> Item | Trouble:
        try:
            body = _encode(event)
        except (
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
            msgspec.MsgspecError,
        ) as error:
            kind = type(error).__name__
            return Trouble(
                "cannot-send", f"the event is no JSON ({kind}): look at its data", (event_id,)
            )
        if len(body) > self._event_bytes:
            large = f"the event has {len(body)} bytes; at most {self._event_bytes} are sent"
            return Trouble("cannot-send", large, (event_id,))
        return Item(event_id, body, event["type"] in ESSENTIAL)


def _text(value: Id | None) -> str | None:
    return None if value is None or value == "" else str(value)


def _ticket(ticket: Id, category: str | None, channel: str | None) -> dict[str, Any]:
    found = {"ticket": ticket, "category": category, "channel": channel}
    return {key: value for key, value in found.items() if value is not None}
