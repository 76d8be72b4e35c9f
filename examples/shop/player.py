"""Plays a history into a running server, in order and as fast as the server takes it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import msgspec

BATCH = 100
CALM = 3
"""How many looks in a row must find everything settled before it counts."""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


def play(
    client: httpx.Client,
    key: str,
    events: Sequence[Mapping[str, Any]],
    advance: Callable[[int], None],
) -> Counter[str]:
    """Post ``events`` in batches, one after the other, and count the verdicts.

    A full server says 429 and when to come back, which is what happens. Raises ``DemoFailed`` on
    any other refusal.
    """
    verdicts: Counter[str] = Counter()
    for start in range(0, len(events), BATCH):
        batch = events[start : start + BATCH]
        answer = _post(client, key, msgspec.json.encode(batch))
        for result in answer["verdicts"]:
            verdicts[result["verdict"]] += 1
        advance(len(batch))
    return verdicts


def _post(client: httpx.Client, key: str, body: bytes) -> Any:
    headers = {"content-type": "application/cloudevents-batch+json"}
    while True:
        try:
            answer = client.post("/v1/events", content=body, headers=headers, auth=(key, ""))
        except httpx.TransportError as error:
            raise DemoFailed(f"the server went away: {error}") from None
        if answer.status_code == 202:
            return answer.json()
        if answer.status_code != 429:
            raise DemoFailed(f"the server answered {answer.status_code}: {answer.text}")
        time.sleep(float(answer.headers.get("retry-after", "1")))


def overview(client: httpx.Client) -> dict[str, Any] | None:
    """What the console says, or none while it does not answer."""
    try:
        answer = client.get("/console/overview.json")
    except httpx.TransportError:
        return None
    return answer.json() if answer.status_code == 200 else None


def await_settled(
    client: httpx.Client,
    seconds: float,
    tell: Callable[[dict[str, Any]], None],
    *,
    pause: float = 0.6,
) -> dict[str, Any]:
    """Wait until every event is decided on and every intervention begun; the last overview.

    Raises ``DemoFailed`` after ``seconds`` without that.
    """
    until = time.monotonic() + seconds
    calm = 0
    while time.monotonic() < until:
        now = overview(client)
        if now is not None:
            tell(now)
            calm = calm + 1 if now["settled"] else 0
            if calm == CALM:
                return now
        time.sleep(pause)
    raise DemoFailed(f"after {seconds:.0f} s there was still something undecided or not begun")
