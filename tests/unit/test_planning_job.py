"""An agent's plan on its way: the job, the report the gateway takes, the words, the case."""

import asyncio
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.intervening import START, World, event
from flow.reaching import Around, Vendor
from forestall.channels.helpdesk.text import _tried
from forestall.channels.redaction import redacted
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.decision import Decision
from forestall.contracts.event import CloudEvent, decode_data
from forestall.contracts.inference import By, Inference, Plan, PlannedAction, Turned
from forestall.contracts.intervention import Case, Tell
from forestall.ingest.admit import Rules, admit
from forestall.ingest.letter import Admitted, Letter, Sender
from forestall.intervene.deliver import Deliveries
from forestall.intervene.effect_store import Effect, decode_case, decode_job
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.masked import UnknownPlaceholder, own_masks, unmasked
from forestall.intervene.reports import report_event
from forestall.intervene.splice import MOST_ACTIONS, read_plan
from forestall.intervene.telling import (
    LARGEST_INFERENCE,
    LARGEST_PLAN,
    tellable_inference,
    tellable_plan,
)
from forestall.log.streams import read_signals
from forestall.privacy.keys import Keys

MAIL = "kim.muster@example.com"
PLANNING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: planning, title: Planning, owner: payments}
spec:
  when: {event: payment.declined}
  playbook:
    - plan:
        agent: helper
        with: {text: event.data.text, payment: event.data.payment}
        queue: payments
"""
INFERENCE = Inference(
    agent="helper",
    version="a" * 64,
    by="composer",
    fallback="refused",
    evidence=("card-declined@7#customer",),
    refused=(Turned("action retry-charge", "it is not granted"),),
)
PLAN = Plan(
    message="We write to [email-1], {{ subject.name }}.",
    runbook="card-declined",
    actions=(PlannedAction("resend", {"payment": "event.data.payment"}),),
    rationale="The card expired.",
)


class Scripted:
    """A workshop whose agent gives one outcome, and whose actions are done."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome, self.done = outcome, list[Job]()

    def deduplication(self, _job: Job) -> Any:
        return "dedupes"

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        assert key
        assert not dry
        self.done.append(job)
        return self.outcome if job.kind == "plan" else Outcome(outcome="done")

    async def find(self, _job: Job, _key: str) -> Outcome | None:
        return None


class Scene:
    """A declined payment whose customer is helped by plan."""

    def __init__(self, folder: Path, outcome: Outcome) -> None:
        folder.mkdir(exist_ok=True)
        self.world, self.script = World(folder, PLANNING), Scripted(outcome)
        self.world.settle(
            event("payment.declined", 0, text=f"write me: {MAIL}", payment="p7", order_id="o7")
        )
        self.around = Around(START, Vendor())
        self.around.seconds = 1
        self.use()

    def use(self) -> None:
        around = msgspec.structs.replace(self.around.surroundings, workshop=self.script)
        self.deliveries = Deliveries(self.world.store, around)

    def effects(self) -> list[Effect]:
        (one,) = self.world.store.newest(1)
        return self.world.store.effects.of(one.id)

    def carry_on(self) -> None:
        """Whatever waits is attempted, reported and taken in, until nothing moves."""
        for second in range(2, 9):
            for effect in self.effects():
                if effect.status == "waiting":
                    asyncio.run(self.deliveries.attempt(effect.key, effect.attempt))
            self.world.report(second)
            self.world.settle()

    def case(self) -> Case:
        (escalation,) = (one for one in self.effects() if one.kind == "escalation")
        return decode_case(escalation)


