"""What operators and functions of conditions take, in kinds; anything else is an error when run."""

from typing import Final

from forestall.policy.language.domain import KINDS, NUMBERS

TEXT = frozenset(["string"])
INT = frozenset(["int"])
TIMES = frozenset(["timestamp", "duration"])
_TO_NUMBER = NUMBERS | TEXT
TAKES: Final[dict[str, tuple[frozenset[str], ...]]] = {
    "size": (frozenset(["string", "bytes", "list", "map"]),),
    "int": (_TO_NUMBER | {"timestamp"},),
    "uint": (_TO_NUMBER,),
    "double": (_TO_NUMBER,),
    "bool": (frozenset(["bool", "string"]),),
    "string": (_TO_NUMBER | TIMES | {"bool", "bytes"},),
    "bytes": (frozenset(["bytes", "string"]),),
    "timestamp": (frozenset(["timestamp", "string", "int"]),),
    "duration": (frozenset(["duration", "string"]),),
    "charAt": (TEXT, INT),
    "indexOf": (TEXT, TEXT, INT),
    "lastIndexOf": (TEXT, TEXT, INT),
    "join": (frozenset(["list"]), TEXT),
    "replace": (TEXT, TEXT, TEXT, INT),
    "split": (TEXT, TEXT, INT),
    "substring": (TEXT, INT, INT),
    "format": (TEXT, frozenset(["list"])),
    "type": (KINDS,),
}
"""What functions take, where it is not all text; the target comes first."""

_ALIKE = tuple((kind, kind, kind) for kind in ("int", "double", "uint"))
OVERLOADS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "+": (
        *_ALIKE,
        *((kind, kind, kind) for kind in ("string", "bytes", "list", "duration")),
        ("timestamp", "duration", "timestamp"),
        ("duration", "timestamp", "timestamp"),
    ),
    "-": (
        *_ALIKE,
        ("duration", "duration", "duration"),
        ("timestamp", "timestamp", "duration"),
        ("timestamp", "duration", "timestamp"),
    ),
    "*": _ALIKE,
    "/": _ALIKE,
    "%": (("int", "int", "int"), ("uint", "uint", "uint")),
}
ORDERED: Final = NUMBERS | {"bool", "string", "bytes", "timestamp", "duration"}
ORDER: Final = ("<", "<=", ">", ">=")
