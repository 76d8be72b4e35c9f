"""Persons, places and numbers of persons as Presidio finds them, besides our own patterns.

Needs the extra ``presidio``. Nothing is ever downloaded: where a spaCy model is installed
(``en_core_web_sm``, ``de_core_news_sm`` or a larger one), persons and places are what it recognises;
where none is, they are found after words that introduce them (``my name is``, ``Herr``, ``ich wohne
in``). The numbers of persons (social security, tax, health, passport) are Presidio's own patterns.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from forestall.contracts.errors import ForestallError
from forestall.privacy.finding import Found, Kind, find, merged

_KINDS: Final[dict[str, Kind]] = {"PERSON": "person", "LOCATION": "place"}
_RECOGNISERS: Final = (
    "CryptoRecognizer",
    "EsNieRecognizer",
    "EsNifRecognizer",
    "FiPersonalIdentityCodeRecognizer",
    "ItFiscalCodeRecognizer",
    "MedicalLicenseRecognizer",
    "NhsRecognizer",
    "PlPeselRecognizer",
    "UkNinoRecognizer",
    "UsItinRecognizer",
    "UsMbiRecognizer",
    "UsSsnRecognizer",
)
"""Of Presidio's own: those that need neither a model nor the network."""

_MODELS: Final = {
    "en": ("en_core_web_lg", "en_core_web_md", "en_core_web_sm"),
    "de": ("de_core_news_lg", "de_core_news_md", "de_core_news_sm"),
}
_NAME = r"\p{Lu}[\p{L}'’-]{1,40}"
_NAMES = rf"(?:{_NAME}|\p{{Lu}}\.)(?: (?:{_NAME}|\p{{Lu}}\.|von|van|de|der|zu)){{0,3}}"
_PERSON: Final = (
    rf"(?<=\b(?:[Mm]y name is|[Mm]y name's|[Mm]ein Name ist|[Ii]ch hei(?:ß|ss)e|[Nn]ame:) ){_NAMES}",
    rf"(?<=\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Herrn|Frau)\.? ){_NAMES}",
    rf"(?<=\b(?:[Dd]ear|Hi|Hello|Hallo|[Ll]iebe|[Ll]ieber) ){_NAME}(?=[,!\n])",
    rf"(?<=\b(?:[Rr]egards|[Ss]incerely|[Cc]heers|[Tt]hanks|Grüße|Grüßen|Gruß|Gruss|Grüssen),?\s{{1,3}})"
    rf"{_NAMES}(?=\s*$|\n)",
)
_PLACE: Final = (
    rf"(?<=\b(?:I live in|[Ww]e live in|I am from|I'm from|I moved to|based in|[Ww]ohne in|[Ww]ohnhaft in|"
    rf"[Kk]omme aus|[Ll]ebe in) ){_NAME}(?: {_NAME}){{0,2}}",
    rf"\b(?:D-)?\d{{5}} {_NAME}(?=,|\.|$|\n)",
)
_LEAST = 0.5


class PresidioMissing(ForestallError):
    """Finding persons and places needs Presidio: ``pip install 'forestall[presidio]'``."""

    code = "presidio-missing"
    exit_code = 2


@lru_cache(maxsize=1)
def presidio() -> Callable[[str], list[Found]]:
    """Finds what our patterns find and what Presidio finds besides. Raises ``PresidioMissing``.

    Loading takes seconds, once a process; texts take milliseconds, not microseconds.
    """
    try:
        import presidio_analyzer
        import spacy
    except ImportError:
        raise PresidioMissing(
            "[privacy] find = \"presidio\" needs Presidio; pip install 'forestall[presidio]'"
        ) from None
    pipelines = _pipelines(spacy)
    analyser = _analyser(presidio_analyzer, pipelines)

    def everything(text: str) -> list[Found]:
        return merged([*find(text), *_recognised(analyser, list(pipelines), text)])

    return everything


def _recognised(analyser: Any, languages: list[str], text: str) -> Iterator[Found]:
    for language in languages:
        for one in analyser.analyze(text, language, score_threshold=_LEAST):
            yield Found(_KINDS.get(one.entity_type, "id"), one.start, one.end)


def _pipelines(spacy: Any) -> dict[str, Any]:
    """The installed spaCy model of each language, the largest; else English words without one."""
    installed = {
        language: next((name for name in names if spacy.util.is_package(name)), None)
        for language, names in _MODELS.items()
    }
    loaded = {language: spacy.load(name) for language, name in installed.items() if name}
    return loaded or {"en": _blank(spacy)}


def _blank(spacy: Any) -> Any:
    """Splits a text into words; each is its own base form, for Presidio's context words."""

    @spacy.Language.component("plain words")  # type: ignore[untyped-decorator]
    def words(doc: Any) -> Any:
        for token in doc:
            token.lemma_ = token.lower_
        return doc

    blank = spacy.blank("en")
    blank.add_pipe("plain words")
    return blank


def _analyser(presidio_analyzer: Any, pipelines: dict[str, Any]) -> Any:
    from presidio_analyzer import predefined_recognizers
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    languages = list(pipelines)
    engine = SpacyNlpEngine(
        models=[
            {"lang_code": language, "model_name": pipelines[language].meta["name"]}
            for language in languages
        ]
    )
    engine.nlp = pipelines  # type: ignore[assignment]
    registry = presidio_analyzer.RecognizerRegistry(recognizers=[], supported_languages=languages)
    for language in languages:
        for name in _RECOGNISERS:
            registry.add_recognizer(
                getattr(predefined_recognizers, name)(supported_language=language)
            )
        for entity, patterns in (("PERSON", _PERSON), ("LOCATION", _PLACE)):
            registry.add_recognizer(_introduced(presidio_analyzer, entity, patterns, language))
        if pipelines[language].has_pipe("ner"):
            registry.add_recognizer(
                predefined_recognizers.SpacyRecognizer(
                    supported_language=language, supported_entities=list(_KINDS)
                )
            )
    return presidio_analyzer.AnalyzerEngine(
        registry=registry, nlp_engine=engine, supported_languages=languages
    )


def _introduced(
    presidio_analyzer: Any, entity: str, patterns: tuple[str, ...], language: str
) -> Any:
    return presidio_analyzer.PatternRecognizer(
        supported_entity=entity,
        name=f"introduced {entity.lower()}",
        patterns=[presidio_analyzer.Pattern(entity.lower(), one, 0.6) for one in patterns],
        supported_language=language,
        global_regex_flags=re.MULTILINE,
    )
