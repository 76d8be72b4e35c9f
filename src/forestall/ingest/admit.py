"""Whether a letter may come in: ``CHECKS``, in order. Pure.

Each check takes the arrival as far as it is known and gives it back, completed or not, or raises
``Refused`` with a code that ``docs/reference/http-api.md`` explains.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from forestall.contracts.catalogue import Catalogue, Contract
from forestall.contracts.event import EMPTY_DATA, CloudEvent
from forestall.contracts.instants import DAY, parse_time
from forestall.contracts.intervention import OWN_REPORTS
from forestall.contracts.shape import escape
from forestall.ingest.letter import (
    CONTROL,
    DEEPEST,
    SIGN_IN,
    Admitted,
    Letter,
    Refusal,
    Refused,
    not_json,
    too_deep,
)
from forestall.ingest.sources import READERS
from forestall.kernel.telemetry import parse_traceparent

EARLIEST = parse_time("2000-01-01T00:00:00Z")
LATEST_AHEAD = DAY
LONGEST_ID = 256
LARGEST = 2**63 - 1

PERSONAL_TRAITS = frozenset(
    {
        "address", "avatar", "birthday", "email", "firstName", "first_name", "lastName",
        "last_name", "name", "phone", "username",
    }
)  # fmt: skip
"""Traits that only the vault gets where no catalogue says otherwise."""

_TYPE = re.compile(r"\w[\w.:/-]{0,254}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Rules(msgspec.Struct, frozen=True):
    """What the checks go by. ``strict`` says that there is a catalogue of the deployment's own;
    else types it does not know are taken as they come."""

    catalogue: Catalogue
    tokenise: Callable[[Any], str]
    strict: bool
    max_event_bytes: int = 32_000


class Arrival(msgspec.Struct, frozen=True):
    """A letter on its way through the checks."""

    letter: Letter
    event: CloudEvent = CloudEvent(id="", source="", type="")
    contract: Contract | None = None
    time: int | None = None
    data: dict[str, Any] = {}
    personal: dict[str, Any] = {}


Check = Callable[[Arrival, Rules], Arrival]
_with = msgspec.structs.replace


def small_enough(arrival: Arrival, rules: Rules) -> Arrival:
    """An event has at most ``[ingest] max_event_bytes``."""
    if len(arrival.letter.raw) > rules.max_event_bytes:
        size = len(arrival.letter.raw)
        raise Refused("event-too-large", "", f"{size} bytes; at most {rules.max_event_bytes}")
    return arrival


def well_formed(arrival: Arrival, _rules: Rules) -> Arrival:
    """It can be read in its dialect, and is a CloudEvent."""
    return _with(arrival, event=READERS[arrival.letter.form](arrival.letter))


def named(arrival: Arrival, _rules: Rules) -> Arrival:
    """Its id, source, type and subject can be stored and compared; somebody is the subject."""
    event = arrival.event
    for name, value in (
        ("id", event.id),
        ("source", event.source),
        ("type", event.type),
        ("subject", event.subject),
        ("anonymousid", event.anonymousid),
    ):
        if value is None:
            continue
        if "\x00" in value:
            raise Refused("nul-byte", f"/{name}", "a NUL byte; leave it out")
        if not value and name in ("id", "source", "type"):
            raise Refused("invalid-envelope", f"/{name}", "it is empty")
        if len(value) > LONGEST_ID or _UNPRINTABLE.search(value):
            raise Refused(
                "invalid-id", f"/{name}", f"at most {LONGEST_ID} printable characters, please"
            )
    if not _TYPE.fullmatch(event.type):
        raise Refused("invalid-envelope", "/type", "a type is dotted words, such as order.paid")
    if not (event.subject or (event.anonymousid and not arrival.letter.sender.internal)):
        raise Refused("no-subject", "", "neither subject nor anonymousid says whose event it is")
    return arrival


def known_type(arrival: Arrival, rules: Rules) -> Arrival:
    """The catalogue has a contract for its type, if there is a catalogue."""
    type_ = arrival.event.type
    contract = rules.catalogue.contract_of(type_, arrival.event.dataschema)
    if contract is None and (rules.strict or type_.startswith(CONTROL)):
        raise Refused("unknown-contract", "/type", f"the catalogue has no type {type_!r}")
    return _with(arrival, contract=contract)


def allowed_origin(arrival: Arrival, _rules: Rules) -> Arrival:
    """The contract lets keys of this origin send the type."""
    sender, contract = arrival.letter.sender, arrival.contract
    if arrival.event.type == "forestall.alias":
        raise Refused("reserved-type", "/type", "only the gateway itself joins pseudonyms")
    if arrival.event.type in OWN_REPORTS and not sender.internal:
        raise Refused("reserved-type", "/type", "only Forestall itself tells what its steps did")
    if contract is not None and not sender.internal and sender.origin not in contract.origins:
        raise Refused(
            "origin-not-allowed", "/type", f"a {sender.origin} key may not send this type"
        )
    return arrival


def own_subject(arrival: Arrival, _rules: Rules) -> Arrival:
    """A control event from a browser is proven by its subject's own token."""
    letter, event = arrival.letter, arrival.event
    if letter.sender.origin != "browser" or not event.type.startswith(CONTROL):
        return arrival
    if letter.proof is None:
        raise Refused(
            "subject-token-required" if letter.doubt is None else "subject-token-invalid",
            "/subject" if event.subject else "/anonymousid",
            letter.doubt or "a browser sends control events with Forestall-Subject-Token only",
        )
    named = ("user", event.subject) if event.subject else ("anonymous", event.anonymousid)
    if (letter.proof.kind, letter.proof.id) != named:
        raise Refused(
            "subject-token-mismatch",
            "/subject" if event.subject else "/anonymousid",
            "the subject token names somebody else",
        )
    return arrival


