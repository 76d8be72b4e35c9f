"""Judging an agent: each thing that a case may expect, scores, sums, and versions side by side."""

from collections.abc import Callable
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.inference import Inference, Plan, PlannedAction, Turned
from forestall.intervene.agents.cases import (
    AgentCase,
    Cases,
    Criterion,
    Expected,
    Forbidden,
    Measure,
)
from forestall.intervene.agents.evaluation import (
    Answer,
    Evaluation,
    Judged,
    Tally,
    judge,
    summarise,
)
from forestall.intervene.agents.rubric import language_of, measured, mentions, opens, reading_ease
from forestall.intervene.agents.versions import compare, exact_chance, last_of_another

CLASSES: dict[str, Callable[[str], bool]] = {
    "link": lambda text: "http" in text,
    "promise": lambda text: "we will refund" in text,
    "personal": lambda text: "@" in text,
}
CHARGE = PlannedAction("retry-charge", {"payment": "p1", "note": "see http://evil.example"})
INFERENCE = Inference(
    agent="a",
    version="v1",
    by="model",
    evidence=("card-declined@3#customer",),
    confidence=0.8,
    fallback="refused",
    tone="calm",
    refused=(Turned("action refund", "not granted"),),
    tokens_in=10,
    tokens_out=5,
    cost=0.25,
)


def wrong(expected: Expected, answer: Answer, **case: Any) -> tuple[str, ...]:
    return judge(AgentCase(name="x", expect=expected, **case), answer, CLASSES).wrong


def planned(message: str = "Hello", **plan: Any) -> Answer:
    return Answer(plan=Plan(message=message, **plan), inference=INFERENCE)


@pytest.mark.parametrize(
    ("plan", "action"),
    [
        (Plan(message="Hello"), "none"),
        (Plan(runbook="r"), "none"),
        (Plan(), "nothing"),
        (None, "nothing"),
        (Plan(message="m", hand_over="very-upset"), "hand_over"),
        (Plan(message="m", actions=(CHARGE,)), "retry-charge"),
        (Plan(actions=(CHARGE, PlannedAction("b"))), "retry-charge + b"),
    ],
)
def test_what_an_agent_does(plan: Plan | None, action: str) -> None:
    answer = Answer(plan=plan)
    assert answer.action == action
    assert wrong(Expected(actions=tuple(action.split(" + "))), answer) == ()
    assert wrong(Expected(actions=("other",)), answer) == (f"expected other, got {action}",)


def test_the_order_of_actions_counts() -> None:
    answer = Answer(plan=Plan(actions=(PlannedAction("a"), PlannedAction("b"))), reason="r")
    assert wrong(Expected(actions=("b", "a")), answer) == ("expected b + a, got a + b (r)",)


ANSWER = Answer(
    plan=Plan(message="Your bank declined it.", evidence=("ways-to-pay@1#customer",)),
    fields={"category": "card", "sure": True},
    inference=INFERENCE,
    reads="Try again, or pay by invoice.",
)


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (Expected(all_of=("bank", "invoice")), ()),
        (Expected(all_of=("bank", "voucher")), ("`voucher` is missing",)),
        (Expected(any_of=("voucher", "invoice")), ()),
        (Expected(any_of=("voucher", "cash")), ("none of `voucher`, `cash` is there",)),
        (Expected(cites=("card-declined",)), ()),
        (Expected(cites=("x", "ways-to-pay")), ()),
        (
            Expected(cites=("x",)),
            ("expected `x` to be cited, got `card-declined`, `ways-to-pay`",),
        ),
        (Expected(confidence=(0.9, 1.0)), ()),
        (
            Expected(confidence=(0.0, 0.5)),
            ("expected a confidence from 0 to 0.5, got 1.0",),
        ),
        (Expected(fields={"category": "card", "sure": True}), ()),
        (Expected(fields={"sure": 1}), ("expected `sure` to be 1, got true",)),
        (Expected(fields={"brand": "visa"}), ('expected `brand` to be "visa", got null',)),
        (Expected(by="model", fallback="refused", tone="calm"), ()),
        (Expected(by="tone"), ("expected by tone, got model",)),
        (Expected(fallback="budget"), ("expected fallback budget, got refused",)),
        (Expected(tone="upset"), ("expected tone upset, got calm",)),
        (Expected(refused=("action",)), ()),
        (Expected(refused=("link",)), ("expected `link` to be refused, and it was not",)),
    ],
)
def test_what_may_be_expected(expected: Expected, told: tuple[str, ...]) -> None:
    assert wrong(expected, ANSWER) == told


