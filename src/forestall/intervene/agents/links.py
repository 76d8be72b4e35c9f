"""Links: every way out of a message (addresses, however spelled, e-mail, phone numbers, handles).

A message may lead to hosts that are listed and nowhere else. ``*.example.com`` lists what lies
below a host, ``tel:+49 30 1234`` a number.
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from forestall.intervene.agents.plain import folded

_WORDLESS = "com|net|org|io|xyz|biz|ru|cn|tk|ml|gq|cf|ly|gg|tv|cc|ws|su|eu|ch|fr|pl|nl|uk|de"
_NAMED = (
    f"{_WORDLESS}|info|app|dev|shop|store|online|site|club|top|live|link|click|page|cloud|tech|pro"
    "|support|help|bank|pay|money|finance|at|me|co|ai|zip|mov|us|ca|it|es|be|edu|gov|onion"
)


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILES = _set("pdf csv txt png jpg jpeg gif docx xlsx html htm js json md ics eml svg webp")
_ENDINGS = "|".join(sorted(_FILES | _set("env ini xml yml yaml toml log tar gz exe py ts css sql")))
_PLAIN = (
    "the|an?|is|are|was|at|of|in|on|with|and|or|to|red|green|blue|your|this|that|one|each|first|last|not|no"
    "|der|die|das|den|dem|ein\\w*|ist|sind|war|im|am|zu|zum|an|auf|und|oder|mit|von|vom|siehe|unter|jede\\w*"
    "|erste\\w*|letzte\\w*|diese\\w*|ihr\\w*|sie|wir|nicht|kein\\w*|bei|nach|fur|als|wird|steht|sehen|see|unser\\w*"
)
"""Words beside which a dot is a thing, not part of a name."""
_ABBREVIATIONS = _set(
    "e.g i.e a.m p.m z.b d.h u.a u.u o.a s.o s.u i.d.r v.a u.s u.k u.s.a e.v m.e bzw.w inkl.mwst"
    " node.js z.t i.a b.c d.c o.k ph.d"
)
_SCHEME = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:|(?<![:\w]))[/\\]{2}[^\s<>\"'`]*"
    r"|\b(?:javascript|data|vbscript|file|blob|mailto|tel|sms|smsto|facetime|whatsapp|tg|skype|intent"
    r"|market|itms|magnet|bitcoin|ethereum|view-source|about|chrome|ftp|ldap|jar)\s*:\s?[^\s<>\"'`]+",
)
_MAIL = re.compile(r"[\w.+%-]+(?:@[\w.-]+)*\s?@\s?(?:[\w-]+\.)+[\w-]{2,}|[\w.+%-]+@\[?[\w.:-]+\]?")
_BARE = re.compile(r"(?<![\w@])(?:[\w-]+\.)+[^\W\d_][\w-]{1,23}(?::\d+)?(?:[/?#]\S*)?", re.UNICODE)
_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)|\[?[0-9a-f]{0,4}::[0-9a-f:]*\]?"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){4,}[0-9a-f]{1,4}"
)
_DOTTED = re.compile(
    r"[\w-]+\s*[\[({<]\s*(?:dot|punkt|point|\.)\s*[\])}>]\s*\w+"
    rf"|[\w-]+\s+(?:dot|punkt)\s+(?:{_NAMED})\b(?!\s+(?:at|it|us|be|me|help|pay))"
    rf"|[\w-]+\s+\.\s*(?:{_NAMED})\b|[\w-]{{2,}}\s*\.\s+(?:com|org|io|xyz|biz)\b"
    r"|\bwww\b[\s.]*[\w-]*|\bhxxps?\b|\bhttps?\s*(?::|colon|doppelpunkt)|[\w-]+\s*[(\[]\s*(?:at|@)\s*[)\]]\s*\w+"
    r"|\b[\w-]+\s+(?:com|net|org)\s*/\s*\w+|\b\w+\s+(?:slash|schragstrich)\s+\w+"
    r"|\w[\s-]*[\[({<]\s*(?:full stop|period|dot|punkt)\s*[\])}>]|\w-(?:dot|punkt)-\w"
    rf"|\b(?!(?:{_PLAIN})\b)[\w-]{{2,}}\s+(?:dot|punkt)\s+(?!(?:{_PLAIN})\b)[\w-]{{2,}}"
    rf"|[\w-]\s+\.(?!(?:{_ENDINGS})\b)[a-z]{{2,}}\b|\bending (?:in|with) (?:{_WORDLESS})\b"
    r"|\b(?:full stop|at sign|klammeraffe)\b|\binstead of the (?:comma|dot)\b"
)
_BROWSED = re.compile(
    r"\b(?:visit|open|browse to|type|enter|besuchen sie|offnen sie|öffnen sie)\s+"
    r"(?:0x[0-9a-f]{8}|\d{8,10})\b(?=.{0,30}\bbrowser\b)",
)
_BROKEN = re.compile(
    r"\b(?i:visit|open|go to|browse to|besuchen sie|öffnen sie)\s+[\w-]+\.\s+[a-z]{2,}\b"
)
"""A name broken in two: what follows a full stop begins in lower case."""
_HANDLE = re.compile(r"(?<![\w@])@\w{3,}")
_PHONE = re.compile(
    r"(?<![\w.,-])(?:\+|00)\s?\d[\d\s()/.-]{6,}\d|(?<![\w.,/-])\(?0\d{1,5}\)?[\s/-]\s?\d[\d\s/-]{3,}\d"
    r"|(?<![\w.,-])0[1-9]\d{7,}(?!\w)"
    r"|(?<![\w.,-])(?:1[\s.-])?\(?[2-9]\d{2}\)?[\s.-]\d{3}[\s.-]\d{4}(?!\w)"
    r"|(?<!\w)(?:1-?|0)[89]\d\d-[\w-]{5,}"
)
_CALLED = re.compile(
    r"\b(?:call|phone|ring|dial|text|sms|whatsapp|fax|hotline|telefon\w*|ruf\w*|wahl\w*|anruf\w*)\b"
    r"[^.\n]{0,40}?(\d[\d\s()/.-]{3,}\d)"
)
_DIGIT = (
    "zero|oh|one|two|three|four|five|six|seven|eight|nine|null|eins|zwei|zwo|drei|vier|funf|sechs|sieben"
    "|acht|neun"
)
_SPELLED = re.compile(rf"\b(?:(?:{_DIGIT})[\s,-]+){{4,}}(?:{_DIGIT})\b")
_DOTS = str.maketrans("。｡．․‧∙", "......")


def astray(text: str, listed: Sequence[str]) -> str | None:
    """The kind of the first way out of ``text`` that leads to no place ``listed``; none: there is
    none."""
    shown = text.translate(_DOTS)
    if _BROKEN.search(shown):
        return "link"
    seen = {shown, shown.casefold(), folded(shown), folded(unquote(shown))}
    for one in sorted(seen):
        for kind, place in _ways(one):
            if not _fine(kind, place, listed):
                return kind
    return None


def mail_host(address: str, listed: Sequence[str]) -> bool:
    """Whether an e-mail address is one of a host that is listed."""
    return _fine("e-mail", address, listed)


def _ways(text: str) -> Iterator[tuple[str, str]]:
    """Every way out, by kind. What one pattern has taken the next does not see again."""
    for kind, pattern in (
        ("link", _SCHEME),
        ("e-mail", _MAIL),
        ("link", _BARE),
        ("link", _ADDRESS),
        ("link", _DOTTED),
        ("link", _BROWSED),
        ("handle", _HANDLE),
        ("phone", _PHONE),
        ("phone", _SPELLED),
    ):
        taken = list(pattern.finditer(text))
        for found in taken:
            if pattern is not _BARE or not _no_host(found[0]):
                yield kind, found[0].strip()
        if taken:
            text = pattern.sub(" \u241f ", text)
    for called in _CALLED.finditer(text):
        yield "phone", called[1]


def _no_host(name: str) -> bool:
    """Whether what looks like a host is an abbreviation, a file or a number with its unit."""
    plain = name.casefold().rstrip(".")
    if plain in _ABBREVIATIONS:
        return True
    if "/" in plain or "?" in plain or "#" in plain or ":" in plain:
        return False
    labels = plain.split(".")
    if all(len(label) == 1 for label in labels):
        return True
    if len(labels) == 2 and labels[1] in _FILES:
        return True
    return len(labels) == 2 and labels[0].isdigit() and not re.fullmatch(_NAMED, labels[1])


def _fine(kind: str, place: str, listed: Sequence[str]) -> bool:
    if kind == "phone":
        digits = _digits(place)
        numbers = [_digits(one) for one in listed if one.startswith("tel:")]
        return bool(digits) and digits in numbers
    if kind == "e-mail":
        return place.count("@") == 1 and _listed(place.partition("@")[2].strip(), listed)
    if place.startswith(("mailto:", "tel:")):
        inner = place.partition(":")[2].partition("?")[0]
        return _fine("e-mail" if place[0] == "m" else "phone", inner, listed)
    if kind != "link" or "@" in place or "\\" in place or "%" in place.split("?")[0]:
        return False
    place = place.rstrip(".,;:!?)]}")
    address = place if place.startswith(("http://", "https://")) else f"//{place.lstrip('/')}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in ("", "http", "https") or port not in (None, 443):
        return False
    rest = unquote(unquote(f"{parts.path}?{parts.query}#{parts.fragment}"))
    return _listed(host, listed) and not re.search(r"//|\\|@|:", rest)


def _listed(host: str, listed: Sequence[str]) -> bool:
    """Whether ``host`` is one of those listed; a name in other than ASCII is none."""
    host = host.casefold().rstrip(".")
    if not re.fullmatch(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", host):
        return False
    for one in listed:
        name = one.casefold()
        if name.startswith("*."):
            if host.endswith(name[1:]):
                return True
        elif host == name:
            return True
    return False


def _digits(number: str) -> str:
    digits = re.sub(r"\D", "", number)
    return digits[2:] if digits.startswith("00") else digits