def sane_time(arrival: Arrival, _rules: Rules) -> Arrival:
    """Its time is RFC 3339, not before 2000 and not more than a day ahead."""
    text = arrival.event.time
    if text is None:
        return arrival
    try:
        time = parse_time(text)
    except (ValueError, OverflowError) as error:
        raise Refused("invalid-time", "/time", str(error)) from None
    if not EARLIEST <= time <= arrival.letter.arrived + LATEST_AHEAD:
        raise Refused(
            "time-out-of-range",
            "/time",
            f"{text} is before 2000 or more than a day ahead; check the clock",
        )
    return _with(arrival, time=time)


def plain_data(arrival: Arrival, _rules: Rules) -> Arrival:
    """Its data is an object of JSON that every reader understands alike."""
    event = arrival.event
    kind = (event.datacontenttype or "application/json").split(";")[0].strip().lower()
    if not (kind == "application/json" or kind.endswith("+json")):
        raise Refused("data-not-json", "/datacontenttype", f"{kind!r} is not taken; send JSON")
    raw = EMPTY_DATA if event.data is msgspec.UNSET else event.data
    try:
        data = msgspec.json.decode(raw)
    except RecursionError:
        raise too_deep("/data") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json("/data", error, raw) from None
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise Refused("data-not-object", "/data", "data is an object, such as {}")
    _walk(data, "/data", DEEPEST)
    return _with(arrival, data=data)


def _walk(value: Any, path: str, levels: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Refused("nul-byte", path, "a NUL byte; leave it out")
    elif isinstance(value, int):
        if not -LARGEST - 1 <= value <= LARGEST:
            raise Refused("integer-too-large", path, "more than 64 bits; send it as text")
    elif isinstance(value, dict | list):
        if not levels:
            raise too_deep(path)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str):
                _walk(key, path, 1)
            _walk(item, f"{path}/{escape(str(key))}", levels - 1)


def fits_contract(arrival: Arrival, _rules: Rules) -> Arrival:
    """Its data fits the JSON Schema of its type."""
    if arrival.contract is not None:
        for path, message in arrival.contract.validate(arrival.data)[:1]:
            raise Refused("invalid-data", f"/data{path.removeprefix('$')}", message)
    return arrival


def minimised(arrival: Arrival, rules: Rules) -> Arrival:
    """Only what the catalogue keeps is kept; personal traits go to the vault alone."""
    contract = arrival.contract
    if contract is None:
        return arrival
    kept = contract.minimise(arrival.data, rules.tokenise)
    personal: dict[str, Any] = {}
    if arrival.event.type == SIGN_IN:
        kept["traits"], personal = _traits(arrival.data["traits"], kept["traits"], contract, rules)
    return _with(arrival, data=kept, personal=personal)


def _traits(
    given: dict[str, Any], kept: dict[str, Any], contract: Contract, rules: Rules
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Traits for the log and traits for the vault.

    The contract that comes with Forestall lets any trait pass, for deployments without a
    catalogue; beside a catalogue it keeps only those that it names.
    """
    declared = contract.shape.properties["traits"].properties
    hidden = {name for name in given if name in declared and declared[name].privacy != "keep"}
    if not rules.strict:
        hidden |= PERSONAL_TRAITS & given.keys()
        kept = {name: value for name, value in kept.items() if name not in hidden}
    elif contract.file.startswith("builtin/"):
        kept = {name: value for name, value in kept.items() if name in declared}
    return kept, {name: given[name] for name in hidden}


CHECKS: tuple[Check, ...] = (
    small_enough,
    well_formed,
    named,
    known_type,
    allowed_origin,
    own_subject,
    sane_time,
    plain_data,
    fits_contract,
    minimised,
)


def admit(letter: Letter, rules: Rules) -> Admitted | Refusal:
    """The letter, checked and reduced to what may be kept, or why it goes to quarantine."""
    arrival = Arrival(letter)
    try:
        for check in CHECKS:
            arrival = check(arrival, rules)
    except Refused as refused:
        known = arrival.event.id or _id_of(letter)
        return Refusal(letter, known, refused.code, refused.path, refused.message)
    event, internal = arrival.event, letter.sender.internal
    trace, control = event.traceparent or letter.traceparent, event.type.startswith(CONTROL)
    return Admitted(
        id=event.id,
        source=event.source,
        type=event.type,
        user=None if internal else event.subject or None,
        anonymous=None if internal else event.anonymousid or None,
        pseudonym=event.subject if internal else None,
        time=arrival.time,
        origin=letter.sender.origin,
        data=msgspec.Raw(msgspec.json.encode(arrival.data)) if arrival.data else EMPTY_DATA,
        said=arrival.data if control else {},
        personal=arrival.personal,
        traceparent=trace if parse_traceparent(trace) else None,
        control=control,
    )


class _Named(msgspec.Struct):
    id: str | None = None
    messageId: str | None = None  # noqa: N815 (Segment's word)


def _id_of(letter: Letter) -> str | None:
    """The id of an event that cannot be read as a whole, if at least that can."""
    try:
        named = msgspec.json.decode(letter.raw, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = named.id or named.messageId
    return found[:LONGEST_ID] if found else None
