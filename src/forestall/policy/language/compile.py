"""From a policy to a program the engine can run: conditions as functions, patterns as tables. Pure."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from forestall.contracts.decision import Mode
from forestall.policy.language.canonical import pattern_hash
from forestall.policy.language.cel import Expression, Path, compile_expression
from forestall.policy.language.model import Feature, Match, Policy, Step, When

EVENT_VARIABLES = ("event", "subject", "now")
CONDITION_VARIABLES = ("event", "subject", "now", "features", "service")
STEP_VARIABLES = ("event", "subject", "now", "features", "fields")

Condition = Callable[..., Any]


class PatternProgram(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern with its repetitions written out.

    ``positives[i]`` is the match of positive step i; ``gaps[i]`` the match that must not lie
    between i and i+1, where there is one; ``trailing`` what must stay away for ``quiet_for``
    after the last. ``ordered`` is false for ``all``.
    """

    ordered: bool
    positives: tuple[Match, ...]
    gaps: dict[int, Match]
    trailing: Match | None
    quiet_for: int
    within: int | None
    by: str | None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A policy ready to run. ``reads`` are the features its ``if`` needs, all if it cannot tell;
    ``paths`` every field path that it reads."""

    policy: Policy
    version: str
    mode: Mode
    pattern: PatternProgram
    pattern_hash: str
    features: tuple[tuple[str, Feature], ...]
    condition: Condition | None
    reads: frozenset[str]
    paths: frozenset[Path]


def event_expression(source: str) -> Condition:
    """A ``where``, ``by`` or value expression as a function of event, subject and now."""
    return _of_event(source).evaluate


def event_reads(source: str) -> frozenset[Path]:
    """The field paths that such an expression reads."""
    return _of_event(source).reads


@lru_cache(maxsize=65_536)
def step_expression(source: str) -> Condition:
    """An expression of a playbook as a function of event, subject, now, features and fields."""
    return compile_expression(source, STEP_VARIABLES).evaluate


@lru_cache(maxsize=65_536)
def _of_event(source: str) -> Expression:
    return compile_expression(source, EVENT_VARIABLES)


@lru_cache(maxsize=65_536)
def _condition(source: str) -> Expression:
    return compile_expression(source, CONDITION_VARIABLES)


def compile_policy(policy: Policy, version: str, mode: Mode = "live") -> Program:
    """The program of a policy that ``parse`` accepted."""
    condition = None if policy.condition is None else _condition(policy.condition)
    declared = frozenset(policy.features)
    return Program(
        policy=policy,
        version=version,
        mode=mode,
        pattern=_pattern(policy.when),
        pattern_hash=pattern_hash(policy.when),
        features=tuple(sorted(policy.features.items())),
        condition=None if condition is None else condition.evaluate,
        reads=frozenset() if condition is None else _features_read(condition, declared),
        paths=frozenset() if condition is None else condition.reads,
    )


def _features_read(condition: Expression, declared: frozenset[str]) -> frozenset[str]:
    paths = [path for path in condition.reads if path[0] == "features"]
    if any(len(path) == 1 for path in paths):
        return declared
    return frozenset(path[1] for path in paths) & declared


def _pattern(when: When) -> PatternProgram:
    positives: list[Match] = []
    gaps: dict[int, Match] = {}
    trailing: Step | None = None
    for step in when.steps:
        if not step.negative:
            positives.extend([step.match] * step.times)
        elif step.quiet_for is not None:
            trailing = step
        else:
            gaps[len(positives) - 1] = step.match
    return PatternProgram(
        ordered=when.kind != "all",
        positives=tuple(positives),
        gaps=gaps,
        trailing=None if trailing is None else trailing.match,
        quiet_for=0 if trailing is None else trailing.quiet_for or 0,
        within=when.within,
        by=when.by,
    )
