"""What our knowledge lacks: gaps, ranked by the customers whom they concern. Pure.

Customers searched and found nothing; an agent found nothing to say; an article was voted unhelpful;
a runbook was shown and did not help; people were handed a case that no runbook is about. Each of
these is counted once a customer and gap, however often it happened to them, and pseudonyms that
turned out to be one person's are one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import DAY, format_time
from forestall.contracts.intervention import REPORTS
from forestall.measure.courses import Course, Courses
from forestall.measure.joins import ALIAS, Joins
from forestall.measure.likeness import Group, Stem, groups
from forestall.measure.reading import Happening
from forestall.measure.trails import TICKET

VOTED: Final = "forestall.knowledge.voted"

EXAMPLES: Final = 3
LONGEST_EXAMPLE: Final = 200

Kind = Literal[
    "searched", "retrieved", "voted", "dismissed", "expired", "escalated", "ticket", "uncovered"
]
"""What happened: the customer searched and there was no good answer; an agent found nothing; they
voted that it did not help; guidance was dismissed, ran out, ended with people, or a ticket was
opened after it; people got a case that no runbook is about."""

About = Literal["words", "runbook", "policy"]

_LONGEST_WORDS = 400


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The question: what happened from ``since`` to ``now`` (log times in microseconds).

    ``searches`` are event types with the field of their words; ``answered`` says whether there is a
    good answer to words; ``mask`` hides personal data. ``guides`` are the runbooks that a policy's
    version shows, by step; ``plans`` those versions whose agents choose what to show; ``versions`` those of the runbooks now; ``agents`` those that may search
    our knowledge, and whether the composer does where their model is not reached. A ticket within
    ``horizon`` after guidance says that it did not help.
    """

    since: int
    now: int
    searches: Mapping[str, str] = {}
    answered: Callable[[str], bool]
    mask: Callable[[str], str]
    stem: Stem
    guides: Mapping[tuple[str, str], Mapping[int, str]] = {}
    plans: Collection[tuple[str, str]] = ()
    versions: Mapping[str, int] = {}
    agents: Mapping[str, bool] = {}
    horizon: int = 7 * DAY


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One gap. ``name`` is what it is about: words, ``runbook@version``, or a policy. ``customers``
    it concerns are a ``share`` of the ``concerned``: of all who searched, who saw the runbook or
    voted on it, or who had an intervention of the policy. ``times`` counts every time; ``by`` has
    customers by what happened. ``earlier`` and ``later`` are customers in the first and the second
    half of the time looked at. ``tickets`` of the customers opened one within the horizon after.
    ``examples`` are masked words or ids of interventions."""

    about: About
    name: str
    todo: str
    customers: int
    concerned: int
    share: float
    times: int
    by: dict[Kind, int]
    earlier: int
    later: int
    tickets: int
    first: str
    last: str
    examples: tuple[str, ...]

    @property
    def trend(self) -> Literal["new", "rising", "steady", "falling"]:
        """How it goes: ``new`` if nobody had it in the first half, else by more than a quarter."""
        if not self.earlier:
            return "new"
        if self.later > 1.25 * self.earlier:
            return "rising"
        return "falling" if self.later < 0.75 * self.earlier else "steady"


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """Every gap, most customers first. ``searches`` are those by customers, ``unanswered`` of them
    had no good answer; ``customers`` are those of any gap, ``times`` the sum over all gaps."""

    since: str
    now: str
    searches: int
    unanswered: int
    customers: int
    times: int
    gaps: tuple[Gap, ...]


class _Noted(msgspec.Struct, frozen=True):
    """One thing that happened to somebody; ``example`` is what shows it."""

    about: About
    name: str
    kind: Kind
    at: int
    subject: str
    example: str | None = None


def knowledge_gaps(happenings: Iterable[Happening], asked: Asked) -> Gaps:
    """The gaps that ``happenings`` show."""
    read = _Read(asked)
    for one in happenings:
        if type(one) is Record:
            read.take(one)
    return _Found(read, asked).gaps()


class _Read:
    """What a log has to say of knowledge, by pseudonyms as they were."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.joins = Joins()
        self.courses = Courses()
        self.searches: list[tuple[int, str, str]] = []
        self.votes: dict[tuple[str, str], list[tuple[int, int, bool]]] = defaultdict(list)
        self.tickets: dict[str, list[int]] = defaultdict(list)

    def take(self, record: Record) -> None:
        kind = record.type
        if kind in REPORTS:
            self.courses.take(REPORTS[kind], record)
        elif kind in self._asked.searches:
            self._search(record, self._asked.searches[kind])
        elif kind == VOTED:
            self._vote(record)
        elif kind == TICKET:
            if not isinstance(_data(record).get("intervention"), str):
                self.tickets[record.subject].append(_time(record))
        elif kind == ALIAS:
            self.joins.take(record)

    def _search(self, record: Record, field: str) -> None:
        words: Any = _data(record)
        for name in field.split("."):
            words = words.get(name) if isinstance(words, dict) else None
        if isinstance(words, str) and words.strip() and self._within(record):
            self.searches.append((_time(record), record.subject, _plain(words)))

    def _vote(self, record: Record) -> None:
        data = _data(record)
        runbook, version, helpful = (data.get(key) for key in ("runbook", "version", "helpful"))
        if not isinstance(version, int) or not isinstance(helpful, bool):
            return
        if isinstance(runbook, str) and self._within(record):
            self.votes[record.subject, runbook].append((_time(record), version, helpful))

    def _within(self, record: Record) -> bool:
        return self._asked.since <= _time(record) <= self._asked.now


