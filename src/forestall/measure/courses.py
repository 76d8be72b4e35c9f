"""Courses: how each intervention went, as far as it says whether its words helped. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from forestall.contracts.event import Record, decode_data
from forestall.contracts.intervention import Told

Bad = Literal["dismissed", "expired", "escalated"]

_SEEN: Final = ("shown", "seen", "acted", "dismissed", "answered")
_BAD: Final = ("dismissed", "expired", "escalated")
_GOOD: Final = ("helped", "resolved", "remediated")
_UNREACHED: Final = (
    "no-model", "budget", "timeout", "unreachable", "rate-limited", "cut-off",
)  # fmt: skip
"""Why a model gave no answer that say nothing about our knowledge: only the composer looked."""


class Course:
    """One intervention. Times are log times in microseconds; ``last`` is when it was last heard of.

    ``seen`` is when the customer first saw any of it. ``lost`` is when which agent had no evidence
    for its answer, and whether its model was not reached. ``to_person`` says that the customer was
    to go to people at once, whatever we know.
    """

    __slots__ = (
        "ended", "helped", "id", "last", "lost", "planned", "policy", "seen", "steps", "subject",
        "to_person", "version",
    )  # fmt: skip

    def __init__(self, id_: str, policy: str, version: str, subject: str) -> None:
        self.id, self.policy, self.version, self.subject = id_, policy, version, subject
        self.last = 0
        self.seen: int | None = None
        self.lost: dict[tuple[str, bool], int] = {}
        self.helped = self.to_person = False
        self.ended: dict[Bad, int] = {}
        self.steps: set[int | None] = set()
        self.planned: set[str] = set()

    def shown(self, guides: Mapping[int, str]) -> frozenset[str]:
        """The runbooks that the customer saw, where ``guides`` are those of the policy by step. An
        agent's plan has one of its own; where no step is told it is any of them."""
        own = {guides[step] for step in self.steps if step is not None and step in guides}
        if own or self.planned:
            return frozenset(own | self.planned)
        return frozenset(guides.values()) if self.steps <= {None} else frozenset()


class Courses:
    """Every intervention that was reported on; iterating gives them by id."""

    def __init__(self) -> None:
        self._courses: dict[str, Course] = {}

    def __iter__(self) -> Iterator[Course]:
        return iter([self._courses[id_] for id_ in sorted(self._courses)])

    def take(self, told: Told, record: Record) -> None:
        """Take a report; one that does not name its intervention and policy is left."""
        data = decode_data(record.data)
        if not isinstance(data, dict):
            return
        named = [data.get(key) for key in ("intervention", "policy")]
        if not all(isinstance(one, str) for one in named):
            return
        id_, policy = map(str, named)
        course = self._courses.get(id_)
        if course is None:
            version = str(data.get("version") or "")
            course = self._courses[id_] = Course(id_, policy, version, record.subject)
        at = min(record.time, record.received)
        course.last = max(course.last, at)
        if told in _SEEN:
            step = data.get("step")
            course.steps.add(step if isinstance(step, int) else None)
            course.seen = at if course.seen is None else min(course.seen, at)
        if told in _GOOD:
            course.helped = True
        elif told in _BAD:
            course.ended[told] = min(at, course.ended.get(told, at))
        _inferred(course, data, at)


def _inferred(course: Course, data: dict[str, Any], at: int) -> None:
    """An agent's answer, where there is one: its runbook, and whether it found anything."""
    plan, inference = data.get("plan"), data.get("inference")
    runbook = plan.get("runbook") if isinstance(plan, dict) else None
    if isinstance(runbook, str):
        course.planned.add(runbook)
    if not isinstance(inference, dict):
        return
    if inference.get("by") == "tone":
        course.to_person = True
    elif inference.get("by") in ("model", "composer", "nobody") and not inference.get("evidence"):
        unreached = inference.get("fallback") in _UNREACHED
        key = str(inference.get("agent")), unreached
        course.lost[key] = min(at, course.lost.get(key, at))
