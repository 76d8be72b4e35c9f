"""Tallies of a canary's step: who counts, for what, from when on; and how they are judged."""

from statistics import mean, stdev
from typing import Any

import msgspec
import pytest

from forestall.contracts.decision import Confidence, Decided, Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import MINUTE, SECOND
from forestall.measure.assign import in_holdout
from forestall.measure.canary import DEFAULTS, Counted, Plan, Sizes, Tallies, Watched
from forestall.measure.verdict import Look, look

BEGUN = 1_000 * SECOND
COMPLAINTS = Watched(name="complaints", event="complaint.filed")
PLAN = Plan(
    name="hint",
    version="v2",
    salt="s:hint:canary",
    begun=BEGUN,
    share=0.5,
    guardrails=(*DEFAULTS, COMPLAINTS),
    least=1,
    time=10 * MINUTE,
    settling=5 * MINUTE,
)
TICKETS, DISMISSED, ERRORS, LATENCY, COMPLAINT = range(5)


def people(canary: bool, count: int, share: float = 0.5, above: float = 0.0) -> list[str]:
    """Subjects of one arm."""
    names = (f"p{n}" for n in range(100_000))
    salt = PLAN.salt
    wanted = (
        name
        for name in names
        if in_holdout(salt, name, share) == canary and not in_holdout(salt, name, above)
    )
    return [next(wanted) for _ in range(count)]


INSIDE, OUTSIDE = people(True, 40), people(False, 40)


