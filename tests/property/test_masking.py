"""Masking, for any JSON: what is hidden comes back, and nothing personal is left."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from forestall.privacy.masking import PLACEHOLDER, Masks, find

PERSONAL = st.sampled_from(
    [
        "anna@example.com",
        "anna (at) example (dot) com",
        "+49 30 1234567",
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "４１１１１１１１１１１１１１１１",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "Hauptstraße 12a, 10115 Berlin",
        "203.0.113.7",
    ]
)
ALIKE = st.sampled_from(
    [
        "[email-1]",
        "[card-2]",
        "[text-1]",
        "[text-",
        "1]",
        "[",
        "]",
        "[email-",
        "password: ",
        "[phone-0]",
        "@",
        " ",
    ]
)
TEXTS = st.lists(PERSONAL | ALIKE | st.text(max_size=8), max_size=8).map("".join)
NUMBERS = st.integers() | st.just(4111111111111111)
KEYS = TEXTS | st.sampled_from(["password", "phone", "email", "name", "token"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, min_size=1, max_size=3))
def test_what_is_hidden_comes_back(values: list[Any]) -> None:
    masks = Masks()
    hidden = [masks.hide(value) for value in values]
    assert [masks.restored(one) for one in hidden] == values
    assert repr(masks.restored(hidden)) == repr(values), "of the same types, in the same order"


@given(TEXTS)
def test_a_text_comes_back(text: str) -> None:
    masks = Masks()
    assert masks.restore(masks.hide(text)) == text


@given(JSON)
def test_the_same_input_gives_the_same_placeholders(value: Any) -> None:
    first, second = Masks(), Masks()
    assert first.hide(value) == second.hide(value)
    assert first.known == second.known
    assert first.hide(value) == second.hide(value), "and again, after it is known"


@given(TEXTS)
def test_every_placeholder_of_a_masked_text_is_its_own(text: str) -> None:
    masks = Masks()
    hidden = masks.hide(text)
    assert set(PLACEHOLDER.findall(hidden)) <= set(masks.known)


@given(st.lists(PERSONAL, min_size=1, max_size=5), st.sampled_from([", ", "; ", "\n", " | "]))
def test_nothing_personal_is_left(values: list[str], between: str) -> None:
    hidden = Masks().hide(between.join(values))
    assert not any(value in hidden for value in values)


@given(TEXTS)
def test_what_is_found_is_in_order_and_apart(text: str) -> None:
    place = 0
    for one in find(text):
        assert place <= one.start < one.end <= len(text)
        place = one.end
