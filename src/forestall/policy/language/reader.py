"""Typed reading of a document's mappings: every mistake is noted at its place, and reading goes on.

After a mistake an accessor returns its default, so one run finds all mistakes of a file. Whoever
reads must look at ``source.problems`` before trusting the values.
"""

import datetime
from collections.abc import Collection, Iterable
from typing import Any, TypeVar, cast, get_args

from forestall.contracts.instants import DAY, parse_duration
from forestall.contracts.nearest import did_you_mean, nearest
from forestall.policy.language.cel import InvalidExpression, compile_expression
from forestall.policy.language.cel.operators import weight
from forestall.policy.language.document import Items, Mapping, Node, Scalar, Source, Unusable

MAX_DURATION_DAYS = 36_500
MAX_PATTERNS = 200_000
"""The weight (``cel.operators.weight``) that all conditions with patterns of a file may have."""

_SWITCHES = ("yes", "no", "on", "off")

Default = TypeVar("Default")


def one_of(words: Iterable[str]) -> str:
    """``a, b or c`` with each word in backticks."""
    quoted = [f"`{word}`" for word in words]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def describe(node: Node) -> str:
    """What a node is, in an author's words: ``the number 30``, ``a list``, ``nothing``."""
    match node:
        case Mapping():
            return "a mapping"
        case Items():
            return "a list"
        case Scalar(value=bool(value)):
            return f"the boolean {str(value).lower()}"
        case Scalar(value=int(value) | float(value)):
            return f"the number {value}"
        case Scalar(value=str(value)):
            return f"the text `{value[:40]}`"
    return "nothing"


