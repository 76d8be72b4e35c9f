"""Every official CEL conformance case in scope passes; every other is refused, never misjudged."""

from collections import Counter

import pytest

from cel_conformance import (
    DOCUMENT,
    Case,
    cases,
    document,
    has_plain_values,
    out_of_scope,
    outcome,
    passes,
    same,
    value_of,
)

CASES = list(cases())
SUITES = sorted({case.suite for case in CASES})
REQUIRED = (
    "basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic",
    "macros", "namespace", "parse", "plumbing", "string", "string_ext", "timestamps",
)  # fmt: skip


def test_the_vectors_hold_the_whole_suite() -> None:
    assert len(CASES) > 2_300
    assert set(REQUIRED) < set(SUITES)


@pytest.mark.parametrize("suite", SUITES)
def test_every_case_in_scope_passes(suite: str) -> None:
    judged = [case for case in CASES if case.suite == suite and not out_of_scope(case)]
    assert [f"{case}: {case.expr}" for case in judged if not passes(case)] == []
    if suite in REQUIRED:
        assert judged


def _may_be_evaluated(case: Case) -> bool:
    return not case.container and not case.check_only and has_plain_values(case)


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_out_of_scope_is_refused_with_its_position_or_right(suite: str) -> None:
    for case in CASES:
        if case.suite != suite or not out_of_scope(case) or not _may_be_evaluated(case):
            continue
        kind, value = outcome(case)
        if kind == "value":
            assert not case.error, f"{case}: {case.expr}"
            assert same(value, value_of(case.value)), f"{case}: {case.expr}"
        else:
            assert kind == "refused" or case.error, f"{case}: {case.expr}: {value}"


def test_little_is_out_of_scope_where_the_language_promises_the_suite() -> None:
    left_out = Counter(case.suite for case in CASES if out_of_scope(case))
    for suite in ("conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros",
                  "plumbing", "string", "timestamps"):  # fmt: skip
        assert left_out[suite] == 0


def test_the_documented_table_is_current() -> None:
    text = DOCUMENT.read_text()
    assert document(text) == text, "run: python tests/cel_conformance.py"