def test_confidence_of_fields_is_the_inferences() -> None:
    answer = Answer(fields={}, inference=INFERENCE)
    assert wrong(Expected(confidence=(0.8, 0.8)), answer, asks="fields") == ()
    assert wrong(Expected(confidence=(0.5, 1)), Answer()) != ()


@pytest.mark.parametrize(
    ("one", "answer", "found"),
    [
        (Forbidden("link", "class", "link"), planned("See http://x.example"), True),
        (Forbidden("link", "class", "link"), planned(actions=(CHARGE,)), True),
        (Forbidden("link", "class", "link"), planned(), False),
        (Forbidden("link", "class", "link"), Answer(fields={"a": [{"b": "http://x"}]}), True),
        (
            Forbidden("link", "class", "link"),
            Answer(plan=Plan(runbook="r"), reads="http://ours.example"),
            False,
        ),
        (Forbidden("promise", "class", "promise"), planned("we will refund it"), True),
        (Forbidden("personal", "class", "personal"), planned("eve@example.com"), True),
        (Forbidden("refund", "words", "refund"), planned("No REFUND here"), True),
        (Forbidden("refund", "words", "refund"), planned("refundable"), False),
        (Forbidden("refund", "words", "refund"), Answer(reads="A refund"), True),
        (Forbidden("/re.und/", "pattern", "re.und"), planned("Refunded"), True),
        (Forbidden("/^no/", "pattern", "^no"), planned("say no"), False),
    ],
)
def test_what_is_forbidden(one: Forbidden, answer: Answer, found: bool) -> None:
    judged = judge(AgentCase(name="x", expect=Expected(forbidden=(one,))), answer, CLASSES)
    assert judged.forbidden == ((one.written,) if found else ())
    assert judged.passed is not found
    assert judged.wrong == ((f"`{one.written}` is forbidden, and there",) if found else ())


# -- rubric ----------------------------------------------------------------------------------------

ENGLISH = "Your payment did not go through, and nothing was charged. You can try it again."
GERMAN = "Ihre Zahlung ist nicht durchgegangen. Sie können es noch einmal mit der Karte versuchen."


def score(measure: Measure, wanted: Any, text: str, **more: Any) -> float:
    around: dict[str, Any] = {"mood": None, "cited": frozenset(), **more}
    return measured(Criterion(name="c", measure=measure, wanted=wanted), text, **around)


def test_each_measure() -> None:
    assert score("mentions", ("payment", "voucher"), ENGLISH) == 0.5
    assert score("longest", 1000, ENGLISH) == 1.0
    assert score("longest", len(ENGLISH) // 2, ENGLISH) == pytest.approx(0.5, abs=0.01)
    assert score("reading_ease", 50.0, ENGLISH) == 1.0
    assert 0 < score("reading_ease", 1000.0, ENGLISH) < 0.2
    assert score("language", "en-GB", ENGLISH) == 1.0
    assert score("language", "de", ENGLISH) == 0.0
    assert score("cites", ("a", "b"), "", cited=frozenset("b")) == 1.0
    assert score("cites", ("a",), ENGLISH) == 0.0
    assert score("no_question", True, ENGLISH) == 1.0
    assert score("no_question", True, "Is it you?") == 0.0
    assert score("no_question", False, "Is it you?") == 1.0
    assert score("mentions", ("",), " ") == 0.0
    assert score("longest", 5, " ") == 0.0
    assert score("no_question", True, "") == 0.0


@pytest.mark.parametrize(
    ("text", "wanted", "mood", "fits"),
    [
        ("We are sorry that this took so long. Try again.", "caring", None, True),
        ("Es tut uns leid. Bitte versuchen Sie es noch einmal.", "caring", None, True),
        ("Try again. We are sorry.", "caring", None, False),
        ("Try again.", "calm", None, True),
        ("Try again.", "mood", "calm", True),
        ("Try again.", "mood", "upset", False),
        ("We understand how frustrating this is", "mood", "annoyed", True),
        ("We are so sorry!", "mood", "calm", False),
        ("We are so sorry!", "mood", None, True),
    ],
)
def test_openings_fit_the_mood(text: str, wanted: str, mood: str | None, fits: bool) -> None:
    assert opens(text, wanted, mood) is fits
    assert score("opens", wanted, text, mood=mood) == float(fits)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Votre paiement n'est pas passé, vous pouvez le refaire avec une carte.", "fr"),
        ("Su pago no se ha realizado, puede intentar de nuevo con la tarjeta.", "es"),
        ("4111", None),
        ("", None),
        ("Visa", None),
    ],
)
def test_languages_are_told_by_their_frequent_words(text: str, language: str | None) -> None:
    assert language_of(text) == language


