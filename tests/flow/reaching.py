"""What effects act with, for tests: a desk and a channel whose answers are scripted, and a door."""

from collections.abc import Sequence

from forestall.channels.base import Channels, Deduplication, Delivery
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import Case, Message
from forestall.intervene.surroundings import Surroundings
from forestall.privacy.door import Consent, DoorState, OptOut

DELIVERED = Delivery(outcome="delivered", reason="delivered")
REFUSED = Delivery(outcome="failed", reason="refused")
DOWN = Delivery(outcome="failed", reason="unreachable", again=True)
UNCERTAIN = Delivery(outcome="uncertain", reason="timeout", again=True)


class Vendor:
    """A channel and a desk at once. Answers in order, the last one for ever; ``None``: the process
    dies while it waits for the answer, but the request is out."""

    name = "hook"

    def __init__(
        self,
        *answers: Delivery | BaseException,
        deduplication: Deduplication = "neither",
    ) -> None:
        self.answers = list(answers) or [DELIVERED]
        self.deduplication: Deduplication = deduplication
        self.got: list[tuple[str, Message | Case]] = []

    def _answer(self) -> Delivery:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def send(self, message: Message, key: str) -> Delivery:
        self.got.append((key, message))
        return self._answer()

    async def hand_over(self, case: Case, key: str) -> Delivery:
        self.got.append((key, case))
        return self._answer()


class OpenDoor:
    """Lets everybody through but those who are named."""

    def __init__(self) -> None:
        self.opted_out: set[str] = set()
        self.withdrawn: set[str] = set()

    def state(self, subject: str) -> DoorState:
        return DoorState(
            OptOut(True, 0) if subject in self.opted_out else None,
            {"support": Consent(False, 0)} if subject in self.withdrawn else {},
        )

    def stops(self, after: int) -> tuple[int, list[str]]:
        said = sorted(self.opted_out | self.withdrawn)
        return len(said), said[after:]


class Around:
    """Surroundings with a clock that tests set, in seconds after ``start``."""

    def __init__(
        self, start: int, vendor: Vendor, *, queues: Sequence[str] = ("payments",)
    ) -> None:
        self.start, self.seconds = start, 0.0
        self.door = OpenDoor()
        self.consent_needed = False
        self.surroundings = Surroundings(
            Channels([vendor]),
            dict.fromkeys(queues, vendor),
            self.door,
            self.now,
            self.now,
            lambda: self.consent_needed,
        )

    def now(self) -> int:
        return self.start + int(self.seconds * SECOND)