def test_a_plan_is_carried_out_and_said_in_the_customer_s_own_words(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Outcome(outcome="done", plan=PLAN, inference=INFERENCE))
    (planning,) = scene.effects()
    assert (planning.kind, planning.channel) == ("plan", "helper")
    assert decode_job(planning).signals == ("planning", "payment.declined")
    scene.carry_on()
    (action,) = (job for job in scene.script.done if job.kind == "action")
    assert action.arguments == {"payment": "event.data.payment"}, "as it was planned"
    (said,) = scene.world.messages(seconds=9)
    first, _, rest = said.partition("\n\n")
    assert first == f"We write to {MAIL}, {{{{ subject.name }}}}."
    assert rest, "the runbook's words come after the agent's"
    logged = b"".join(bytes(one.payload) for one in scene.world.signals.read("signals"))
    told = logged[logged.index(b"intervention.started") :]
    assert MAIL.encode() not in told, "the log has it masked"


def test_which_argument_was_wrong_stands_in_the_log_and_the_case(tmp_path: Path) -> None:
    detail = 'arguments.payment: [REDACTED] is not of type "integer"' + "." * 500
    scene = Scene(tmp_path, Outcome(outcome="failed", reason="bad-arguments", detail=detail))
    scene.carry_on()
    (one,) = scene.world.store.newest(1)
    (failed,) = (taken for taken in one.taken if taken.what == "failed")
    assert failed.reason == f"bad-arguments ({detail[:200]})"
    tells = [
        msgspec.convert(decode_data(record.data), Tell)
        for batch in scene.world.signals.read("signals")
        for record in read_signals(batch)
        if record.type == "forestall.intervention.failed"
    ]
    assert (tells[0].reason, tells[0].detail) == ("bad-arguments", detail[:200])


def test_an_argument_without_a_value_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, PLANNING)
    world.settle(event("payment.declined", 0, text="help", order_id="o7"))
    (one,) = world.store.newest(1)
    (failed,) = (taken for taken in one.taken if taken.what == "failed")
    assert failed.reason == ("bad-arguments (arguments.payment: event.data.payment has no value)")


def test_a_restart_at_any_moment_changes_nothing(tmp_path: Path) -> None:
    outcome = Outcome(outcome="done", plan=PLAN, inference=INFERENCE)
    plain, cut = Scene(tmp_path / "a", outcome), Scene(tmp_path / "b", outcome)
    plain.carry_on()
    for second in range(2, 9):
        for effect in cut.effects():
            if effect.status == "waiting":
                asyncio.run(cut.deliveries.attempt(effect.key, effect.attempt))
                cut.world.restart()
                cut.use()
        cut.world.report(second)
        cut.world.restart()
        cut.world.settle()
        cut.use()
    assert cut.world.messages(seconds=9) == plain.world.messages(seconds=9) != []
    assert cut.script.done == plain.script.done
    assert [one.key for one in cut.effects()] == [one.key for one in plain.effects()]


def test_a_planning_cut_off_is_asked_again_under_its_key(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Outcome(outcome="done", plan=PLAN))
    (effect,) = scene.effects()
    scene.world.store.effects.keep(msgspec.structs.replace(effect, began=1))
    assert asyncio.run(scene.deliveries.attempt(effect.key, 1)) == "again"
    again = scene.effects()[0]
    assert (again.key, again.attempt, again.uncertain) == (effect.key, 2, True)


@pytest.mark.parametrize(
    "message",
    ["Write to [email-2].", "Your card [card-1] was declined."],
)
def test_nobody_is_shown_a_placeholder(tmp_path: Path, message: str) -> None:
    scene = Scene(tmp_path, Outcome(outcome="done", plan=Plan(message=message)))
    scene.carry_on()
    assert scene.world.messages(seconds=9) == []
    (one,) = scene.world.store.newest(1)
    assert (one.outcome, one.reason) == ("failed", "unknown-placeholder")


