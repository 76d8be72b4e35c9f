"""From the log to messages, intents and reports; cut off anywhere, nothing is doubled or lost."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.intervening import DECLINED_TWICE, RUNBOOK, SILENT_AFTER, START, World, event
from forestall.context.knowledge.runbooks import read_runbook
from forestall.contracts.control import DecideSettings, SettingsApplied, SwitchesApplied
from forestall.contracts.decision import Decided
from forestall.contracts.event import Record
from forestall.contracts.instants import MINUTE, SECOND
from forestall.contracts.intervention import Message, Show
from forestall.intervene import stage
from forestall.intervene.effect_store import Effect, decode_case
from forestall.intervene.running import Say
from forestall.intervene.store import Store, Summary
from forestall.log import streams
from forestall.policy.language.model import Guide

DECLINES = (
    event("payment.declined", 0, order_id="o1"),
    event("payment.declined", 10, order_id="o2"),
)


def effects(world: World) -> list[Effect]:
    return world.store.effects.waiting(START * 2, 100)


def decided(world: World) -> list[Decided]:
    batches = world.decisions.follow(streams.DECISIONS)
    return [entry for batch in batches for entry in streams.read_decisions(batch)]


def newest(world: World) -> Summary:
    return world.store.newest(1)[0]


def test_a_decision_becomes_a_message_and_a_report(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(event("forestall.identify", 0, traits={"plan": "pro"}), *DECLINES)
    assert world.messages() == ["Order o2 on your pro plan is safe."]
    assert world.told() == ["started"]
    (report,) = world.waiting()
    assert (report.subject, report.time) == ("s1", "2023-11-14T22:13:30.000000Z")
    assert isinstance(report.data, msgspec.Raw)
    data = msgspec.json.decode(report.data)
    assert data["intervention"] == newest(world).id
    assert (data["policy"], len(data["version"])) == ("card-declined", 64)


NOTICED = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: %s, title: Operators read this, owner: web}
spec:
  when: {event: %s}
  playbook:
    - guide: {%s, channel: inapp}
"""


BOOK, WHY = "runbook: card-declined", "why: Order {{ event.data.order_id }} failed.\n"


@pytest.mark.parametrize(
    ("line", "words", "expected"),
    [(WHY, BOOK, "Order o1 failed."), ("", BOOK, ""), (WHY, "text: Sorry.", "")],
)
def test_why_is_the_runbooks_and_never_the_operators(
    tmp_path: Path, line: str, words: str, expected: str
) -> None:
    message = _said(tmp_path, line, words)
    assert (message.why, message.noticed) == (expected, None)
    assert "perators" not in str(message)


@pytest.mark.parametrize(
    ("line", "words", "locale"),
    [("language: de\n", BOOK, "de"), ("", BOOK, None), ("language: de\n", "text: Sorry.", None)],
)
def test_a_message_is_in_the_language_of_its_runbook(
    tmp_path: Path, line: str, words: str, locale: str | None
) -> None:
    message = _said(tmp_path, line, words)
    assert message.locale == locale


def test_a_why_without_its_value_is_not_said(tmp_path: Path) -> None:
    world = World(tmp_path, NOTICED % ("noticed", "a", BOOK))
    text = RUNBOOK.replace(
        "fields: [", "why: At {{ event.data.shop }}.\nfields: [event.data.shop, "
    )
    world.runbooks["card-declined"] = read_runbook(text, "card.md")
    world.settle(event("a", 0, order_id="o1"))
    assert "failed 1 missing-value" in world.told()


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [("client.error", "error"), ("client.wait", "wait"), ("client.help", "asked"), ("b", None)],
)
def test_a_message_says_what_kind_of_thing_was_noticed(
    tmp_path: Path, event_type: str, kind: str | None
) -> None:
    world = World(tmp_path, NOTICED % ("noticed", event_type, "text: Sorry."))
    world.settle(event(event_type, 0, origin="browser", topic="x"))
    ((_, _, message),) = world.store.messages_after("s1", 0, START)
    assert (message.why, message.noticed) == ("", kind)


def test_nothing_is_taken_before_the_worker_decided_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.accept(*DECLINES)
    world.carry_out()
    assert world.store.cursor("signals") == 0
    world.settle()
    assert world.told() == ["started"]


def test_success_ends_it_and_takes_the_message_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES, event("payment.succeeded", 20))
    assert world.told() == ["started", "resolved 2"]
    assert world.messages() == []
    assert (newest(world).outcome, newest(world).reason) == ("resolved", None)


