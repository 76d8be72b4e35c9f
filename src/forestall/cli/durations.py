"""Options that are durations, such as ``--horizon 7d``."""

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
