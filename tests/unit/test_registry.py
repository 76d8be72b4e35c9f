"""The registry: nothing is changed in it, and nothing is live that was not let through."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.contracts.control import Transition
from forestall.contracts.instants import HOUR
from forestall.contracts.refusals import NotThere, OwnRequest, ReasonMissing, RoleMissing, TooLate
from forestall.policy.consequences import depends
from forestall.policy.lifecycle import (
    Actor,
    Artifact,
    Ask,
    ConditionsMissing,
    Finding,
    Held,
    Kind,
    NoSuchTransition,
    Rules,
    fold,
)
from forestall.policy.managed import in_force, stands
from forestall.policy.store import ADOPTED, ContentDamaged, Registry, RegistryMissing, Request
from registries import (
    ANN,
    BOB,
    CAT,
    POLICY,
    RULES,
    STAGED,
    WAY,
    Desk,
    made,
    plain,
    policy,
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "registry.db")
    yield made
    made.registry.close()


def test_the_same_content_is_kept_once(desk: Desk) -> None:
    one = policy("a")
    assert desk.registry.put(one)
    assert not desk.registry.put(msgspec.structs.replace(one, by="bob", at=99, source="else"))
    assert desk.registry.versions("policy", "declined") == [one]
    assert desk.registry.artifact("policy", "declined", one.version) == one
    assert desk.registry.artifact("policy", "declined", "0" * 64) is None
    assert desk.registry.names("policy") == ["declined"]
    assert desk.registry.version() == 0


def test_kinds_do_not_mix(desk: Desk) -> None:
    desk.registry.put(plain("flag", "x", True))
    desk.registry.put(plain("threshold", "x", 0.5))
    assert desk.registry.names("flag") == desk.registry.names("threshold") == ["x"]
    assert len(desk.registry.versions("flag", "x")) == 1


def test_nothing_is_ever_changed_or_removed(desk: Desk, tmp_path: Path) -> None:
    """What the file holds is only ever added to, whatever people do."""
    held: dict[str, list[Any]] = {}

    def look() -> None:
        with sqlite3.connect(tmp_path / "registry.db") as file:
            for table in ("artifacts", "findings", "transitions"):
                rows = file.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608
                assert rows[: len(held.get(table, []))] == held.get(table, [])
                held[table] = rows

    one, two = policy("a"), policy("b")
    for step in (
        lambda: desk.bring(one, *WAY, "live"),
        lambda: desk.bring(two, *WAY, "live"),
        lambda: desk.registry.move(Ask(what="rollback", name="declined"), CAT, "bad", 99),
        lambda: desk.ask(one, "retired"),
        lambda: desk.ask(one, "draft"),
    ):
        step()
        look()
    assert len(held["transitions"]) == 15


def test_a_version_goes_its_way_and_is_in_force(desk: Desk) -> None:
    one = policy("a")
    desk.bring(one, *WAY)
    assert desk.held() == [("shadow", one.version)]
    (done,) = desk.ask(one, "live", BOB)
    assert (done.number, done.before, done.after, done.by) == (5, "shadow", "live", "bob")
    assert desk.held() == [("live", one.version)]
    assert desk.registry.version() == 5
    assert desk.registry.transitions(4) == [done]
    assert desk.registry.transitions(kind="model") == []
    assert len(desk.registry.transitions(kind="policy", name="declined")) == 5


def test_what_is_refused_changes_nothing(desk: Desk) -> None:
    one = policy("a")
    desk.registry.put(one)
    refusals: list[tuple[type[Exception], Any]] = [
        (NoSuchTransition, lambda: desk.ask(one, "live", BOB)),
        (RoleMissing, lambda: desk.ask(one, "draft", CAT)),
        (NotThere, lambda: desk.ask(policy("never put"), "draft")),
        (NotThere, lambda: desk.ask(plain("agent", "nobody", {}), "draft")),
        (ReasonMissing, lambda: desk.registry.move(Ask(name="declined"), ANN, "  ", 1)),
        (NoSuchTransition, lambda: desk.registry.move(
            Ask(what="rollback", name="declined"), CAT, "so", 1)),
    ]  # fmt: skip
    for error, attempt in refusals:
        with pytest.raises(error):
            attempt()
    desk.ask(one, "draft")
    with pytest.raises(ConditionsMissing):
        desk.ask(one, "validated")
    assert [entry.after for entry in desk.registry.transitions()] == ["draft"]


def test_content_that_is_not_what_was_put_counts_for_nothing(desk: Desk, tmp_path: Path) -> None:
    """Not even a byte that somebody changes in the file itself goes live."""
    one = policy("a", "high")
    with pytest.raises(ContentDamaged):
        desk.registry.put(msgspec.structs.replace(one, content=one.content + b" "))
    request = desk.bring(one, *WAY, "live")
    with sqlite3.connect(tmp_path / "registry.db") as file:
        file.execute("UPDATE artifacts SET content = CAST(replace(content, 'a', 'b') AS BLOB)")
    with pytest.raises(ContentDamaged, match=f"not that of version {one.version}"):
        desk.registry.second(request.id, BOB, "yes", 50)
    with pytest.raises(ContentDamaged):
        in_force(desk.registry, desk.registry.standing(), {}, "a", "b")
    assert desk.held() == [("shadow", one.version)]
    desk.bring(plain("flag", "other", True), "draft")
    assert desk.registry.pending() == []


def test_findings_count_for_their_version_only(desk: Desk) -> None:
    one, two = policy("a"), policy("b")
    desk.bring(one, "draft", "validated")
    desk.bring(two, "draft")
    with pytest.raises(ConditionsMissing):
        desk.ask(two, "validated")


def test_the_newest_finding_counts(desk: Desk) -> None:
    one = policy("a")
    desk.bring(one, "draft")
    desk.prove(one, "validated")
    (old,) = desk.registry.findings("policy", "declined", one.version).values()
    desk.registry.found(msgspec.structs.replace(old, evidence={"errors": 1}))
    with pytest.raises(ConditionsMissing):
        desk.ask(one, "validated")


# -- second persons ------------------------------------------------------------------------------


def waiting(desk: Desk, one: Artifact) -> Request:
    """A request by ann that ``one``, which is of high risk, goes live."""
    request = desk.bring(one, *WAY, "live")
    assert isinstance(request, Request)
    return request


def test_above_low_risk_a_second_person_lets_it_go_live(desk: Desk) -> None:
    one = policy("a", "high")
    request = waiting(desk, one)
    assert desk.held() == [("shadow", one.version)]
    assert desk.registry.pending() == [request]
    (done,) = desk.registry.second(request.id, BOB, "I looked", 50)
    assert (done.by, done.seconded, done.why, done.at) == ("ann", "bob", "it is time", 50)
    assert done.evidence == {"request": request.id, "seconded_because": "I looked"}
    assert desk.held() == [("live", one.version)]
    assert desk.registry.pending() == []
    (answered,) = desk.registry.requests()
    assert (answered.status, answered.answered_by, answered.answer) == (
        "seconded", "bob", "I looked"
    )  # fmt: skip


def test_nobody_seconds_their_own_request_or_without_the_role(desk: Desk) -> None:
    request = waiting(desk, policy("a", "medium"))
    with pytest.raises(OwnRequest, match="ann asked for this"):
        desk.registry.second(request.id, ANN, "me too", 50)
    with pytest.raises(RoleMissing, match="'publisher'"):
        desk.registry.second(request.id, CAT, "yes", 50)
    with pytest.raises((OwnRequest, RoleMissing)):
        desk.registry.second(request.id, Actor("canary", machine=True), "yes", 50)
    with pytest.raises(NotThere):
        desk.registry.second(99, BOB, "yes", 50)
    assert [one.mode for one in desk.registry.standing().in_force()] == ["shadow"]
    assert desk.registry.pending() == [request]


def test_what_it_was_asked_on_is_kept_with_what_comes_of_it(desk: Desk) -> None:
    one = policy("a", "high")
    desk.bring(one, *WAY)
    ask = Ask(name=one.name, version=one.version, after="live")
    request = desk.registry.move(ask, ANN, "so", 40, {"report": "12"})
    assert isinstance(request, Request)
    (done,) = desk.registry.second(request.id, BOB, "yes", 50)
    assert done.evidence == {"report": "12", "request": request.id, "seconded_because": "yes"}


def test_asking_again_is_the_same_request(desk: Desk) -> None:
    one = policy("a", "high")
    request = waiting(desk, one)
    assert desk.ask(one, "live", ANN) == desk.ask(one, "live", BOB) == request


def void(desk: Desk, request: Request) -> None:
    assert desk.registry.pending() == []
    with pytest.raises(TooLate, match="void: what it was asked about has changed; ask again"):
        desk.registry.second(request.id, BOB, "I looked", 50)
    assert ("live", request.ask.version) not in desk.held()


def test_a_newer_version_voids_a_request(desk: Desk) -> None:
    request = waiting(desk, policy("a", "high"))
    desk.registry.put(policy("b", "high"))
    void(desk, request)


def test_another_state_voids_a_request(desk: Desk) -> None:
    one = policy("a", "high")
    request = waiting(desk, one)
    desk.ask(one, "backtested", CAT)
    void(desk, request)
    desk.ask(one, "shadow")
    void(desk, request)


def test_another_live_version_voids_a_request(desk: Desk) -> None:
    low = policy("low")
    desk.registry.put(low)
    request = waiting(desk, policy("a", "high"))
    desk.bring(low, *WAY)
    void(desk, request)


@pytest.mark.parametrize("what", ["validated", "backtested", "canary", "source"])
def test_new_evidence_voids_a_request(desk: Desk, what: str) -> None:
    """Also another text with the same version: its title, owner or tests."""
    one = policy("a", "high")
    request = waiting(desk, one)
    finding = Finding(
        kind="policy", name=one.name, version=one.version, what=what, by="cat", at=40, evidence={}
    )
    desk.registry.found(msgspec.structs.replace(finding, version=policy("b").version))
    desk.prove(one, "validated")
    assert desk.registry.pending() == [request], "it says the same as before"
    desk.registry.found(msgspec.structs.replace(finding, evidence={"verdict": "pass"}))
    void(desk, request)


def test_something_else_does_not_void_a_request(desk: Desk) -> None:
    request = waiting(desk, policy("a", "high"))
    desk.bring(plain("flag", "declined", True), "draft", "validated", "live")
    assert desk.registry.pending() == [request]


def test_conditions_hold_also_when_it_is_seconded(tmp_path: Path) -> None:
    """Evidence may have gone bad between asking and agreeing."""
    desk = Desk(tmp_path / "r.db", rules=Rules(skip=frozenset(("shadow", "canary"))))
    one = policy("a", "high")
    desk.bring(one, "draft", "validated", "backtested")
    request = desk.ask(one, "live")
    desk.registry.rules = Rules(skip=frozenset(("canary",)))
    with pytest.raises(NoSuchTransition):
        desk.registry.second(request.id, BOB, "yes", 50)
    assert desk.registry.pending() == [request]
    desk.registry.close()


def test_a_request_is_declined_or_taken_back(desk: Desk) -> None:
    one = policy("a", "high")
    request = waiting(desk, one)
    with pytest.raises(RoleMissing):
        desk.registry.decline(request.id, CAT, "no", 50)
    assert desk.registry.decline(request.id, BOB, "too early", 50).status == "declined"
    with pytest.raises(TooLate, match="declined: by bob"):
        desk.registry.second(request.id, BOB, "yes", 51)
    again = desk.ask(one, "live")
    assert again.id != request.id
    assert desk.registry.decline(again.id, Actor("ann"), "never mind", 52).answered_by == "ann"


def test_calling_it_low_gets_nobody_around_the_second_person(desk: Desk) -> None:
    desk.registry.adopt([policy("a", "medium")], 1)
    lower = desk.bring(policy("b", "low"), *WAY, "live")
    assert isinstance(lower, Request)
    desk.registry.second(lower.id, BOB, "it is low indeed", 50)
    assert not isinstance(desk.bring(policy("c", "low"), *WAY, "live"), Request)


def test_nor_does_another_set(desk: Desk) -> None:
    desk.registry.adopt([policy("a", "medium")], 1)
    desk.bring(policy("b", "low"), *STAGED, set="green")
    asked = desk.registry.move(Ask(what="switch", set="green"), BOB, "all of it", 30)
    assert isinstance(asked, Request)


def test_what_a_risky_policy_depends_on_is_risky(desk: Desk) -> None:
    """A model, a threshold or an agent is as risky as the riskiest policy that uses it."""
    asking = "  risk: high\n  model: {name: churn, threshold: 0.5}"
    source = POLICY.replace("  risk: RISK", asking).replace("RUNNING", "finish")
    helped = '[{infer: {agent: helper, fields: [why]}}, {guide: {text: "TEXT", channel: inapp}}]'
    one = made(source.replace('[{guide: {text: "TEXT", channel: inapp}}]', helped))
    for kind, name in (("model", "churn"), ("threshold", "declined"), ("agent", "helper")):
        other = plain(msgspec.convert(kind, Kind), name, {"name": name})
        assert depends(one, other.kind, name)
        assert not depends(one, other.kind, "another")
        assert not depends(policy("a"), other.kind, "churn")
    desk.registry.adopt([one], 1)
    risky, plainly = plain("model", "churn", {"a": 1}), plain("model", "other", {"a": 1})
    assert isinstance(desk.bring(risky, *WAY, "live"), Request)
    assert not isinstance(desk.bring(plainly, *WAY, "live"), Request)


# -- rollback, sets ------------------------------------------------------------------------------


def test_a_rollback_is_at_once_and_says_what_becomes_of_what_runs(tmp_path: Path) -> None:
    counted: list[tuple[str, str]] = []

    def running(name: str, of: str) -> int:
        counted.append((name, of))
        return 7

    desk = Desk(tmp_path / "r.db", running=running)
    one, two = policy("a", "high", "cancel"), policy("b", "high", "finish")
    for each in (one, two):
        desk.registry.second(waiting(desk, each).id, BOB, "yes", 20)
    first = desk.registry.transitions()[-2]
    assert first.evidence["running"] == [
        {"policy": "declined", "version": one.version, "interventions": 7, "rule": "finish"}
    ]
    leaving, back = desk.take_back(CAT, "bad")
    assert (leaving.version, leaving.after) == (two.version, "backtested")
    assert (back.version, back.before, back.after) == (one.version, "retired", "live")
    assert back.evidence == {"rolled_back": two.version}
    assert leaving.evidence["running"] == [
        {"policy": "declined", "version": two.version, "interventions": 7, "rule": "cancel"}
    ]
    assert counted == [("declined", one.version), ("declined", two.version)]
    assert desk.held() == [("live", one.version)]
    desk.registry.close()


def test_no_operator_alone_brings_back_what_people_took_out(desk: Desk) -> None:
    """A rollback takes something back. Where nothing is in force, it would begin effects."""
    old, new = policy("a", "high"), policy("b", "high")
    for one in (old, new):
        request = desk.bring(one, *WAY, "live")
        desk.registry.second(request.id, BOB, "I looked", 50)
    desk.ask(new, "retired", BOB)
    with pytest.raises(RoleMissing, match="'publisher'"):
        desk.take_back(CAT, "again")
    asked = desk.registry.move(Ask(what="rollback", name="declined"), ANN, "again", 60)
    assert isinstance(asked, Request)
    assert desk.held() == []
    with pytest.raises(OwnRequest):
        desk.registry.second(asked.id, ANN, "me too", 61)
    desk.registry.second(asked.id, BOB, "I looked", 62)
    assert desk.held() == [("live", old.version)]


def test_what_is_retired_without_an_heir_finishes(desk: Desk) -> None:
    one = policy("a", running="cancel")
    desk.bring(one, *WAY, "live")
    (gone,) = desk.ask(one, "retired")
    assert gone.evidence["running"][0]["rule"] == "finish"
    assert desk.held() == []


def test_sets_are_staged_and_switched(desk: Desk) -> None:
    blue, green = policy("a", "high"), policy("b", "high")
    desk.registry.second(waiting(desk, blue).id, BOB, "yes", 20)
    model = plain("model", "churn", {"name": "churn"})
    for one in (green, model):
        desk.bring(one, *STAGED, set="green")
    assert desk.held() == [("live", blue.version)]
    request = desk.registry.move(Ask(what="switch", set="green"), ANN, "all of it", 30)
    assert isinstance(request, Request)
    (done,) = desk.registry.second(request.id, BOB, "yes", 31)
    assert (done.artifact, done.before, done.after) == ("set", "blue", "green")
    assert done.evidence["running"][0]["version"] == blue.version
    assert desk.registry.standing().in_force() == (
        Held("model", "churn", "live", model.version),
        Held("policy", "declined", "live", green.version),
    )
    back = desk.registry.move(Ask(what="switch", set="blue"), CAT, "it was bad", 32)
    assert not isinstance(back, Request)
    assert back[0].seconded is None
    assert desk.held() == [("live", blue.version)]


def test_changing_the_staged_set_voids_a_switch(desk: Desk) -> None:
    desk.bring(policy("b", "high"), *STAGED, set="green")
    request = desk.registry.move(Ask(what="switch", set="green"), ANN, "all of it", 30)
    assert isinstance(request, Request)
    desk.bring(plain("flag", "f", 1), "draft", "validated")
    assert desk.registry.pending() == [request]
    desk.bring(policy("c", "high"), *STAGED, set="green")
    assert desk.registry.pending() == []


# -- around --------------------------------------------------------------------------------------


def test_what_was_in_force_is_adopted_once(desk: Desk) -> None:
    one, flag = policy("a", "high"), plain("flag", "f", "x")
    desk.registry.adopt([one, flag], 5)
    desk.registry.adopt([policy("b")], 6)
    told = [(entry.name, entry.before, entry.after, entry.by, entry.why)
            for entry in desk.registry.transitions()]  # fmt: skip
    assert told == [
        ("declined", "", "live", "files", ADOPTED),
        ("f", "", "live", "files", ADOPTED),
    ]
    assert desk.held() == [("live", flag.version), ("live", one.version)]


def test_others_read_while_one_writes(tmp_path: Path) -> None:
    with pytest.raises(RegistryMissing):
        Registry(tmp_path / "registry.db", read_only=True)
    desk = Desk(tmp_path / "registry.db")
    reader = Registry(tmp_path / "registry.db", read_only=True)
    assert (reader.version(), reader.standing().number) == (0, 0)
    desk.bring(policy("a"), *WAY)
    assert (reader.version(), reader.standing()) == (4, desk.registry.standing())
    with pytest.raises(Exception, match="readonly"):
        reader.put(policy("b"))
    reader.close()
    desk.registry.close()


def test_a_file_that_is_none_of_ours_is_missing(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "r.db").execute("CREATE TABLE other (x)")
    with pytest.raises(RegistryMissing):
        Registry(tmp_path / "r.db", read_only=True)


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.db")
    request = waiting(desk, policy("a", "high"))
    before = desk.registry.standing()
    desk.registry.close()
    again = Registry(tmp_path / "r.db", rules=RULES)
    assert again.standing() == before == fold(again.transitions())
    assert again.pending() == [request]
    again.close()


def test_what_is_done_together_is_there_together_or_not(desk: Desk) -> None:
    one, two = policy("a"), policy("b")
    desk.bring(one, "draft")
    before = desk.registry.standing()

    def both() -> None:
        with desk.registry.transaction():
            desk.bring(two, "draft")
            assert desk.registry.version() == 2
            desk.ask(two, "validated")

    with pytest.raises(ConditionsMissing):
        both()
    assert desk.registry.standing() == before
    assert desk.registry.versions("policy", "declined") == [one]
    with desk.registry.transaction():
        desk.bring(two, "draft", "validated")
    assert desk.registry.version() == 3


def test_what_stands_becomes_control_records(desk: Desk) -> None:
    one, two = policy("a"), policy("b")
    desk.bring(one, *WAY, "live")
    desk.bring(two, *WAY)
    desk.bring(plain("model", "churn", {"name": "churn"}), *WAY, "live")
    desk.bring(plain("threshold", "declined", 0.75), "draft", "validated", "live")
    desk.bring(plain("flag", "dark", True), "draft", "validated", "live")
    desk.bring(plain("agent", "helper", {}), "draft", "validated", "live")
    numbers = {"payment.declined": {"amount": True}}
    standing = desk.registry.standing()
    policies, models, flags = in_force(desk.registry, standing, numbers, "ann", "so")
    assert [(held.version, held.mode, held.title) for held in policies.policies] == [
        (one.version, "live", "Help with declined cards"),
        (two.version, "shadow", "Help with declined cards"),
    ]
    assert (policies.numbers, policies.by, policies.why) == (numbers, "ann", "so")
    assert bytes(policies.policies[0].canonical) == one.content
    assert [(held.name, held.mode) for held in models.models] == [("churn", "live")]
    assert models.thresholds == {"declined": 0.75}
    assert flags.flags == {"dark": True}
    again = [msgspec.structs.replace(each, received=9) for each in (policies, models, flags)]
    assert all(stands(record, list(again)) for record in (policies, models, flags))
    assert not any(stands(record, []) for record in (policies, models, flags))


def test_models_and_flags_that_never_were_need_no_word(desk: Desk) -> None:
    policies, models, flags = in_force(desk.registry, desk.registry.standing(), {}, "a", "b")
    assert [stands(one, []) for one in (policies, models, flags)] == [False, True, True]


def test_shadow_lasts_as_the_rules_say(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.db", rules=Rules(shadow=HOUR, skip=frozenset(("canary",))))
    one = policy("a")
    desk.bring(one, *WAY)
    with pytest.raises(ConditionsMissing, match="60 more minutes in shadow"):
        desk.ask(one, "live", BOB)
    desk.now += HOUR
    done = desk.ask(one, "live", BOB)
    assert isinstance(done[0], Transition)
    desk.registry.close()
