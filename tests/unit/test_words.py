"""Moods and masking on public data (``make data``): floors well under what was measured."""

from benchmarks.words import DATA, seen, sentences, share, tweets
from forestall.context.tone import mood
from forestall.privacy.masking import find


def test_complaints_are_told_from_other_tweets_that_were_never_looked_at() -> None:
    assert DATA.exists(), "run `make data` first"
    held = [(feeling == "negative", text) for feeling, text in tweets() if not seen(text)][::4]
    assert len(held) > 1_500
    pairs = [(wanted, mood([text])) for wanted, text in held]
    right = sum(wanted and found.level != "calm" for wanted, found in pairs)
    assert right / sum(found.level != "calm" for _, found in pairs) > 0.85
    assert right / sum(wanted for wanted, _ in pairs) > 0.58
    called = [wanted for wanted, found in pairs if found.to_person]
    assert sum(called) / len(called) > 0.7
    assert len(called) / len(pairs) < 0.06, "few tweets need a person at once"


def test_made_up_persons_are_hidden_in_public_sentences() -> None:
    covered: dict[str, list[bool]] = {}
    for text, wanted in sentences():
        found = find(text)
        for kind, start, end, _ in wanted:
            whole = any(one.start <= start and end <= one.end for one in found)
            covered.setdefault(kind, []).append(whole)
    for kind in ("email", "iban", "card", "ip"):
        assert all(covered[kind]), kind
    assert sum(covered["phone"]) > 0.75 * len(covered["phone"])


def test_an_interval_is_wilsons() -> None:
    assert share(9, 10) == "0.900 (0.596 to 0.982; 9 of 10)"
    assert share(0, 0) == "none"