class Fields:
    """A mapping being read. ``path`` names it in messages, as in ``spec.when.sequence[0]``."""

    def __init__(self, source: Source, node: Mapping, path: str) -> None:
        self.source = source
        self.node = node
        self.path = path
        self._misspelt: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.node.entries

    def is_null(self, key: str) -> bool:
        """Whether the key stands there with no value or ``null``."""
        entry = self.node.entries.get(key)
        return entry is not None and isinstance(entry.value, Scalar) and entry.value.value is None

    def at(self, key: str) -> str:
        """The path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def allow(self, known: Collection[str], instead: dict[str, tuple[str, str | None]]) -> None:
        """Note every key outside ``known``; ``instead`` has a message and hint for foreseen ones."""
        where = f" in `{self.path}`" if self.path else ""
        for key, entry in self.node.entries.items():
            if key in known:
                continue
            near = nearest(key, known)
            if key not in instead and near is not None and near not in self.node.entries:
                self._misspelt.add(near)
            others = f"did you mean `{near}`?" if near else f"there are: {', '.join(known)}"
            message, hint = instead.get(key, (f"unknown key `{key}`{where}", others))
            self.source.fail(entry.place, "unknown-key", message, hint)

    def misspelt(self, *keys: str) -> bool:
        """Whether ``allow`` took an unknown key for one of these."""
        return not self._misspelt.isdisjoint(keys)

    def require(self, *keys: str) -> None:
        """Note every one of ``keys`` that is missing, at the mapping's own place.

        One that ``allow`` found misspelt is told already.
        """
        for key in keys:
            if key not in self.node.entries and key not in self._misspelt:
                where = f"`{self.path}` lacks" if self.path else "the policy lacks"
                self.source.fail(self.node.place, "missing-key", f"{where} `{key}`")

    def fail(self, key: str, code: str, message: str, hint: str | None = None) -> None:
        """Note a mistake in the value of ``key``."""
        self.source.fail(self.node.entries[key].value.place, code, message, hint)

    def _wrong(self, key: str, expected: str, node: Node, hint: str | None = None) -> None:
        if not (isinstance(node, Scalar) and isinstance(node.value, Unusable)):
            message = f"`{self.at(key)}` must be {expected}, not {describe(node)}"
            self.source.fail(node.place, "wrong-type", message, hint)

    def fields(self, key: str) -> "Fields | None":
        """The mapping under ``key``, or none."""
        entry = self.node.entries.get(key)
        if entry is None:
            return None
        if isinstance(entry.value, Mapping):
            return Fields(self.source, entry.value, self.at(key))
        self._wrong(key, "a mapping", entry.value)
        return None

    def each(self, key: str) -> list["Fields"]:
        """The mappings in the list under ``key``."""
        found = []
        for index, node in enumerate(self.items(key)):
            path = f"{self.at(key)}[{index}]"
            if isinstance(node, Mapping):
                found.append(Fields(self.source, node, path))
            else:
                self._wrong(f"{key}[{index}]", "a mapping", node)
        return found

    def items(self, key: str) -> list[Node]:
        """The nodes of the list under ``key``."""
        entry = self.node.entries.get(key)
        if entry is None:
            return []
        if isinstance(entry.value, Items):
            return entry.value.items
        self._wrong(key, "a list", entry.value)
        return []

    def text(self, key: str, default: Default) -> str | Default:
        """Non-empty text."""
        entry = self.node.entries.get(key)
        if entry is None:
            return default
        if isinstance(entry.value, Scalar) and isinstance(entry.value.value, str):
            if entry.value.value.strip():
                return entry.value.value
            self.fail(key, "bad-value", f"`{self.at(key)}` is empty")
            return default
        quote = None
        if isinstance(entry.value, Scalar) and entry.value.value is not None:
            quote = "put it in quotes"
        self._wrong(key, "text", entry.value, quote)
        return default

    def expression(self, key: str, variables: tuple[str, ...]) -> str | None:
        """A CEL expression over ``variables`` that compiles."""
        source = self.text(key, None)
        if source is None:
            return None
        if ".matches" in source and not self._affordable(key, source):
            return source
        try:
            compile_expression(source, variables)
        except InvalidExpression as error:
            node = cast("Scalar", self.node.entries[key].value)
            before = source.split("\n")[: error.line - 1]
            offset = sum(len(line) + 1 for line in before) + error.column - 1
            self.source.fail(
                self.source.inside(node, min(offset, len(source.rstrip()))),
                "bad-expression",
                f"`{self.at(key)}`: {error.message}",
                error.hint,
            )
        return source

    def _affordable(self, key: str, condition: str) -> bool:
        """Whether the patterns of the file may still be read: preparing them takes time."""
        self.source.patterns += weight(condition)
        if self.source.patterns <= MAX_PATTERNS:
            return True
        message = "the patterns of this file are too large together"
        self.fail(key, "too-large", message, "split the file, or the patterns")
        return False

    def choice(self, key: str, allowed: Any, default: Default) -> Any | Default:
        """One of the words of the ``Literal`` type ``allowed``."""
        word = self.text(key, None)
        if word is None:
            return default
        words = get_args(allowed)
        if word in words:
            return word
        hint = did_you_mean(word, words)
        message = f"`{self.at(key)}` must be {one_of(words)}, not `{word}`"
        self.fail(key, "bad-value", message, hint)
        return default

    def duration(self, key: str, default: Default) -> int | Default:
        """Microseconds."""
        entry = self.node.entries.get(key)
        if entry is None:
            return default
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if isinstance(value, str):
            return self._duration(key, value, default)
        hint = None
        if isinstance(value, int) and not isinstance(value, bool):
            hint = f"write the unit, such as `{value}s`"
        self._wrong(key, "a duration such as 30s", entry.value, hint)
        return default

    def _duration(self, key: str, text: str, default: Default) -> int | Default:
        try:
            micros = parse_duration(text)
        except ValueError:
            self.fail(
                key,
                "bad-duration",
                f"`{self.at(key)}`: `{text}` is not a duration",
                "write an integer and `ms`, `s`, `m`, `h` or `d`, such as `90s`",
            )
            return default
        if micros > MAX_DURATION_DAYS * DAY:
            self.fail(
                key,
                "bad-duration",
                f"`{self.at(key)}`: `{text}` is longer than {MAX_DURATION_DAYS}d",
            )
            return default
        return micros

    def day(self, key: str) -> datetime.date | None:
        """A day such as 2027-01-31."""
        text = self.text(key, None)
        if text is None:
            return None
        try:
            return datetime.datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
        except ValueError:
            message = f"`{self.at(key)}` must be a day such as 2027-01-31, not `{text[:40]}`"
            self.fail(key, "bad-value", message)
            return None

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``."""
        entry = self.node.entries.get(key)
        if entry is None:
            return default
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(key, "a whole number", entry.value)
            return default
        if not low <= value <= high:
            self.fail(
                key, "bad-value", f"`{self.at(key)}` must lie between {low} and {high}, not {value}"
            )
            return default
        return value

    def fraction(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        entry = self.node.entries.get(key)
        if entry is None:
            return default
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(key, "a number between 0 and 1", entry.value)
            return default
        if not 0 <= value <= 1:
            self.fail(key, "bad-value", f"`{self.at(key)}` must lie between 0 and 1, not {value}")
            return default
        return abs(float(value))

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        entry = self.node.entries.get(key)
        if entry is None:
            return default
        if isinstance(entry.value, Scalar) and isinstance(entry.value.value, bool):
            return entry.value.value
        switch = isinstance(entry.value, Scalar) and entry.value.value
        hint = "YAML 1.2 reads yes, no, on and off as text" if switch in _SWITCHES else None
        self._wrong(key, "`true` or `false`", entry.value, hint)
        return default

    def strings(self, key: str) -> dict[str, str]:
        """A mapping of text to text."""
        fields = self.fields(key)
        return (
            {} if fields is None else {name: fields.text(name, "") for name in fields.node.entries}
        )

    def json(self, key: str) -> dict[str, Any]:
        """A mapping as plain JSON data."""
        fields = self.fields(key)
        return {} if fields is None else cast("dict[str, Any]", plain(fields.node))


def plain(node: Node) -> Any:
    """A node as plain JSON data."""
    match node:
        case Mapping(entries=entries):
            return {key: plain(entry.value) for key, entry in entries.items()}
        case Items(items=items):
            return [plain(item) for item in items]
    return node.value
