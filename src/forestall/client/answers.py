"""What an answer means for the events of a request. Pure.

Only a word of the gateway itself ends an event: a verdict for each one, or a problem
(``application/problem+json``) that says the request can never be taken. Everything else, such as a
page of HTML from a proxy, is a reason to send the same again.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

LONGEST_WAIT = 3600.0
"""Seconds that a ``Retry-After`` is heeded at most."""

FINAL = frozenset({400, 413, 415, 422})
"""Problems that sending the same again cannot mend."""


class Reply(msgspec.Struct, frozen=True):
    """What came back: a status, the headers that matter and the body; or, with status 0, nothing,
    and ``failure`` is the kind of failure."""

    status: int
    body: bytes = b""
    media_type: str = ""
    retry_after: str | None = None
    failure: str = ""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one event."""

    id: str | None
    verdict: Literal["accepted", "late", "duplicate", "quarantined"]
    code: str | None = None
    path: str | None = None
    message: str | None = None


class Taken(msgspec.Struct, frozen=True):
    """Each event has its verdict, in order."""

    verdicts: list[Verdict]


class Refused(msgspec.Struct, frozen=True):
    """The request can never be taken as it is; a part of it perhaps can."""

    code: str
    message: str


class Again(msgspec.Struct, frozen=True):
    """Send the same again, not before ``after`` seconds if given."""

    why: str
    after: float | None = None


class _Answer(msgspec.Struct):
    verdicts: list[Verdict]


class _Problem(msgspec.Struct):
    code: str
    detail: str = ""


_answer = msgspec.json.Decoder(_Answer)
_problem = msgspec.json.Decoder(_Problem)


def read(reply: Reply, ids: Sequence[str], now: datetime) -> Taken | Refused | Again:
    """What ``reply`` says of the events ``ids``; ``now`` is for a ``Retry-After`` with a date."""
    if reply.status == 0:
        return Again(reply.failure)
    if reply.status == 202:
        verdicts = _verdicts(reply.body)
        if len(verdicts) == len(ids) and all(map(_fits, verdicts, ids)):
            return Taken(verdicts)
        return Again("the answer is not the gateway's")
    after = _seconds(reply.retry_after, now)
    if reply.media_type != "application/problem+json":
        return Again(f"status {reply.status}, and not from the gateway", after)
    try:
        problem = _problem.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Again(f"status {reply.status}, and no sound problem", after)
    if reply.status in FINAL:
        return Refused(problem.code, problem.detail)
    return Again(f"status {reply.status} {problem.code}", after)


def _verdicts(body: bytes) -> list[Verdict]:
    try:
        return _answer.decode(body).verdicts
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _fits(verdict: Verdict, id_: str) -> bool:
    """Whether it is of that event; what could not be read at all comes back without an id."""
    return verdict.id == id_ or (verdict.id is None and verdict.verdict == "quarantined")


def _seconds(text: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3): a number or a date."""
    if text is None:
        return None
    try:
        found = float(text) if text.strip().isdigit() else _until(text, now)
    except (ValueError, OverflowError):
        return None
    return min(max(found, 0.0), LONGEST_WAIT) if math.isfinite(found) else LONGEST_WAIT


def _until(text: str, now: datetime) -> float:
    then = parsedate_to_datetime(text)
    return (then if then.tzinfo else then.replace(tzinfo=now.tzinfo)).timestamp() - now.timestamp()
