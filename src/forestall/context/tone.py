"""The customer's mood, from their words and from what happened to them; pure.

The words are looked up in ``tone_mood.toml`` and ``tone_vulnerable.toml``, English and German: no
model, no network, the same mood for the same words. Points of different signs add up to a level;
what makes a customer vulnerable counts by itself. RE2 keeps the time linear for any text.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, Literal

import msgspec
import re2  # type: ignore[import-untyped]

from forestall.context.tone_plain import plain
from forestall.context.tone_relations import Vulnerable as Vulnerable
from forestall.context.tone_relations import near

Level = Literal["calm", "annoyed", "upset", "very-upset"]

_LEVELS: tuple[tuple[float, Level], ...] = ((5.5, "very-upset"), (2.5, "upset"), (1.0, "annoyed"))
_NEXT = 0.6
"""What every other match of a sign counts of the first."""

_FADING = 0.75
"""What a message still counts for each one that came after it."""

_HOT = 2.5
"""With so many points of anger, repetition, long waits, ultimatums and blame count too."""

_SHOUTING, _LOUD = 3.5, 1.25
_CONTENT = 1.5
_QUIET = 2.2
"""Up to so many points thanks and praise take the edge off."""

_WITHOUT_WORDS = 4.0
"""The most that failures, repetitions and waiting count: they alone never make very upset."""

_QUOTED = 40
_MANY = 500
"""More matches than so many of a sign tell nothing more."""


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a mood without words: how often the customer tried the same again, how often
    something failed, how many seconds they have waited."""

    repetitions: int = 0
    failures: int = 0
    waiting: int = 0


