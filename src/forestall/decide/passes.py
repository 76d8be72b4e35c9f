"""Passes: what a page must know of its customer to decide for them while it is on its own.

What a customer's control events and decisions amount to is read from the log, by the index of
subjects: nothing else of their events is looked at, and no more is told than policies for pages need.
"""

import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from forestall.contracts.control import Control, DecideSettings, PoliciesApplied
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import parse_time
from forestall.decide.gates import Ledger
from forestall.decide.ledger import EFFECTS
from forestall.log.port import Batch, Log
from forestall.log.streams import DECISIONS, SIGNALS, encode
from forestall.measure.assign import in_holdout
from forestall.policy.edge import FORMAT, LIFE, Offer

Act = tuple[str, int, str]
"""A policy's name (empty for one that pages do not decide), when, and what the act costs:
``guidance`` or ``transactional``, nothing where the policy's own holdout kept it back."""

REMEMBERED: Final = 20_000
"""Customers of whom a process remembers what it knew."""

AT_ONCE: Final = 250_000
"""Bytes of batches read together, or else one batch."""

PART: Final = 1_000_000
"""Bytes of batches in a part of a history."""

_CONTROL: Final = b'"forestall.'
"""How the type of a control event begins. In the log the subject follows the type."""

# Of a batch only what is about the customer is read whole.
_raw_records = msgspec.json.Decoder(list[msgspec.Raw])
_raw_entries = msgspec.json.Decoder(list[tuple[int, int, int, msgspec.Raw]])
_record = msgspec.json.Decoder(Record)
_decision = msgspec.json.Decoder(Decision)


