"""Labelled cases from YAML, with every mistake and its place.

A file has ``agent``, ``cases`` and, for all of them, ``threshold``, ``today``, ``asks`` and
``rubric``; see ``docs/reference/agent-cases.md``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec

from forestall.contracts.errors import InvalidFile, Problem, UnreadableInput
from forestall.contracts.inference import By
from forestall.intervene.agents.cases import (
    CLASSES,
    AgentCase,
    Asks,
    Called,
    Cases,
    Criterion,
    Expected,
    Forbidden,
    Given,
    Measure,
    Spoken,
)
from forestall.policy.language.document import Items, Mapping, Node, Place, Scalar, Source
from forestall.policy.language.reader import Fields, plain

MOST_CASES: Final = 10_000
LONGEST_PATTERN: Final = 200

_FILE = ("agent", "threshold", "today", "asks", "rubric", "cases", "title")
_CASE = ("name", "tags", "must", "asks", "given", "lookups", "model", "expect", "rubric")
_GIVEN = ("arguments", "policy", "signal")
_EXPECT = (
    "action", "actions", "forbidden", "contains", "cites", "confidence", "fields", "by",
    "fallback", "tone", "refused",
)  # fmt: skip
_MEASURES = ("mentions", "longest", "reading_ease", "opens", "language", "cites", "no_question")


def load_cases(path: Path) -> Cases:
    """The cases of a file, or of every ``*.yaml`` of a folder.

    Raises ``UnreadableInput``, and ``InvalidFile`` with every mistake of all files.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise UnreadableInput(f"{path}: no *.yaml file in this folder")
    problems: list[Problem] = []
    read: list[Cases] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UnreadableInput(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UnreadableInput(f"{file}: not UTF-8 text") from None
        found, wrong = read_cases(text, str(file))
        problems += wrong
        read.append(found)
    problems += _together(read, files)
    if problems:
        raise InvalidFile(problems)
    first = read[0]
    return msgspec.structs.replace(
        first,
        threshold=max(one.threshold for one in read),
        today=max((one.today for one in read if one.today), default=None),
        cases=tuple(case for one in read for case in one.cases),
    )


def _together(read: list[Cases], files: list[Path]) -> Iterator[Problem]:
    """Mistakes that only show over several files."""
    seen: dict[str, AgentCase] = {}
    for one, file in zip(read, files, strict=True):
        if one.agent != read[0].agent:
            message = f"the cases of {files[0].name} are for the agent `{read[0].agent}`"
            yield Problem(str(file), 1, 1, "another-agent", message, "one folder, one agent")
        for case in one.cases:
            first = seen.setdefault(case.name, case)
            if first.file != case.file:
                message = f"the case `{case.name}` is at {first.file}:{first.line} already"
                yield Problem(str(file), case.line, 1, "duplicate-case", message)


def read_cases(text: str, file: str) -> tuple[Cases, list[Problem]]:
    """The cases in ``text`` and every mistake; with mistakes they are not to be trusted."""
    source = Source(text, file)
    found = Cases(agent="")
    if len(source.documents) > 1:
        source.fail(Place(1, 1), "yaml", "one document a file, please")
    elif source.documents:
        root = source.documents[0]
        if isinstance(root, Mapping):
            found = _File(Fields(source, root, "")).read()
        else:
            source.fail(root.place, "wrong-type", "the file must be a mapping with `cases`")
    elif not source.problems:
        source.fail(Place(1, 1), "no-cases", "the file has no cases")
    return found, sorted(set(source.problems))


class _File:
    def __init__(self, fields: Fields) -> None:
        self.fields = fields

    def read(self) -> Cases:
        fields = self.fields
        fields.allow(_FILE, {})
        _needs(fields, "the file", "agent", "cases")
        asks: Asks = fields.choice("asks", Asks, "plan")
        rubric = tuple(_rubric(fields))
        cases: list[AgentCase] = []
        names: dict[str, int] = {}
        entries = fields.each("cases")
        if "cases" in fields and not entries and not fields.source.problems:
            fields.fail("cases", "no-cases", "there is no case")
        for one in entries[:MOST_CASES]:
            case = _case(one, asks, rubric)
            if case.name in names:
                message = f"the case `{case.name}` is on line {names[case.name]} already"
                _fail(one, "name", "duplicate-case", message)
            names.setdefault(case.name, case.line)
            cases.append(case)
        return Cases(
            agent=fields.text("agent", ""),
            threshold=fields.fraction("threshold", 0.9),
            today=fields.day("today"),
            cases=tuple(cases),
        )


def _case(fields: Fields, asks: Asks, rubric: tuple[Criterion, ...]) -> AgentCase:
    fields.allow(_CASE, {})
    name = fields.text("name", "")
    _needs(fields, f"the case `{name}`" if name else "a case", "name", "given", "expect")
    own = tuple(_rubric(fields))
    overridden = {one.name for one in own}
    return AgentCase(
        name=name,
        asks=fields.choice("asks", Asks, asks),
        tags=_texts(fields, "tags"),
        must=fields.flag("must", False),
        given=_given(fields),
        lookups=_lookups(fields),
        model=tuple(_spoken(fields)),
        expect=_expected(fields),
        rubric=(*(one for one in rubric if one.name not in overridden), *own),
        file=fields.source.file,
        line=fields.node.place.line,
    )


def _given(case: Fields) -> Given:
    fields = case.fields("given")
    if fields is None:
        return Given()
    fields.allow(_GIVEN, {})
    return Given(
        arguments=fields.json("arguments"),
        policy=fields.text("policy", None),
        signal=fields.text("signal", None),
    )


def _lookups(case: Fields) -> dict[str, dict[str, Any]]:
    fields = case.fields("lookups")
    if fields is None:
        return {}
    return {name: fields.json(name) for name in fields.node.entries}


def _spoken(case: Fields) -> Iterator[Spoken]:
    for one in case.each("model"):
        one.allow(("text", "calls"), {})
        calls = []
        for call in one.each("calls"):
            call.allow(("tool", "arguments"), {})
            _needs(call, "a call", "tool")
            calls.append(Called(call.text("tool", ""), call.json("arguments")))
        yield Spoken(text=one.text("text", ""), calls=tuple(calls))


def _expected(case: Fields) -> Expected:
    fields = case.fields("expect")
    if fields is None:
        return Expected()
    fields.allow(_EXPECT, {})
    if not fields.node.entries:
        case.fail("expect", "bad-value", "`expect` says nothing; write `action` or `fields`")
    if "action" in fields and "actions" in fields:
        fields.fail("actions", "bad-value", "write either `action` or `actions`")
    actions = _texts(fields, "actions") if "actions" in fields else None
    action = fields.text("action", None)
    contains = fields.fields("contains")
    if contains is not None:
        contains.allow(("all", "any"), {})
    return Expected(
        actions=actions if action is None else (action,),
        forbidden=tuple(_forbidden(fields)),
        all_of=() if contains is None else _texts(contains, "all"),
        any_of=() if contains is None else _texts(contains, "any"),
        cites=_texts(fields, "cites"),
        confidence=_range(fields, "confidence"),
        fields=fields.json("fields"),
        by=fields.choice("by", By, None),
        fallback=fields.text("fallback", None),
        tone=fields.text("tone", None),
        refused=_texts(fields, "refused"),
    )


def _forbidden(fields: Fields) -> Iterator[Forbidden]:
    for text, node in _located(fields, "forbidden"):
        if text in CLASSES:
            yield Forbidden(text, "class", text)
        elif len(text) > 2 and text.startswith("/") and text.endswith("/"):
            pattern = text[1:-1]
            try:
                if len(pattern) > LONGEST_PATTERN:
                    raise re.error(f"longer than {LONGEST_PATTERN} characters")
                re.compile(pattern)
            except re.error as error:
                fields.source.fail(node.place, "bad-pattern", f"`{text[:60]}`: {error}")
            else:
                yield Forbidden(text, "pattern", pattern)
        else:
            yield Forbidden(text, "words", text)


def _rubric(fields: Fields) -> Iterator[Criterion]:
    for one in fields.each("rubric"):
        one.allow(("name", "weight", *_MEASURES), {})
        given = [measure for measure in _MEASURES if measure in one]
        if len(given) != 1:
            known = ", ".join(_MEASURES)
            message = f"a criterion measures one thing of: {known}"
            one.source.fail(one.node.place, "bad-criterion", message)
            continue
        measure = cast("Measure", given[0])
        yield Criterion(
            name=one.text("name", measure),
            measure=measure,
            wanted=_WANTED[measure](one, measure),
            weight=_number(one, "weight", 1.0),
        )


def _number(fields: Fields, key: str, default: float) -> float:
    entry = fields.node.entries.get(key)
    if entry is None:
        return default
    value = plain(entry.value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1000:
        fields.fail(key, "bad-value", f"`{fields.at(key)}` must be a number above 0, at most 1000")
        return default
    return float(value)


def _length(fields: Fields, key: str) -> int:
    return fields.whole(key, 1, 1, 100_000)


def _ease(fields: Fields, key: str) -> float:
    return _number(fields, key, 50.0)


def _opening(fields: Fields, key: str) -> str:
    return str(fields.choice(key, Literal["mood", "calm", "caring"], "mood"))


def _word(fields: Fields, key: str) -> str:
    return fields.text(key, "")


def _really(fields: Fields, key: str) -> bool:
    return fields.flag(key, True)


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    """A list of texts, or a single one."""
    return tuple(text for text, _ in _located(fields, key))


def _located(fields: Fields, key: str) -> Iterator[tuple[str, Node]]:
    entry = fields.node.entries.get(key)
    if entry is None:
        return
    nodes = entry.value.items if isinstance(entry.value, Items) else [entry.value]
    for node in nodes:
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.strip():
            yield node.value, node
        else:
            message = f"`{fields.at(key)}` must be text, or a list of texts"
            fields.source.fail(node.place, "wrong-type", message, "put numbers in quotes")


_WANTED: Final = {
    "mentions": _texts,
    "longest": _length,
    "reading_ease": _ease,
    "opens": _opening,
    "language": _word,
    "cites": _texts,
    "no_question": _really,
}


def _range(fields: Fields, key: str) -> tuple[float, float] | None:
    nodes = fields.items(key)
    if not nodes:
        return None
    values = [plain(node) for node in nodes]
    good = len(values) == 2 and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    if not good or not 0 <= values[0] <= values[1] <= 1:
        fields.fail(key, "bad-value", f"`{fields.at(key)}` must be two numbers, as in [0.5, 1]")
        return None
    return float(values[0]), float(values[1])


def _needs(fields: Fields, what: str, *keys: str) -> None:
    for key in keys:
        if key not in fields and not fields.misspelt(key):
            fields.source.fail(fields.node.place, "missing-key", f"{what} lacks `{key}`")


def _fail(fields: Fields, key: str, code: str, message: str) -> None:
    if key in fields:
        fields.fail(key, code, message)
