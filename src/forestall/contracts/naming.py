"""How the calls of analytics libraries become events: names to types, URLs to paths.

The rules are documented in ``docs/reference/segment.md``; the gateway and our clients share them.
"""

import re
from urllib.parse import urlsplit

CONTROL = "forestall."
"""How the types of control events begin; such a name is taken as it is."""

_WORDS = re.compile(r"[^\W_]+")
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def event_type(name: str) -> str:
    """``Payment Failed``, ``payment_failed`` and ``paymentFailed`` become ``payment.failed``."""
    return ".".join(_WORDS.findall(_CASE.sub(" ", name).lower()))


def url_path(url: str) -> str | None:
    """The path of a URL, without host, query and fragment, where customers' data hides."""
    try:
        return urlsplit(url).path or None
    except ValueError:
        return None