@pytest.mark.parametrize(
    ("outcome", "detail"),
    [
        (Outcome(outcome="done"), "no plan came of it"),
        (Outcome(outcome="done", plan=Plan(message="x" * 9_000)), "the plan is too large"),
        (Outcome(outcome="done", plan=Plan(message="x\x00")), "the plan is too large"),
    ],
)
def test_what_the_log_cannot_hold_fails_and_people_take_over(
    tmp_path: Path, outcome: Outcome, detail: str
) -> None:
    scene = Scene(tmp_path, outcome)
    scene.carry_on()
    escalation, planning = sorted(scene.effects(), key=lambda one: one.kind)
    assert (planning.status, planning.detail) == ("failed", detail)
    assert escalation.channel == "payments"
    (one,) = scene.world.store.newest(1)
    assert (one.outcome, one.reason) == ("escalated", "bad-plan")


def test_people_see_what_was_planned_and_how(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, hand_over="hardship")
    scene = Scene(tmp_path, Outcome(outcome="done", plan=plan, inference=INFERENCE))
    scene.carry_on()
    case = scene.case()
    (tried,) = case.tried
    assert (tried.kind, tried.outcome) == ("plan", "done")
    assert (tried.plan, tried.inference) == (plan, INFERENCE)
    assert tried.arguments == {"text": "write me: [email-1]", "payment": "p7"}
    assert [one for one in case.taken if one.what == "filled"]
    assert scene.world.messages(seconds=9) == []
    assert _tried(case) == [
        "1. plan helper: done payment=p7, text=write me: [email-1]",
        "   planned: resend payment=event.data.payment",
        "   to be said: We write to [email-1], {{ subject.name }}. – card-declined",
        "   because: The card expired.",
        "   helper answered by composer, as the model did not (refused), from"
        " card-declined@7#customer",
        "   refused: action retry-charge: it is not granted",
    ]
    partner = redacted(case, "partner")
    assert (partner.tried[0].plan, partner.tried[0].inference) == (None, None)
    assert "plans" in partner.withheld


def test_a_failed_planning_tells_how_it_came_to_that(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Outcome(outcome="failed", reason="refused", inference=INFERENCE))
    (effect,) = scene.effects()
    assert asyncio.run(scene.deliveries.attempt(effect.key, 1)) == "failed"
    report = scene.world.waiting()[-1]
    assert report.type == "forestall.intervention.failed"
    assert msgspec.convert(data_of(report)["inference"], Inference) == INFERENCE


# -- what an event can carry


def data_of(report: CloudEvent) -> Any:
    assert isinstance(report.data, msgspec.Raw)
    return msgspec.json.decode(report.data)


DECISION = Decision(
    id="d1",
    policy="p",
    version="v",
    mode="live",
    subject="s1",
    key=None,
    at="2023-11-14T22:13:20.000000Z",
    outcome="intervene",
    reason=None,
    matched=("e1",),
    features={},
    explanation="Because.",
)
TEXT = st.text(max_size=50) | st.sampled_from(["x" * 9_000, "ä" * 500, "\x00", "\x01" * 3_000])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)
PLANS = st.builds(
    Plan,
    message=TEXT,
    runbook=st.none() | TEXT,
    actions=st.lists(
        st.builds(
            PlannedAction,
            action=st.sampled_from(["a", "x" * 300]),
            arguments=st.dictionaries(TEXT, JSON, max_size=3),
            people=st.integers(0, 6),
        ),
        max_size=3,
    ).map(tuple),
    hand_over=st.none() | TEXT,
    rationale=TEXT,
    evidence=st.lists(TEXT, max_size=40).map(tuple),
    confidence=st.floats(-1, 2),
)
INFERENCES = st.builds(
    Inference,
    agent=st.just("helper"),
    version=st.just("a" * 64),
    by=st.sampled_from(get_args(By)),
    evidence=st.lists(TEXT, max_size=40).map(tuple),
    refused=st.lists(st.builds(Turned, what=TEXT, why=TEXT), max_size=40).map(tuple),
    model=st.none() | TEXT,
    tone=st.none() | TEXT,
    fallback=st.none() | TEXT,
    cost=st.floats(0, 5),
)


