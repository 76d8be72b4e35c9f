"""Options that are durations, such as ``--horizon 7d``."""

from typing import Annotated, Any

import typer

from forestall.contracts.instants import parse_duration


def duration(text: str) -> int:
    """Microseconds of an option such as ``7d``, more than none. Raises ``typer.BadParameter``."""
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not found:
        raise typer.BadParameter("it must be longer than nothing")
    return found


def span(meaning: str) -> Any:
    """An option that is a duration; ``meaning`` is its help."""
    return typer.Option(parser=duration, metavar="DURATION", help=meaning)


SessionGap = Annotated[int, span("Events of a customer less than this apart are one session.")]
"""What separates two sessions of a customer."""
