"""Finds what opens a door: keys, tokens, passwords and what looks as if it were one; pure."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from forestall.privacy.folding import pattern

_KNOWN = pattern(
    r"\b(?:sk|pk|rk)[_-](?:live|test|proj|ant|or|svcacct|admin)[_-][A-Za-z0-9_-]{8,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}|\bwhsec_[A-Za-z0-9+/=_-]{8,}|\bgh[oprsu]_[A-Za-z0-9]{16,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{16,}|\bgl(?:pat|rt|dt|cbt|ptt|ft|soat)-[A-Za-z0-9_.-]{16,}"
    r"|\bxox[a-z]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}|\b(?:AKIA|ASIA|AGPA|AROA|ABIA)[A-Z0-9]{16}\b"
    r"|\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{10,}|\bGOCSPX-[A-Za-z0-9_-]{20,}"
    r"|\bSG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}|\bkey-[0-9a-f]{32}\b|\bnpm_[A-Za-z0-9]{30,}"
    r"|\bpypi-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{20,}|\bdo[opr]_v1_[0-9a-f]{32,}"
    r"|\bshp(?:at|ca|pa|ss)_[A-Za-z0-9]{16,}|\bsq0[a-z]{3}-[A-Za-z0-9_-]{16,}|\bEAA[A-Za-z0-9]{20,}"
    r"|\bdckr_pat_[A-Za-z0-9_-]{16,}|\bhv[sb]\.[A-Za-z0-9_-]{16,}|\bdp\.pt\.[A-Za-z0-9]{16,}"
    r"|\blin_api_[A-Za-z0-9]{16,}|\bSK[0-9a-f]{32}\b|\bAC[0-9a-f]{32}\b|\bR_[A-Za-z0-9]{32,}"
    r"|\b[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){0,3}"
)
_SCHEMES = pattern(
    r"\b(?:bearer|basic|digest|token)[ :]{1,3}([A-Za-z0-9_.~+/=-]{8,})", any_case=True
)
_NAMES = (
    r"(?:[a-z0-9]+[_-])*(?:api[_-]?key|apikey|access[_-]?key|secret[_-]?key|private[_-]?key|secret|token|"
    r"password|passwort|passwd|pwd|kennwort|passphrase|passcode|signature|sig|jwt|auth|authorization|"
    r"session(?:id)?|sid|sessid|phpsessid|jsessionid|credential|otp|pin|cvv|cvc|tan)"
)
_QUERY = pattern(rf"[?&;#](?:{_NAMES}|key|code|state)=([^&#\s\"'<>]+)", any_case=True)
_GIVEN = pattern(rf"\b{_NAMES}[\"']? ?(?::|=|=>) ?[\"']?([^\s\"'&<>,;]{{4,}})", any_case=True)
_NOT_GIVEN = {b"bearer", b"basic", b"digest", b"true", b"false", b"null", b"none"}
_TOLD = pattern(
    r"\b(?:password|passwort|kennwort|passcode|passphrase|pin|pin-code|cvv|cvc|otp|tan|secret|"
    r"security code|einmalcode|zugangscode|sicherheitscode|pr\xfcfziffer)(?: code)?"
    r"(?: (?:is|ist|was|war|lautet)\b| ?[=:]| ) {0,2}[\"']?([^\s\"'<>,;]{3,}[^\s\"'<>,;.!?])",
    any_case=True,
)
_USERINFO = pattern(r"[a-z][a-z0-9+.-]{1,20}://([^\s/@:\"'<>]*:[^\s/@\"'<>]+)@", any_case=True)
_BEGIN = pattern(r"-----BEGIN [A-Z0-9 ]{0,30}(?:PRIVATE KEY|MESSAGE)[A-Z ]{0,10}-----")
_END = pattern(r"-----END [A-Z0-9 ]{0,40}-----")
_LONGEST_KEY = 20_000
_WORDY = pattern(r"^[A-Za-z\xc0-\xfe.:'-]+$")
_LONG = pattern(r"[A-Za-z0-9+/=_-]{20,}")
_PIECE = pattern(r"[A-Za-z0-9]+")
_IDS = pattern(
    r"^(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-7][0-9A-HJKMNP-TV-Z]{25})$", any_case=True
)
_HEX = pattern(r"^[0-9a-f]+$", any_case=True)
_HASHED = pattern(
    r"(?:\b(?:commit|revision|rev|sha-?\d*|md5|etag|digest|checksum|hash)\b|sha256)[ :=@]{0,3}$",
    any_case=True,
)
_LEAST_RANDOM = 20
_LEAST_BITS = 3.0


def credentials(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each credential: private keys, keys with a vendor's prefix, JWTs, what
    follows ``Bearer``, ``password:`` or ``?token=``, the password in a URL, long random strings."""
    yield from _private_keys(plain)
    for match in _KNOWN.finditer(plain):
        yield match.span()
    for program in (_SCHEMES, _TOLD):
        for match in program.finditer(plain):
            if not _WORDY.search(match[1]) or (program is _SCHEMES and _is_random(match[1])):
                yield match.span(1)
    for match in _GIVEN.finditer(plain):
        if match[1].lower() not in _NOT_GIVEN:
            yield match.span(1)
    for program in (_QUERY, _USERINFO):
        for match in program.finditer(plain):
            yield match.span(1)
    yield from _random(plain)


def _private_keys(plain: bytes) -> Iterator[tuple[int, int]]:
    last = 0
    for match in _BEGIN.finditer(plain):
        start = match.start()
        if start < last:
            continue
        end = _END.search(plain, match.end(), min(len(plain), start + _LONGEST_KEY))
        last = min(len(plain), start + _LONGEST_KEY) if end is None else end.end()
        yield start, last


def _random(plain: bytes) -> Iterator[tuple[int, int]]:
    for match in _LONG.finditer(plain):
        word = match[0]
        if not _is_random(word) or _IDS.search(word) is not None:
            continue
        hashed = _HEX.search(word) and _HASHED.search(
            plain[max(0, match.start() - 16) : match.start()]
        )
        if not hashed:
            yield match.span()


def _is_random(word: bytes) -> bool:
    """Whether ``word`` is more like dice than like words, a path, a slug or a number.

    Counted are its pieces between punctuation in which letters and digits, or capitals and small
    letters, change too often for words; they must be long enough and vary enough (bits a character).
    """
    mixed = b"".join(match[0] for match in _PIECE.finditer(word) if _is_mixed(match[0]))
    if len(mixed) < _LEAST_RANDOM:
        return False
    counts = Counter(mixed)
    bits = -sum(many / len(mixed) * math.log2(many / len(mixed)) for many in counts.values())
    return bits >= _LEAST_BITS and any(48 <= byte <= 57 for byte in mixed)


def _is_mixed(piece: bytes) -> bool:
    kinds = [0 if byte <= 57 else 1 if byte <= 90 else 2 for byte in piece]
    changes = sum(one != other for one, other in pairwise(kinds))
    return changes >= max(2, len(piece) // 5)
