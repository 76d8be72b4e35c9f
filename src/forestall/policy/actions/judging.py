"""Holding what a declaration gives and reads against what there is."""

from collections.abc import Mapping

from forestall.contracts.nearest import did_you_mean
from forestall.policy.actions.model import Declaration
from forestall.policy.actions.read import Located
from forestall.policy.language.cel import InvalidExpression, compile_expression

Path_ = tuple[str, ...]


def inputs(one: Declaration) -> tuple[frozenset[str] | None, frozenset[str]]:
    """The arguments that a declaration takes (none: any), and those that it needs."""
    required = frozenset(one.input.get("required", ()))
    known = frozenset(one.input.get("properties", {}))
    open_ = any(
        key in one.input for key in ("patternProperties", "allOf", "anyOf", "oneOf", "$ref")
    )
    return None if open_ or one.input.get("additionalProperties") else known, required


def judge_names(
    one: Located,
    path: Path_,
    given: Mapping[str, str],
    known: frozenset[str] | None,
    required: frozenset[str],
    what: str,
) -> None:
    """Note arguments that ``what`` does not take, and those that it needs and is not given."""
    for name in given:
        if known is not None and name not in known:
            hint = did_you_mean(name, known)
            message = f"{what} takes no `{name}`"
            one.problem((*path, "with", name), "unknown-argument", message, hint)
    for name in sorted(required - given.keys()):
        message = f"{what} needs `{name}`"
        one.problem((*path, "with"), "missing-argument", message)


def judge_reads(
    one: Located, path: Path_, source: str, known: dict[str, frozenset[str] | None]
) -> None:
    """Note fields that an expression reads and nobody fills."""
    taken, _ = inputs(one.declaration)
    every = {"arguments": taken, **known}
    try:
        reads = compile_expression(source, ("arguments", "fields", "result", "key")).reads
    except InvalidExpression:
        return
    for root, *below in sorted(reads):
        names = every.get(root)
        if names is not None and below and below[0] not in names:
            hint = did_you_mean(below[0], names)
            message = f"nothing fills `{root}.{below[0]}`"
            one.problem(path, "unknown-field", message, hint)