def test_silence_becomes_a_case_for_people(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    world.report(11)
    world.tick(15 * 60)
    world.settle()
    (effect,) = effects(world)
    case = decode_case(effect)
    assert (case.queue, case.customer, case.policy) == ("payments", "s1", "card-declined")
    assert case.events == ("payment.declined-0", "payment.declined-10")
    assert case.advice == "Look at the decline code first."
    assert [taken.what for taken in case.taken] == ["started", "expired"]
    assert effect.key == case.id
    assert world.told() == ["expired 1 undelivered"]


def test_a_timers_decision_starts_one_and_text_reads_the_event(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(event("page.failed", 0, path="/pay"))
    world.tick(40)
    world.settle()
    assert world.messages(seconds=31) == ["Sorry about /pay."]
    assert newest(world).at == "2023-11-14T22:13:50.000000Z"
    world.settle(event("page.viewed", 60))
    assert newest(world).outcome == "helped"


def test_a_missing_value_fails_the_step_and_says_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(event("page.failed", 0))
    world.tick(40)
    world.settle()
    assert world.messages(seconds=31) == []
    assert world.told() == ["started", "failed 1 missing-value"]
    world.report(41)
    world.settle()
    assert newest(world).outcome == "running", "the wait goes on"


def shown_as(tmp_path: Path, front: str, *records: Record) -> tuple[World, Message | None]:
    """What a page gets where the runbook's front matter says so besides."""
    world = World(tmp_path)
    text = RUNBOOK.replace("---\n## Customer", front + "---\n## Customer")
    world.runbooks["card-declined"] = read_runbook(text, "card.md")
    world.settle(*records, *DECLINES)
    found = [message for _, _, message in world.store.messages_after("s1", 0, START)]
    return world, found[0] if found else None


def test_a_message_says_how_it_is_shown_and_which_version_made_it(tmp_path: Path) -> None:
    world, message = shown_as(tmp_path, "show: {as: hint, at: '#card'}\n")
    assert message is not None
    assert message.show == Show("hint", "#card")
    assert message.version == decided(world)[-1].decision.version
    assert (message.steps, message.known) == ((), ())


def test_a_checklist_has_its_steps_with_the_customers_own_values(tmp_path: Path) -> None:
    front = (
        "show: {as: checklist}\nknown: [nobody sees this]\nsteps:\n"
        "  - Look at order {{ event.data.order_id }}.\n"
        '  - Ask about your {{ subject.plan | default("current") }} plan.\n'
    )
    traits = event("forestall.identify", 0, traits={"plan": "p" * 300})
    _, message = shown_as(tmp_path, front, traits)
    assert message is not None
    assert message.steps == ("Look at order o2.", f"Ask about your {'p' * 200} plan.")
    assert (message.show, message.known) == (Show("checklist"), ())


def test_a_hand_over_says_what_is_known_already(tmp_path: Path) -> None:
    front = (
        "show: {as: handover}\nknown: ['The order {{ event.data.order_id }}', A declined card]\n"
    )
    _, message = shown_as(tmp_path, front)
    assert message is not None
    assert message.known == ("The order o2", "A declined card")


def test_a_value_that_is_missing_anywhere_fails_the_step(tmp_path: Path) -> None:
    front = "show: {as: handover}\nknown: ['Your {{ subject.plan }} plan']\n"
    world, message = shown_as(tmp_path, front)
    assert message is None
    assert world.told() == ["started", "failed 1 missing-value"]


@pytest.mark.parametrize(
    ("front", "spoken"),
    [("", 2), ("show: {as: handover}\nknown: ['Order {{ event.data.order_id }}']\n", 1)],
)
def test_values_that_make_promises_are_in_no_part_of_what_an_agent_chose(
    tmp_path: Path, front: str, spoken: int
) -> None:
    world = World(tmp_path)
    text = RUNBOOK.replace("Order {{ event.data.order_id }} on", "All on")
    text = text.replace("---\n## Customer", front + "---\n## Customer")
    world.runbooks["card-declined"] = read_runbook(text, "card.md")
    promise = event("payment.declined", 10, order_id="We refund you 500 euros")
    world.settle(DECLINES[0], promise)
    (state,) = world.store.running()
    node, *rest = state.program
    chosen = msgspec.structs.replace(
        state, program=(msgspec.structs.replace(node, planned=1), *rest)
    )
    assert isinstance(node.step, Guide)
    again = Say(1, node.step, state.at, state.at + MINUTE, "another")
    with world.store.transaction():
        world.carrier.carry_out(chosen, [again])
    assert len(world.messages()) == spoken
    assert ("failed 1 missing-value" in world.told()) == (spoken == 1)


def test_an_unknown_runbook_fails_the_step(tmp_path: Path) -> None:
    world = World(tmp_path, DECLINED_TWICE.replace("runbook: card-declined", "runbook: gone"))
    world.settle(*DECLINES)
    assert world.told() == ["started", "failed 1 no-runbook"]


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (event("forestall.optout", 20), "opted_out"),
        (event("forestall.consent.withdrawn", 20, purpose="support"), "no_consent"),
        (event("forestall.ticket.opened", 20, ticket="t1"), "ticket_opened"),
    ],
)
def test_a_stop_takes_everything_back(tmp_path: Path, stop: Record, reason: str) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    world.settle(stop)
    assert world.messages() == []
    assert (newest(world).outcome, newest(world).reason) == ("cancelled", reason)
    world.tick(3600)
    world.settle()
    assert effects(world) == []


