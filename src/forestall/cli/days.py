"""Options that are days, such as ``--on 2027-01-31``."""

import datetime
from typing import Annotated

import typer

from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import day_of
from forestall.kernel.clock import wall_clock

OnOption = Annotated[
    str | None, typer.Option("--on", metavar="DAY", help="As of this day; today if left out.")
]


def day_named(text: str | None, later: datetime.timedelta = datetime.timedelta()) -> datetime.date:
    """The day that an option names; today (UTC), or so much ``later``, where it names none.

    Raises ``UnreadableInput``.
    """
    if text is None:
        return day_of(wall_clock()) + later
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UnreadableInput(f"{text}: not a day like 2027-01-31") from None