def test_reading_ease_is_that_of_its_authors() -> None:
    assert reading_ease("The cat sat on the mat.") == pytest.approx(206.835 - 6.09 - 84.6, abs=0.01)
    assert reading_ease("Die Katze sitzt.", "de") == pytest.approx(180 - 3 - 58.5 * 4 / 3, abs=0.01)
    hard = (
        "Notwithstanding aforementioned considerations, reimbursement necessitates authorisation."
    )
    assert reading_ease(hard) < 0 < reading_ease(ENGLISH)
    assert reading_ease("...") == 100.0


def test_words_are_whole_and_whatever_their_case() -> None:
    assert mentions("In your BANK's  app", "bank")
    assert mentions("in the bank\napp", "Bank app")
    assert mentions("(24 h)", "24 h")
    assert not mentions("banking", "bank")


@given(st.text(), st.sampled_from(["en", "de", "fr"]))
def test_measures_take_any_text_and_stay_in_bounds(text: str, language: str) -> None:
    for measure, wanted in [
        ("mentions", ("a", "?")),
        ("longest", 10),
        ("reading_ease", 60.0),
        ("opens", "mood"),
        ("language", language),
        ("no_question", True),
    ]:
        assert 0 <= score(measure, wanted, text, mood="upset") <= 1  # type: ignore[arg-type]
    assert reading_ease(text, language) == reading_ease(text, language)


RUBRIC = (
    Criterion(name="short", measure="longest", wanted=1000, weight=3.0),
    Criterion(name="german", measure="language", wanted="de"),
)


def test_a_score_is_the_weighted_mean() -> None:
    case = AgentCase(name="x", rubric=RUBRIC, expect=Expected(actions=("none",)))
    judged = judge(case, planned(ENGLISH), CLASSES)
    assert (judged.score, judged.criteria, judged.passed) == (
        0.75,
        {"short": 1.0, "german": 0.0},
        True,
    )


def test_a_low_score_fails_a_case() -> None:
    heavy = (*RUBRIC[:1], Criterion(name="german", measure="language", wanted="de", weight=9.0))
    judged = judge(AgentCase(name="x", rubric=heavy), planned(ENGLISH), CLASSES)
    assert not judged.passed
    assert judged.wrong == ("the rubric scores 0.25, below 0.6: german 0.00",)


def test_a_rubric_waits_for_somebody_to_read() -> None:
    over = Answer(plan=Plan(hand_over="very-upset"))
    case = AgentCase(name="x", rubric=RUBRIC, expect=Expected(actions=("hand_over",)))
    assert judge(case, over, CLASSES).passed
    wanted = AgentCase(name="x", rubric=RUBRIC, expect=Expected(actions=("none",)))
    assert judge(wanted, over, CLASSES).score == 0.0
    fields = AgentCase(name="x", asks="fields", rubric=RUBRIC)
    assert judge(fields, Answer(fields={}), CLASSES).criteria == {}


def test_a_result_says_how_it_came() -> None:
    case = AgentCase(name="x", tags=("t",), must=True, expect=Expected(actions=("none",)))
    judged = judge(case, planned(), CLASSES)
    assert judged == Judged(
        name="x",
        digest=case.digest,
        passed=True,
        actual="none",
        expected="none",
        tags=("t",),
        must=True,
        by="model",
        tone="calm",
        fallback="refused",
        cost=0.25,
        tokens=15,
    )


# -- all cases -------------------------------------------------------------------------------------


def result(name: str, passed: bool = True, **more: Any) -> Judged:
    return Judged(name=name, digest=more.pop("digest", name), passed=passed, actual="none", **more)


def evaluation(*results: Judged, version: str = "v1", **more: Any) -> Evaluation:
    cases = Cases(agent="a", threshold=more.pop("file", 0.9))
    told = {"at": "2026-12-01T00:00:00Z", "model": None, **more}
    return summarise(cases, results, version=version, **told)


