"""The subjects of an engine: those with events lately as objects, the others packed. Pure.

Time runs in generations. A subject is noted at its first event in a generation. When a generation
ends, its subjects that have had no event since are packed, a few at a time, and those of which
nothing is needed any more are forgotten. What is packed then, together with everything packed
before, is the population as of the end of that generation, exactly: a subject that an event would
change before its turn is packed first. So a snapshot is written while deciding goes on.
"""

from collections import deque
from collections.abc import Callable, Iterable

from forestall.contracts.instants import DAY
from forestall.decide.snapshot import pack, unpack
from forestall.decide.state import Needs, Subject, forget, idle

SAVED_EVENTS = 250_000
"""Events of a generation that is saved, so that a restart has little to decide again."""

EVENTS = 250_000
EVENTS_PER_SUBJECT = 8
"""Events of one that is not saved, at least, and for each subject noted: packing shall cost little."""

MOST_SUBJECTS = 200_000
"""A generation ends when so many subjects were noted, so that they need little memory."""

_CHUNK = 16


class Population:
    """Subjects by name in ``of``. ``generation`` is the number of the present one."""

    def __init__(self, packed: dict[str, bytes] | None = None, received: int = 0) -> None:
        self.of: dict[str, Subject | bytes] = dict(packed or {})
        self.generation = 1
        self._bucket: Callable[[str], int] | None = None
        self._buckets = 1
        self._noted: list[list[str]] = [[]]
        self._count = 0
        self._events = 0
        self._closing: list[list[str]] = []
        self._held: dict[str, bytes] = {}
        self._packed: list[str] = list(self.of)
        self._idle: deque[tuple[int, list[str]]] = deque()
        self._needs: Needs | None = None
        self._rest_since(received)

    def save_in_buckets(self, buckets: int, bucket: Callable[[str], int]) -> None:
        """From now on somebody saves what ``pack_some`` gives, and wants it bucket by bucket."""
        self._bucket, self._buckets = bucket, buckets
        noted = self._noted
        self._noted = [[] for _ in range(buckets)]
        for names in noted:
            for name in names:
                self._noted[bucket(name)].append(name)

    @property
    def closing(self) -> bool:
        """Whether subjects of the last generation still wait to be packed."""
        return bool(self._closing)

    @property
    def full(self) -> bool:
        """Whether it is time for the next generation."""
        enough = max(EVENTS, EVENTS_PER_SUBJECT * self._count)
        if self._bucket is not None:
            enough = SAVED_EVENTS
        return self._events >= enough or self._count >= MOST_SUBJECTS

    def enter(self, name: str) -> Subject:
        """The subject of that name, new or unpacked if need be, noted for this generation."""
        found = self.of.get(name)
        if isinstance(found, Subject):
            if found.generation != self.generation:
                self.note(name, found)
            return found
        subject = Subject() if found is None else unpack(found)
        self.of[name] = subject
        self._note(name, subject)
        return subject

    def note(self, name: str, subject: Subject) -> None:
        """Its first event in this generation comes: keep what it was, if that is still to be saved."""
        if self._closing and self._bucket is not None:
            self._held[name] = pack(subject)
        self._note(name, subject)

    def look(self, name: str) -> Subject | None:
        """The subject as it is, not to be changed."""
        found = self.of.get(name)
        return unpack(found) if isinstance(found, bytes) else found

    def end_generation(self, needs: Needs) -> None:
        """Begin the next generation; those of the last are to be packed."""
        self._needs = needs
        self._closing = self._noted
        self._noted = [[] for _ in range(self._buckets)]
        self._count = self._events = 0
        self.generation += 1

    def pack_some(self, limit: int) -> list[tuple[str, bytes]]:
        """Pack about ``limit`` subjects that wait for it, whole buckets; empty bytes: forgotten."""
        made: list[tuple[str, bytes]] = []
        while self._closing and len(made) < limit:
            for name in self._closing.pop():
                content = self._held.pop(name, None)
                if content is None:
                    content = self._pack(name)
                if content is not None:
                    made.append((name, content))
        if not self._closing and self._needs is not None:
            self._rest_since(self._needs.received)
            self._needs = None
        return made

    def keep_house(self, events: int, needs: Callable[[], Needs], received: int) -> None:
        """After ``events`` more: pack and look at idle ones, in proportion to them."""
        self._events += events
        if self._bucket is None:
            if self._closing:
                self.pack_some(events)
            elif self.full:
                self.end_generation(needs())
        if self._idle and self._idle[0][0] + DAY < received:
            names = self._idle[0][1]
            for _ in range(min(len(names), events // 4 + 1)):
                name = names.pop()
                if isinstance(self.of.get(name), bytes):
                    self.enter(name)
            if not names:
                self._idle.popleft()

    def packed(self) -> dict[str, bytes]:
        """Everybody, packed."""
        return {
            name: found if isinstance(found, bytes) else pack(found)
            for name, found in self.of.items()
        }

    def names(self) -> Iterable[str]:
        """Everybody's name."""
        return self.of.keys()

    def _note(self, name: str, subject: Subject) -> None:
        subject.generation = self.generation
        self._count += 1
        if self._bucket is not None:
            self._noted[self._bucket(name)].append(name)
        elif len(self._noted[-1]) < _CHUNK:
            self._noted[-1].append(name)
        else:
            self._noted.append([name])

    def _pack(self, name: str) -> bytes | None:
        """None where an event of this generation has come first and nobody saves."""
        subject = self.of.get(name)
        if not isinstance(subject, Subject) or subject.generation == self.generation:
            return None
        if self._needs is not None and idle(subject, self._needs) and forget(subject, self._needs):
            del self.of[name]
            return b""
        content = pack(subject)
        self.of[name] = content
        self._packed.append(name)
        return content

    def _rest_since(self, received: int) -> None:
        if self._packed:
            self._idle.append((received, self._packed))
            self._packed = []
