"""Every error Forestall raises on purpose, under one root.

An error says what happened, where, and what to do. Its ``code`` is stable, documented in
``docs/reference/errors.md`` and safe to match on; its message is for people.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class ForestallError(Exception):
    """The root. ``str(error)`` is one or more complete lines fit to print to a user."""

    code: ClassVar[str] = "forestall"
    exit_code: ClassVar[int] = 1


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake in a file an author wrote, at a place an editor can jump to.

    ``line`` and ``column`` count from 1; ``severity`` is ``error`` or ``warning``.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str | None = None
    severity: str = "error"

    def __str__(self) -> str:
        text = (
            f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.code}]"
        )
        return f"{text}\n    hint: {self.hint}" if self.hint else text


class InvalidFile(ForestallError):
    """A file has mistakes; all of them are reported together, in ``problems``."""

    code = "invalid-file"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnreadableInput(ForestallError):
    """A file or line given on the command line cannot be read as what it should be."""

    code = "unreadable-input"
    exit_code = 2


class ExpressionError(ForestallError):
    """Evaluating a condition went wrong: a missing field, a wrong type, an overflow.

    The engine counts it and goes on; it never leaves a decision without a value.
    """

    code = "expression"
