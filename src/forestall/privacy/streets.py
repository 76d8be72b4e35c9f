"""Finds postal addresses as they are written in English and in German; pure."""

from collections.abc import Iterator

from forestall.privacy.folding import pattern

_UP = r"[A-Z\xc0-\xde\xfe]"
_CAP = rf"{_UP}[A-Za-z\xc0-\xfe.'-]{{0,30}}"
_TOWN_WORD = rf"(?:St\. ?)?{_UP}(?:[a-z\xdf-\xfe]{{1,30}}|[A-Z\xc0-\xde]{{2,30}})(?:[/-](?:\w{{1,8}}-)?{_UP}[A-Za-z\xc0-\xfe]{{1,30}})?"
_UNIT = r"(?:,? (?:apt|apartment|suite|ste|unit|flat|floor|#)\.? ?#?[0-9A-Za-z-]{1,6})?"
_SURE = r"(?:street|avenue|boulevard|blvd|lane|road|crescent|terrace|parkway|highway)"
_CAPITAL = (
    r"(?:Street|St|Avenue|Ave|Av|Boulevard|Blvd|Lane|Ln|Road|Rd|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|"
    r"Terrace|Ter|Close|Crescent|Cres|Way|Gardens|Gdns|Grove|Parkway|Pkwy|Highway|Hwy|Row|Mews|Hill|"
    r"Circle|Cir|Trail|Alley|Broadway|Quay|Walk)"
)
_POSTCODE = r"(?:[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}|[0-9]{5}(?:-[0-9]{4})?)"
_TOWN = rf"(?:, ?\n?{_TOWN_WORD}(?: {_TOWN_WORD}){{0,3}}|\n{_TOWN_WORD})?(?:,? ?\n?(?:[A-Z]{{2}} )?{_POSTCODE})?"
_ENGLISH = pattern(
    rf"\b[0-9]{{1,5}}[A-Za-z]?,? (?:(?:[NSEW]|North|South|East|West)\.? )?(?:(?:{_CAP}|[0-9]{{1,3}}(?:st|nd|rd|th)) ){{1,4}}"
    rf"{_CAPITAL}\b\.?(?: [NSEW]{{1,2}}\b)?{_UNIT}{_TOWN}"
)
_SMALL = pattern(rf"\b[0-9]{{1,5}}[a-z]? ([a-z]{{3,20}}) {_SURE}\b{_UNIT}")
_NO_NAME = {
    b"the",
    b"this",
    b"that",
    b"each",
    b"per",
    b"minutes",
    b"miles",
    b"hours",
    b"lane",
    b"way",
    b"out",
    b"down",
    b"more",
    b"different",
    b"other",
    b"new",
    b"test",
}
_BOX = pattern(
    r"\b(?:P\.? ?O\.? ?Box|Postfach) [0-9][0-9 ]{0,9}[0-9]?(?:,? [0-9]{5} [A-Z\xc0-\xde][a-z\xdf-\xfe-]+)?",
    any_case=True,
)
_NUMBER = r" ?[0-9]{1,4}(?: ?[a-z]\b)?(?: ?[-/] ?[0-9]{1,4}(?: ?[a-z]\b)?)?"
_CITY = rf"(?:,? ?\n?(?:D-|A-|CH-)?[0-9]{{4,5}} {_TOWN_WORD}(?:[ /]{_TOWN_WORD}| (?:am|an der|im|ob der) {_TOWN_WORD}){{0,1}})"
_STRONG = r"(?:stra\xdfe|strasse|str\.?|allee|gasse|chaussee|promenade)"
_WEAK = r"(?:weg|platz|ring|ufer|damm|steig|markt|berg|hof|graben|wall|kamp|pfad|stieg)"
_GERMAN = pattern(
    rf"(?:{_CAP} ){{0,2}}(?:{_UP}[A-Za-z\xc0-\xfe-]*{_STRONG}|(?:Stra\xdfe|Strasse|Str\.|Allee|Gasse|Chaussee)"
    rf"(?: (?:der|des|zum|zur|am|vom) (?:[0-9]{{1,2}}\. )?{_CAP})?){_NUMBER}{_CITY}?"
)
_GERMAN_SMALL = pattern(rf"\b[a-z\xdf-\xfe-]{{3,30}}(?:stra\xdfe|strasse|str\.){_NUMBER}{_CITY}?")
_GERMAN_WEAK = pattern(rf"({_UP}[A-Za-z\xc0-\xfe]{{2,30}}(?:-{_CAP})?{_WEAK}){_NUMBER}({_CITY})?")
_WITH_TOWN = pattern(
    rf"{_CAP}(?: {_CAP}){{0,2}} [0-9]{{1,4}}[a-z]?,? ?\n?(?:D-|A-|CH-)?[0-9]{{4,5}} {_TOWN_WORD}(?: {_TOWN_WORD}){{0,2}}"
)
_AT_THE = pattern(
    rf"\b(?:Am|An der|An den|Auf der|Auf dem|Im|In der|In den|Unter den|Unter der|Zum|Zur|Hinter der|Hinter dem) "
    rf"{_CAP}(?: {_CAP})?{_NUMBER}({_CITY})?"
)
_AT_WORDS = pattern(
    r"\b(?:adresse|anschrift|wohne|wohnhaft|wohnt|lieferung|liefern|zuhause)\b", any_case=True
)
_NO_STREET = pattern(
    r"(?:speicher|arbeits|park|sitz|steck|listen|tabellen|ausbildungs|studien|um|aus|r\xfcck|hin|lebens|l\xf6sungs|"
    r"monito|enginee|refacto|st|sp|he|fehl|bahn|flug|super|mittel|arbeits|finanz|kopf|dateip|pfad)"
    r"(?:weg|platz|ring|markt|hof|pfad)$",
    any_case=True,
)
_NEEDS_TOWN = (b"ring", b"hof", b"berg", b"markt", b"pfad", b"kamp", b"wall")


def addresses(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each street with a house number, with its town where that follows, and of
    each post-office box. A street without a number, or a town alone, is not looked for."""
    for program in (_ENGLISH, _BOX, _GERMAN, _GERMAN_SMALL, _WITH_TOWN):
        for match in program.finditer(plain):
            yield match.span()
    for match in _SMALL.finditer(plain):
        if match[1] not in _NO_NAME:
            yield match.span()
    for match in _GERMAN_WEAK.finditer(plain):
        sure = match[2] is not None or not match[1].endswith(_NEEDS_TOWN)
        if sure and _NO_STREET.search(match[1]) is None:
            yield match.span()
    for match in _AT_THE.finditer(plain):
        before = plain[max(0, match.start() - 40) : match.start()]
        if match[1] is not None or _AT_WORDS.search(before) is not None:
            yield match.span()
