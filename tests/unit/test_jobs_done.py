"""Attempts at jobs: what is done, what is tried again, what is uncertain, and the door before all."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from flow.intervening import START, World, event
from flow.reaching import Around, Vendor
from forestall.channels.base import Deduplication
from forestall.contracts.decision import Decision
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import HOUR, SECOND
from forestall.intervene.carry import Carrier
from forestall.intervene.deliver import Deliveries
from forestall.intervene.effect_store import Effect, Kind
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.running import Request, Running
from forestall.intervene.stage import Stage

MENDING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: mending, title: Mending, owner: payments}
spec:
  when: {event: payment.declined}
  playbook:
    - enrich: {from: card, with: {order: event.data.order_id}, fields: [brand], timeout: 5s}
    - remediate: {action: charge, fields: [receipt], timeout: 30s, queue: payments}
    - remediate: {action: tell, timeout: 30s, queue: payments}
"""
DONE = Outcome(outcome="done", fields={"brand": "V", "receipt": "r1"})
BUSY = Outcome(outcome="failed", reason="unreachable", again=True)
REFUSED = Outcome(outcome="failed", reason="precondition")
UNCERTAIN = Outcome(outcome="uncertain", reason="timeout")
UNVERIFIED = Outcome(outcome="failed", reason="verification", undone=True)


class Died(BaseException):
    """The process died while the job was under way."""


class Script:
    """A workshop that answers in order, the last answer for ever; ``found`` is what it finds."""

    def __init__(
        self,
        *answers: Outcome | BaseException | None,
        how: Deduplication = "neither",
        found: Outcome | None = None,
    ) -> None:
        self.answers, self.how, self.found = list(answers), how, found
        self.done: list[tuple[Job, str]] = []
        self.asked = 0

    def deduplication(self, _job: Job) -> Deduplication:
        return self.how

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        assert not dry
        self.done.append((job, key))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            await asyncio.sleep(3600)
        assert answer is not None
        return answer

    async def find(self, _job: Job, _key: str) -> Outcome | None:
        self.asked += 1
        return self.found


