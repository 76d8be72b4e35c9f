"""A sample of finished remediations is looked at by people, once each."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databases import postgres
from flow.staffed import CAT, DAN, Staffed, charge
from forestall.contracts.instants import HOUR
from forestall.contracts.refusals import NotThere, ReasonMissing, RoleMissing, TooLate
from forestall.intervene.reviews import Number, Review, chosen


def finished(folder: Path, customers: int, *policies: str, tables: str | None = None) -> Staffed:
    """A world in which that many remediations of each policy were carried out."""
    policies = policies or ("charge",)
    staffed = Staffed(folder, *(charge(name) for name in policies), tables=tables)
    bob = staffed.people["bob"]
    staffed.approving.add_grant(bob, "retry-charge", budget=10_000, lasts=HOUR, reason="night")
    staffed.fail(*(f"c{number}" for number in range(customers)))
    staffed.tend()
    staffed.come_back()
    assert set(staffed.act()) == {"done"}
    return staffed


def sample(staffed: Staffed, share: float, seed: str = "monday") -> list[Review]:
    return staffed.office.reviewing.sample(staffed.people.find(DAN), share, seed)


@given(st.text(), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_greater_share_has_all_of_a_smaller(seed: str, key: str, one: float, two: float) -> None:
    if chosen(seed, key, min(one, two)):
        assert chosen(seed, key, max(one, two))
    assert chosen(seed, key, 1.0)
    assert not chosen(seed, key, 0.0)


def test_the_share_is_kept() -> None:
    for share in (0.02, 0.1, 0.5):
        hits = sum(chosen("seed", str(number), share) for number in range(20_000))
        assert abs(hits - 20_000 * share) < 5 * (20_000 * share * (1 - share)) ** 0.5


def test_a_sample_depends_on_its_seed_alone() -> None:
    def picked(seed: str) -> list[int]:
        return [number for number in range(500) if chosen(seed, str(number), 0.1)]

    assert picked("monday") == picked("monday")
    assert picked("monday") != picked("tuesday")


def test_each_remediation_is_sampled_once(tmp_path: Path) -> None:
    staffed = finished(tmp_path, 40)
    some = sample(staffed, 0.3)
    assert 0 < len(some) < 40
    assert all(one.action == "retry-charge" and one.policy == "charge" for one in some)
    assert sample(staffed, 0.3) == []
    rest = sample(staffed, 1.0, "another")
    assert len(some) + len(rest) == 40
    assert {one.id for one in some}.isdisjoint(one.id for one in rest)
    assert sample(staffed, 1.0) == []
    assert staffed.noted()[-1] == "dan review.sampled"


def test_what_is_not_carried_out_is_not_sampled(tmp_path: Path) -> None:
    staffed = Staffed(tmp_path)
    staffed.ask("s1", "s2")
    assert sample(staffed, 1.0) == []


def test_a_verdict_has_a_person_and_a_reason(tmp_path: Path) -> None:
    staffed = finished(tmp_path, 3)
    first, second, _ = sample(staffed, 1.0)
    dan, reviewing = staffed.people.find(DAN), staffed.office.reviewing
    good = reviewing.judge(dan, first.id, accepted=True, reason="right amount")
    assert (good.accepted, good.by, good.why) == (True, "dan", "right amount")
    bad = reviewing.judge(dan, second.id, accepted=False, reason="wrong card")
    assert bad.accepted is False
    with pytest.raises(TooLate, match=r"^rejected: dan"):
        reviewing.judge(dan, second.id, accepted=True, reason="after all")
    with pytest.raises(NotThere):
        reviewing.judge(dan, "f" * 32, accepted=True, reason="x")
    with pytest.raises(ReasonMissing):
        reviewing.judge(dan, first.id, accepted=True, reason="")
    assert {one.id for one in reviewing.all(judged=True)} == {first.id, second.id}
    assert len(reviewing.all(judged=False)) == 1
    assert len(reviewing.all()) == 3
    assert staffed.noted()[-2:] == ["dan review.accepted", "dan review.rejected"]


def test_numbers_are_by_action_and_policy(tmp_path: Path) -> None:
    staffed = finished(tmp_path, 4, "charge", "recharge")
    dan, reviewing = staffed.people.find(DAN), staffed.office.reviewing
    found = sample(staffed, 1.0)
    ours = [one for one in found if one.policy == "charge"]
    for one, accepted in zip(ours, (True, True, False), strict=False):
        reviewing.judge(dan, one.id, accepted=accepted, reason="seen")
    numbers = {one.policy: one for one in reviewing.numbers()}
    assert numbers["charge"] == Number(
        action="retry-charge", policy="charge", sampled=len(ours), accepted=2, rejected=1
    )
    others = len(found) - len(ours)
    assert (numbers["recharge"].sampled if others else 0) == others


def test_reviewing_takes_a_reviewer(tmp_path: Path) -> None:
    staffed = finished(tmp_path, 1)
    (one,) = sample(staffed, 1.0)
    cat, reviewing = staffed.people.find(CAT), staffed.office.reviewing
    with pytest.raises(RoleMissing):
        reviewing.sample(cat, 1.0, "x")
    with pytest.raises(RoleMissing):
        reviewing.judge(cat, one.id, accepted=True, reason="x")
    assert reviewing.all(judged=True) == []


def test_reviews_are_kept_in_postgresql_too(tmp_path: Path) -> None:
    staffed = finished(tmp_path, 3, tables=postgres().database())
    first, *others = sample(staffed, 1.0)
    assert len(others) == 2
    assert sample(staffed, 1.0) == []
    dan, reviewing = staffed.people.find(DAN), staffed.office.reviewing
    judged = reviewing.judge(dan, first.id, accepted=False, reason="the wrong amount")
    assert reviewing.all(judged=True) == [judged]
    assert len(reviewing.all(judged=False)) == 2
    (number,) = reviewing.numbers()
    assert (number.sampled, number.accepted, number.rejected) == (3, 0, 1)
    staffed.store.close()
