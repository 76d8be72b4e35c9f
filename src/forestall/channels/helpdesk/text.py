"""A case in words, within a helpdesk's limits: what matters most is kept longest.

The parts are read from top to bottom, and cut from the least important up: a part loses its lines
one after the other, and leaves a line that says how many. What is left at the least says what is
the matter, whose case it is, where to look, and what was done.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from forestall.contracts.case import Tried
from forestall.contracts.instants import format_time, parse_time
from forestall.contracts.intervention import Case

_LONGEST_VALUE = 300
_SHORTEST_BODY = 1_000


class Limits(msgspec.Struct, frozen=True):
    """What a helpdesk takes: characters of a subject and of a body."""

    subject: int
    body: int


class Words(msgspec.Struct, frozen=True):
    """A ticket's subject and body; ``cut`` names the parts that lost something."""

    subject: str
    body: str
    cut: tuple[str, ...] = ()


class _Part(msgspec.Struct):
    """A heading and its lines. The higher ``rank``, the earlier it is cut; from 0 it never is.
    ``oldest_first`` says which end is the older, which goes first."""

    title: str
    rank: int
    lines: list[str]
    oldest_first: bool = False
    left_out: int = 0

    def text(self) -> str:
        """Empty where nothing is left."""
        if not self.lines:
            return ""
        note = [f"({self.left_out} more left out)"] if self.left_out else []
        lines = [*note, *self.lines] if self.oldest_first else [*self.lines, *note]
        heading = [self.title, "-" * len(self.title)] if self.title else []
        return "\n".join([*heading, *lines])

    def shorten(self, excess: int) -> None:
        """Drop lines until ``excess`` characters are gone, or none is left."""
        while self.lines and excess > 0:
            excess -= len(self.lines.pop(0 if self.oldest_first else -1)) + 1
            self.left_out += 1


def render(case: Case, limits: Limits, mark: str) -> Words:
    """``case`` as a ticket whose subject begins with ``mark``. Raises ``ValueError`` where the
    limits leave no room for the least that must be said."""
    room = limits.subject - len(mark) - 1
    if room < 1 or limits.body < _SHORTEST_BODY:
        raise ValueError(f"a ticket of {limits.subject} and {limits.body} characters is too small")
    parts = _parts(case, limits)
    body = _join(parts)
    for part in sorted(parts[1:], key=lambda one: -one.rank):
        while part.lines and len(body) > limits.body:
            part.shorten(len(body) - limits.body)
            body = _join(parts)
    cut = tuple(part.title for part in parts if part.left_out)
    return Words(f"{mark} {shortened(_line(case.title), room)}", shortened(body, limits.body), cut)


