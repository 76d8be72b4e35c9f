"""Gates, arbitration and holdouts, by the words of the policy language, section 6."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.contracts.control import DecideSettings, PoliciesApplied, SwitchesApplied
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND
from forestall.decide.gates import GATES
from forestall.measure.assign import in_holdout
from forestall.policy.bundle import Bundle, applied
from forestall.policy.language.model import Policy
from scenario import OPEN, START, decide, event, instant, on, told


def twice(at: float, **settings: object) -> list[str]:
    """What a policy decides at 0 s and again ``at`` seconds later, under settings."""
    policy = on("{event: a}", cooldown=str(settings.pop("cooldown", "0s")))
    return told(decide(policy, [event(0, "a"), event(at, "a")], replace(OPEN, **settings)))[1:]


def test_gates_stand_in_the_order_of_the_specification() -> None:
    assert [reason for reason, _ in GATES] == [
        "killed",
        "opted_out",
        "no_consent",
        "in_conversation",
        "cooldown",
        "fatigue",
        "budget",
        "spacing",
        "quiet_hours",
        "low_confidence",
    ]


def test_cooldown_ends_exactly() -> None:
    assert twice(59.999999, cooldown="1m") == [
        "59.999999 p".replace("59.999999", "60") + " cooldown"
    ]
    assert twice(60, cooldown="1m") == ["60 p intervene"]


def test_spacing_ends_exactly_and_is_for_guidance_of_any_policy() -> None:
    guidance = [on("{event: a}"), on("{event: b}", "q")]
    settings = replace(OPEN, spacing=10 * SECOND)
    lines = [event(0, "a"), event(9, "b"), event(10, "b")]
    assert told(decide(guidance, lines, settings)) == [
        "0 p intervene",
        "9 q spacing",
        "10 q intervene",
    ]
    transactional = [on("{event: a}"), on("{event: b}", "q", budget_class="transactional")]
    assert told(decide(transactional, lines, settings))[1:] == ["9 q intervene", "10 q intervene"]


def test_the_budget_window_excludes_its_start() -> None:
    settings = {"budget": 1, "budget_window": 10 * SECOND}
    assert twice(9.5, **settings) == ["9.5 p budget"]
    assert twice(10, **settings) == ["10 p intervene"]


def test_a_budget_of_nothing_silences_guidance() -> None:
    assert told(decide(on("{event: a}"), [event(0, "a")], replace(OPEN, budget=0))) == [
        "0 p budget"
    ]


def test_opt_out_follows_the_later_time_whatever_the_order_of_arrival() -> None:
    lines = [
        event(50, "forestall.optin"),
        event(40, "forestall.optout", received=60),
        event(61, "a"),
        event(70, "forestall.optout"),
        event(70, "forestall.optin", event_id="same-time"),
        event(80, "a"),
    ]
    assert told(decide(on("{event: a}"), lines)) == ["61 p intervene", "80 p opted_out"]


def test_consent_is_needed_for_the_purpose_and_fails_closed() -> None:
    settings = replace(OPEN, require_consent=True)
    lines = [
        event(0, "a"),
        event(1, "forestall.consent.granted", {"purpose": "marketing"}),
        event(2, "a"),
        event(3, "forestall.consent.granted", {"purpose": "support"}),
        event(4, "a"),
        event(5, "forestall.consent.withdrawn", {"purpose": "support"}),
        event(6, "a"),
    ]
    expected = ["0 p no_consent", "2 p no_consent", "4 p intervene", "6 p no_consent"]
    assert told(decide(on("{event: a}"), lines, settings)) == expected


def test_an_open_ticket_holds_unless_allowed() -> None:
    lines = [event(0, "forestall.ticket.opened", {"ticket": "t1"}), event(1, "a")]
    lines += [event(2, "forestall.ticket.closed", {"ticket": "t1"}), event(3, "a")]
    assert told(decide(on("{event: a}"), lines)) == ["1 p in_conversation", "3 p intervene"]
    allowed = on("{event: a}", in_conversation="allow")
    assert told(decide(allowed, lines)) == ["1 p intervene", "3 p intervene"]


def test_dismissals_double_the_cooldown_until_it_helps() -> None:
    policy = on("{event: a}", cooldown="10s")
    dismissed = event(1, "forestall.intervention.dismissed", {"policy": "p"})
    lines = [event(0, "a"), dismissed, event(19, "a"), event(20, "a")]
    assert told(decide(policy, lines))[1:] == ["19 p fatigue", "20 p intervene"]
    helped = event(2, "forestall.intervention.helped", {"policy": "p"})
    assert told(decide(policy, [event(0, "a"), dismissed, helped, event(10, "a")]))[1:] == [
        "10 p intervene"
    ]


def test_never_stays_never() -> None:
    never = event(1, "forestall.intervention.dismissed", {"policy": "p", "never": True})
    helped = event(2, "forestall.intervention.helped", {"policy": "p"})
    lines = [event(0, "a"), never, helped, event(10**6, "a")]
    assert told(decide(on("{event: a}"), lines))[1:] == ["1e+06 p fatigue"]


def test_fatigue_waits_ten_years_at_most() -> None:
    policy = on("{event: a}", cooldown="1000d")
    lines = [event(0, "a")]
    lines += [
        event(n, "forestall.intervention.dismissed", {"policy": "p"}, event_id=f"d{n}")
        for n in range(1, 40)
    ]
    ten_years = 3650 * DAY // SECOND
    lines += [event(ten_years - 1, "a"), event(ten_years, "a")]
    assert [line.split()[-1] for line in told(decide(policy, lines))[1:]] == [
        "fatigue",
        "intervene",
    ]


@pytest.mark.parametrize(
    ("quiet", "zone", "refuses"),
    [
        ((12 * 60, 13 * 60), None, True),
        ((11 * 60, 12 * 60), None, False),
        ((22 * 60, 12 * 60 + 1), None, True),
        ((22 * 60, 12 * 60), None, False),
        ((12 * 60, 12 * 60), None, False),
        ((14 * 60, 15 * 60), "Europe/Berlin", True),
        ((12 * 60, 13 * 60), "Europe/Berlin", False),
        ((12 * 60, 13 * 60), "No/Such", True),
        ((12 * 60, 13 * 60), 7, True),
    ],
)
def test_quiet_hours_are_the_subjects(quiet: tuple[int, int], zone: object, refuses: bool) -> None:
    lines = [event(0, "forestall.identify", {"traits": {"timezone": zone}}), event(0, "a")]
    settings = replace(OPEN, quiet_hours=quiet)
    expected = ["0 p quiet_hours"] if refuses else ["0 p intervene"]
    assert told(decide(on("{event: a}"), lines, settings)) == expected
    ignoring = on("{event: a}", quiet_hours="ignore")
    assert told(decide(ignoring, lines, settings)) == ["0 p intervene"]


def test_quiet_hours_know_daylight_saving() -> None:
    settings = replace(OPEN, quiet_hours=(2 * 60 + 30, 3 * 60 + 30), timezone="Europe/Berlin")
    night = json.loads(event(0, "a"))
    winter_spring = {"2024-03-31T00:59:59Z": False, "2024-03-31T01:00:00Z": True}
    for moment, refuses in winter_spring.items():
        line = json.dumps({**night, "time": moment}).encode()
        assert told(decide(on("{event: a}"), [line], settings))[0].endswith(
            "quiet_hours" if refuses else "intervene"
        )


@pytest.mark.parametrize("minute", [29, 31])
def test_quiet_hours_go_by_utc_where_a_calendar_ends(minute: int) -> None:
    settings = replace(OPEN, quiet_hours=(23 * 60 + 30, 23 * 60 + 59), timezone="Europe/Berlin")
    last = f"9999-12-31T23:{minute}:00Z"
    line = json.dumps({**json.loads(event(0, "a")), "time": last}).encode()
    expected = "quiet_hours" if minute > 30 else "intervene"
    assert [one.reason or one.outcome for one in decide(on("{event: a}"), [line], settings)] == [
        expected
    ]


def test_a_model_that_is_not_there_is_not_confident() -> None:
    policy = on("{event: a}", model={"name": "m", "threshold": 0.0})
    assert told(decide(policy, [event(0, "a")])) == ["0 p low_confidence"]


def test_kill_switches_take_effect_at_their_moment() -> None:
    def switches(at: int, off: tuple[str, ...], everything: bool) -> SwitchesApplied:
        return SwitchesApplied(START + at * SECOND, off, everything, "test", "test")

    controls = [switches(10, ("p",), False), switches(20, (), True), switches(30, (), False)]
    lines = [event(t, "a") for t in (9, 10, 20, 30)]
    assert told(decide(on("{event: a}"), lines, OPEN, controls)) == [
        "9 p intervene",
        "10 p killed",
        "20 p killed",
        "30 p intervene",
    ]


def test_the_highest_priority_wins_then_the_name_then_the_key() -> None:
    policies = [
        on("{event: a}", "c", priority=90),
        on("{event: a}", "b", priority=90),
        on("{event: a}", "a", priority=10),
    ]
    assert told(decide(policies, [event(0, "a")])) == [
        "0 a outranked",
        "0 b intervene",
        "0 c outranked",
    ]


def test_of_keys_at_one_deadline_the_first_wins() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 5s}], by: event.data.k}")
    lines = [event(0, "a", {"k": k}, event_id=k) for k in ("y", "é", "x")] + [event(60, "z")]
    assert told(decide(policy, lines)) == [
        '5 p intervene "x"',
        '5 p outranked "y"',
        '5 p outranked "é"',
    ]


def test_holdouts_follow_the_published_hash() -> None:
    digest = hashlib.sha256(b"salt:u").digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    assert in_holdout("salt", "u", min(1.0, point + 1e-9))
    assert not in_holdout("salt", "u", point - 1e-9)
    assert not in_holdout("salt", "u", 0)
    assert in_holdout("salt", "u", 1)


def test_a_policy_holdout_lets_the_next_one_have_its_turn_and_counts_for_its_own_gates() -> None:
    policies = [
        on("{event: a}", "p", priority=90, holdout=1, cooldown="10s"),
        on("{event: a}", "q", cooldown="5s"),
    ]
    settings = replace(OPEN, spacing=7 * SECOND)
    lines = [event(t, "a") for t in (0, 6, 7)]
    assert told(decide(policies, lines, settings)) == [
        "0 p policy_holdout",
        "0 q intervene",
        "6 p cooldown",
        "6 q spacing",
        "7 p cooldown",
        "7 q intervene",
    ]


def test_the_global_holdout_is_an_act_and_exempts_transactional() -> None:
    settings = replace(OPEN, holdout=1.0, spacing=10 * SECOND)
    lines = [event(0, "a"), event(1, "a")]
    assert told(decide(on("{event: a}"), lines, settings)) == ["0 p global_holdout", "1 p spacing"]
    transactional = on("{event: a}", budget_class="transactional")
    assert told(decide(transactional, lines, settings)) == ["0 p intervene", "1 p intervene"]


def test_a_decision_says_everything_and_its_id_is_as_published() -> None:
    policy = on(
        "{sequence: [{event: a}], by: event.data.k}",
        features={
            "n": {"count": "a", "over": "1h"},
            "s": {"sum": "event.data.k", "of": "a", "over": "1h"},
        },
    )
    (one,) = decide(policy, [event(0, "a", {"k": 2})])
    material = [one.version, "u", "2", instant(0), [["test", "a@0"]]]
    text = json.dumps(material, separators=(",", ":"))
    assert one.id == hashlib.sha256(text.encode()).hexdigest()
    assert one.features == {"n": 1, "s": 2.0}
    assert (one.mode, one.outcome, one.reason, one.at) == ("live", "intervene", None, instant(0))
    assert one.explanation


def test_defaults_are_those_of_the_specification() -> None:
    assert DecideSettings() == DecideSettings(
        lateness=5 * MINUTE,
        grace=2 * SECOND,
        budget=3,
        budget_window=24 * HOUR,
        spacing=10 * MINUTE,
        holdout=0.0,
        salt="",
        quiet_hours=None,
        timezone=None,
        require_consent=False,
    )


def shadowed(*policies: Policy, names: set[str]) -> PoliciesApplied:
    """Control that puts ``policies`` in force, those of ``names`` in shadow mode."""
    record = applied(Bundle(policies=policies), START - 1, "test", "test")
    modes = (replace(one, mode="shadow") if one.name in names else one for one in record.policies)
    return replace(record, policies=tuple(modes))


def test_shadow_decisions_keep_a_ledger_of_their_own() -> None:
    live, shadow = on("{event: a}", "live"), on("{event: a}", "trial", cooldown="5s", priority=90)
    settings = replace(OPEN, spacing=2 * SECOND)
    controls = [shadowed(live, shadow, names={"trial"})]
    decisions = decide([], [event(t, "a") for t in (0, 1, 2, 5)], settings, controls)
    assert told(decisions) == [
        "0 live intervene",
        "0 trial intervene",
        "1 live spacing",
        "1 trial cooldown",
        "2 live intervene",
        "2 trial cooldown",
        "5 live intervene",
        "5 trial intervene",
    ]
    assert {one.policy: one.mode for one in decisions} == {"live": "live", "trial": "shadow"}


def test_shadow_policies_obey_what_the_customer_said() -> None:
    trial = on("{event: a}", "trial")
    never = event(1, "forestall.intervention.dismissed", {"policy": "trial", "never": True})
    lines = [event(0, "a"), never, event(2, "a"), event(3, "forestall.optout"), event(4, "a")]
    controls = [shadowed(trial, names={"trial"})]
    assert told(decide([], lines, OPEN, controls)) == [
        "0 trial intervene",
        "2 trial fatigue",
        "4 trial opted_out",
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=25))
def test_shadow_changes_nothing_live(steps: list[tuple[int, str]]) -> None:
    t, lines = 0, []
    for number, (gap, event_type) in enumerate(steps):
        t += gap
        lines.append(event(t, event_type, event_id=str(number)))
    policies = [on("{event: a}", "p", cooldown="3s"), on("{event: b}", "q")]
    trials = [on("{event: a}", "s", priority=99), on("{event: b}", "t", cooldown="2s")]
    settings = replace(OPEN, spacing=2 * SECOND, budget=4)
    beside = decide([], lines, settings, [shadowed(*policies, *trials, names={"s", "t"})])
    assert [one for one in beside if one.mode == "live"] == decide(policies, lines, settings)
    alone = decide(trials, lines, settings)
    assert [replace(one, mode="live") for one in beside if one.mode == "shadow"] == alone