def test_an_opt_out_stops_a_case_that_has_not_left(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    world.tick(15 * 60)
    world.settle()
    assert len(effects(world)) == 1
    world.settle(event("forestall.optout", 16 * 60))
    assert effects(world) == []


def test_a_switched_off_policy_stops_what_it_has_begun(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    off = SwitchesApplied(received=0, off=("card-declined",), everything_off=False, by="", why="")
    world.govern(off)
    world.carry_out()
    assert (newest(world).outcome, newest(world).reason) == ("cancelled", "killed")
    world.restart()
    world.carry_out()
    assert newest(world).reason == "killed"


def test_settings_in_force_say_what_is_late(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.govern(SettingsApplied(0, DecideSettings(lateness=30 * SECOND), "", ""))
    world.settle(*DECLINES)
    world.settle(event("payment.succeeded", 20, received=60))
    assert newest(world).outcome == "running"


def test_suppressed_and_shadow_decisions_start_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES, *[event("payment.declined", 20 + n) for n in range(4)])
    outcomes = [entry.decision.outcome for entry in decided(world)]
    assert outcomes == ["intervene", "suppress", "suppress"]
    assert len(world.store.newest()) == 1
    first = decided(world)[0]
    shadow = msgspec.structs.replace(first.decision, id="other", mode="shadow")
    canary = msgspec.structs.replace(first.decision, id="canary", mode="canary")
    entries = [Decided(1, 12, START + MINUTE, decision) for decision in (shadow, canary)]
    world.decisions.commit([streams.decisions(entries)])
    world.carry_out()
    assert [one.id for one in world.store.newest()] == ["canary", first.decision.id]


def test_reports_of_others_about_it_are_not_believed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    mine = newest(world).id
    world.settle(event("forestall.intervention.dismissed", 20, "s2", intervention=mine))
    assert (newest(world).outcome, len(newest(world).taken)) == ("running", 1)
    world.settle(event("forestall.intervention.dismissed", 30, intervention=mine))
    assert newest(world).outcome == "dismissed"
    assert [taken.what for taken in newest(world).taken] == ["started", "dismissed"]


FROM: dict[str, Any] = {"from": "s1"}
ALIAS = event("forestall.alias", 20, "s2", **FROM)


@pytest.mark.parametrize("again", [False, True])
def test_a_customer_who_signs_in_takes_what_runs_along(tmp_path: Path, again: bool) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    world.settle(ALIAS)
    if again:
        world.restart()
    assert (world.messages("s1"), len(world.messages("s2"))) == ([], 1)
    mine = newest(world).id
    world.settle(event("forestall.intervention.shown", 21, intervention=mine, step=1))
    assert [taken.what for taken in newest(world).taken] == ["started", "shown"]
    world.settle(event("payment.succeeded", 30, "s2"))
    assert (newest(world).outcome, newest(world).subject) == ("resolved", "s2")
    assert [report.subject for report in world.waiting()] == ["s1", "s2"]


def test_an_opt_out_after_signing_in_stops_what_began_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES, ALIAS)
    world.tick(15 * 60)
    world.settle()
    (effect,) = effects(world)
    assert effect.subject == "s2"
    world.settle(event("forestall.optout", 16 * 60, "s2"))
    assert effects(world) == []


def test_open_pages_hear_it_once_it_is_durable(tmp_path: Path) -> None:
    heard: list[Any] = []

    class Pages:
        def publish(self, subject: str, message: Message) -> None:
            heard.append((subject, message.body))

        def withdraw(self, subject: str, interventions: Sequence[str] | None = None) -> None:
            heard.append((subject, interventions))

        def reconnect(self, subject: str) -> None:
            heard.append(("again", subject))

    world = World(tmp_path)
    world.carrier.pages = Pages()
    world.settle(*DECLINES)
    world.settle(event("payment.succeeded", 20))
    assert heard == [
        ("s1", "Order o2 on your current plan is safe."),
        ("s1", [newest(world).id]),
    ]
    world.settle(event("forestall.optout", 30))
    assert heard[2:] == [("s1", None)]
    world.settle(event("forestall.alias", 40, "s2", **FROM))
    assert heard[3:] == [("again", "s1"), ("again", "s2")]


class Unplugged(Exception):
    """The test pulls the plug."""


def story(subjects: int) -> list[Record]:
    """Several customers: one is helped, one escalates, one opts out, one goes silent."""
    records: list[Record] = []
    for n in range(subjects):
        name = f"s{n}"
        records += [
            event("payment.declined", n, name, order_id=f"o{n}"),
            event("payment.declined", 30 + n, name, order_id=f"o{n}"),
            event("payment.succeeded", 20 + n, name),
            event("page.viewed", 36 + n, name),
            event("page.failed", 40 + n, name, path="/x"),
        ]
        ending = ("payment.succeeded", "page.viewed", "forestall.optout", "page.other")[n % 4]
        records.append(event(ending, 100 + n * 97, name))
    return sorted(records, key=lambda record: record.received)


def outcome_of(world: World) -> dict[str, Any]:
    """Everything durable that a stage has produced, in a form to compare."""
    return {
        "interventions": [
            msgspec.structs.replace(one, taken=tuple(sorted(one.taken, key=str)))
            for one in sorted(world.store.newest(1000), key=lambda one: one.id)
        ],
        "messages": {n: world.messages(f"s{n}", -1000) for n in range(8)},
        "reports": sorted(report.id for report in world.waiting()),
        "effects": sorted(effect.key for effect in effects(world)),
    }


def expected(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    world = World(folder)
    world.accept(*story(4))
    world.tick(5000)
    world.settle()
    return outcome_of(world)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_batches_ticks_and_crashes_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The same records in any batches, with ticks between, and the stage killed again and again."""
    base = tmp_path_factory.mktemp("world")
    plain = expected(base / "plain")
    (base / "cut").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "BATCHES", data.draw(st.sampled_from([1, 2, 64])))
        assert cut_up(World(base / "cut"), data) == plain


def cut_up(world: World, data: st.DataObject) -> dict[str, Any]:
    """The outcome of the story, drawn in batches, with ticks and crashes between."""
    left = story(4)
    while left:
        size = data.draw(st.integers(1, len(left)))
        batch, left = left[:size], left[size:]
        world.accept(*batch)
        if data.draw(st.booleans()):
            world.tick((batch[-1].received - START) / SECOND)
        if data.draw(st.booleans()):
            world.decide()
        crash(world, data.draw(st.integers(0, 30)))
        if data.draw(st.booleans()):
            world.carry_out()
    world.tick(5000)
    world.settle()
    outcome = outcome_of(world)
    world.store.close()
    return outcome


def crash(world: World, after: int) -> None:
    """Let the stage die at its ``after``-th statement that writes, and start it again."""
    count = 0

    def trace(*event: Any) -> None:
        nonlocal count
        count += event[2].startswith(("INSERT", "UPDATE", "DELETE"))
        if count > after and event[2] != "ROLLBACK":
            raise Unplugged

    sa.event.listen(world.store.database.engine, "before_cursor_execute", trace)
    with suppress(Unplugged):
        world.carry_out()
    world.restart()


def test_a_failed_commit_leaves_the_stage_as_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    world.accept(event("payment.succeeded", 20))
    world.decide()

    def full(_store: Store, _name: str, _position: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "move", full)
        with pytest.raises(sqlite3.OperationalError):
            world.stage.step()
    assert newest(world).outcome == "running"
    world.carry_out()
    assert world.told() == ["started", "resolved 2"]


def test_a_stage_far_behind_catches_up_in_many_commits(tmp_path: Path) -> None:
    world = World(tmp_path, SILENT_AFTER)
    for n in range(200):
        world.accept(event("page.failed", n * 200, f"s{n}", path="/x"))
    world.tick(200 * 200)
    world.decide()
    steps = 0
    while world.stage.step():
        steps += 1
    assert steps >= 3
    assert len(world.store.newest(1000)) == 200
    assert world.store.cursor("signals") == 200
    assert world.stage.log_time == START + 200 * 200 * SECOND > START + MINUTE


def _said(folder: Path, line: str, words: str) -> Message:
    """The message with these ``words``, where ``line`` stands in the runbook's front matter too."""
    world = World(folder, NOTICED % ("noticed", "a", words))
    text = RUNBOOK.replace("fields:", f"{line}fields:")
    world.runbooks["card-declined"] = read_runbook(text, "card.md")
    world.settle(event("a", 0, order_id="o1"))
    ((_, _, message),) = world.store.messages_after("s1", 0, START)
    return message
