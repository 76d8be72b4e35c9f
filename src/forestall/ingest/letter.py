"""Letters: events as they were sent, and what became of each."""

from typing import Any, Literal

import msgspec

from forestall.contracts.event import Origin
from forestall.privacy.vault import Identity

Form = Literal["cloudevents", "segment"]
Verdict = Literal["accepted", "duplicate", "late", "quarantined"]

CONTROL = "forestall."
"""Types that begin so are control events: about a subject's standing, not about their day."""

DEEPEST = 32
"""Levels of lists and objects that ``data`` may have."""

SIGN_IN = "forestall.identify"


class Sender(msgspec.Struct, frozen=True):
    """Who sent a letter: the name and origin of the key. ``internal`` marks our own processes,
    whose events name subjects by pseudonym."""

    name: str
    origin: Origin
    internal: bool = False


class Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event as it was sent, with all that is needed to read it again later.

    ``arrived`` is the wall time in microseconds. ``proof`` is whom the request's subject token
    names, ``doubt`` why that token was not believed. ``kind`` and ``sent`` are Segment's call and
    ``sentAt``, where the envelope of a batch rather than the message says them.
    """

    raw: bytes
    sender: Sender
    arrived: int
    form: Form = "cloudevents"
    proof: Identity | None = None
    doubt: str | None = None
    traceparent: str | None = None
    kind: str | None = None
    sent: str | None = None


class Refused(Exception):
    """A check said no: a stable ``code``, the ``path`` (JSON Pointer) it is about, and a sentence."""

    def __init__(self, code: str, path: str, message: str) -> None:
        self.code, self.path, self.message = code, path, message
        super().__init__(f"{code} at {path}: {message}")


def misshapen(error: msgspec.ValidationError) -> Refused:
    """What to say of a letter whose attributes have the wrong types."""
    message, _, path = str(error).partition(" - at `")
    pointer = path.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
    return Refused("invalid-envelope", pointer.removeprefix("$"), message)


def misread(error: Exception, raw: bytes | msgspec.Raw) -> str:
    """What kept ``raw`` from being read as JSON, in a clause: the parser's words, unless they are
    Python's; bytes count from 0."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        content = bytes(raw)
        try:
            content.decode()
        except UnicodeDecodeError as wrong:
            at = wrong.start
            return f"byte {at} (0x{content[at]:02X}) is not UTF-8; encode it as UTF-8"
    return str(error)


def not_json(path: str, error: Exception, raw: bytes | msgspec.Raw) -> Refused:
    """What to say of what is at ``path`` and no JSON."""
    return Refused("invalid-json", path, f"not JSON as it should be: {misread(error, raw)}")


def too_deep(path: str) -> Refused:
    """What to say of JSON nested deeper than we follow."""
    return Refused("too-deep", path, f"nested more than {DEEPEST} levels deep")


class Refusal(msgspec.Struct, frozen=True):
    """A letter that goes to quarantine, and why. ``id`` is the event's own, where it could be
    read."""

    letter: Letter
    id: str | None
    code: str
    path: str
    message: str


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A letter that passed every check, reduced to what may be kept.

    Exactly one of ``pseudonym`` and (``user`` or ``anonymous``) says whose it is. ``time`` is none
    where the sender gave none. ``data`` is what the log will hold, as JSON; ``said`` is the same
    decoded where it is a ``control`` event, which is never late; ``personal`` are the traits that
    only the vault may see.
    """

    id: str
    source: str
    type: str
    user: str | None
    anonymous: str | None
    pseudonym: str | None
    time: int | None
    origin: Origin
    data: msgspec.Raw
    said: dict[str, Any]
    personal: dict[str, Any]
    traceparent: str | None
    control: bool

    @property
    def signs_in(self) -> bool:
        """Whether it links the visitor to the user."""
        return self.type == SIGN_IN


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the sender is told about one event."""

    id: str | None
    verdict: Verdict
    code: str | None = None
    path: str | None = None
    message: str | None = None


ESSENTIAL = frozenset(
    {
        "forestall.consent.granted",
        "forestall.consent.withdrawn",
        "forestall.optout",
        "forestall.optin",
    }
)
"""Types that say consent or opt-out: never shed."""
