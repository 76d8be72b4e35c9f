"""How text becomes words: cut, lowered, stemmed and freed of accents, as its language does.

The stemmers are Snowball's, as tantivy has them. Languages without one are searched by the words
as they stand; those that put no space between words by pairs of characters.
"""

import unicodedata
from functools import cache

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

LONGEST_WORD = 64
"""Bytes; longer words are not searched for."""

UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
"""Languages that put no space between words."""

_STEMMERS = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
_STOPPED = frozenset({"da", "de", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ru", "sv"})
_SAME = {"nb": "no", "nn": "no"}

_FILLERS = {
    "en": """a about above after again against ain all also am an and any anybody anyone anything
        are aren as at be because been before being below between both but by came can cannot come
        could couldn d dear did didn do does doesn doing don down during each else even ever every
        few for from further get gets getting give given go goes going gone gonna got had hadn has
        hasn have haven having he hello help her here hers herself hey hi him himself his how
        however i if in into is isn it its itself just keep keeps kept know let like ll m make me
        mine more most much must my myself need needs no nor not now of off oh ok okay on once one
        only or other our ours ourselves out over own please pls possible re really regards s same
        say see seem seems shall she should shouldn so some somebody someone something sorry still
        such t take tell than thank thanks that the their theirs them themselves then there these
        they thing things this those though through to today too tried try trying under until up
        upon us use used using ve very want wanted wants was wasn way we well were weren what when
        where whether which while who whom whose why will with won would wouldn yes yet you your
        yours yourself yourselves""",
    "de": """bitte danke gern gerne hallo hilfe helfen moin guten tag morgen abend gruss gruß grüße
        herr frau geht gehen gibt geben kann kannst könnt könnte könnten können muss musst müssen
        möchte möchten mag will wollen wollte warum wieso weshalb wo wohin woher wer wann wieviel
        welche welcher welches mal schon immer nie noch nur auch doch ja nein eigentlich leider
        einfach irgendwie bekomme bekommen kriege kriegen versuche versucht versuchen brauche
        brauchen mache machen macht tun tue tut worden wurde wurden würde würden seit wegen bin bist""",
    "fr": """bonjour bonsoir merci svp salut aide aider aidez besoin peux peut pouvez puis veux
        voudrais comment pourquoi quand où quel quelle quels quelles est-ce faire fait dois doit
        toujours encore très""",
    "es": """hola gracias ayuda ayudar favor puedo puede pueden quiero quisiera necesito cómo como
        porque dónde donde cuándo cuando cuál cual hacer hago debo tengo todavía""",
}
"""Words that carry no matter: grammar where tantivy has no full list, and politeness."""

_MOODS = {
    "en": """angry annoyed annoying awful disgusting fed frustrated frustrating furious helped helps
        horrible joke nobody ridiculous terrible third times unacceptable unbelievable useless
        worst""",
    "de": """ärgerlich dritte dritten dritter endlich frechheit furchtbar genervt hilft jemand
        lächerlich niemand nervt schlimm schrecklich unfassbar unmöglich unverschämt unverschämtheit
        wütend wieder zum""",
}
"""Words that say how somebody feels, and how often, but not about what."""


class Analyser:
    """Cuts the texts of one language (two letters) into the words that are indexed.

    Safe to share between threads. ``language`` may be any text; what is unknown is not stemmed.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        stem = [Filter.stemmer(_STEMMERS[language])] if language in _STEMMERS else []
        self.every = _built(language, stem)
        self._telling = _built(language, [*_stop_words(language), *stem])
        self._unstemmed = _built(language, [])

    def prepared(self, text: str) -> str:
        """``text`` as ``every`` takes it: clean, and without gaps where words have none."""
        text = clean(text)
        return "".join(filter(str.isalnum, text)) if self.language in UNSPACED else text

    def words(self, text: str) -> list[str]:
        """All words of ``text``, in order."""
        return self.every.analyze(self.prepared(text))

    def unstemmed(self, text: str) -> list[str]:
        """The same words, as many, before they are stemmed."""
        return self._unstemmed.analyze(self.prepared(text))

    def telling(self, text: str) -> list[str]:
        """The words that say what ``text`` is about, in order: all of them if none does."""
        return self._telling.analyze(self.prepared(text)) or self.words(text)


@cache
def analyser(language: str) -> Analyser:
    """The one analyser of ``language``, as ``spoken`` names it."""
    return Analyser(language)


def spoken(language: str) -> str:
    """The language of a tag such as ``de-AT`` or ``DE_at``, as two letters: ``de``."""
    short = language.strip().lower()[:2]
    return _SAME.get(short, short)


def clean(text: str) -> str:
    """``text`` with each character in one form only, and nothing that is not a character."""
    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode())


def _built(language: str, filters: list[Filter]) -> TextAnalyzer:
    cut = Tokenizer.ngram(2, 2) if language in UNSPACED else Tokenizer.simple()
    builder = TextAnalyzerBuilder(cut)
    first = [Filter.remove_long(LONGEST_WORD), Filter.lowercase()]
    for one in [*first, *filters, Filter.ascii_fold()]:
        builder = builder.filter(one)
    return builder.build()


def _stop_words(language: str) -> list[Filter]:
    stop = [Filter.stopword(_STEMMERS[language])] if language in _STOPPED else []
    if language in _FILLERS:
        words = f"{_FILLERS[language]} {_MOODS.get(language, '')}"
        stop.append(Filter.custom_stopword(words.split()))
    return stop
