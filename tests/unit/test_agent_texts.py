"""What ``forestall agent`` prints for people, and how results are kept."""

from pathlib import Path
from typing import Any

import pytest

from forestall.cli import agent_eval, agent_try
from forestall.cli.agent_results import keep, read_results
from forestall.contracts.errors import UnreadableInput
from forestall.intervene.agents.cases import Cases
from forestall.intervene.agents.evaluation import Evaluation, Judged, summarise
from forestall.intervene.agents.versions import compare


def result(name: str, *wrong: str, **more: Any) -> Judged:
    told: dict[str, Any] = {"digest": name, "actual": "none", "expected": "none", **more}
    return Judged(name=name, passed=not wrong, wrong=wrong, **told)


def evaluation(*results: Judged, version: str = "a" * 64, **more: Any) -> Evaluation:
    told: dict[str, Any] = {"at": "2026-12-01T00:00:00.000000Z", "model": None, **more}
    return summarise(Cases(agent="helper"), results, version=version, **told)


def lines(found: Evaluation, before: Evaluation | None = None) -> list[str]:
    places = {one.name: f"cases.yaml:{index}" for index, one in enumerate(found.results, 1)}
    comparison = None if before is None else compare(before, found)
    return list(agent_eval.text(found, comparison, places))


# -- evaluations -----------------------------------------------------------------------------------


def test_what_failed_comes_first_with_its_place() -> None:
    told = lines(evaluation(result("fine"), result("bad", "one thing", "another", must=True)))
    assert told[:3] == ["FAIL  MUST bad (cases.yaml:2)", "      one thing", "      another"]
    assert told[3] == (
        "helper aaaaaaaa with the composer: 1 of 2 cases passed (50.0 %, at least 90.0 %),"
        " score 1.00"
    )
    assert told[4] == "1 failed that must pass"


def test_sums_are_told_where_there_are_any() -> None:
    found = evaluation(
        result("a", tags=("card",), criteria={"tone": 0.5}, cost=0.25, tokens=1500),
        result("b", "it is there", forbidden=("link",), actual="hand_over"),
        model="fast",
    )
    told = lines(found)
    assert "helper aaaaaaaa with fast" in told[2]
    assert "forbidden things found: 1" in told
    assert "tokens 1,500, cost 0.2500" in told
    assert "  card                    1 of 1    100.0 %" in told
    assert "  rubric tone          0.50" in told
    assert "  expected none, got hand_over: 1" in told
    plain = " ".join(lines(evaluation(result("a"))))
    assert not any(word in plain for word in ("tokens", "forbidden", "rubric", "expected", "since"))


def test_a_comparison_names_every_case_that_changed() -> None:
    before = evaluation(
        result("better", "x"), result("worse"), result("same"), result("changed", digest="old"),
        result("gone"), version="b" * 64,
    )  # fmt: skip
    now = evaluation(
        result("better"), result("worse", "x"), result("same"), result("changed"), result("new")
    )
    told = lines(now, before)
    start = next(index for index, line in enumerate(told) if line.startswith("since"))
    assert told[start:] == [
        "since bbbbbbbb with the composer (2026-12-01): 1 better, 1 worse, 1 the same (p 1.000)",
        "  better  better",
        "  worse   worse",
        "  changed changed",
        "  new     new",
        "  gone    gone",
    ]


def test_control_characters_of_a_case_stay_in_it() -> None:
    found = evaluation(result("evil\x1b[31m", "got \x07"))
    assert "\x1b" not in "".join(lines(found))
    assert "\x07" not in "".join(lines(found))


# -- trials ----------------------------------------------------------------------------------------

INFERENCE = {"by": "model", "fallback": None, "tone": "calm", "calls": 0}


def shown(**more: Any) -> dict[str, Any]:
    return {
        "agent": "helper", "asks": "plan", "outcome": "done", "reason": None, "detail": "",
        "action": "none", "plan": None, "text": "", "fields": None, "evidence": [],
        "refused": [], "inference": INFERENCE, **more,
    }  # fmt: skip


def plan(**more: Any) -> dict[str, Any]:
    return {"hand_over": None, "actions": [], "rationale": "", **more}


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        (shown(), ["by model; the customer seems calm"]),
        (
            shown(plan=plan(hand_over="very-upset", rationale="rage"), inference={"by": "tone"}),
            ["hand over to a person: very-upset", "why: rage", "by tone"],
        ),
        (
            shown(
                plan=plan(
                    actions=[
                        {"action": "a", "arguments": {"b": 1}, "approve": True, "people": 2},
                        {"action": "c", "arguments": {}, "approve": False, "people": 1},
                    ]
                ),
                text="Done.",
                evidence=["x@1#y", "z@2#w"],
            ),
            [
                'do: a {"b":1}, 2 to approve',
                "do: c {}",
                "say: Done.",
                "evidence: x@1#y, z@2#w",
                "by model; the customer seems calm",
            ],
        ),
        (
            shown(
                outcome="failed",
                reason="no-model",
                detail="the agent has no answer",
                refused=[{"what": "link", "why": "it leads\naway"}],
                inference={"by": "model", "fallback": "refused", "tone": "upset", "calls": 2,
                           "tokens_in": 9, "tokens_out": 1, "cost": 0.5},
            ),
            [
                "no answer (no-model): the agent has no answer",
                "refused: link: it leads\\u000aaway",
                "by model, as refused; the customer seems upset",
                "calls 2, tokens 9 in and 1 out, cost 0.5000",
            ],
        ),
        (
            shown(asks="fields", fields={"category": "card"}, inference=None),
            ['fields: {"category":"card"}', "by None"],
        ),
        ({"agent": "a", "error": {"code": "bad-arguments", "message": "m"}}, ["bad-arguments: m"]),
    ],
)  # fmt: skip
def test_what_a_trial_prints(trial: dict[str, Any], told: list[str]) -> None:
    assert list(agent_try.text(trial)) == told


# -- results ---------------------------------------------------------------------------------------


def test_results_are_read_as_they_were_kept(tmp_path: Path) -> None:
    place = tmp_path / "r.jsonl"
    assert read_results(place) == []
    first, second = evaluation(result("a")), evaluation(result("a"), version="b" * 64)
    assert keep(place, first, [])
    assert keep(place, second, [first])
    assert read_results(place) == [first, second]
    assert place.read_bytes().endswith(b"}\n")


def test_the_same_is_not_kept_twice_but_a_return_to_it_is(tmp_path: Path) -> None:
    place = tmp_path / "r.jsonl"
    good, bad = evaluation(result("a")), evaluation(result("a", "x"))
    later = evaluation(result("a"), at="2026-12-02T00:00:00.000000Z")
    assert keep(place, good, [])
    assert not keep(place, later, [good])
    assert keep(place, bad, [good])
    assert keep(place, later, [good, bad])
    assert keep(place, evaluation(result("a"), model="fast"), [good, bad, later])
    assert len(read_results(place)) == 4


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="cannot be written"):
        keep(tmp_path / "no" / "r.jsonl", evaluation(result("a")), [])
    with pytest.raises(UnreadableInput, match="Is a directory"):
        read_results(tmp_path)
