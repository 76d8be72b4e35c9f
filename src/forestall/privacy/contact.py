"""Finds e-mail addresses, phone numbers and internet addresses; pure."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from forestall.privacy.folding import pattern

_W = r"[A-Za-z0-9\xc0-\xfe]"
_LOCAL = rf"{_W}(?:[A-Za-z0-9\xc0-\xfe._%+'~-]*[A-Za-z0-9\xc0-\xfe_~+-])?"
_LABEL = rf"{_W}(?:[A-Za-z0-9\xc0-\xfe-]*{_W})?"
_TOP = r"(?:xn--[A-Za-z0-9-]{2,40}|[A-Za-z\xc0-\xfe]{2,24})"
_FENCED_AT = r" ?[(\[{<] ?(?:at|@|aet|\xe4t) ?[)\]}>] ?"
_FENCED_DOT = r" ?[(\[{<] ?(?:dot|punkt|\.) ?[)\]}>] ?"
_EMAIL = pattern(
    rf"(?:{_LOCAL}|\"[^\"@\n]{{1,64}}\")(?:@| @|@ |%40|{_FENCED_AT})"
    rf"(?:{_LABEL}(?:\.|{_FENCED_DOT}))+{_TOP}",
    any_case=True,
)
_SPOKEN = pattern(
    rf"({_LOCAL}) {{1,2}}(at|@|\xe4t) {{1,2}}(?:{_LABEL}(?: dot | punkt | ?\. ?))+{_TOP}",
    any_case=True,
)
_SPACED = pattern(r"\b(?:[a-z0-9] ){2,40}@(?: [a-z0-9-]){1,40} \.(?: [a-z]){2,10}\b", any_case=True)
_PROVIDER = pattern(
    r"[ .@](?:gmail|googlemail|outlook|hotmail|yahoo|gmx|web|icloud|proton|protonmail|t-online|"
    r"freenet|aol|live|posteo|mailbox|me|msn)[ .]",
    any_case=True,
)
_FILES = {b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"json", b"ico", b"pdf"}
_NOBODY = {b"git", b"hg", b"svn"}


def emails(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each e-mail address, also ``anna (at) example (dot) org``."""
    for match in _EMAIL.finditer(plain):
        found = match[0].lower()
        if found.rsplit(b".", 1)[-1] not in _FILES and found.split(b"@")[0] not in _NOBODY:
            yield match.span()
    for match in _SPACED.finditer(plain):
        yield match.span()
    for match in _SPOKEN.finditer(plain):
        words = match[0].lower()
        told = b" dot " in words or b" punkt " in words
        known = match[2] == b"@" and (
            _PROVIDER.search(words) is not None or any(c in b"._0123456789" for c in match[1])
        )
        if told or known:
            yield match.span()


_SEP = r"[ ./()-]"
_ABROAD = pattern(rf"(?:\+ ?|\b00 ?)[1-9](?:{_SEP}{{0,3}}[0-9]){{6,14}}")
_HOME = pattern(rf"(?:\(|\b)0[1-9](?:{_SEP}{{0,2}}[0-9]){{6,12}}")
_AMERICA = pattern(
    r"(?:\b1[ .-])?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b|\b555-[0-9]{4}\b"
)
_CALLED = pattern(
    r"\b(?:tel|telefon|telefonnummer|phone|telephone|mobile|mobil|mobilnummer|handy|handynummer|cell|"
    r"call|ring|fax|whatsapp|sms|anrufen|anruf|ruft|rufen|erreichbar|erreichen|fon|festnetz|"
    r"r\xfcckruf|r\xfcckrufnummer|rufnummer|durchwahl|reach|text)\b"
    r"(?:[ .:]{1,3}(?:is|at|on|me|us|under|unter|number|nummer|no|nr|mich|sie|uns|bitte|auf|ist|"
    r"lautet|der|die|my|meine|meiner|again|back)\b){0,4}[ .:=]{0,3}"
    rf"([+(]{{0,2}}[0-9](?:{_SEP}{{0,2}}[0-9]){{5,14}})",
    any_case=True,
)
_NOT_CALLED = pattern(
    r"(?:\b(?:order|invoice|ticket|reference|ref|sku|article|item|part|tracking|customer|client|id|case|"
    r"serial|imei|isbn|ean|account|contract|parcel|version|build|error|code|postal|zip|commit|"
    r"bestell|rechnung|kunden|vorgang|sendung|artikel|auftrag|serien|vertrag|aktenzeichen|konto|blz|"
    r"plz|fehler|referenz|ger\xe4te|paket|beleg|steuer|mandats)[a-z\xc0-\xfe]*"
    r"(?:[ .-]{0,2}(?:number|nummer|no|nr|code|id|is|ist|was|war|lautet))*[ .:#]{0,3}|#)$",
    any_case=True,
)
_DATE = pattern(
    r"\b(?:[0-3]?[0-9][./-][01]?[0-9][./-](?:19|20)?[0-9]{2}\b|(?:19|20)[0-9]{2}[./-][01][0-9][./-]"
    r"[0-3][0-9]\b|[01][0-9]/(?:19|20)[0-9]{2}\b)"
)
_PAIRS = re.compile(rb"0[1-9]([ .-])\d\d\1\d\d\1\d\d\1\d\d")
_AMOUNT = pattern(
    r"^(?:[0-9]|[,:][0-9]| ?(?:[$%]|\xa2|eur\b|euro\b|usd\b|gbp\b|chf\b))", any_case=True
)
_BEFORE = 40
_CODES = """
1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63
64 65 66 81 82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227
228 229 230 231 232 233 234 235 236 237 238 239 240 241 242 243 244 245 246 247 248 249 250
251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299
350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 381 382 383
385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595
596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690
691 692 800 808 850 852 853 855 856 870 878 880 881 882 883 886 888 960 961 962 963 964 965
966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998
"""
_CALLING = frozenset(_CODES.split())
"""Country calling codes (ITU-T E.164)."""