class Happened(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a decision that reached a customer, or that a holdout ``kept``."""

    policy: str
    version: str
    at: int
    kept: bool


class Known(msgspec.Struct):
    """What the log says of a customer, up to the batches ``taken`` (signals) and ``read``
    (decisions): what their control events amount to, and the acts for them that a gate may still
    look at after ``since``."""

    ledger: Ledger = msgspec.field(default_factory=Ledger)
    acts: list[Happened] = []
    taken: int = 0
    read: int = 0
    since: int = 0


class Memory:
    """Reads ``signals`` and ``decisions`` for one customer at a time, and only what is new since it
    was last asked about them; of ``most`` customers it remembers what it knew. One thread at a time.
    """

    def __init__(self, signals: Log, decisions: Log, most: int = REMEMBERED) -> None:
        self._signals, self._decisions, self._most = signals, decisions, most
        self._known: OrderedDict[str, Known] = OrderedDict()

    def of(self, subject: str, since: int) -> Known:
        """What is known of ``subject`` by now; not to be changed. Of acts up to ``since`` (see
        ``earliest``) only the last of each policy."""
        return next(known for known in self.parts(subject, since) if known is not None)

    def parts(self, subject: str, since: int) -> Iterator[Known | None]:
        """``of`` in parts, between which there may be others': none, until what is known comes."""
        known = self._known.pop(subject, None)
        if known is None or since < known.since:
            known = Known()
        signals = _batches(self._signals, SIGNALS, subject, known.taken)
        yield from _taking(signals, partial(_obey, known, subject))
        decisions = _batches(self._decisions, DECISIONS, subject, known.read)
        yield from _taking(decisions, partial(_count, known, subject))
        known.acts, known.since = _lasting(known.acts, since), since
        self._known[subject] = known
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        yield known


def _taking(batches: Iterator[Batch], take: Callable[[Batch], None]) -> Iterator[None]:
    """Take each; a pause where a part ends."""
    size = 0
    for batch in batches:
        take(batch)
        size += len(batch.payload)
        if size > PART:
            yield None
            size = 0


def _count(known: Known, subject: str, batch: Batch) -> None:
    """Note the acts for ``subject``."""
    known.acts += _acts(subject, batch)
    known.read = batch.position


def _obey(known: Known, subject: str, batch: Batch) -> None:
    """Do to the ledger what the control events of ``subject`` say."""
    known.taken = batch.position
    name = encode(subject)
    if not _has_control(batch.payload, name):
        return
    for raw in map(bytes, _raw_records.decode(batch.payload)):
        if _CONTROL not in raw or name not in raw:
            continue
        record = _record.decode(raw)
        effect = EFFECTS.get(record.type)
        if effect is not None and record.subject == subject:
            data = decode_data(record.data)
            if isinstance(data, dict):
                effect(known.ledger, data, min(record.time, record.received))


def _has_control(payload: bytes, name: bytes) -> bool:
    """Whether there may be a control event of the subject that is written as ``name``."""
    at = payload.find(name)
    while at >= 0:
        # What stands before it, between quotes and with a comma behind: the type, if it is a subject.
        if payload.startswith(_CONTROL, payload.rfind(b'"', 0, max(at - 2, 0))):
            return True
        at = payload.find(name, at + len(name))
    return False


def _acts(subject: str, batch: Batch) -> list[Happened]:
    """What reached ``subject``, or a holdout kept from them."""
    name = encode(subject)
    raws = (bytes(raw) for *_, raw in _raw_entries.decode(batch.payload))
    made = (_decision.decode(raw) for raw in raws if name in raw)
    return [
        Happened(
            sys.intern(one.policy),
            sys.intern(one.version),
            parse_time(one.at),
            one.reason == "policy_holdout",
        )
        for one in made
        if one.subject == subject and one.mode != "shadow" and one.outcome != "suppress"
    ]


def _lasting(acts: Sequence[Happened], since: int) -> list[Happened]:
    """Those that ``_needed`` may still need, whatever policies cost or pages decide by then."""
    last: dict[str, int] = {}
    for one in acts:
        last[one.policy] = max(one.at, last.get(one.policy, one.at))
    return [one for one in acts if one.at == last[one.policy] or (one.at > since and not one.kept)]


def _batches(log: Log, stream: str, subject: str, after: int) -> Iterator[Batch]:
    """The batches after ``after`` that hold something of ``subject``, in order."""
    places = log.of_subject(stream, subject)
    start, most = bisect_right(places, after), 1
    while start < len(places):
        end = start + 1
        while end < len(places) and places[end] == places[end - 1] + 1 and end - start < most:
            end += 1
        found = log.read(stream, after=places[start] - 1, limit=end - start)
        yield from found
        largest = max((len(batch.payload) for batch in found), default=AT_ONCE)
        start, most = end, max(1, AT_ONCE // largest)


def earliest(settings: DecideSettings, now: int) -> int:
    """Acts up to this time no budget and no spacing looks at any more."""
    return now - max(settings.budget_window, settings.spacing)


def pass_payload(
    offered: Offer,
    subject: str,
    who: dict[str, str],
    known: Known,
    transactional: Collection[str],
    now: int,
) -> dict[str, Any]:
    """What a pass for ``who``, whose pseudonym is ``subject``, says at wall time ``now``.

    ``transactional`` are the versions whose acts cost no budget.
    """
    names = {one.policy.name for one in offered.policies}
    settings, ledger = offered.settings, known.ledger
    acts = [
        *_carried(ledger, names),
        *(_act(one, names, one.version in transactional) for one in known.acts),
    ]
    return {
        "v": FORMAT,
        "subject": subject,
        "who": who,
        "issued": now,
        "expires": now + LIFE,
        "traits": {
            name: ledger.traits[name] for name in sorted(offered.traits & ledger.traits.keys())
        },
        "consent": {
            purpose: ledger.consents[purpose].yes
            for purpose in sorted({one.policy.purpose for one in offered.policies})
            if purpose in ledger.consents
        },
        "opted_out": ledger.optout is not None and ledger.optout.yes,
        "tickets": len(ledger.tickets),
        "holdout": {
            "global": in_holdout(settings.salt, subject, settings.holdout),
            "policies": {
                one.policy.name: in_holdout(
                    f"{settings.salt}:{one.policy.name}", subject, one.policy.holdout
                )
                for one in offered.policies
            },
        },
        "acts": _needed(acts, earliest(settings, now)),
        "dismissed": {
            name: [own.dismissals, own.never]
            for name, own in sorted(ledger.policies.items())
            if name in names and (own.dismissals or own.never)
        },
    }


def transactional_versions(controls: Sequence[Control]) -> frozenset[str]:
    """The versions of policies, ever in force, whose acts cost no budget."""
    return frozenset(
        one.version
        for record in controls
        if isinstance(record, PoliciesApplied)
        for one in record.policies
        if msgspec.json.decode(one.canonical, type=_Budget).budget_class == "transactional"
    )


class _Budget(msgspec.Struct):
    budget_class: str = "guidance"


def _act(one: Happened, names: Collection[str], transactional: bool) -> Act:
    cost = "transactional" if transactional else "guidance"
    return one.policy if one.policy in names else "", one.at, "" if one.kept else cost


def _carried(ledger: Ledger, names: Collection[str]) -> Iterator[Act]:
    """Acts that another pseudonym of the customer brought."""
    for name, own in ledger.policies.items():
        if name in names and own.last_act is not None:
            yield name, own.last_act, ""
    for at in ledger.guidance_acts:
        yield "", at, "guidance"


def _needed(acts: Sequence[Act], since: int) -> list[Act]:
    """Those that a gate may still look at: of each policy the last, and lately all that cost."""
    last: dict[str, int] = {}
    for name, at, _ in acts:
        last[name] = max(at, last.get(name, at))
    kept = [
        one
        for one in acts
        if (one[2] == "guidance" and one[1] > since) or (one[0] and one[1] == last[one[0]])
    ]
    return sorted(dict.fromkeys(kept), key=lambda one: one[1])
