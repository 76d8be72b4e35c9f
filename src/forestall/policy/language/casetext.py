"""A policy test as YAML text, and into a policy file without touching the rest of it. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import format_duration
from forestall.policy.language.document import Items
from forestall.policy.language.model import PolicyTest, TestEvent, TestExpectation
from forestall.policy.language.parse import Located, parse, parse_located

_PLAIN = re.compile(r"[a-z][a-z0-9_.-]*")
_WORDS = frozenset(("true", "false", "null"))
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def case_text(case: PolicyTest) -> str:
    """The case as one item of a policy's ``tests``, not indented, with a line end at its end."""
    return "".join(f"{line}\n" for line in _lines(case))


def _lines(case: PolicyTest) -> Iterator[str]:
    yield f"- name: {_text(case.name)}"
    yield "  events:" if case.events else "  events: []"
    yield from (f"    - {_flow(_event(event))}" for event in case.events)
    if case.until is not None:
        yield f"  until: {format_duration(case.until)}"
    yield "  expect:" if case.expect else "  expect: []"
    yield from (f"    - {_flow(_expected(one))}" for one in case.expect)


def _event(event: TestEvent) -> Iterator[tuple[str, str]]:
    yield "at", format_duration(event.at)
    yield "type", event.type
    if event.id is not None:
        yield "id", _text(event.id)
    if event.source != "test":
        yield "source", _text(event.source)
    if event.origin != "server":
        yield "origin", event.origin
    if event.received is not None:
        yield "received", format_duration(event.received)
    if event.data:
        yield "data", _json(event.data)


def _expected(one: TestExpectation) -> Iterator[tuple[str, str]]:
    yield "at", format_duration(one.at)
    yield "outcome", one.outcome
    if one.reason is not None:
        yield "reason", one.reason
    if one.key is not None:
        yield "key", _text(one.key)


def _flow(fields: Iterator[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields) + "}"


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text not in _WORDS else _json(text)


def _json(value: Any) -> str:
    """JSON, which YAML reads the same way."""
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def with_case(text: str, file: str, policy: str, case: PolicyTest) -> str:
    """A policy file's text with the case as the last of a policy's tests.

    Raises ``UnreadableInput`` when the file has mistakes or no such policy, or when its tests are
    written so that nothing can be put in (``[...]`` and ``{...}``), and then says what to do.
    """
    located, problems = parse_located(text, file)
    if problems:
        raise UnreadableInput("\n".join(str(problem) for problem in problems))
    place = next((n for n, one in enumerate(located) if one.policy.name == policy), None)
    if place is None:
        raise UnreadableInput(f"{file}: no policy is called {policy!r}; its test cannot stand here")
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    at, added = _addition(located[place], lines, case)
    made = "".join([*lines[:at], *added, *lines[at:]])
    _check(located, made, file, place, case)
    return made


def _addition(located: Located, lines: list[str], case: PolicyTest) -> tuple[int, list[str]]:
    """Before which line (counted from 0) what comes."""
    start = located.document.place
    base = start.column - 1
    entry = located.document.entries.get("tests")
    written = case_text(case).splitlines(keepends=True)
    after = start.line if entry is None else entry.place.line
    later = [
        one.place.line - 1 for one in located.document.entries.values() if one.place.line > after
    ]
    ends = (
        number
        for number, line in enumerate(lines[after:], start=after)
        if line.startswith(("---", "...")) or (entry is not None and number in later)
    )
    end = next(ends, len(lines))
    while end > after and _is_aside(lines[end - 1]):
        end -= 1
    indent, head = base + 2, []
    if entry is None:
        head = [f"{' ' * base}tests:\n"]
    elif isinstance(entry.value, Items) and entry.value.items:
        first = lines[entry.value.items[0].place.line - 1]
        if first.lstrip(" ").startswith("- "):
            indent = len(first) - len(first.lstrip(" "))
    else:
        raise UnreadableInput(
            f"{located.source.file}:{entry.place.line}: nothing can be added to `tests: []`; "
            "remove that line, or print the test and paste it"
        )
    return end, [*head, *(" " * indent + line for line in written)]


def _is_aside(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _check(before: list[Located], made: str, file: str, place: int, case: PolicyTest) -> None:
    """Whether the made text is the file as it was, and the case. Raises ``UnreadableInput``."""
    after, problems = parse_located(made, file)
    wanted = [_unplaced(one.policy.tests) for one in before]
    wanted[place] += _unplaced((case,))
    if problems or [_unplaced(one.policy.tests) for one in after] != wanted:
        raise UnreadableInput(
            f"{file}: the test cannot be added to how `tests` is written there; "
            "print it and paste it"
        )


def _unplaced(tests: tuple[PolicyTest, ...]) -> list[PolicyTest]:
    return [msgspec.structs.replace(test, line=0) for test in tests]


def read_back(case: PolicyTest) -> PolicyTest:
    """The case as a reader of its text gets it. Raises ``InvalidFile`` where YAML cannot hold it."""
    head = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: p}\n"
    spec = "spec: {when: {event: p}}\ntests:\n"
    (policy,) = parse(head + spec + case_text(case), "<the test>")
    return policy.tests[0]
