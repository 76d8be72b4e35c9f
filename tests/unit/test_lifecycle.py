"""Which transitions there are, who may ask, what is missing, and when a second person agrees."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from forestall.contracts.control import Transition
from forestall.contracts.instants import HOUR
from forestall.contracts.refusals import RoleMissing
from forestall.policy.changing import (
    Known,
    binding,
    check_rights,
    demoted,
    needs_second,
    next_state,
    plan,
    returns,
    roles,
    way,
)
from forestall.policy.lifecycle import (
    STATES,
    Actor,
    Ask,
    Change,
    ConditionsMissing,
    Finding,
    Held,
    Kind,
    NoSuchTransition,
    Risk,
    Rules,
    Set,
    Standing,
    State,
    content_hash,
    content_version,
    fold,
)

RULES = Rules(shadow=HOUR, backtest_events=1000)
V1, V2, V3 = "1" * 64, "2" * 64, "3" * 64
CANARY = Actor("canary", machine=True)
NOTHING = Known()


def became(number: int, version: str, after: State, before: str = "", **more: Any) -> Transition:
    """One transition of the policy ``p``, an hour after the one before."""
    plain: dict[str, Any] = {"artifact": "policy", "name": "p", "by": "ann", "why": "so"}
    plain["at"] = number * HOUR
    return Transition(
        received=0, number=number, version=version, before=before, after=after, **(plain | more)
    )


def standing(*states: tuple[str, State], **more: Any) -> Standing:
    """Versions of the policy ``p`` that came to these states, an hour apart."""
    return fold([became(n, version, state, **more) for n, (version, state) in enumerate(states, 1)])


def to(after: State, version: str = V1, **more: Any) -> Ask:
    return Ask(name="p", version=version, after=after, **more)


def found(what: str, at: int = 0, **evidence: Any) -> Finding:
    return Finding(kind="policy", name="p", version=V1, what=what, by="x", at=at, evidence=evidence)


def known(*findings: Finding, risk: Risk = "low", **more: Any) -> Known:
    return Known(risk=risk, findings={one.what: one for one in findings}, **more)


def after(
    ask: Ask, start: Standing, about: Known = NOTHING, rules: Rules = RULES, now: int = 100 * HOUR
) -> Standing:
    """How everything stands after ``ask``."""
    return put(plan(ask, start, about, rules, now), ask.set, start, now)


def put(changes: Sequence[Change], set_: Set, start: Standing, now: int = 0) -> Standing:
    records = [
        Transition(
            received=0,
            number=start.number + place,
            artifact=one.artifact,
            name=one.name,
            version=one.version,
            before=one.before,
            after=one.after,
            share=one.share,
            evidence=one.evidence,
            set=set_,
            at=now,
            by="ann",
            why="so",
        )
        for place, one in enumerate(changes, 1)
    ]
    return fold(records, start)


def missing(ask: Ask, start: Standing, about: Known = NOTHING, now: int = 100 * HOUR) -> str:
    with pytest.raises(ConditionsMissing) as raised:
        plan(ask, start, about, RULES, now)
    return "; ".join(raised.value.missing)


# -- ways ----------------------------------------------------------------------------------------


def test_the_way_of_a_policy_is_the_whole_one() -> None:
    assert way("policy", RULES) == STATES[:-1]
    assert [next_state("policy", state, RULES) for state in STATES] == [
        "validated", "backtested", "shadow", "canary", "live", None, "draft"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["agent", "prompt", "threshold", "flag"])
def test_what_decides_nothing_by_itself_goes_a_short_way(kind: Kind) -> None:
    assert way(kind, RULES) == ("draft", "validated", "live")
    assert next_state(kind, "validated", RULES) == "live"
    assert demoted(kind, "live", RULES) == "validated"


def test_a_deployment_can_do_without_stages() -> None:
    rules = Rules(skip=frozenset(("backtested", "canary")))
    assert way("model", rules) == ("draft", "validated", "shadow", "live")
    assert next_state("policy", "backtested", rules) == "shadow"


def test_a_resting_set_has_neither_shadow_nor_canary() -> None:
    assert way("policy", RULES, resting=True) == ("draft", "validated", "backtested", "live")


@pytest.mark.parametrize(
    ("state", "lower"),
    [("live", "shadow"), ("canary", "shadow"), ("shadow", "backtested"), ("validated", "draft"),
     ("draft", None), ("retired", None)],
)  # fmt: skip
def test_demoting_goes_to_the_nearest_state_without_effects(
    state: State, lower: State | None
) -> None:
    assert demoted("policy", state, RULES) == lower


@pytest.mark.parametrize(
    ("before", "later"),
    [("draft", "shadow"), ("validated", "shadow"), ("shadow", "live"), ("backtested", "canary"),
     ("live", "canary"), ("live", "live"), ("retired", "live"), ("retired", "validated"),
     ("draft", "draft"), ("retired", "retired")],
)  # fmt: skip
def test_no_stage_is_jumped_over(before: State, later: State) -> None:
    with pytest.raises(NoSuchTransition) as raised:
        plan(to(later), standing((V1, before)), Known(), RULES, HOUR)
    assert f"is {before}; it can go to" in str(raised.value)


def test_what_is_new_in_a_set_begins_as_a_draft() -> None:
    assert after(to("draft"), Standing()).place("blue", "policy", "p", V1) is not None
    with pytest.raises(NoSuchTransition, match="not in this set yet; it can go to draft"):
        plan(to("validated", set="green"), standing((V1, "validated")), Known(), RULES, HOUR)


def test_what_is_retired_begins_anew() -> None:
    assert after(to("draft"), standing((V1, "retired"))).version_in("draft", "blue", "policy", "p")


# -- conditions ----------------------------------------------------------------------------------


def test_validated_takes_checks_and_tests_that_pass() -> None:
    draft = standing((V1, "draft"))
    assert "`forestall apply` runs them" in missing(to("validated"), draft)
    bad = known(found("validated", errors=0, failed=1, passed=3))
    assert missing(to("validated"), draft, bad)
    good = known(found("validated", errors=0, failed=0, passed=4))
    assert after(to("validated"), draft, good).version_in("validated", "blue", "policy", "p") == V1


def test_backtested_takes_a_backtest_over_enough_events() -> None:
    start = standing((V1, "validated"))
    assert "at least 1,000 events, the newest has 0" in missing(to("backtested"), start)
    few = known(found("backtested", events=999))
    assert "the newest has 999" in missing(to("backtested"), start, few)
    assert after(to("backtested"), start, known(found("backtested", events=1000)))


def test_a_backtest_is_needed_even_where_it_may_be_of_nothing() -> None:
    start, rules = standing((V1, "validated")), Rules(backtest_events=0)
    with pytest.raises(ConditionsMissing):
        plan(to("backtested"), start, Known(), rules, HOUR)
    assert plan(to("backtested"), start, known(found("backtested", events=0)), rules, HOUR)


def test_a_model_has_to_be_found_useful() -> None:
    start = standing((V1, "validated"), artifact="model")
    ask = to("backtested", kind="model")
    assert "useful" in missing(ask, start, known(found("backtested", events=9999)))
    assert "useful" in missing(ask, start, known(found("backtested", useful=False)))
    assert after(ask, start, known(found("backtested", useful=True)))


def test_shadow_takes_time() -> None:
    start = standing((V1, "shadow"))
    told = missing(to("canary", share=0.1), start, now=HOUR + HOUR // 4)
    assert told == "45 more minutes in shadow, where it is since 1970-01-01T01:00Z"
    assert after(to("canary", share=0.1), start, now=2 * HOUR)


def test_a_canary_goes_live_when_it_passed_its_last_step() -> None:
    start, ask = standing((V1, "canary")), to("live")
    assert "the canary's verdict at its share of 1" in missing(ask, start)
    before = known(found("canary", at=HOUR - 1, verdict="pass", last=True))
    assert "the canary's verdict at its share" in missing(ask, start, before)
    unsure = known(found("canary", at=HOUR, verdict="inconclusive", last=True))
    assert missing(ask, start, unsure) == "the canary's verdict `pass`; it is `inconclusive`"
    early = known(found("canary", at=HOUR, verdict="pass", last=False))
    assert missing(ask, start, early) == "the canary's last step"
    good = known(found("canary", at=HOUR, verdict="pass", last=True))
    assert after(ask, start, good).in_force() == (Held("policy", "p", "live", V1),)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(NoSuchTransition, match="share"):
        plan(to("canary", share=share), standing((V1, "shadow")), Known(), RULES, 9 * HOUR)


# -- who -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "later", "wanted"),
    [
        ("draft", "validated", ("author",)),
        ("backtested", "shadow", ("author",)),
        ("retired", "draft", ("author",)),
        ("shadow", "canary", ("publisher",)),
        ("canary", "canary", ("publisher",)),
        ("canary", "live", ("publisher",)),
        ("live", "retired", ("publisher",)),
        ("live", "shadow", ("operator", "publisher")),
        ("canary", "backtested", ("operator", "publisher")),
        ("shadow", "validated", ("author", "operator", "publisher")),
    ],
)
def test_each_transition_takes_a_role(before: State, later: State, wanted: tuple[str, ...]) -> None:
    start, ask = standing((V1, before)), to(later)
    assert roles(ask, start) == wanted
    for role in ("author", "publisher", "operator", "approver"):
        if role in wanted:
            check_rights(ask, start, Actor("ann", (role,)))
        else:
            with pytest.raises(RoleMissing, match=r"\[people\.ann\] roles gives it"):
                check_rights(ask, start, Actor("ann", (role,)))


def test_taking_back_is_for_operators() -> None:
    start = standing((V1, "live"), (V2, "live"))
    assert roles(Ask(what="rollback", name="p"), start) == ("operator", "publisher")
    assert roles(Ask(what="switch", set="green"), start) == ("publisher",)


@pytest.mark.parametrize(
    ("ask", "may"),
    [
        (to("canary", share=0.5), True),
        (to("live"), True),
        (to("shadow"), True),
        (Ask(what="rollback", name="p"), True),
        (Ask(what="switch", set="green"), False),
        (to("draft", V2), False),
        (to("canary", V3), False),
    ],
)
def test_parts_of_the_product_only_tend_canaries_and_take_back(ask: Ask, may: bool) -> None:
    start = standing((V1, "canary"), (V3, "shadow"))
    if may:
        check_rights(ask, start, CANARY)
    else:
        with pytest.raises(RoleMissing, match="only people"):
            check_rights(ask, start, CANARY)


@pytest.mark.parametrize(
    ("before", "ask", "second"),
    [
        ("backtested", to("shadow"), False),
        ("shadow", to("canary", share=0.01), True),
        ("shadow", to("live"), True),
        ("canary", to("live"), True),
        ("live", to("shadow"), False),
        ("live", to("retired"), False),
        ("live", Ask(what="rollback", name="p"), False),
    ],
)
def test_above_low_risk_what_begins_to_have_effects_takes_two(
    before: State, ask: Ask, second: bool
) -> None:
    start = standing((V1, before))
    for risk in ("medium", "high"):
        assert needs_second(ask, start, Known(risk=msgspec.convert(risk, Risk))) is second
    assert not needs_second(ask, start, Known(risk="low"))


def test_a_canary_grows_as_far_as_it_was_agreed() -> None:
    start = after(to("canary", share=0.01, upto=0.5), standing((V1, "shadow")))
    high = Known(risk="high")
    assert not needs_second(to("canary", share=0.5), start, high)
    assert needs_second(to("canary", share=0.51), start, high)
    grown = after(to("canary", share=0.1), start)
    assert not needs_second(to("canary", share=0.5), grown, high)
    (held,) = grown.in_force()
    assert held.share == 0.1


def test_a_set_that_rests_has_no_effects() -> None:
    start = standing((V1, "backtested"), set="green")
    assert not needs_second(to("live", set="green"), start, Known(risk="high"))
    assert needs_second(Ask(what="switch", set="green"), start, Known(risks=("low", "medium")))
    assert not needs_second(Ask(what="switch", set="green"), start, Known(risks=("low",)))


# -- what is bound -------------------------------------------------------------------------------


def test_whatever_changes_voids_what_was_agreed() -> None:
    start, ask, about = standing((V1, "shadow")), to("canary", share=0.1), known(newest=V1)
    bound = binding(ask, start, about)
    assert bound == binding(ask, standing((V1, "shadow")), about)
    different = [
        binding(to("canary", V2, share=0.1), start, about),
        binding(to("canary", share=0.2), start, about),
        binding(to("canary", share=0.1, upto=0.5), start, about),
        binding(to("live"), start, about),
        binding(ask, start, known(newest=V2)),
        binding(ask, start, known(newest=V1, risk="high")),
        binding(ask, standing((V1, "shadow"), (V2, "draft")), about),
        binding(ask, standing((V1, "validated"), (V1, "shadow")), about),
        binding(ask, msgspec.structs.replace(start, active="green"), about),
    ]
    assert len({bound, *different}) == 1 + len(different)


def test_other_names_void_nothing() -> None:
    start, ask = standing((V1, "shadow")), to("canary")
    other = fold([became(2, V3, "live", name="other")], start)
    assert binding(ask, other, Known()) == binding(ask, start, Known())


def test_a_switch_is_bound_to_both_sets() -> None:
    start, ask = standing((V1, "live")), Ask(what="switch", set="green")
    changed = fold([became(2, V2, "live", set="green")], start)
    assert binding(ask, start, Known()) != binding(ask, changed, Known())


# -- what comes of it ----------------------------------------------------------------------------


def test_a_new_live_version_replaces_the_old_one() -> None:
    start = standing((V1, "live"), (V2, "canary"))
    good = known(found("canary", at=99 * HOUR, verdict="pass", last=True))
    leaving, entering = plan(to("live", V2), start, good, RULES, 100 * HOUR)
    assert (leaving.version, leaving.before, leaving.after) == (V1, "live", "retired")
    assert leaving.why == "replaced by 22222222"
    assert (entering.version, entering.before, entering.after) == (V2, "canary", "live")


def test_live_canary_and_shadow_are_in_force_side_by_side() -> None:
    start = standing((V1, "live"), (V2, "canary"), (V3, "shadow"), ("4" * 64, "backtested"))
    assert [(one.mode, one.version) for one in start.in_force()] == [
        ("canary", V2),
        ("live", V1),
        ("shadow", V3),
    ]
    newer = after(to("shadow", "4" * 64), start)
    assert [one.version for one in newer.in_force()] == [V2, V1, "4" * 64]
    assert newer.version_in("retired", "blue", "policy", "p") == V3


def test_a_rollback_ends_the_canary_first() -> None:
    start = standing((V1, "live"), (V2, "live"), (V1, "retired"), (V3, "canary"))
    first = after(Ask(what="rollback", name="p"), start)
    assert first.in_force() == (Held("policy", "p", "live", V2),)
    assert first.version_in("backtested", "blue", "policy", "p") == V3
    second = after(Ask(what="rollback", name="p"), first)
    assert second.in_force() == (Held("policy", "p", "live", V1),)
    assert second.version_in("backtested", "blue", "policy", "p") == V2


def test_rolling_back_never_goes_forward() -> None:
    start = standing((V1, "live"), (V2, "live"), (V1, "retired"), (V3, "live"), (V2, "retired"))
    rollback = Ask(what="rollback", name="p")
    once = after(rollback, start)
    twice = after(rollback, once)
    assert [one.in_force()[0].version for one in (start, once, twice)] == [V3, V2, V1]
    with pytest.raises(NoSuchTransition, match="no other version of policy `p` was live before"):
        plan(rollback, twice, Known(), RULES, HOUR)


def test_a_version_that_was_rolled_back_can_go_live_again_and_be_rolled_back_again() -> None:
    start = after(Ask(what="rollback", name="p"), standing((V1, "live"), (V2, "live")))
    again = fold([became(9, V1, "retired"), became(10, V2, "live")], start)
    assert after(Ask(what="rollback", name="p"), again).in_force()[0].version == V1


def test_a_rollback_with_nothing_live_restores_the_one_before() -> None:
    start = standing((V1, "live"), (V2, "live"), (V1, "retired"), (V2, "shadow"))
    back = after(Ask(what="rollback", name="p"), start)
    assert {(one.mode, one.version) for one in back.in_force()} == {("live", V1), ("shadow", V2)}


def test_a_switch_puts_the_other_set_in_force_by_one_transition() -> None:
    start = standing((V1, "live"))
    with pytest.raises(ConditionsMissing, match="something live in it"):
        plan(Ask(what="switch", set="green"), start, Known(), RULES, HOUR)
    with pytest.raises(NoSuchTransition, match="blue is active already"):
        plan(Ask(what="switch", set="blue"), start, Known(), RULES, HOUR)
    staged = fold(
        [became(2, V2, "live", set="green"), became(3, V3, "live", name="q", set="green")], start
    )
    (change,) = plan(Ask(what="switch", set="green"), staged, Known(), RULES, HOUR)
    assert (change.artifact, change.before, change.after) == ("set", "blue", "green")
    assert change.version == content_hash(staged, "green")
    green = put([change], "green", staged)
    assert [one.version for one in green.in_force()] == [V2, V3]


def test_going_back_to_a_set_as_it_was_takes_nobody_else() -> None:
    start = fold([became(2, V2, "live", set="green")], standing((V1, "live")))
    green = after(Ask(what="switch", set="green"), start)
    back = Ask(what="switch", set="blue")
    assert returns(back, green)
    assert roles(back, green) == ("operator", "publisher")
    assert not needs_second(back, green, Known(risks=("high",)))
    changed = fold([became(9, V3, "live", set="blue")], green)
    assert not returns(back, changed)
    assert needs_second(back, changed, Known(risks=("high",)))


def test_folding_in_parts_is_folding_at_once() -> None:
    records = [became(1, V1, "live"), became(2, V2, "canary"), became(3, V2, "live")]
    assert fold(records[1:], fold(records[:1])) == fold(records)
    first = fold(records[:1])
    fold(records[1:], first)
    assert first == fold(records[:1])


def test_versions_do_not_depend_on_the_order_of_keys() -> None:
    assert content_version({"b": 1, "a": [True, None]}) == content_version(
        {"a": [True, None], "b": 1}
    )
    assert content_version(1) != content_version(True)