class Scene:
    """An intervention at its first step, and what happens with the effect that waits now."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.world, self.script = World(folder, MENDING), script
        self.world.settle(event("payment.declined", 0, order_id="o7"))
        self.around = Around(START, Vendor())
        self.around.seconds = 1
        self.use()
        self.reported = 0

    def use(self, **changes: object) -> None:
        surroundings = msgspec.structs.replace(
            self.around.surroundings,
            workshop=self.script,
            needed=self.world.stage.still_needed,
            **changes,
        )
        self.deliveries = Deliveries(self.world.store, surroundings)

    @property
    def effect(self) -> Effect:
        """The newest intent."""
        (one,) = self.world.store.newest(1)
        return self.world.store.effects.of(one.id)[-1]

    def attempt(self) -> str:
        effect = self.effect
        self.around.seconds = max(self.around.seconds, (effect.not_before - START) / SECOND)
        return asyncio.run(self.deliveries.attempt(effect.key, effect.attempt))

    def take(self, seconds: float = 2) -> None:
        """The reports come back, and the playbook goes on."""
        self.world.report(seconds)
        self.world.settle()

    def to_action(self) -> None:
        """The enrichment is done: the action waits."""
        answers, self.script.answers = self.script.answers, [DONE]
        assert self.attempt() == "done"
        self.take()
        self.script.answers = answers
        self.script.done.clear()

    def told(self) -> list[str]:
        return self.world.told()


def fields(one: CloudEvent) -> object:
    assert isinstance(one.data, msgspec.Raw)
    return msgspec.json.decode(one.data).get("fields")


def test_what_is_looked_up_fills_the_playbook_and_it_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(DONE))
    assert scene.attempt() == "done"
    (job, key) = scene.script.done[0]
    assert (job.kind, job.name, job.arguments) == ("enrich", "card", {"order": "o7"})
    assert scene.told()[-1] == "filled 1"
    assert fields(scene.world.waiting()[-1]) == {"brand": "V", "receipt": "r1"}
    assert scene.attempt() == "done before"
    scene.take()
    state = scene.world.store.state(scene.effect.intervention)
    assert state is not None
    assert state.fields == {"brand": "V"}
    assert (scene.effect.kind, scene.effect.channel) == ("action", "charge")
    assert scene.effect.key != key


def test_what_was_done_is_reported_and_its_evidence_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(msgspec.structs.replace(DONE, evidence={"answer": 200})))
    scene.to_action()
    assert scene.attempt() == "done"
    assert scene.told() == ["remediated 2"]
    assert scene.effect.result is not None
    assert msgspec.json.decode(scene.effect.result)["evidence"] == {"answer": 200}


def test_a_refusal_is_reported_with_its_reason(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(REFUSED))
    scene.to_action()
    assert scene.attempt() == "failed"
    assert scene.told() == ["failed 2 precondition"]
    assert scene.attempt() == "done before"


def test_a_failed_verification_says_that_it_was_undone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(UNVERIFIED))
    scene.to_action()
    scene.attempt()
    assert scene.told() == ["undone 2 verification", "failed 2 verification"]


def test_nobody_does_jobs_where_there_is_no_workshop(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(DONE))
    scene.deliveries = Deliveries(scene.world.store, scene.around.surroundings)
    assert scene.attempt() == "failed"
    assert scene.told()[-1] == "failed 1 refused"


def test_a_busy_other_side_is_tried_again_within_the_time_of_the_job(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(BUSY))
    results: list[str] = []
    while not results or results[-1] == "again":
        results.append(scene.attempt())
    assert results[-1] == "failed"
    assert 3 <= len(results) <= 6
    assert scene.around.seconds <= 1 + 5
    assert scene.told()[-1] == "failed 1 unreachable"
    assert len({key for _, key in scene.script.done}) == 1
    lefts = [job.timeout for job, _ in scene.script.done]
    assert lefts == sorted(lefts, reverse=True)


def test_the_other_sides_own_pause_is_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(msgspec.structs.replace(BUSY, retry_after=3 * SECOND), DONE))
    assert scene.attempt() == "again"
    assert scene.effect.not_before == START + 4 * SECOND
    assert scene.attempt() == "done"


def test_time_that_ran_out_while_nobody_worked_is_not_begun_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(BUSY))
    scene.attempt()
    scene.around.seconds = 60
    assert scene.attempt() == "failed"
    assert scene.told()[-1] == "failed 1 timeout"
    assert len(scene.script.done) == 1


@pytest.mark.parametrize("answer", [UNCERTAIN, Died()])
@pytest.mark.parametrize("how", ["dedupes", "lookup", "neither"])
def test_an_uncertain_action_is_repeated_asked_about_or_left(
    tmp_path: Path, how: Deduplication, answer: Outcome | BaseException
) -> None:
    scene = Scene(tmp_path, Script(answer, DONE, how=how, found=None))
    scene.to_action()
    if isinstance(answer, Died):
        with pytest.raises(Died):
            scene.attempt()
    result = scene.attempt()
    if how == "neither":
        assert result == "dropped"
        assert scene.told() == ["failed 2 uncertain"]
        assert len(scene.script.done) == 1
        return
    if isinstance(answer, Died):
        assert result == "again"
        result = scene.attempt()
    else:
        result = scene.attempt() if result == "again" else result
    assert result == "done"
    assert scene.script.asked == (1 if how == "lookup" else 0)
    assert len({key for _, key in scene.script.done}) == 1
    assert len(scene.script.done) == 2


@pytest.mark.parametrize(
    ("found", "told"), [(DONE, "remediated 2"), (REFUSED, "failed 2 precondition")]
)
def test_what_the_other_side_knows_is_not_done_again(
    tmp_path: Path, found: Outcome, told: str
) -> None:
    scene = Scene(tmp_path, Script(UNCERTAIN, DONE, how="lookup", found=found))
    scene.to_action()
    scene.attempt()
    scene.around.seconds = 3600
    scene.around.door.opted_out.add("s1")
    assert scene.attempt() in ("done", "failed"), "to ask is no effect"
    assert scene.told() == [told]
    assert len(scene.script.done) == 1


def test_who_can_never_be_asked_is_given_up_as_uncertain(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(UNCERTAIN, how="lookup", found=UNCERTAIN))
    scene.to_action()
    results: list[str] = []
    while not results or results[-1] == "again":
        results.append(scene.attempt())
    assert results[-1] == "dropped"
    assert scene.told() == ["failed 2 uncertain"]
    assert len(scene.script.done) == 1


def test_a_job_that_hangs_ends_with_its_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(None, how="neither"))
    effect = scene.effect
    short = msgspec.structs.replace(
        effect,
        body=effect.body.replace(b'"timeout":5000000', b'"timeout":20000'),
    )
    scene.world.store.effects.keep(short)
    assert scene.attempt() == "dropped"
    assert scene.told()[-1] == "failed 1 uncertain"


@pytest.mark.parametrize("reason", ["opted_out", "no_consent", "expired", "not_needed"])
def test_the_door_is_the_last_look_before_a_job(tmp_path: Path, reason: str) -> None:
    scene = Scene(tmp_path, Script(DONE))
    if reason == "opted_out":
        scene.around.door.opted_out.add("s1")
    elif reason == "no_consent":
        scene.around.door.withdrawn.add("s1")
    elif reason == "expired":
        scene.around.seconds = 3600
    else:
        scene.world.accept(event("forestall.ticket.opened", 1))
    assert scene.attempt() == reason
    assert scene.script.done == []
    assert scene.told()[-1] == f"failed 1 {reason}"


def test_what_a_lagging_worker_has_not_decided_is_looked_at_all_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(DONE))
    scene.world.accept(event("page.viewed", 1), event("forestall.ticket.opened", 2, "s2"))
    assert scene.attempt() == "done", "neither is about this intervention"


def test_an_undo_is_owed_whatever_the_customer_says(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(DONE))
    scene.to_action()
    scene.attempt()
    scene.take()
    scene.script.answers = [REFUSED]
    scene.attempt()
    scene.take(3)
    undo = scene.world.store.effects.waiting(START + HOUR, 9)[0]
    assert (undo.kind, undo.step, undo.channel) == ("undo", 2, "charge")
    scene.around.door.opted_out.add("s1")
    scene.deliveries.stopped("s1")
    scene.script.answers = [DONE]
    assert asyncio.run(scene.deliveries.attempt(undo.key, 1)) == "done"
    assert scene.told()[-1] == "undone 2"


@pytest.mark.parametrize("kind", ["enrich", "action"])
def test_a_pause_puts_jobs_off_and_costs_them_no_attempt(tmp_path: Path, kind: Kind) -> None:
    scene = Scene(tmp_path, Script(DONE))
    if kind == "action":
        scene.to_action()
    scene.use(paused=lambda subject, policy: f"{subject} {policy}")
    assert scene.deliveries.waiting(9) == []
    assert (scene.effect.attempt, scene.effect.detail) == (1, "paused")
    assert scene.attempt() == "again"
    assert scene.script.done == []
    scene.use()
    assert scene.attempt() == "done"


def test_a_stop_refuses_what_waits_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Script(BUSY))
    assert scene.attempt() == "again"
    scene.around.door.withdrawn.add("s1")
    scene.deliveries.stopped("s2")
    assert scene.effect.status == "waiting"
    scene.deliveries.stopped("s1")
    assert (scene.effect.status, scene.effect.detail) == ("refused", "no_consent")
    assert scene.told()[-1] == "failed 1 no_consent"


ASKING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: asking, title: Asking, owner: payments}
spec:
  when: {event: payment.declined}
  playbook:
    - approve: {for: 30m, on_failure: [{escalate: {queue: payments}}]}
    - remediate: {action: charge, timeout: 30s, queue: payments}
"""


