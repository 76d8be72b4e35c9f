"""Plain text: what a message may be made of, and how a text is read so that spelling hides nothing.

A message is plain text in Latin letters, in English or German: what cannot be read here cannot be
checked here, and is not said.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

LONGEST = 2_000
"""Characters of a message."""

LONGEST_WORD = 200
"""Characters without a space between them; links are such words."""

_ENDLESS = re.compile(rf"\S{{{LONGEST_WORD + 1}}}")
_HARMLESS = frozenset("²³¹½¼¾ªºµ\ufb01\ufb02")
_MARKUP = re.compile(r"<\s*[a-z/!?]|!\[|\]\s*\(|\]\s*:\s*\S+[./]|```", re.IGNORECASE)
_TEMPLATE = re.compile(r"[{}]|<%|\\|&#?\w{2,8};|%\(\w+\)|&#\w")
_SPACED = re.compile(r"(?<!\w)(?:[a-z][\s._*|/\\+~-]+){4,}[a-z](?!\w)", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_INNER = re.compile(r"(?<=\w)[-_.*'\u2019`|~+](?=\w)")
_MIXED = re.compile(r"\S*(?:[a-z][0-9@$!|]|[0-9@$!|][a-z])\S*")
_LEET = str.maketrans("013457@$!|", "oieastasil")
_LEET_L = str.maketrans("013457@$!|", "oleastasll")
_STROKES = str.maketrans("ıłđøæœ", "ildoao")
_NAMES = re.compile(r"\S*[^\W\d_][.@/][^\W\d_]\S*")
_WORD = re.compile(r"[^\W\d_]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OURS = _set(
    "the a an and or you your we our us is are was be been can cannot will would please to of in on"
    " at for with from it its this that if not no do does have has here as by i my me thank thanks"
    " hello hi sorry again now how what when where which who there were had may might should try"
    " der die das den dem des ein eine einen einem einer und oder sie ihr ihre ihren ihrem wir uns"
    " unser unsere ist sind war sein kann konnen nicht kein keine mit von fur auf in im am zu zum"
    " zur es bitte danke hallo wenn wie was wo hier haben hat wird werden noch ich mir bei als auch"
    " nach uber aus an dass sich leider so vielen dank ja nein ihnen man dann schon nur mehr unter"
    " dazu dieser diese dieses diesem diesen alle alles gut neu neue jetzt gerade gern bis um ab pro"
    " order payment card account page app parcel delivery address invoice more new all any only"
    " bestellung zahlung karte konto seite paket lieferung adresse rechnung anfrage kundendienst"
)
_OTHERS = _set(
    "le la les des une du et est nous vous votre vos pour avec dans sur pas que qui votre ce cette"
    " el los las un una unos y o es su sus usted para con por en que se lo le nosotros muy"
    " il gli di e che per con non si sono suo vostro noi del della"
    " het een van en je uw wij voor met niet dat zijn op te de"
    " os as um uma e do da nos para com nao voce seu sua por em"
    " i w z na nie sie jest do pan pani panstwa otrzyma zwrot ve bir bu icin size sizin och att ni"
    " er til vi og jeg du"
)


def unfit(text: str) -> str | None:
    """Why ``text`` is no plain text that a person can read and we can check; none if it is."""
    if len(text) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if _ENDLESS.search(text):
        return f"it has a word of more than {LONGEST_WORD} characters"
    if _odd(text):
        return "it has characters that hide something, or letters of another script"
    shown = unquote(html.unescape(text))
    if _MARKUP.search(text) or _MARKUP.search(shown):
        return "it has markup in it"
    if _TEMPLATE.search(text) or _TEMPLATE.search(shown):
        return "it has something to be filled in or decoded in it"
    if _SPACED.search(text):
        return "it has letters set apart"
    if any(_foreign(sentence) for sentence in sentences(text)):
        return "it is neither in English nor in German, so that it cannot be checked"
    return None


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, without those that say nothing."""
    return [part for part in _SENTENCE.split(text) if _WORD.search(part)]


def folded(text: str) -> str:
    """``text`` in lower case, without accents (``zuruck``), entities and needless space."""
    wide = unicodedata.normalize("NFKD", unquote(html.unescape(text))).replace("\u2019", "'")
    bare = "".join(one for one in wide if not unicodedata.combining(one))
    return " ".join(bare.casefold().translate(_STROKES).split())


def readings(text: str) -> Iterator[str]:
    """``text`` folded, and folded with what people read through: ``re-fund``, ``r3fund``."""
    plain = folded(text)
    yield plain
    joined = _INNER.sub("", plain)
    if joined != plain:
        yield joined
    if _MIXED.search(plain):
        for table in (_LEET, _LEET_L):
            yield _MIXED.sub(lambda found, table=table: found[0].translate(table), plain)  # type: ignore[misc]


def words(text: str) -> str:
    """``text`` folded to its words, so that texts compare whatever their punctuation."""
    return " ".join(re.findall(r"\w+", folded(text)))


def spoken(text: str) -> str | None:
    """``en`` or ``de``, as the words of ``text`` have it; none where they do not tell."""
    found = set(_WORD.findall(folded(text)))
    german, english = len(found & _GERMAN), len(found & _ENGLISH)
    return None if german == english else "de" if german > english else "en"


def _odd(text: str) -> bool:
    marks = 0
    for one in text:
        if one == "\n" or " " <= one <= "~":
            marks = 0
            continue
        category = unicodedata.category(one)
        if category[0] == "C" or category in ("Zl", "Zp"):
            return True
        marks = marks + 1 if category[0] == "M" else 0
        if marks > 1 and one != "\ufe0f":
            return True
        if category[0] in "LN" and not _latin(one):
            return True
        if category == "So" and unicodedata.normalize("NFKC", one).isalnum():
            return True
    return any(0x1F1E6 <= ord(one) <= 0x1F1FF for one in text) and _flags(text)


def _latin(one: str) -> bool:
    """Whether a letter or number is one that people here read and write."""
    if one in _HARMLESS:
        return True
    point = ord(one)
    return point <= 0x24F or 0x1E00 <= point <= 0x1EFF


def _flags(text: str) -> bool:
    """Whether flags stand in a row: their letters would spell words."""
    return re.search("[\U0001f1e6-\U0001f1ff]{3,}", text.replace(" ", "")) is not None


def _foreign(sentence: str) -> bool:
    found = _WORD.findall(folded(_NAMES.sub(" ", sentence)))
    ours = sum(word in _OURS for word in found)
    others = sum(word in _OTHERS - _OURS for word in found)
    if len(found) >= 5 and ours == 0 and others >= 1:
        return True
    return (len(found) >= 10 and ours == 0) or (others >= 3 and others > 2 * ours)


_GERMAN = _set(
    "der die das den dem ein eine einen und oder sie ihr ihre wir uns ist sind war kann nicht kein"
    " keine mit von fur auf im zu zum zur es bitte danke hallo wenn wie wo haben hat wird noch ich"
    " mir bei auch nach leider mein meine meinen zahlung konto bestellung rechnung warum geht"
)
_ENGLISH = _set(
    "the a an and or you your we our is are was can cannot not no do does have has with from of for"
    " it this that please thanks hello how what when why where i my me payment account order"
    " invoice card again works work"
)
