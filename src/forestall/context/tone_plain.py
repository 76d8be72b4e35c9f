"""A customer's text as the lexicons of moods write it: plain small letters; pure."""

import re
import unicodedata

_WRITTEN_OUT = str.maketrans(
    {
        "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "’": "'", "‘": "'", "´": "'", "`": "'",
        "–": "-", "—": "-", "‐": "-", "‑": "-",
        "😡": " angry ", "🤬": " angry ", "👿": " angry ", "😠": " angry ", "😤": " annoyed ",
        "🙄": " annoyed ", "😒": " annoyed ", "👎": " bad ", "😭": " sad ", "😞": " sad ", "😢": " sad ",
    }
)  # fmt: skip


def plain(text: str) -> str:
    """``text`` as the lexicon writes it."""
    if "://" in text or "www." in text:
        text = _ADDRESS.sub(" ", text)
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize(
            "NFKD", unicodedata.normalize("NFC", text).translate(_WRITTEN_OUT)
        )
        text = text.encode("ascii", "ignore").decode()
    return " ".join(text.split())


_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
