"""Masks: personal data out of what a model sees, and back into the message to that same customer.

``Masks.hide`` puts a placeholder such as ``[email-1]`` in the place of each personal value, and
``Masks.restore`` puts the value back. The same input gives the same placeholders, so they can be
made anew instead of kept. What looks like a placeholder already is hidden as well (``[text-1]``), so
that ``restore`` only ever replaces what ``hide`` made: ``restored(hide(value)) == value``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from forestall.privacy.fields import kind_of
from forestall.privacy.finding import Found, Kind, find, merged

__all__ = ["PLACEHOLDER", "Finder", "Found", "Kind", "Masks", "find", "finder"]

Finder = Callable[[str], list[Found]]
"""Finds what is personal in a text, in order and without overlaps."""

PLACEHOLDER: Final = re.compile(
    r"\[(?:token|email|iban|card|phone|address|ip|id|person|place|text)-[0-9]+\]"
)
"""What placeholders look like."""

_FEWEST_DIGITS = 10**11


def finder(name: Literal["patterns", "presidio"]) -> Finder:
    """The finder that ``[privacy] find`` names. Raises ``PresidioMissing``."""
    if name == "patterns":
        return find
    from forestall.privacy.presidio import presidio

    return presidio()


class Masks:
    """What was hidden, and by which placeholder."""

    def __init__(self, finder: Finder = find) -> None:
        self._finder = finder
        self._placeholders: dict[tuple[type, str], str] = {}
        self._hidden: dict[str, str | int] = {}
        self._counts: dict[Kind, int] = {}

    @property
    def known(self) -> Mapping[str, str]:
        """Each placeholder, in the order they were made, and the text that it stands for."""
        return {placeholder: str(value) for placeholder, value in self._hidden.items()}

    def hide(self, value: Any) -> Any:
        """``value``, a JSON value, with placeholders for what is personal: in texts, in keys, in
        whole numbers that are cards', and in fields whose name says what they hold.

        Placeholders are numbered as they are first met, fields in the order of their names.
        """
        return self._hide(value, None)

    def restore(self, text: str) -> str:
        """``text`` with the values in place of the placeholders made here; others stay."""
        return PLACEHOLDER.sub(lambda match: str(self._hidden.get(match[0], match[0])), text)

    def restored(self, value: Any) -> Any:
        """``value``, a JSON value, with all its texts and keys restored; numbers are numbers again."""
        if isinstance(value, str):
            whole = self._hidden.get(value)
            return whole if isinstance(whole, int) else self.restore(value)
        if isinstance(value, dict):
            return {self.restore(key): self.restored(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.restored(inner) for inner in value]
        return value

    def _hide(self, value: Any, kind: Kind | None) -> Any:
        if isinstance(value, str):
            return self._text(value) if kind is None else self._whole(value, kind)
        if isinstance(value, dict):
            hidden = {
                key: (self._text(key), self._hide(value[key], kind_of(key)))
                for key in sorted(value)
            }
            return {hidden[key][0]: hidden[key][1] for key in value}
        if isinstance(value, list):
            return [self._hide(inner, kind) for inner in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._number(value, kind)
        return value

    def _text(self, text: str) -> str:
        if not text:
            return text
        found = self._finder(text)
        if "[" in text:
            alike = (Found("text", *match.span()) for match in PLACEHOLDER.finditer(text))
            found = merged([*found, *alike])
        if not found:
            return text
        pieces: list[str] = []
        place = 0
        for one in found:
            pieces += (
                text[place : one.start],
                self._placeholder(one.kind, text[one.start : one.end]),
            )
            place = one.end
        return "".join([*pieces, text[place:]])

    def _whole(self, text: str, kind: Kind) -> str:
        """A field's text that is personal by the field's name."""
        if kind == "phone" and sum(char.isdigit() for char in text) < 5:
            return self._text(text)
        return self._placeholder(kind, text) if text else text

    def _number(self, number: int, kind: Kind | None) -> int | str:
        if kind is None and number >= _FEWEST_DIGITS:
            found = find(str(number))
            if len(found) == 1 and found[0].kind == "card":
                kind = "card"
        return number if kind is None else self._placeholder(kind, number)

    def _placeholder(self, kind: Kind, value: str | int) -> str:
        key = (type(value), str(value))
        if key not in self._placeholders:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._placeholders[key] = f"[{kind}-{self._counts[kind]}]"
            self._hidden[self._placeholders[key]] = value
        return self._placeholders[key]
