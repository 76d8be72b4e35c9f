"""A fair sample of customers in fixed memory."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.measure.sketch import Sketch


def sketch(subjects: list[str], size: int) -> Sketch[int]:
    found: Sketch[int] = Sketch(size)
    for number, subject in enumerate(subjects):
        found.offer(subject, number)
    return found


def kept(found: Sketch[int], subjects: list[str]) -> set[str]:
    return {one for one in subjects if found.get(one) is not None}


@given(st.lists(st.text("abcd", max_size=3)), st.integers(1, 10))
def test_who_is_in_it_does_not_depend_on_the_order(subjects: list[str], size: int) -> None:
    forward, backward = sketch(subjects, size), sketch(subjects[::-1], size)
    assert kept(forward, subjects) == kept(backward, subjects)
    assert len(forward) == min(size, len(set(subjects)))


@given(st.lists(st.text("abcd", max_size=3)), st.integers(1, 10))
def test_what_came_first_is_kept(subjects: list[str], size: int) -> None:
    found = sketch(subjects, size)
    for one in kept(found, subjects):
        assert found.get(one) == subjects.index(one)
    assert sorted(found) == sorted(subjects.index(one) for one in kept(found, subjects))


def test_coming_often_does_not_help() -> None:
    busy = [f"busy{number}" for number in range(500)] * 20
    rare = [f"rare{number}" for number in range(500)]
    found = sketch(busy + rare, 300)
    shares = len(kept(found, rare))
    assert len(found) == 300
    assert 110 <= shares <= 190


def test_memory_does_not_grow() -> None:
    found = sketch([str(number) for number in range(10_000)], 50)
    assert len(found) == len(found._kept) == len(found._heap) == 50