class Mood(msgspec.Struct, frozen=True, kw_only=True):
    """How upset the customer seems, what makes them vulnerable, and by which signs, for our people."""

    level: Level
    vulnerable: tuple[Vulnerable, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def to_person(self) -> bool:
        """Whether a person should take over at once."""
        return self.level == "very-upset" or bool(self.vulnerable)


def mood(words: Iterable[str], signs: Signs = Signs()) -> Mood:  # noqa: B008
    """The mood of a customer who wrote ``words``, oldest first.

    An older message counts less than the last one; being vulnerable does not pass.
    """
    texts = [text for text in words if text.strip()]
    read = [_read(text) for text in texts]
    last = len(read) - 1
    points = max((one.points * _FADING ** (last - i) for i, one in enumerate(read)), default=0.0)
    why = list(dict.fromkeys(reason for one in read for reason in one.why))
    for more, reason in (*_again(texts), *_happened(signs)):
        points += more
        why.append(reason)
    vulnerable = {kind: quote for one in reversed(read) for kind, quote in one.vulnerable}
    kinds = tuple(kind for kind, _, _ in _lexicon().vulnerable if kind in vulnerable)
    return Mood(
        level=next((level for least, level in _LEVELS if points >= least), "calm"),
        vulnerable=kinds,
        why=(*(f"{kind}: “{vulnerable[kind]}”" for kind in kinds), *why),
    )


class _Sign(msgspec.Struct, frozen=True):
    name: str
    points: float
    patterns: Any
    most: float = 12.0
    negatable: bool = True
    heats: bool = False
    heightens: bool = False


class _Lexicon(msgspec.Struct, frozen=True):
    signs: tuple[_Sign, ...]
    vulnerable: tuple[tuple[Vulnerable, Any, Any], ...]
    content: _Sign
    about: Any
    personal: Any
    elsewhere: Any


class _Reading(msgspec.Struct, frozen=True):
    """What one message tells."""

    points: float
    why: tuple[str, ...]
    vulnerable: tuple[tuple[Vulnerable, str], ...]


@lru_cache(maxsize=1)
def _lexicon() -> _Lexicon:
    folder = files("forestall.context")
    moods = tomllib.loads((folder / "tone_mood.toml").read_text("utf-8"))
    kinds = tomllib.loads((folder / "tone_vulnerable.toml").read_text("utf-8"))
    names = {name: f"(?:{_either(text)})" for name, text in kinds["names"].items()}
    names |= {"any": r"(?:[\w'-]+,? ){0,4}", "some": r"(?:[\w'-]+,? ){0,8}"}
    return _Lexicon(
        signs=tuple(
            _Sign(**{**sign, "patterns": _program(sign["patterns"], {})}) for sign in moods["signs"]
        ),
        vulnerable=tuple(
            (one["kind"], _program(one["patterns"], names), _program(one["unless"], {}))
            for one in kinds["vulnerable"]
        ),
        content=_Sign("content", 1.0, _program(moods["content"]["patterns"], {})),
        about=_program(kinds["neutral"]["about"], {}),
        personal=_program(kinds["neutral"]["personal"], {}),
        elsewhere=_program(kinds["neutral"]["elsewhere"], {}),
    )


def _either(lines: str) -> str:
    return "|".join(lines.split("\n")).strip("|")


def _program(lines: str, names: dict[str, str]) -> Any:
    pattern = _either(lines)
    for name, meaning in names.items():
        pattern = pattern.replace(f"{{{name}}}", meaning)
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return re2.compile(rf"\b(?:{pattern})(?:\b|\W|$)".encode(), options)


_END = re.compile(rb"[.!?;] |[.!?;]$")


def _read(text: str) -> _Reading:
    raw = plain(text).encode()
    points, heat, why = 0.0, 0.0, []
    for sign in _lexicon().signs:
        said = _said(sign, raw) if heat >= _HOT or not sign.heightens else []
        if said:
            points += _counted(sign, len(said))
            heat += _counted(sign, len(said)) if sign.heats else 0.0
            why.append(f"{sign.name}: " + ", ".join(f"“{quote}”" for quote in said[:3]))
    if 0 < points <= _QUIET and _said(_lexicon().content, raw):
        points = max(0.0, points - _CONTENT)
        why.append("but content words too")
    for more, reason in _voice(text, spoken=points > 0):
        points += more
        why.append(reason)
    return _Reading(points, tuple(why), tuple(_vulnerable(raw)))


def _said(sign: _Sign, raw: bytes) -> list[str]:
    """The different words of ``raw`` that are this sign, as long as no "not" stands before them: as
    many as count."""
    said: dict[str, None] = {}
    mild = b"self" in raw or b"selbst" in raw or b" for a" in raw
    for match in islice(sign.patterns.finditer(raw), _MANY):
        if _counted(sign, len(said)) >= sign.most:
            break
        start, end = match.span()
        own = mild and _OWN.search(raw[end : end + 20]) is not None
        if not (own or (sign.negatable and _NEGATED.search(raw[max(0, start - 30) : start]))):
            said[match[0].decode()[:_QUOTED].strip()] = None
    return list(said)


def _counted(sign: _Sign, words: int) -> float:
    return min(sign.most, sign.points * (1 + _NEXT * (words - 1))) if words else 0.0


_OWN = re2.compile(
    rb"^\s?(?:at|with|ueber|auf|mit) (?:myself|me for|mich selbst|mir selbst)\b"
    rb"|^\s?for an? (?:update|answer|reply|new|restock)\b"
)
"""Who is angry with themselves, or desperate for an update, is not angry with us."""

_NEGATED = re2.compile(
    rb"(?:\b(?:not|never|no|without|hardly|nor|neither|nicht|kein\w*|nie|niemals|ohne|weder)|n't)"
    rb"(?: (?:at|all|really|that|so|very|even|being|be|feeling|too|overly|a|an|any|the|in|way|particularly|"
    rb"wirklich|sehr|mehr|besonders|eine?[mnr]?|gar|etwa|zu|trying|to|want))* $"
)


def _vulnerable(raw: bytes) -> Iterator[tuple[Vulnerable, str]]:
    ends = [end.end() for end in _END.finditer(raw)]
    alike: dict[tuple[str, int], bool] = {}

    def is_alike(kind: str, unless: Any, start: int) -> bool:
        nth = bisect_right(ends, start)
        if (kind, nth) not in alike:
            begun = ends[nth - 1] if nth else 0
            end = ends[nth] if nth < len(ends) else len(raw)
            alike[kind, nth] = _is_alike(raw[begun:end], unless)
        return alike[kind, nth]

    found: set[str] = set()
    unlesses = {}
    for kind, program, unless in _lexicon().vulnerable:
        unlesses[kind] = unless
        for match in program.finditer(raw):
            denied = kind in _DENIABLE and _is_denied(raw, match.start())
            if not denied and not is_alike(kind, unless, match.start()):
                yield kind, match[0].decode()[:_QUOTED].strip()
                found.add(kind)
                break
    for one in near(raw, ends):
        told = one.relation
        if told.kind in found or (told.negatable and _is_denied(raw, one.start)):
            continue
        if told.sure or not is_alike(told.kind, unlesses[told.kind], one.start):
            found.add(told.kind)
            yield told.kind, raw[one.start : one.end].decode()[:_QUOTED].strip()


def _is_denied(raw: bytes, start: int) -> bool:
    return _DENIED.search(raw[max(0, start - 30) : start]) is not None


_DENIABLE = ("bereavement", "medical")
"""Kinds that "nobody" or "what if" takes back; who threatens their life or ours is heard anyway."""

_DENIED = re2.compile(
    rb"\b(?:(?:nobody|no one|none of|never|kein\w*|niemand\w*)(?: (?:my|our|in|of|the|family|has|had|mein\w*|ist|hat))*"
    rb"|(?:what (?:if|happens (?:if|when))|in case|suppose|supposing|angenommen|falls|was passiert,? wenn)(?: [\w']+){0,3}) $"
)


def _is_alike(sentence: bytes, unless: Any) -> bool:
    """Whether a sentence is not about a person: it has a look-alike, or speaks of a product's parts
    and of nobody."""
    lexicon = _lexicon()
    if unless.search(sentence) is not None or lexicon.elsewhere.search(sentence) is not None:
        return True
    return lexicon.about.search(sentence) is not None and lexicon.personal.search(sentence) is None


_CAPITALS = re.compile(r"\b[A-ZÄÖÜ]{3,}\b")
_MARKS = re.compile(r"!{2,}|\?!|!\?|\?{2,}")


def _voice(text: str, *, spoken: bool) -> Iterator[tuple[float, str]]:
    """Capitals and marks: they make loud what is ``spoken``, and tell little where nothing is."""
    capitals = _CAPITALS.findall(text)
    loud = sum(map(len, capitals))
    if len(capitals) >= 3 and loud * 2 >= sum(map(str.isalpha, text)):
        yield (_SHOUTING if spoken else _LOUD), "writes in capitals"
    elif spoken and len(capitals) >= 2:
        yield _LOUD, "capitals"
    if spoken and (_MARKS.search(text) is not None or text.count("!") >= 3):
        yield _LOUD, "exclamation marks"


def _again(texts: Sequence[str]) -> Iterator[tuple[float, str]]:
    if len(texts) > 1:
        last = plain(texts[-1])
        same = sum(plain(text) == last for text in texts[:-1])
        if same:
            yield min(2.0, float(same)), f"said the same {same + 1} times"


def _happened(signs: Signs) -> list[tuple[float, str]]:
    waited = next((points for least, points in _WAITS if signs.waiting >= least), 0.0)
    each = (
        (min(2.0, signs.failures / 2), f"failed {signs.failures} times"),
        (min(2.0, signs.repetitions / 2), f"tried the same {signs.repetitions} times"),
        (waited, f"waited {signs.waiting} s"),
    )
    total = sum(points for points, _ in each)
    share = min(1.0, _WITHOUT_WORDS / total) if total > 0 else 0.0
    return [(points * share, reason) for points, reason in each if points > 0]


_WAITS = ((900, 2.0), (300, 1.5), (60, 1.0), (20, 0.5))
"""Seconds of waiting, and what they count."""
