"""The queue of a client, and when its head is sent: no I/O, no clock, no threads.

Whoever owns it asks ``wait`` how long to sleep, sends ``batch``, and tells ``settle`` what came
back. One request at a time, and an event leaves the head only with a verdict: so order is kept.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice, takewhile

from forestall.client.answers import Again, Refused, Reply, Taken, read
from forestall.client.events import Item
from forestall.client.options import Counts, Options, Trouble

RESERVE = 10
"""A full queue takes one part in so many more of consent and opt-out."""


class Outbox:
    """Events waiting, oldest first. Times are seconds of a clock that never goes back.

    ``chance`` gives a number from 0 to 1 for jitter.
    """

    def __init__(self, options: Options, chance: Callable[[], float]) -> None:
        self._options = options
        self._chance = chance
        self._waiting: deque[tuple[float, Item]] = deque()
        self._bytes = 0
        self._many = options.batch_events
        self._failures = 0
        self._not_before = 0.0
        self._flush_to = 0
        self._taken = 0
        self._ended: dict[str, int] = {}
        self._rejected = 0
        self._retries = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def taken(self) -> int:
        """Events taken since the beginning."""
        return self._taken

    @property
    def ended(self) -> int:
        """Events that have left it, in the order in which they were taken."""
        return self._taken - len(self._waiting)

    def put(self, item: Item, now: float) -> bool:
        """Take an event, or say that there is no room; then what waits lingers no longer."""
        events, size = self._options.queue_events, self._options.queue_bytes
        if item.essential:
            events += max(1, events // RESERVE)
            size += max(self._options.event_bytes, size // RESERVE)
        if len(self._waiting) >= events or self._bytes + len(item.body) > size:
            self.flush()
            return False
        self._waiting.append((now, item))
        self._bytes += len(item.body)
        self._taken += 1
        return True

    def reject(self) -> None:
        """Count a call whose event was not taken."""
        self._rejected += 1

    def flush(self) -> int:
        """Send all that waits now without lingering; the value that ``ended`` will have then."""
        self._flush_to = self._taken
        return self._flush_to

    def wait(self, now: float) -> float | None:
        """Seconds until ``batch`` is to be sent, 0 if now; none while nothing waits."""
        if not self._waiting:
            return None
        options = self._options
        ripe = len(self._waiting) >= self._many or self._bytes >= options.batch_bytes
        due = 0.0 if ripe or self.ended < self._flush_to else self._waiting[0][0] + options.linger
        return max(0.0, due - now, self._not_before - now)

    def batch(self) -> list[Item]:
        """The events to send next; they stay at the head until they are settled."""
        found: list[Item] = []
        size = 2
        for _, item in islice(self._waiting, self._many):
            size += len(item.body) + 1
            if found and size > self._options.batch_bytes:
                break
            found.append(item)
        return found

    def settle(self, sent: Sequence[Item], reply: Reply, now: float, at: int) -> list[Trouble]:
        """Heed what came back for ``sent``, the head of the queue; ``at`` is the wall time in
        microseconds. What to tell."""
        moment = datetime.fromtimestamp(at / 1_000_000, UTC)
        answer = read(reply, [item.id for item in sent], moment)
        if isinstance(answer, Again):
            return self._again(answer, now)
        self._failures, self._not_before = 0, 0.0
        if isinstance(answer, Taken):
            self._many = min(self._options.batch_events, self._many * 2)
            return self._verdicts(sent, answer)
        return self._refused(sent, answer)

    def abandon(self) -> list[Trouble]:
        """Forget all that waits: there is no time left to send it."""
        left = [item.id for _, item in self._waiting]
        self._drop(len(left), "unsent")
        return [Trouble("unsent", "they were not confirmed in time", tuple(left))] if left else []

    def counts(self) -> Counts:
        """What became of the events until now."""
        return Counts(
            taken=self._taken,
            waiting=len(self._waiting),
            rejected=self._rejected,
            retries=self._retries,
            **self._ended,
        )

    def _verdicts(self, sent: Sequence[Item], answer: Taken) -> list[Trouble]:
        troubles = []
        for item, verdict in zip(sent, answer.verdicts, strict=True):
            self._drop(1, "accepted" if verdict.verdict == "late" else verdict.verdict)
            if verdict.verdict == "quarantined":
                message = f"{verdict.path or ''}: {verdict.message or ''}".removeprefix(": ")
                troubles.append(Trouble("quarantined", message, (item.id,), verdict.code))
        return troubles

    def _refused(self, sent: Sequence[Item], answer: Refused) -> list[Trouble]:
        """Try halves until the one event is found that cannot be taken."""
        if len(sent) > 1:
            self._many = len(sent) // 2
            self._retries += 1
            return []
        self._drop(1, "refused")
        return [Trouble("refused", answer.message, (sent[0].id,), answer.code)]

    def _again(self, answer: Again, now: float) -> list[Trouble]:
        options = self._options
        ceiling = min(options.backoff_max, options.backoff * 2.0 ** min(self._failures, 60))
        self._failures += 1
        self._retries += 1
        jitter = self._chance() * (ceiling if answer.after is None else options.backoff)
        self._not_before = now + (answer.after or 0.0) + jitter
        aged = takewhile(lambda one: now - one[0] > options.give_up, self._waiting)
        old = [item.id for _, item in aged]
        self._drop(len(old), "given_up")
        troubles = []
        if old:
            message = f"they could not be sent in {options.give_up:.0f} s: {answer.why}"
            troubles.append(Trouble("given-up", message, tuple(old)))
        if self._failures == 1:
            message = f"{len(self._waiting)} events wait, and will be sent again: {answer.why}"
            troubles.append(Trouble("waiting", message))
        return troubles

    def _drop(self, many: int, why: str) -> None:
        for _ in range(many):
            self._bytes -= len(self._waiting.popleft()[1].body)
        self._ended[why] = self._ended.get(why, 0) + many


def body_of(items: Sequence[Item]) -> bytes:
    """The body of a request: a CloudEvents batch."""
    return b"[" + b",".join([item.body for item in items]) + b"]"
