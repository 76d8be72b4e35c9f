"""Says in a message which section is wrong, where the decoder only says that some section is."""

import re
from typing import Any

import msgspec

_STEP = re.compile(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]")
_ANY = "[...]"


def named(message: str, whole: Any, kind: type) -> str:
    """``message`` of decoding ``whole`` as ``kind`` with each section's name for ``[...]``, as in
    ``$.queues.billing.ack``; as it is where no single section has that mistake.

    ``whole`` is mappings, lists and plain values; sections that are well are taken out of it.
    """
    about, at, path = message.rpartition("`$")
    here, names = whole, list[str]()
    for field, index in _STEP.findall(path) if _ANY in path else ():
        if f"[{index}]" != _ANY:
            here = here[int(index)] if index else here[field]
            continue
        wrong = _wrong(message, here, whole, kind) if isinstance(here, dict) else None
        if wrong is None:
            return message
        names.append(wrong)
        here = here[wrong]
    for name in names:
        path = path.replace(_ANY, f".{name}", 1)
    return about + at + path


def _wrong(message: str, sections: dict[str, Any], whole: Any, kind: type) -> str | None:
    """The first of ``sections`` that alone has the mistake; it is the only one left in them."""
    every = list(sections.items())
    for name, section in every:
        sections.clear()
        sections[name] = section
        try:
            msgspec.convert(whole, kind)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return name
    return None
