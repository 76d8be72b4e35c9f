"""A customer who asks for help while the demo runs, and what they read in answer."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec

from examples.shop.player import DemoFailed, play
from forestall.contracts.inference import Inference
from forestall.contracts.instants import SECOND, format_time
from forestall.contracts.intervention import REPORTS, Tell
from forestall.kernel.clock import wall_clock
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, read_signals

CUSTOMER = "demo-visitor"
QUESTION = "Can I pay with PayPal?"


class Answered(msgspec.Struct, frozen=True):
    """What the customer read, how it came about, and after how many seconds."""

    message: str
    inference: Inference
    seconds: float


def ask(client: httpx.Client, key: str, secret: str, data: Path, at: int) -> Answered:
    """Ask ``QUESTION`` at the log time ``at`` and wait for the answer on the customer's page.

    ``secret`` signs the page's token. Raises ``DemoFailed`` if nothing comes within half a minute.
    """
    event = {
        "specversion": "1.0",
        "id": "demo-question",
        "source": "demo",
        "type": "help.asked",
        "subject": CUSTOMER,
        "time": format_time(at),
        "data": {"text": QUESTION, "locale": "en"},
    }
    began = time.monotonic()
    verdicts = play(client, key, [event], lambda _: None)
    if verdicts["accepted"] != 1:
        raise DemoFailed(f"the question was not accepted: {dict(verdicts)}")
    expires = wall_clock() // SECOND + 600
    token = jwt.encode({"sub": CUSTOMER, "exp": expires}, secret, "HS256")
    message = _read(client, token)
    seconds = time.monotonic() - began
    (inference,) = inferences(data)
    return Answered(message["body"], inference, seconds)


def inferences(data: Path) -> Iterator[Inference]:
    """How agents came to their answers, from the log of the server whose data folder is ``data``."""
    log = SqliteLog(data / "gateway.db", read_only=True)
    try:
        for batch in log.follow(SIGNALS):
            for record in read_signals(batch):
                if REPORTS.get(record.type) == "filled":
                    tell = msgspec.json.decode(record.data, type=Tell)
                    if tell.inference is not None:
                        yield tell.inference
    finally:
        log.close()


def _read(client: httpx.Client, token: str) -> dict[str, Any]:
    """The first message on the page; the page connects again until it may."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with client.stream("GET", "/v1/stream", params={"token": token}) as stream:
                kind = ""
                for line in stream.iter_lines() if stream.status_code == 200 else ():
                    if line.startswith("event:"):
                        kind = line.removeprefix("event:").strip()
                    if line.startswith("data:") and kind == "message":
                        found: dict[str, Any] = json.loads(line.removeprefix("data:"))
                        return found
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise DemoFailed("the customer who asked for help got no answer within half a minute")