class _Found:
    """Gaps from what was read, by the people behind the pseudonyms."""

    def __init__(self, read: _Read, asked: Asked) -> None:
        self._read, self._asked = read, asked
        self._who = read.joins.survivor
        self._tickets: dict[str, list[int]] = defaultdict(list)
        for subject, times in read.tickets.items():
            self._tickets[self._who(subject)] += times
        self._concerned: dict[tuple[About, str], set[str]] = defaultdict(set)
        self._searchers = {self._who(subject) for _, subject, _ in read.searches}

    def gaps(self) -> Gaps:
        noted: dict[tuple[About, str], list[_Noted]] = defaultdict(list)
        for one in (*self._unanswered(), *self._votes(), *self._courses()):
            noted[one.about, one.name].append(one)
        found = [self._gap(*key, ones) for key, ones in noted.items()]
        everything = [one for ones in noted.values() for one in ones]
        return Gaps(
            since=format_time(self._asked.since),
            now=format_time(self._asked.now),
            searches=len(self._read.searches),
            unanswered=sum(one.kind == "searched" for one in everything),
            customers=len({one.subject for one in everything}),
            times=len(everything),
            gaps=tuple(sorted(found, key=lambda gap: (-gap.customers, -gap.times, gap.name))),
        )

    def _unanswered(self) -> Iterator[_Noted]:
        """Searches that have no good answer, grouped by what they ask for."""
        good: dict[str, bool] = {}
        open_: list[tuple[int, str, str]] = []
        for at, subject, words in self._read.searches:
            if words not in good:
                good[words] = self._asked.answered(words)
            if not good[words]:
                open_.append((at, self._who(subject), self._asked.mask(words)))
        askers: dict[str, set[str]] = defaultdict(set)
        for _, person, words in open_:
            askers[words].add(person)
        group_of: dict[str, Group] = {
            words: group for group in groups(askers, self._asked.stem) for words in group.queries
        }
        for at, person, words in open_:
            if words in group_of:
                yield _Noted("words", group_of[words].name, "searched", at, person, words)

    def _votes(self) -> Iterator[_Noted]:
        """The newest vote of each customer about the runbook as it is now; anybody can vote on what
        we do not have."""
        newest: dict[tuple[str, str], tuple[int, int, bool]] = {}
        for (subject, runbook), votes in self._read.votes.items():
            key = self._who(subject), runbook
            newest[key] = max([*votes, *([newest[key]] if key in newest else [])])
        for (person, runbook), (at, version, helpful) in newest.items():
            now = self._asked.versions.get(runbook)
            if now is not None and version >= now:
                self._concerned["runbook", runbook].add(person)
                if not helpful:
                    yield _Noted("runbook", runbook, "voted", at, person)

    def _courses(self) -> Iterator[_Noted]:
        for course in self._read.courses:
            person = self._who(course.subject)
            guides = self._asked.guides.get((course.policy, course.version), {})
            if course.last >= self._asked.since:
                self._concerned["policy", course.policy].add(person)
            shown = course.shown(guides)
            covered = bool(guides) or (course.policy, course.version) in self._asked.plans
            if course.seen is not None and course.last >= self._asked.since:
                for runbook in shown:
                    self._concerned["runbook", runbook].add(person)
            for one in self._failed(course, person, shown, covered=covered):
                if self._asked.since <= one.at <= self._asked.now:
                    yield one

    def _failed(
        self, course: Course, person: str, shown: frozenset[str], *, covered: bool
    ) -> Iterator[_Noted]:
        """What went wrong in one intervention."""
        policy = course.policy
        composes = self._asked.agents
        lost = [
            at
            for (agent, unreached), at in course.lost.items()
            if agent in composes and (composes[agent] or not unreached)
        ]
        if lost:
            yield _Noted("policy", policy, "retrieved", min(lost), person, course.id)
        escalated = course.ended.get("escalated")
        if escalated is not None and not (covered or shown or course.to_person):
            yield _Noted("policy", policy, "uncovered", escalated, person, course.id)
        if course.seen is None or course.helped:
            return
        happened: dict[Kind, int] = dict(course.ended)  # type: ignore[arg-type]
        after = [at for at in self._tickets[person] if 0 < at - course.seen <= self._asked.horizon]
        if after:
            happened["ticket"] = min(after)
        for runbook in sorted(shown):
            for kind, at in happened.items():
                yield _Noted("runbook", runbook, kind, at, person, course.id)

    def _gap(self, about: About, name: str, ones: list[_Noted]) -> Gap:
        people = {one.subject for one in ones}
        if about == "words":
            concerned = len(self._searchers)
        else:
            concerned = len(self._concerned[about, name] | people)
        middle = (self._asked.since + self._asked.now) // 2
        by = Counter(kind for kind, _ in {(one.kind, one.subject) for one in ones})
        version = self._asked.versions.get(name)
        told = f"{name}@{version}" if about == "runbook" and version is not None else name
        return Gap(
            about=about,
            name=told,
            todo=_todo(about, told, by),
            customers=len(people),
            concerned=concerned,
            share=len(people) / concerned,
            times=len(ones),
            by=dict(sorted(by.items(), key=lambda item: (-item[1], item[0]))),
            earlier=len({one.subject for one in ones if one.at < middle}),
            later=len({one.subject for one in ones if one.at >= middle}),
            tickets=sum(self._wrote(person, ones) for person in sorted(people)),
            first=format_time(min(one.at for one in ones)),
            last=format_time(max(one.at for one in ones)),
            examples=_examples(ones),
        )

    def _wrote(self, person: str, ones: list[_Noted]) -> bool:
        since = min(one.at for one in ones if one.subject == person)
        return any(0 <= at - since <= self._asked.horizon for at in self._tickets[person])


def _examples(ones: list[_Noted]) -> tuple[str, ...]:
    """What most customers wrote, or interventions, by their ids."""
    shown: dict[str, set[str]] = defaultdict(set)
    for one in ones:
        if one.example is not None:
            shown[one.example[:LONGEST_EXAMPLE]].add(one.subject)
    ordered = sorted(shown, key=lambda example: (-len(shown[example]), example))
    return tuple(ordered[:EXAMPLES])


def _todo(about: About, name: str, by: Mapping[Kind, int]) -> str:
    if about == "words":
        return f"write an article or a runbook about: {name}"
    if about == "runbook":
        return f"revise {name}"
    if by.get("uncovered"):
        return f"write a runbook for the policy {name}, and let it guide"
    return f"write about what agents are asked in the policy {name}"


def _plain(words: str) -> str:
    """On one line, and no longer than a search is."""
    return " ".join(words[:_LONGEST_WORDS].split())


def _data(record: Record) -> dict[str, Any]:
    data = decode_data(record.data)
    return data if isinstance(data, dict) else {}


def _time(record: Record) -> int:
    return min(record.time, record.received)
