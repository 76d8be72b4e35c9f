"""The controller: what it does with looks, and what it never does."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.app.canary import SLICE, act, keep_canaries, ladder
from forestall.contracts.control import Transition
from forestall.contracts.instants import HOUR
from forestall.kernel.settings import Canary, Guardrail, Settings
from forestall.log.sqlite import SqliteLog
from forestall.measure.canary import DEFAULTS, Kind, Sizes, Watched
from forestall.measure.canary_log import CanaryLook
from forestall.measure.verdict import Look, Verdict
from forestall.policy.lifecycle import Artifact, Rules
from registries import ANN, BOB, WAY, Desk, policy

LOW, HIGH = policy("new"), policy("risky", risk="high")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "registry.db", rules=Rules(shadow=0))
    yield made
    made.registry.close()


def begin(desk: Desk, one: Artifact = LOW, share: float = 0.1, upto: float = 0.5) -> None:
    """Bring a version into canary, with a second person where one is needed."""
    desk.bring(one, *WAY)
    desk.ask(one, "canary", share=share, upto=upto)
    for waiting in desk.registry.pending():
        desk.registry.second(waiting.id, BOB, "fine", desk.now)


def seen(
    verdict: Verdict,
    one: Artifact = LOW,
    share: float = 0.1,
    next_: float | None = 0.5,
    number: int = 1_000,
) -> CanaryLook:
    kind: Kind = "policy"
    look = Look(
        verdict=verdict,
        why=("because",),
        at=1,
        begun=0,
        share=share,
        earlier=0.0,
        lasted=1,
        active=Sizes(5, 45),
        settled=Sizes(5, 45),
        exposed=1,
        joined=0,
        contaminated=0,
        guardrails=(),
    )
    return CanaryLook(
        kind=kind, name=one.name, version=one.version, next=next_, number=number, look=look
    )


def do(desk: Desk, *looks: CanaryLook, automatic: bool = False) -> list[Transition]:
    """The transitions that follow from ``looks``."""
    before = desk.registry.version()
    desk.now += 1
    act(looks, desk.registry, desk.now, automatic=automatic)
    return desk.registry.transitions(before)


def verdicts(desk: Desk, one: Artifact = LOW) -> dict[str, Any]:
    found = desk.registry.findings("policy", one.name, one.version)
    return found["canary"].evidence if "canary" in found else {}


@pytest.mark.parametrize("automatic", [True, False])
def test_a_failed_canary_is_rolled_back_with_its_evidence(desk: Desk, automatic: bool) -> None:
    begin(desk)
    (done,) = do(desk, seen("fail"), automatic=automatic)
    assert (done.before, done.after, done.by) == ("canary", "backtested", "canary")
    assert done.why == "canary at 10 %: because"
    assert done.evidence["canary"]["active"] == {"canary": 5, "rest": 45}
    assert desk.held() == []
    assert verdicts(desk)["verdict"] == "fail"
    assert do(desk, seen("fail"), automatic=automatic) == []


def test_also_one_of_high_risk_and_while_its_share_grows(desk: Desk) -> None:
    begin(desk, HIGH, share=0.5)
    (done,) = do(desk, seen("fail", HIGH, share=0.1))
    assert done.after == "backtested"


def test_the_version_that_is_live_stays(desk: Desk) -> None:
    begin(desk, policy("old"))
    do(desk, seen("pass", policy("old"), next_=None), automatic=True)
    begin(desk)
    do(desk, seen("fail"))
    assert desk.held() == [("live", policy("old").version)]


@pytest.mark.parametrize("verdict", ["inconclusive", "no_data"])
@pytest.mark.parametrize("next_", [0.5, None])
def test_without_a_pass_nothing_moves_however_often_it_looks(
    desk: Desk, verdict: Verdict, next_: float | None
) -> None:
    begin(desk)
    for _ in range(20):
        assert do(desk, seen(verdict, next_=next_), automatic=True) == []
    assert verdicts(desk)["verdict"] == verdict
    assert [one.mode for one in desk.registry.standing().in_force()] == ["canary"]


def test_what_was_seen_of_a_canary_before_it_began_anew_lets_nothing_pass(desk: Desk) -> None:
    """The worker may not have put the new one in force yet."""
    begin(desk)
    known = desk.registry.version()
    assert do(desk, seen("pass", number=known)) == []
    assert verdicts(desk)["verdict"] == "pass"
    desk.ask(LOW, "shadow")
    desk.ask(LOW, "canary", share=0.1)
    place = desk.registry.standing().place("blue", "policy", LOW.name, LOW.version)
    for automatic in (False, True):
        assert do(desk, seen("pass", next_=None, number=known), automatic=automatic) == []
    found = desk.registry.findings("policy", LOW.name, LOW.version)["canary"]
    assert place is not None
    assert found.at < place.since, "so a person cannot let it go live on that either"
    (live,) = do(desk, seen("pass", next_=None, number=desk.registry.version()), automatic=True)
    assert live.after == "live"


def test_a_pass_grows_the_canary_by_itself_only_where_that_is_granted(desk: Desk) -> None:
    begin(desk)
    assert do(desk, seen("pass")) == []
    (grown,) = do(desk, seen("pass"), automatic=True)
    assert (grown.after, grown.share, grown.by) == ("canary", 0.5, "canary")
    assert do(desk, seen("pass"), automatic=True) == [], "the look was at the smaller share"
    (live,) = do(desk, seen("pass", share=0.5, next_=None), automatic=True)
    assert (live.before, live.after) == ("canary", "live")


def test_a_person_may_publish_what_passed_its_last_step(desk: Desk) -> None:
    begin(desk)
    do(desk, seen("pass", next_=None))
    (live,) = desk.ask(LOW, "live", BOB)
    assert live.after == "live"


def test_above_low_risk_a_person_is_asked_once(desk: Desk) -> None:
    begin(desk, HIGH, upto=0.1)
    for _ in range(3):
        assert do(desk, seen("pass", HIGH), automatic=True) == []
    (asked,) = desk.registry.pending()
    assert (asked.by, asked.ask.after, asked.ask.share) == ("canary", "canary", 0.5)
    desk.registry.decline(asked.id, ANN, "not yet", desk.now)
    assert do(desk, seen("pass", HIGH), automatic=True) == []
    assert desk.registry.pending() == []


def test_a_verdict_is_kept_when_it_says_something_new(desk: Desk) -> None:
    begin(desk)
    kept = []
    for verdict in ("no_data", "no_data", "inconclusive", "pass", "pass", "inconclusive"):
        do(desk, seen(verdict))
        kept.append(desk.registry.findings("policy", LOW.name, LOW.version)["canary"].at)
    assert [later > before for before, later in pairwise(kept)] == [
        False, True, True, False, True,
    ]  # fmt: skip


def test_what_is_no_canary_any_more_is_left_alone(desk: Desk) -> None:
    begin(desk)
    desk.ask(LOW, "retired", BOB)
    assert do(desk, seen("fail"), seen("pass", policy("never put")), automatic=True) == []


# -- settings ------------------------------------------------------------------------------------


def test_the_guardrails_are_the_usual_ones_but_for_what_is_set() -> None:
    assert ladder(Canary()).guardrails == DEFAULTS
    set_ = {
        "tickets": Guardrail(margin=0.01),
        "latency": Guardrail(off=True),
        "complaints": Guardrail(event="complaint.filed", tolerance=0.002),
        "slow": Guardrail(latency=True, margin=5),
        "dismissed": Guardrail(event="closed"),
    }
    found = {one.name: one for one in ladder(Canary(guardrails=set_)).guardrails}
    assert found["tickets"] == msgspec.structs.replace(DEFAULTS[0], margin=0.01)
    assert found["complaints"] == Watched(
        name="complaints", event="complaint.filed", tolerance=0.002
    )
    assert (found["slow"].latency, found["slow"].margin) == (True, 5)
    assert (found["dismissed"].event, found["dismissed"].shown) == ("closed", False)
    assert found["errors"] == DEFAULTS[2]
    assert "latency" not in found


def test_the_ladder_is_that_of_the_settings() -> None:
    found = ladder(Canary(steps=("5% for 1h", "50 % for 2h"), alpha=0.1, least=7))
    assert found.steps == ((0.05, HOUR), (0.5, 2 * HOUR))
    assert (found.alpha, found.least) == (0.1, 7)


# -- the loop ------------------------------------------------------------------------------------


def test_it_stops_when_told_and_reads_in_small_slices(tmp_path: Path, desk: Desk) -> None:
    for name in ("gateway.db", "worker.db"):
        SqliteLog(tmp_path / name).close()
    settings = Settings(data=tmp_path, canary=Canary(every="10ms"))

    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(keep_canaries(settings, desk.registry, lambda: 1, stop))
        await asyncio.sleep(0)
        assert not task.done()
        stop.set()
        await asyncio.wait_for(task, 20)

    asyncio.run(run())
    assert SLICE <= 0.05