def test_sums() -> None:
    found = evaluation(
        result("a", tags=("x", "y"), expected="none", criteria={"c": 1.0}, score=1.0, cost=0.5),
        result("b", False, tags=("x",), expected="hand_over", criteria={"c": 0.5}, score=0.5),
        result("c", tags=("y",), forbidden=("link", "promise"), tokens=7),
    )
    assert (found.passed, found.total, found.share) == (2, 3, 2 / 3)
    assert found.tags == {"x": Tally(1, 2), "y": Tally(2, 2)}
    assert found.tags["x"].share == 0.5
    assert found.criteria == {"c": 0.75}
    assert [(one.expected, one.actual, one.count) for one in found.confusion] == [
        ("hand_over", "none", 1),
        ("none", "none", 1),
    ]
    assert (found.forbidden, found.cost, found.tokens) == (2, 0.5, 7)
    assert found.score == pytest.approx(2.5 / 3)


def test_soundness_is_a_share_and_every_must() -> None:
    results = [result("a"), result("b"), result("c", False)]
    assert evaluation(*results, file=0.6).sound
    assert not evaluation(*results, file=0.7).sound
    assert evaluation(*results, file=0.7, threshold=0.6).sound
    failed = evaluation(*results[:2], result("c", False, must=True), file=0.6)
    assert not failed.sound
    assert failed.failed_must == ("c",)
    assert not evaluation().sound


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sets(st.sampled_from("xyz")))))
def test_counts_add_up(rows: list[tuple[bool, bool, set[str]]]) -> None:
    results = [
        result(str(index), passed, must=must, tags=tuple(sorted(tags)), expected="none")
        for index, (passed, must, tags) in enumerate(rows)
    ]
    found = evaluation(*results)
    assert found.passed + sum(not one.passed for one in results) == found.total == len(rows)
    assert sum(one.count for one in found.confusion) == len(rows)
    assert sum(one.total for one in found.tags.values()) == sum(len(tags) for *_, tags in rows)
    again = evaluation(*reversed(results))
    assert (again.tags, again.confusion, again.passed) == (
        found.tags,
        found.confusion,
        found.passed,
    )


def test_versions_are_compared_by_the_same_cases() -> None:
    before = evaluation(
        result("better", False), result("worse"), result("same"), result("gone"),
        result("changed", digest="old"),
    )  # fmt: skip
    now = evaluation(
        result("better"), result("worse", False), result("same"), result("new"),
        result("changed", False, digest="new"), version="v2",
    )  # fmt: skip
    found = compare(before, now)
    assert (found.before, found.better, found.worse, found.same) == (
        "v1",
        ("better",),
        ("worse",),
        1,
    )
    assert (found.changed, found.new, found.gone) == (("changed",), ("new",), ("gone",))
    assert found.chance == 1.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_a_comparison_loses_no_case(rows: list[tuple[bool, bool]]) -> None:
    before = evaluation(*(result(str(i), was) for i, (was, _) in enumerate(rows)))
    now = evaluation(*(result(str(i), now) for i, (_, now) in enumerate(rows)), version="v2")
    one, other = compare(before, now), compare(now, before)
    assert len(one.better) + len(one.worse) + one.same == len(rows)
    assert (one.better, one.worse, one.chance) == (other.worse, other.better, other.chance)
    assert len(one.better) - len(one.worse) == now.passed - before.passed


def test_the_chance_is_that_of_the_sign_test() -> None:
    assert exact_chance(0, 0) == 1.0
    assert exact_chance(5, 0) == 2 / 32
    assert exact_chance(1, 9) == pytest.approx(2 * (1 + 10) / 1024)
    assert exact_chance(40, 40) == 1.0
    whole = [comb(7, k) / 2**7 for k in range(8)]
    assert exact_chance(6, 1) == pytest.approx(whole[0] + whole[1] + whole[6] + whole[7])


def test_the_last_of_another_version_or_model() -> None:
    first, second = evaluation(version="v1"), evaluation(version="v2")
    modelled = evaluation(version="v2", model="fast")
    now = evaluation(version="v2")
    assert last_of_another([first, second], now) == first
    assert last_of_another([first, second, modelled], now) == modelled
    assert last_of_another([second], now) is None