def test_where_nobody_can_be_asked_the_answer_is_no(tmp_path: Path) -> None:
    world = World(tmp_path, ASKING)
    world.settle(event("payment.declined", 0))
    assert world.told() == ["started", "declined 1 nobody-to-ask"]
    world.report(1)
    world.settle()
    (waiting,) = world.store.effects.waiting(START + HOUR, 9)
    assert (waiting.kind, waiting.channel) == ("escalation", "payments")


class Asked:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.withdrawn: list[tuple[str, str]] = []

    def request(self, state: Running, request: Request, decision: Decision) -> None:
        assert state.id == decision.id
        self.requests.append(request)

    def withdraw(self, intervention: str, reason: str) -> None:
        self.withdrawn.append((intervention, reason))


def test_whoever_asks_people_is_told_what_and_when_it_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, ASKING)
    asked = Asked()
    world.carrier = Carrier(world.store, world.signals, world.runbooks, asked)
    world.stage = Stage(world.signals, world.decisions, world.store, world.carrier)
    world.settle(event("payment.declined", 0))
    ((request,), (one,)) = asked.requests, world.store.newest(1)
    assert (request.step, request.covers, request.action) == (1, 3, "charge")
    assert asked.withdrawn == []
    world.settle(event("forestall.optout", 1))
    assert asked.withdrawn == [(one.id, "opted_out")]
