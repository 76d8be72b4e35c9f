"""Why a person is told no: the errors of everything that people ask for."""

from forestall.contracts.errors import ForestallError


class RoleMissing(ForestallError):
    """The person does not have the role that this takes."""

    code = "role-missing"


class OwnRequest(ForestallError):
    """Nobody approves what they commanded themselves, nor approves the same thing twice."""

    code = "own-request"


class NotThere(ForestallError):
    """There is nothing of that id."""

    code = "not-there"


class TooLate(ForestallError):
    """It is decided, expired, void or ended by now. The message begins with which."""

    code = "too-late"


class ReasonMissing(ForestallError):
    """What people decide and command is kept with a reason: 1 to 200 characters."""

    code = "reason-missing"


LONGEST_REASON = 200
"""Characters that a reason may have."""


def because(reason: str) -> str:
    """The reason without blanks around it. Raises ``ReasonMissing``."""
    words = reason.strip()
    if not 0 < len(words) <= LONGEST_REASON:
        raise ReasonMissing(f"say why, in 1 to {LONGEST_REASON} characters")
    return words