def shortened(text: str, most: int) -> str:
    """``text``, or its beginning and ``…``, in at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _join(parts: Iterable[_Part]) -> str:
    texts = [text for part in parts if (text := part.text())]
    gone = [part.title for part in parts if part.left_out and not part.lines]
    return "\n\n".join([*texts, f"Left out for length: {', '.join(gone)}"] if gone else texts)


def _parts(case: Case, limits: Limits) -> list[_Part]:
    return [
        _Part("", 0, _head(case, limits.body // 4)),
        _Part("What was tried", 1, _tried(case), oldest_first=True),
        _Part("What the customer saw", 2, _seen(case), oldest_first=True),
        _Part("Suggested reply", 4, _block(case.reply)),
        _Part("What the runbooks say", 5, _advice(case)),
        _Part("What happened", 3, _timeline(case), oldest_first=True),
        _Part("What is known", 6, _known(case)),
        _Part("Other explanations", 7, _hypotheses(case)),
        _Part("Course of the playbook", 8, _course(case), oldest_first=True),
        _Part("Consent", 9, _consent(case)),
    ]


def _head(case: Case, room: int) -> list[str]:
    """What is never left out; the reason gets at most ``room`` characters, names a few less."""
    lines = [shortened(_line(case.why), room), ""]
    if case.possibly_doubled:
        lines.append("An earlier attempt to hand this over may have arrived: look for a double.")
    if case.passed_from is not None:
        lines.append(f"Nobody took it in {case.passed_from}; this is queue {case.tier}.")
    lines.append(f"Customer: {case.customer}")
    lines += [shortened(f"{_line(name)}: {_line(link)}", 300) for name, link in case.links.items()]
    lines.append(f"Policy: {case.policy}" + (f" {case.version[:12]}" if case.version else ""))
    lines.append(f"Noticed: {_when(case.at)}")
    lines.append(f"Case: {case.id}, intervention {case.intervention}")
    if case.trace is not None:
        lines.append(f"Trace: {case.trace}")
    if case.withheld:
        lines.append(f"Withheld from this queue: {', '.join(case.withheld)}")
    return lines


def _tried(case: Case) -> list[str]:
    lines = []
    for one in case.tried:
        words = [f"{one.step}. {one.kind} {one.name}: {one.outcome}"]
        words += [f"({_line(one.reason)})"] if one.reason else []
        words += [_pairs(one.arguments)] if one.arguments else []
        words += [f"gave {_pairs(one.fields)}"] if one.fields else []
        words += [f"evidence {_pairs(one.evidence)}"] if one.evidence else []
        lines.append(" ".join(words))
        lines += _planned(one)
    return lines


def _planned(one: Tried) -> Iterator[str]:
    """What an agent planned and how it came to that, a line each."""
    plan, how = one.plan, one.inference
    if plan is not None:
        for wanted in plan.actions:
            yield f"   planned: {wanted.action} {_pairs(wanted.arguments)}".rstrip()
        if plan.message or plan.runbook:
            words = " – ".join(_line(text) for text in (plan.message, plan.runbook) if text)
            yield f"   to be said: {shortened(words, 500)}"
        if plan.rationale:
            yield f"   because: {shortened(_line(plan.rationale), 300)}"
    if how is not None:
        by = f"{how.by} {how.model}" if how.model and how.by == "model" else how.by
        instead = f", as the model did not ({how.fallback})" if how.fallback else ""
        cited = f", from {_line(', '.join(how.evidence))}" if how.evidence else ""
        yield f"   {how.agent} answered by {by}{instead}{cited}"
        for turned in how.refused:
            yield f"   refused: {_line(turned.what)}: {shortened(_line(turned.why), 200)}"


def _seen(case: Case) -> list[str]:
    lines = []
    for one in case.seen:
        answer = f" ({_line(one.choice)})" if one.choice else ""
        words = " – ".join(_line(text) for text in (one.title, one.body) if text)
        lines.append(f"{_when(one.at)} {one.status}{answer}: {shortened(words, 2_000)}")
    return lines


def _timeline(case: Case) -> list[str]:
    return [
        f"{_when(one.at)} {'*' if one.matched else ' '} {one.type} {_pairs(one.fields)}".rstrip()
        for one in case.timeline
    ]


def _advice(case: Case) -> list[str]:
    if not case.runbooks:
        return _block(case.advice)
    lines = []
    for book in case.runbooks:
        lines += [f"[{book.runbook}, version {book.version}]", *_block(book.text)]
    return lines


def _known(case: Case) -> list[str]:
    known = {**case.features, **case.fields, **case.traits}
    return [f"{_line(name)}: {_value(value)}" for name, value in known.items()]


def _hypotheses(case: Case) -> list[str]:
    return [
        f"{_when(one.at)} {one.policy}: {shortened(_line(one.why), 300)}"
        + (f" (kept silent: {one.reason})" if one.reason else "")
        for one in case.hypotheses
    ]


def _course(case: Case) -> list[str]:
    lines = []
    for one in case.taken:
        step = "" if one.step is None else f" step {one.step}"
        lines.append(f"{_when(one.at)} {one.what}{step}{f' ({one.reason})' if one.reason else ''}")
    return lines


def _consent(case: Case) -> list[str]:
    if case.consent is None:
        return []
    said = {None: "never asked", True: "granted", False: "withdrawn"}[case.consent.granted]
    since = f" since {_when(case.consent.since)}" if case.consent.since else ""
    out = "; opted out of everything" if case.consent.opted_out else ""
    return [f"for {case.consent.purpose}: {said}{since}{out}"]


def _block(text: str | None) -> list[str]:
    return [line.rstrip() for line in text.split("\n")] if text else []


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{_line(name)}={_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return shortened(_line(text), _LONGEST_VALUE)


def _line(text: str) -> str:
    """On one line, without control characters: what a customer typed cannot pose as our words."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _when(time: str) -> str:
    """To the second, UTC; what is no time stays as it is."""
    try:
        return f"{format_time(parse_time(time))[:19]}Z"
    except ValueError:
        return _line(time)
