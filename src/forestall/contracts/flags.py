"""Flags: switches of a deployment that change no decision, read through OpenFeature.

Names are free. Those in ``OWN`` are switches of the product itself.
"""

import re
from typing import Final

import msgspec

Value = bool | int | float | str
"""What a flag can be."""

DOMAIN: Final = "forestall"
"""The OpenFeature domain of the provider: ``openfeature.api.get_client(DOMAIN)`` reads flags."""

NAME: Final = r"[a-z][a-z0-9_.-]{0,99}"
"""What names of flags look like."""

LARGEST: Final = 2**53
"""What a flag's number is below: every language can read such numbers."""

LONGEST: Final = 1_000
"""Characters that a flag's text has at most."""


class Switch(msgspec.Struct, frozen=True):
    """A switch of the product, true or false: what it does, and what holds while nobody set it."""

    does: str
    otherwise: str


CONSOLE: Final = "console"
CANARY_AUTOMATIC: Final = "canary-automatic"

OWN: Final[dict[str, Switch]] = {
    CONSOLE: Switch(
        "Whether the console is shown at /console; the operators' API stays, whatever it says.",
        "true",
    ),
    CANARY_AUTOMATIC: Switch(
        "Whether a step of a canary that passed is followed by the next one without a person.",
        "`automatic` of [canary]",
    ),
}
"""The product's own switches, by name."""


def wrong(name: str, value: Value) -> str | None:
    """Why there can be no such flag, if there cannot."""
    if re.fullmatch(NAME, name) is None:
        return (
            f"{name!r} is no name of a flag: begin with a lower-case letter, then at most 99 more"
            " of a-z, 0-9, `_`, `.` and `-`"
        )
    if name in OWN and not isinstance(value, bool):
        return f"{name} is true or false, not {value!r}"
    if isinstance(value, int | float) and not abs(value) < LARGEST:
        return f"{name}: a number of a flag is finite and below 2^53, which {value} is not"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{name}: a text of a flag has at most {LONGEST:,} characters"
    return None
