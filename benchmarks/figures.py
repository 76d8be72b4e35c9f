"""What a benchmark returns."""

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured number: of what, and in which unit."""

    what: str
    value: float
    unit: str