class Step:
    """A step that is fed by hand; ``at`` are seconds since it began."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.tallies = Tallies(plan)
        self.plan = plan
        self._number = 0

    def event(self, kind: str, subject: str, at: int = 1, **data: Any) -> None:
        self._number += 1
        self.tallies.happened(
            Record(
                f"e{self._number}",
                "test",
                kind,
                subject,
                BEGUN + at * SECOND,
                BEGUN + at * SECOND,
                "server",
                msgspec.Raw(msgspec.json.encode(data)),
            )
        )

    def visit(self, *subjects: str, at: int = 1) -> None:
        for subject in subjects:
            self.event("page.viewed", subject, at)

    def decide(self, name: str, subject: str, at: int = 1, **changed: Any) -> None:
        made = Decision(
            id=name,
            policy="hint",
            version="v2",
            mode="canary",
            subject=subject,
            key=None,
            at="2024-01-01T00:00:00.000000Z",
            outcome="intervene",
            reason=None,
            matched=(),
            features={},
            explanation="",
        )
        made = msgspec.structs.replace(made, **changed)
        self.tallies.decided(Decided(1, 0, BEGUN + at * SECOND, made))

    def report(self, told: str, name: str, subject: str, at: int = 2) -> None:
        self.event(f"forestall.intervention.{told}", subject, at, intervention=name, policy="hint")

    def counted(self, at: int = 2) -> Counted:
        return self.tallies.counted(BEGUN + at * SECOND)

    def look(self, at: int = 2) -> Look:
        return look(self.plan, self.counted(at), BEGUN + at * SECOND)


def test_everybody_who_is_active_counts_once_in_their_arm() -> None:
    step = Step()
    step.visit(*INSIDE[:3], *INSIDE[:3], *OUTSIDE[:5])
    assert step.counted().active == Sizes(3, 5)


def test_what_happened_before_the_step_began_counts_for_nothing() -> None:
    step = Step()
    step.event("forestall.ticket.opened", INSIDE[0], at=-1)
    step.decide("d0", INSIDE[0], at=-1)
    step.report("shown", "d0", INSIDE[0], at=3)
    found = step.counted(3)
    assert (found.active, found.shown, found.exposed) == (Sizes(), Sizes(), 0)


def test_an_outcome_counts_once_and_at_any_time_after() -> None:
    step = Step()
    step.visit(INSIDE[0], OUTSIDE[0])
    for at in (5, 6, 500):
        step.event("forestall.ticket.opened", INSIDE[0], at)
    step.event("complaint.filed", OUTSIDE[0], 900)
    outcomes = step.counted(901).outcomes
    assert outcomes[TICKETS].early == outcomes[TICKETS].settled == Sizes(1, 0)
    assert outcomes[COMPLAINT].early == outcomes[COMPLAINT].settled == Sizes(0, 1)


def test_subjects_settle_once_they_have_been_there_long_enough() -> None:
    step = Step()
    step.visit(INSIDE[0], at=0)
    step.visit(INSIDE[1], at=100)
    assert step.counted(299).settled == Sizes()
    assert step.counted(300).settled == Sizes(1, 0)
    assert step.counted(400).settled == Sizes(2, 0)


def test_what_interventions_report_makes_nobody_active() -> None:
    step = Step()
    step.decide("d1", INSIDE[0])
    step.report("shown", "d1", INSIDE[0])
    found = step.counted()
    assert (found.active, found.shown) == (Sizes(), Sizes(1, 0))


def test_an_earlier_steps_subjects_count_in_neither_arm() -> None:
    plan = msgspec.structs.replace(PLAN, share=0.5, earlier=0.2)
    step = Step(plan)
    before = people(True, 10, share=0.2)
    step.visit(*before, *people(True, 4, above=0.2), *OUTSIDE[:4])
    assert step.counted().active == Sizes(4, 4)
    assert plan.chance == pytest.approx(0.375)


def test_messages_count_with_their_first_latency_and_dismissals() -> None:
    step = Step()
    for number, subject in enumerate((INSIDE[0], OUTSIDE[0], OUTSIDE[1])):
        step.visit(subject)
        step.decide(f"d{number}", subject, mode="canary" if number == 0 else "live")
        step.report("shown", f"d{number}", subject, at=3)
        step.report("shown", f"d{number}", subject, at=9)
    step.report("dismissed", "d1", OUTSIDE[0], at=10)
    found = step.counted(400)
    assert found.shown == found.shown_settled == Sizes(1, 2)
    assert found.outcomes[DISMISSED].early == found.outcomes[DISMISSED].settled == Sizes(0, 1)
    assert found.outcomes[LATENCY].latencies == ({2_000.0: 2}, {2_000.0: 1})


def test_a_dismissal_by_somebody_who_was_shown_nothing_does_not_count() -> None:
    step = Step()
    step.visit(INSIDE[0])
    step.decide("d1", INSIDE[0])
    step.report("dismissed", "d1", INSIDE[0])
    step.report("dismissed", "unknown", INSIDE[0])
    assert step.counted().outcomes[DISMISSED].early == Sizes()


def test_only_its_own_policy_counts_while_a_version_of_it_is_live() -> None:
    other: dict[str, Any] = {"policy": "other", "mode": "live"}
    alone, all_ = Step(), Step(msgspec.structs.replace(PLAN, alone=False))
    for step in (alone, all_):
        step.visit(OUTSIDE[0])
        step.decide("d1", OUTSIDE[0], **other)
        step.report("shown", "d1", OUTSIDE[0])
        step.report("failed", "d1", OUTSIDE[0])
    assert alone.counted().shown == Sizes()
    assert alone.counted().outcomes[ERRORS].early == Sizes()
    assert all_.counted().shown == all_.counted().outcomes[ERRORS].early == Sizes(0, 1)


def test_exposed_are_those_the_version_acted_for() -> None:
    step = Step()
    step.decide("d1", INSIDE[0])
    step.decide("d2", INSIDE[0])
    step.decide("d3", INSIDE[1], outcome="suppress", reason="cooldown")
    step.decide("d4", OUTSIDE[0], version="v1", mode="live")
    step.decide("d5", INSIDE[2], mode="shadow")
    assert step.counted().exposed == 1


def test_a_model_has_acted_where_it_judged_what_was_done() -> None:
    plan = msgspec.structs.replace(PLAN, kind="model", alone=False)
    said = Confidence("hint", "v2", "canary", 0.9, {})
    step = Step(plan)
    step.decide("d1", INSIDE[0], policy="a", version="x", mode="live", confidence=(said,))
    step.decide("d2", INSIDE[1], policy="a", version="x", mode="live")
    shadow = msgspec.structs.replace(said, mode="shadow")
    step.decide("d3", INSIDE[2], policy="a", version="x", mode="live", confidence=(shadow,))
    assert step.counted().exposed == 1


# -- joined --------------------------------------------------------------------------------------


def alias(step: Step, former: str, survivor: str, at: int) -> None:
    step.event("forestall.alias", survivor, at, **{"from": former})


def test_whoever_turns_out_to_be_in_both_arms_counts_no_more() -> None:
    step = Step()
    step.visit(INSIDE[0], OUTSIDE[0], OUTSIDE[1])
    step.event("forestall.ticket.opened", INSIDE[0], at=5)
    alias(step, OUTSIDE[0], INSIDE[0], at=6)
    step.event("complaint.filed", INSIDE[0], at=7)
    found = step.counted(400)
    assert (found.joined, found.contaminated) == (1, 1)
    assert found.outcomes[TICKETS].early == Sizes(1, 0)
    assert found.outcomes[TICKETS].settled == found.outcomes[COMPLAINT].early == Sizes()
    assert found.settled == Sizes(0, 1)


def test_nor_does_who_was_twice_in_the_same_arm_or_comes_back_as_another() -> None:
    step = Step()
    step.visit(INSIDE[0], INSIDE[1], OUTSIDE[0])
    alias(step, INSIDE[0], INSIDE[1], at=3)
    alias(step, OUTSIDE[0], OUTSIDE[5], at=3)
    step.visit(OUTSIDE[5], at=4)
    found = step.counted()
    assert (found.joined, found.contaminated) == (2, 0)
    assert found.active == Sizes(2, 1)


def test_joining_somebody_who_took_no_part_changes_nothing() -> None:
    step = Step()
    step.visit(INSIDE[0])
    alias(step, OUTSIDE[0], INSIDE[0], at=3)
    step.event("complaint.filed", INSIDE[0], at=4)
    found = step.counted(400)
    assert (found.joined, found.settled) == (0, Sizes(1, 0))
    assert found.outcomes[COMPLAINT].early == Sizes(1, 0)


def test_joining_one_of_an_earlier_step_contaminates() -> None:
    plan = msgspec.structs.replace(PLAN, earlier=0.2)
    step = Step(plan)
    (before,) = people(True, 1, share=0.2)
    step.visit(OUTSIDE[0], before)
    alias(step, OUTSIDE[0], before, at=3)
    assert step.counted().contaminated == 1


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_joining_leans_to_neither_arm(share: float) -> None:
    """Customers with two pseudonyms open many tickets, all after they are joined or all before: over
    many ways to fall into the arms the weighted difference is zero."""
    differences = []
    for run in range(300):
        step = Step(msgspec.structs.replace(PLAN, share=share, salt=f"{run}"))
        for pair in range(30):
            one, other = f"a{pair}", f"b{pair}"
            step.visit(one, other, f"c{pair}")
            if pair % 2:
                step.event("forestall.ticket.opened", one)
            alias(step, one, other, at=3)
            step.event("forestall.ticket.opened", other, at=4)
            step.event("forestall.ticket.opened", f"c{pair}", at=5)
        had = step.counted(6).outcomes[TICKETS].early
        differences.append(had.canary / share - had.rest / (1 - share))
    assert abs(mean(differences)) < 3.5 * stdev(differences) / len(differences) ** 0.5


# -- verdicts ------------------------------------------------------------------------------------


def test_nobody_is_no_data_and_so_is_a_canary_that_did_nothing() -> None:
    step = Step()
    assert step.look().verdict == "no_data"
    step.visit(*INSIDE[:5])
    assert step.look().why == ("nobody new in the rest has been active",)
    step.visit(*OUTSIDE[:5])
    assert (step.look().verdict, step.look().why) == (
        "no_data",
        ("the canary has acted for nobody",),
    )


def test_an_unfinished_step_says_what_it_waits_for() -> None:
    plan = msgspec.structs.replace(PLAN, least=100)
    step = Step(plan)
    step.visit(*INSIDE, *OUTSIDE)
    step.decide("d1", INSIDE[0])
    step.report("shown", "d1", INSIDE[0])
    found = step.look(60)
    assert found.verdict == "inconclusive"
    words = "\n".join(found.why)
    assert "9m of 10m are left" in words
    assert "0 of 100 subjects in the canary have been there for 5m" in words
    assert "dismissed: nobody in the rest was shown anything" in words
    assert "tickets: may be worse by up to" in words
    assert "more subjects in the canary" in words
    tickets = found.guardrails[TICKETS]
    assert tickets.wanted
    assert tickets.wanted > 100


def counts(plan: Plan, **changed: Any) -> Counted:
    """So many that everything is settled, and nothing ever went wrong."""
    tallies = Tallies(plan).counted(0)
    both = Sizes(20_000, 20_000)
    plain = msgspec.structs.replace(tallies, active=both, settled=both, exposed=5)
    return msgspec.structs.replace(plain, **changed)


LATE = BEGUN + 20 * MINUTE


def test_everything_within_its_limit_passes() -> None:
    assert look(PLAN, counts(PLAN), LATE).verdict == "pass"
    assert look(PLAN, counts(PLAN), BEGUN + MINUTE).verdict == "inconclusive"
    assert look(PLAN, counts(PLAN, exposed=0), LATE).verdict == "no_data"


def test_a_guardrail_that_fails_is_enough_at_any_time() -> None:
    counted = counts(PLAN)
    counted.outcomes[COMPLAINT].early = Sizes(400, 200)
    found = look(PLAN, counted, BEGUN)
    assert found.verdict == "fail"
    (why,) = found.why
    assert why.startswith("complaints: worse by more than 0.00 %: 2.00 % in the canary, 1.00 %")
    assert [one.verdict for one in found.guardrails].count("fail") == 1


def test_what_is_worse_within_its_margin_does_not_fail() -> None:
    margin = msgspec.structs.replace(COMPLAINTS, margin=0.02)
    plan = msgspec.structs.replace(PLAN, guardrails=(margin,))
    counted = counts(plan)
    counted.outcomes[0].early = counted.outcomes[0].settled = Sizes(400, 200)
    assert look(plan, counted, LATE).verdict == "pass"


def test_arms_that_do_not_fit_the_share_never_pass() -> None:
    found = look(PLAN, counts(PLAN, active=Sizes(20_000, 25_000)), LATE)
    assert found.verdict == "inconclusive"
    assert "something decides who is seen" in "\n".join(found.why)


def test_messages_that_only_one_arm_saw_keep_it_from_passing() -> None:
    for shown in (Sizes(100, 0), Sizes(0, 100)):
        found = look(PLAN, counts(PLAN, shown=shown, shown_settled=shown), LATE)
        assert found.verdict == "inconclusive"


def test_where_nothing_is_watched_or_seen_nothing_passes() -> None:
    """Messages are all that is watched, and nobody was shown any."""
    for guardrails in ((), (DEFAULTS[DISMISSED], DEFAULTS[LATENCY])):
        plan = msgspec.structs.replace(PLAN, guardrails=guardrails)
        found = look(plan, counts(plan), LATE)
        assert found.verdict == "inconclusive"
        assert found.why == ("nothing that is watched could be compared",)


def test_slower_messages_fail() -> None:
    counted = counts(PLAN, shown=Sizes(900, 900), shown_settled=Sizes(900, 900))
    counted.outcomes[LATENCY].latencies = ({100.0: 900}, {900.0: 900})
    found = look(PLAN, counted, LATE)
    assert found.verdict == "fail"
    assert "latency: worse by more than 100 ms: 900 ms in the canary, 100 ms" in found.why[0]


def test_a_canary_for_everybody_has_nobody_to_compare_with() -> None:
    plan = msgspec.structs.replace(PLAN, share=1.0)
    found = look(plan, counts(plan), LATE)
    assert {one.verdict for one in found.guardrails} == {"no_data"}
    assert (found.verdict, found.why) == ("no_data", ("the share leaves nobody to compare with",))


def test_a_look_can_be_written_as_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(look(PLAN, counts(PLAN), LATE)), type=Look)
