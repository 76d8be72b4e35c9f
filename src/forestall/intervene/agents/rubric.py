"""Measures of a text that a customer reads: deterministic, between 0 and 1. Pure.

Reading ease is that of Flesch ("A new readability yardstick", Journal of Applied Psychology 32,
1948), in German with the coefficients of Amstad ("Wie verständlich sind unsere Zeitungen?", 1978):
100 is very easy, 30 is hard.
"""

import re
from typing import Any, Final

from forestall.intervene.agents.cases import Criterion

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)|\n\s*\n")
_VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôû]+")
_OPENING = re.compile(r"^\s*(.{1,400}?(?:[.!?](?=\s|$)|$))", re.DOTALL)

_CARING: Final = {
    "en": ("sorry", "apolog", "understand", "frustrat", "annoying", "patience", "difficult"),
    "de": (
        "tut mir leid", "tut uns leid", "verzeih", "entschuldig", "verstehe", "ärgerlich",
        "geduld", "verständnis", "bedauer", "schwierig", "mühsam",
    ),
    "fr": ("désolé", "excus", "comprenons", "comprends", "pardon", "patience", "regrett"),
    "es": ("sentimos", "siento", "disculp", "entend", "lament", "paciencia", "perdón"),
}  # fmt: skip
"""What an opening that takes a customer's trouble seriously has in it, in lower case."""

_FREQUENT: Final = {
    "en": """the a an and or of to in is are was it you your we our us not be can this that with for
        on have has do if by as at will from please what went""",
    "de": """der die das und oder von zu in ist sind war es sie ihr ihre ihren wir uns unser nicht
        kann können dieser mit für auf haben hat wenn bei als wird aus bitte ein eine einen den dem
        des im zur zum noch auch ich""",
    "fr": """le la les un une et ou de du des à en est sont il vous votre vos nous notre ne pas peut
        ce cette avec pour sur avez si par sera au aux que qui""",
    "es": """el la los las un una y o de del a en es son su sus usted nosotros nuestro no puede este
        esta con para ha han si por será que al lo se""",
    "it": """il lo la i gli le un una e o di a in è sono suo sua voi vostro noi nostro non può questo
        questa con per ha hanno se da sarà che al del della""",
    "nl": """de het een en of van te in is zijn was u uw wij ons onze niet kan dit dat met voor op
        hebben heeft als bij door om""",
}
_STOPWORDS: Final = {language: frozenset(text.split()) for language, text in _FREQUENT.items()}


def measured(criterion: Criterion, text: str, *, mood: str | None, cited: frozenset[str]) -> float:
    """How well ``text`` does, from 0 to 1. ``mood`` is the customer's as it was detected; ``cited``
    are the runbooks behind it. A text that is not there does no criterion any good."""
    wanted: Any = criterion.wanted
    if criterion.measure == "cites":
        return float(bool(cited.intersection(wanted)))
    if not text.strip():
        return 0.0
    match criterion.measure:
        case "mentions":
            return sum(mentions(text, words) for words in wanted) / max(1.0, len(wanted))
        case "longest":
            return min(1.0, float(wanted) / len(text))
        case "reading_ease":
            ease = reading_ease(text, language_of(text) or "en")
            return max(0.0, min(1.0, ease / float(wanted)))
        case "opens":
            return float(opens(text, wanted, mood))
        case "language":
            return float(language_of(text) == wanted[:2].lower())
    return float(("?" not in text) == wanted)


def mentions(text: str, words: str) -> bool:
    """Whether ``words`` stand in ``text``, as whole words, whatever their case and spacing."""
    pattern = r"\s+".join(re.escape(word) for word in words.lower().split())
    before = r"(?<!\w)" if words[:1].isalnum() else ""
    after = r"(?!\w)" if words[-1:].isalnum() else ""
    return re.search(f"{before}{pattern}{after}", text.lower()) is not None


def opens(text: str, wanted: str, mood: str | None) -> bool:
    """Whether the first sentence is ``caring`` or ``calm``, or what fits the ``mood``: caring for
    whoever is annoyed or upset; a calm customer is not told how sorry we are. Not knowing the mood
    is no fault."""
    if wanted == "mood":
        if mood is None:
            return True
        wanted = "calm" if mood.startswith("calm") else "caring"
    return _caring(text) == (wanted == "caring")


def _caring(text: str) -> bool:
    found = _OPENING.match(text)
    opening = (found[1] if found else text).lower()
    return any(word in opening for words in _CARING.values() for word in words)


def language_of(text: str) -> str | None:
    """The language whose frequent words the text has most of; none where it has too few to tell."""
    words = [word.lower() for word in _WORD.findall(text)]
    counts = {
        language: sum(word in frequent for word in words)
        for language, frequent in _STOPWORDS.items()
    }
    best, second = sorted(counts.values(), reverse=True)[:2]
    if best < 2 or best == second:
        return None
    return max(counts, key=lambda language: counts[language])


def reading_ease(text: str, language: str = "en") -> float:
    """Flesch's, in German Amstad's. No bounds; a text without words is as easy as can be."""
    words = _WORD.findall(text)
    if not words:
        return 100.0
    sentences = max(1, sum(1 for part in _SENTENCE.split(text) if _WORD.search(part or "")))
    syllables = sum(_syllables(word.lower(), language) for word in words)
    length, weight = len(words) / sentences, syllables / len(words)
    if language == "de":
        return 180 - length - 58.5 * weight
    return 206.835 - 1.015 * length - 84.6 * weight


def _syllables(word: str, language: str) -> int:
    """About how many: groups of vowels, in English without a silent ``e`` at the end."""
    count = len(_VOWELS.findall(word))
    if language == "en" and count > 1 and word.endswith("e") and not word.endswith("le"):
        count -= 1
    return max(1, count)