def phones(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each phone number: international, or national as Germans, Britons, French
    and Americans write it, or whatever is named as one. Not dates, prices and numbers of orders."""
    for match in _ABROAD.finditer(plain):
        yield from _checked(plain, match, _abroad)
    for match in _HOME.finditer(plain):
        yield from _checked(plain, match, _home)
    for match in _AMERICA.finditer(plain):
        yield from _checked(plain, match, lambda _number: True)
    for match in _CALLED.finditer(plain):
        start, end = match.span(1)
        if _DATE.search(plain, start, end) is None and not _AMOUNT.search(plain[end : end + 8]):
            yield start, end


def _checked(plain: bytes, match: Any, fits: Callable[[bytes], bool]) -> Iterator[tuple[int, int]]:
    start, end = match.span()
    before = plain[max(0, start - _BEFORE) : start]
    if _NOT_CALLED.search(before) is not None or _continues(before):
        return
    if plain[end : end + 1].isdigit():
        end = _shortened(plain, start, end)
    if end == start or _AMOUNT.search(plain[end : end + 8]) is not None:
        return
    number = plain[start:end]
    if _PAIRS.fullmatch(number) is None and _DATE.search(number) is not None:
        return
    if fits(number):
        yield start, end


def _continues(before: bytes) -> bool:
    """Whether what follows ``before`` is the rest of a longer number."""
    return before[-1:].isdigit() or (before[-1:] in b" .-/,_" and before[-2:-1].isdigit())


def _shortened(plain: bytes, start: int, end: int) -> int:
    """Where the number ends if the group that goes on behind ``end`` is none of it."""
    while end > start and plain[end - 1 : end].isdigit():
        end -= 1
    while end > start and not plain[end - 1 : end].isdigit():
        end -= 1
    return end


def _digits(number: bytes) -> str:
    return "".join(chr(byte) for byte in number if 48 <= byte <= 57)


def _abroad(number: bytes) -> bool:
    digits = _digits(number.replace(b"(0)", b""))
    if not number.startswith(b"+"):
        digits = digits[2:]
    if digits[0] in "17":
        return len(digits) == 11 or (b"555" in number and len(digits) >= 8)
    return 8 <= len(digits) <= 15 and any(digits[:size] in _CALLING for size in (2, 3))


def _home(number: bytes) -> bool:
    digits = _digits(number)
    if number.isdigit():
        return 10 <= len(digits) <= 12 and digits[:3] in {"015", "016", "017", *_MOBILES}
    return 9 - number.startswith(b"(") <= len(digits) <= 13 and number[2:3] != b"/"


_MOBILES = frozenset(f"07{digit}" for digit in "345789")

_V4 = pattern(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b")
_V6 = pattern(
    r"[0-9A-Fa-f]{0,4}:(?:[0-9A-Fa-f]{0,4}:){1,6}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?"
)
_VERSION = pattern(r"(?:\bv|version[ :=]{1,3}|/|[0-9.-])$", any_case=True)


def hosts(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each internet address (IPv4, IPv6) that may be somebody's; not loopback."""
    for match in (*_V4.finditer(plain), *_V6.finditer(plain)):
        start, end = match.span()
        if start and _VERSION.search(plain[max(0, start - 12) : start]):
            continue
        if _is_address(match[0].decode()) and not plain[end : end + 2].strip(b".").isdigit():
            yield start, end


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)