@given(PLANS, INFERENCES)
def test_the_gateway_takes_every_plan_that_is_told(plan: Plan, inference: Inference) -> None:
    told = tellable_plan(plan)
    if told is None:
        return
    report = report_event(
        DECISION, "s1", "filled", START, 1, fields={}, plan=told, inference=inference
    )
    letter = Letter(
        msgspec.json.encode(report), Sender("forestall", "server", internal=True), START
    )
    found = admit(letter, Rules(load_catalogue(), Keys(b"m" * 32).token, strict=False))
    assert isinstance(found, Admitted), found
    kept = msgspec.json.decode(found.data)
    assert read_plan(kept["plan"]) == told, "it arrives as it was told"
    assert (told.message, told.actions, told.runbook) == (plan.message, plan.actions, plan.runbook)
    assert len(msgspec.json.encode(told)) <= LARGEST_PLAN
    assert msgspec.convert(kept["inference"], Inference) == tellable_inference(inference)


@given(INFERENCES, st.none() | TEXT)
def test_the_gateway_takes_every_failure_that_is_told(
    inference: Inference, detail: str | None
) -> None:
    report = report_event(
        DECISION, "s1", "failed", START, 1, "nothing-found", inference=inference, detail=detail
    )
    letter = Letter(
        msgspec.json.encode(report), Sender("forestall", "server", internal=True), START
    )
    found = admit(letter, Rules(load_catalogue(), Keys(b"m" * 32).token, strict=False))
    assert isinstance(found, Admitted), found
    kept = msgspec.json.decode(found.data)
    assert msgspec.convert(kept["inference"], Inference) == tellable_inference(inference)


@given(INFERENCES)
def test_an_inference_is_cut_to_size(inference: Inference) -> None:
    told = tellable_inference(inference)
    assert len(msgspec.json.encode(told)) <= LARGEST_INFERENCE
    small = tellable_inference(INFERENCE)
    assert small == INFERENCE


def test_an_ordinary_plan_is_told_as_it_is() -> None:
    assert tellable_plan(PLAN) == PLAN
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"x": deep}
    action = PlannedAction("a", deep)
    assert tellable_plan(Plan(actions=(action,))) is None
    many = (PlannedAction("a"),) * (MOST_ACTIONS + 1)
    assert tellable_plan(Plan(actions=many)) is None
    assert tellable_plan(Plan(actions=many[1:])) is not None


# -- masks


def test_the_masks_of_an_answer_are_made_anew() -> None:
    arguments = {"b": f"Mail {MAIL} or a@b.example", "a": MAIL}
    masks, hidden = own_masks(arguments)
    assert MAIL not in msgspec.json.encode(hidden).decode()
    assert masks.restored(hidden) == arguments
    (placeholder,) = (name for name, value in masks.known.items() if value == MAIL)
    assert unmasked(f"To {placeholder}!", arguments) == f"To {MAIL}!"
    assert unmasked("Nothing of yours, {{ x }}", {}) == "Nothing of yours, {{ x }}"
    with pytest.raises(UnknownPlaceholder, match="email-3"):
        unmasked("[email-3]", arguments)


def test_what_is_nested_in_arguments_and_fields_arrives() -> None:
    nested: dict[str, object] = {"lines": [{"sku": "s1", "options": {"gift": None}}], "ids": [1, 2]}
    plan = Plan(actions=(PlannedAction(action="a", arguments={"order": nested}),))
    told = tellable_plan(plan)
    assert told is not None
    report = report_event(DECISION, "s1", "filled", START, 1, fields={"order": nested}, plan=told)
    sender = Sender("forestall", "server", internal=True)
    found = admit(
        Letter(msgspec.json.encode(report), sender, START),
        Rules(load_catalogue(), Keys(b"m" * 32).token, strict=False),
    )
    assert isinstance(found, Admitted), found
    kept = msgspec.json.decode(found.data)
    assert kept["fields"] == {"order": nested}
    assert read_plan(kept["plan"]) == told
