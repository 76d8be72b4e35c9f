"""The steps of a canary, as the settings write them: ``5% for 1h``."""

import re
from typing import Final

import msgspec

from forestall.contracts.instants import parse_duration

_STEP: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?% for (\w+)", re.ASCII)


class Step(msgspec.Struct, frozen=True):
    """A share of subjects, above 0 and below 1, and how long it lasts at least, in microseconds."""

    share: float
    time: int


def parse_steps(texts: tuple[str, ...]) -> tuple[Step, ...]:
    """Steps such as ``5% for 1h``, each with a greater share than the one before. Raises
    ``ValueError`` that says which is wrong."""
    steps: list[Step] = []
    for text in texts:
        match = _STEP.fullmatch(text)
        if match is None:
            raise ValueError(f'{text!r} is not a share and a time such as "5% for 1h"')
        share = float(match[1]) / 100
        if not 0 < share < 1:
            raise ValueError(f"{text!r}: a share lies above 0% and below 100%; the rest is live")
        if steps and share <= steps[-1].share:
            raise ValueError(f"{text!r}: the share has to be greater than that of the step before")
        steps.append(Step(share, parse_duration(match[2])))
    return tuple(steps)
