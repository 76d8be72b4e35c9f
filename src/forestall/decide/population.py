"""The subjects of an engine: those with events lately as objects, the others packed. Pure.

Time runs in generations. A subject is noted at its first event in a generation. When a generation
ends, its subjects are gone through, a few at a time: they are saved, if somebody does that; and who
had no event for a whole generation is packed, or forgotten where nothing is needed any more. What is
saved then, together with everything saved before, is the population as of the end of that
generation, exactly: a subject that an event would change before its turn is packed first. So a
snapshot is written while deciding goes on.
"""

from collections.abc import Callable, Iterable

from forestall.context import core
from forestall.contracts.instants import DAY
from forestall.decide.snapshot import pack, unpack
from forestall.decide.state import Needs, Subject, forget, idle

SAVED_EVENTS = 250_000
"""Events of a generation that is saved, so that a restart has little to decide again."""

EVENTS = 250_000
EVENTS_PER_SUBJECT = 16
"""Events of one that is not saved, at least, and for each subject noted: packing shall cost little."""

MOST_SUBJECTS = 100_000
"""A generation ends when so many subjects were noted, so that they need little memory."""

MANY = 80_000
"""With so many subjects noted they are packed at once: few of them come back soon."""

_CHUNK = 16
_CLEAN = 0
"""The generation of a subject that has had no event since it was saved."""

_GONE = -1
"""That of one which is no longer among them: packed, or forgotten."""


class Population:
    """Subjects by name in ``of``. ``generation`` is the number of the present one."""

    def __init__(self, packed: dict[str, bytes] | None = None, received: int = 0) -> None:
        self.of: dict[str, Subject | bytes] = dict(packed or {})
        self.near = core.Near and core.Near()
        self.generation = _CLEAN + 2
        self._bucket: Callable[[str], int] | None = None
        self._buckets = 1
        self._noted: list[list[str]] = [[]]
        self._count = 0
        self._events = 0
        self._closing: list[list[str]] = []
        self._clean: list[list[str]] = [[]]
        self._many = False
        self._held: dict[str, bytes] = {}
        self._needs: Needs | None = None
        self._round: list[str] = []
        self._rounded = received

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
        unsaved = subject.generation == self.generation - 1
        if unsaved and self._closing and self._bucket is not None:
            self._held[name] = pack(subject)
        self._note(name, subject)

    def look(self, name: str) -> Subject | None:
        """The subject as it is, not to be changed."""
        found = self.of.get(name)
        return unpack(found) if isinstance(found, bytes) else found

    def end_generation(self, needs: Needs) -> None:
        """Begin the next generation; those of the last are to be gone through."""
        self._needs = needs
        self._closing = [names for names in self._clean if names] + self._noted
        self._clean = [[]]
        self._many = self._count >= MANY
        self._noted = [[] for _ in range(self._buckets)]
        self._count = self._events = 0
        self.generation += 1

    def pack_some(self, limit: int) -> list[tuple[str, bytes]]:
        """Go through ``limit`` subjects that wait for it, bucket by bucket; what is to be saved.

        Empty bytes: forgotten.
        """
        made: list[tuple[str, bytes]] = []
        seen = 0
        while self._closing and seen < limit:
            names = self._closing.pop()
            if len(names) > limit - seen:
                self._closing.append(names[limit - seen :])
                del names[limit - seen :]
            seen += len(names)
            for name in names:
                content = self._held.pop(name, None)
                if content is None:
                    content = self._pack(name)
                if content is not None:
                    made.append((name, content))
        return made

    def keep_house(self, events: int, needs: Callable[[], Needs], received: int) -> None:
        """After ``events`` more: pack some, and once a day look at everybody, in proportion."""
        self._events += events
        if self._bucket is None:
            if self._closing:
                self.pack_some(2 * events)
            elif (self._events >= EVENTS or self._count >= MOST_SUBJECTS) and self.full:
                self.end_generation(needs())
        if self._round:
            for _ in range(min(len(self._round), events // 4 + 1)):
                name = self._round.pop()
                if isinstance(self.of.get(name), bytes):
                    self.enter(name)
        elif self._rounded + DAY < received:
            self._round, self._rounded = list(self.of), received

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
        else:
            _put(self._noted, name)

    def _pack(self, name: str) -> bytes | None:
        """What is to be saved of a subject that no event of this generation has met."""
        subject = self.of.get(name)
        if not isinstance(subject, Subject) or subject.generation == self.generation:
            return None
        if subject.generation != _CLEAN and not self._many:
            subject.generation = _CLEAN
            _put(self._clean, name)
            return None if self._bucket is None else pack(subject)
        if self._needs is not None and idle(subject, self._needs) and forget(subject, self._needs):
            del self.of[name]
            subject.generation = _GONE
            return b""
        saved = subject.generation == _CLEAN
        self.of[name] = content = pack(subject)
        subject.generation = _GONE
        return None if saved else content


def _put(chunks: list[list[str]], name: str) -> None:
    """Add a name to the last of ``chunks``, which have a size that takes no time."""
    if len(chunks[-1]) < _CHUNK:
        chunks[-1].append(name)
    else:
        chunks.append([name])
