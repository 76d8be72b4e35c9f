"""Test results as JUnit XML, the form that CI systems read."""

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as Xml

import msgspec

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Case(msgspec.Struct, frozen=True):
    """One test that ran. ``failure`` is its first line, ``details`` all of it; none if it passed."""

    suite: str
    name: str
    seconds: float
    file: str | None = None
    line: int | None = None
    failure: str | None = None
    details: str = ""


def junit(name: str, cases: Iterable[Case], properties: dict[str, dict[str, str]]) -> bytes:
    """The document: a suite for each ``Case.suite``, in order of first appearance, and for each
    name in ``properties``; those stand in the suite. Characters that XML cannot hold become U+FFFD.
    """
    suites: dict[str, list[Case]] = {suite: [] for suite in properties}
    for case in cases:
        suites.setdefault(case.suite, []).append(case)
    everything = [case for several in suites.values() for case in several]
    root = Xml.Element("testsuites", {"name": name, **_counts(everything)})
    for suite, several in suites.items():
        element = Xml.SubElement(root, "testsuite", {"name": _clean(suite), **_counts(several)})
        if properties.get(suite):
            listed = Xml.SubElement(element, "properties")
            for key, value in properties[suite].items():
                Xml.SubElement(listed, "property", {"name": _clean(key), "value": _clean(value)})
        for case in several:
            _add(element, case)
    Xml.indent(root)
    document: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add(suite: Xml.Element, case: Case) -> None:
    place = {} if case.file is None else {"file": _clean(case.file), "line": str(case.line or 1)}
    names = {"classname": _clean(case.suite), "name": _clean(case.name)}
    element = Xml.SubElement(suite, "testcase", {**names, **place, "time": _time(case.seconds)})
    if case.failure is not None:
        failure = {"message": _clean(case.failure), "type": "difference"}
        Xml.SubElement(element, "failure", failure).text = _clean(case.details)


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.failure is not None for case in cases)),
        "errors": "0",
        "skipped": "0",
        "time": _time(sum(case.seconds for case in cases)),
    }


def _time(seconds: float) -> str:
    return f"{seconds:.6f}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
