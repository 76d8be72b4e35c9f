"""A customer's mood: labelled cases with floors, look-alikes, signs, and linear time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from forestall.context.tone import Level, Mood, Signs, Vulnerable, mood
from stopwatch import seconds_of

VECTORS = Path(__file__).parents[1] / "vectors/moods.jsonl"
CASES: list[dict[str, Any]] = [json.loads(line) for line in VECTORS.read_text().splitlines()]


def scores(cases: list[dict[str, Any]], told: Callable[[dict[str, Any]], tuple[bool, bool]]) -> Any:
    """Precision and recall of ``told``, which gives (wanted, found)."""
    pairs = [told(case) for case in cases]
    right = sum(wanted and found for wanted, found in pairs)
    return right / sum(found for _, found in pairs), right / sum(wanted for wanted, _ in pairs)


def test_there_are_enough_cases_of_every_sort() -> None:
    assert len(CASES) > 400
    for kind in get_args(Vulnerable):
        assert sum(kind in case["vulnerable"] for case in CASES) >= 25
    for level in get_args(Level):
        assert sum(case.get("level") == level for case in CASES) >= 30
    assert sum("level" not in case and not case["to_person"] for case in CASES) > 90, "look-alikes"


@pytest.mark.parametrize("held", [False, True])
def test_who_needs_a_person_is_sent_to_one(held: bool) -> None:
    cases = [case for case in CASES if case["held"] == held]
    precision, recall = scores(
        cases, lambda case: (case["to_person"], mood([case["text"]]).to_person)
    )
    assert precision >= 0.95
    assert recall >= 0.95


@pytest.mark.parametrize("kind", get_args(Vulnerable))
def test_each_vulnerability_is_told(kind: Vulnerable) -> None:
    precision, recall = scores(
        CASES, lambda case: (kind in case["vulnerable"], kind in mood([case["text"]]).vulnerable)
    )
    assert precision >= 0.95
    assert recall >= 0.95


def test_levels_are_right_in_nine_of_ten_cases() -> None:
    labelled = [case for case in CASES if "level" in case and "round" not in case]
    right = sum(mood([case["text"]]).level == case["level"] for case in labelled)
    assert right >= 0.9 * len(labelled)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_cases_of_the_rounds_hold(number: int) -> None:
    cases = [case for case in CASES if case.get("round") == number]
    precision, recall = scores(
        cases, lambda case: (case["to_person"], mood([case["text"]]).to_person)
    )
    assert min(precision, recall) >= 0.95
    right = sum(mood([case["text"]]).level == case["level"] for case in cases)
    assert right >= 0.75 * len(cases), "shades of anger are less sure than who needs a person"


@pytest.mark.parametrize(
    "text",
    [
        "There is a dead pixel.",
        "How do I kill the process?",
        "I ordered court shoes.",
        "My card was declined.",
        "I am sick of waiting.",
        "The legal name field is empty.",
        "I forgot my security question.",
        "I lost my job posting draft.",
        "I'm dying to try it.",
        "Der Server ist tot.",
        "Welche Gerichte sind vegan?",
    ],
)
def test_look_alikes_make_nobody_vulnerable(text: str) -> None:
    assert not mood([text]).to_person


def test_nobody_and_nothing_is_calm() -> None:
    assert mood([]) == Mood(level="calm")
    assert mood(["", "  "]) == Mood(level="calm")


def test_not_takes_a_word_back() -> None:
    assert mood(["I am angry."]).level == "upset"
    assert mood(["I am not angry at all."]).level == "calm"
    assert mood(["Ich bin überhaupt nicht sauer."]).level == "calm"
    assert mood(["This never fucking works."]).level == "upset", "profanity is not taken back"


def test_capitals_and_marks_make_what_is_said_louder() -> None:
    quiet = mood(["you charged me twice and nobody answers"])
    loud = mood(["YOU CHARGED ME TWICE AND NOBODY ANSWERS!!!"])
    assert (quiet.level, loud.level) == ("annoyed", "very-upset")
    assert "writes in capitals" in loud.why
    assert "exclamation marks" in loud.why
    assert mood(["HOW DO I CHANGE MY ADDRESS"]).level == "annoyed", "capitals alone say little"
    assert mood(["Thank you so much!!!"]).level == "calm"


def test_one_spelling_is_as_good_as_another() -> None:
    for text in ("Ich bin wütend", "ich bin WÜTEND", "ich bin wuetend", "ich bin wu\u0308tend"):
        assert mood([text]).level == mood(["ich bin wütend"]).level
    assert mood(["I don’t recognise this payment"]).vulnerable == ("security",)
    assert mood(["How do I export? 😡"]).level == "upset"


def test_addresses_are_no_words() -> None:
    assert mood(["see https://example.com/suicide-hacked-lawyer"]).to_person is False


def test_signs_without_words_raise_the_level_but_call_nobody() -> None:
    assert mood([], Signs(failures=1)).level == "calm"
    assert mood([], Signs(failures=2)).level == "annoyed"
    assert mood([], Signs(failures=4, repetitions=3)).level == "upset"
    most = mood([], Signs(failures=99, repetitions=99, waiting=99_999))
    assert (most.level, most.to_person) == ("upset", False)
    assert most.why == ("failed 99 times", "tried the same 99 times", "waited 99999 s")


def test_signs_add_to_words() -> None:
    words = ["I am really angry, nothing works."]
    assert mood(words).level == "upset"
    assert mood(words, Signs(failures=4, waiting=400)).to_person


def test_saying_the_same_again_is_a_sign() -> None:
    found = mood(["Where is it?", "where is IT?"])
    assert (found.level, found.why) == ("annoyed", ("said the same 2 times",))


def test_anger_fades_and_being_vulnerable_does_not() -> None:
    angry = "I am furious about this."
    assert mood([angry]).level == "very-upset"
    assert mood([angry, "Ok.", "Which button?", "Found it."]).level == "upset"
    assert mood(["My wife died.", "Ok.", "Which button?", "Thanks."]).vulnerable == ("bereavement",)


def test_it_says_why() -> None:
    found = mood(["My mother died, and you charged her again. Unacceptable!"], Signs(failures=3))
    assert found.vulnerable == ("bereavement",)
    assert found.why[0] == "bereavement: “my mother died”"
    assert "anger: “unacceptable”" in found.why
    assert "failed 3 times" in found.why


def test_a_look_alike_excuses_only_its_own_sentence() -> None:
    assert mood(["The tennis court is closed. I will see you in court."]).vulnerable == ("legal",)


def test_the_same_words_are_the_same_mood() -> None:
    for case in CASES[:50]:
        assert mood([case["text"]]) == mood([case["text"]])


@pytest.mark.parametrize(
    "piece",
    [
        "my ",
        "a",
        "not ",
        "!",
        "I ",
        "my mother ",
        "someone ",
        "meine mutter und ",
        "?!",
        "wwww. ",
        "ü",
        "😡",
    ],
)
def test_any_text_is_read_in_linear_time(piece: str) -> None:
    small, large = (piece * (size // len(piece)) for size in (20_000, 200_000))
    mood([small])
    ratio = seconds_of(lambda: mood([large])) / seconds_of(lambda: mood([small]))
    assert ratio < 40, "ten times the text takes about ten times as long"
