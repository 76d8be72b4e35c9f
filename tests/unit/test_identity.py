"""The rules of identity, as a table."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.kernel.clock import random_id
from forestall.privacy.identity import Known, Placed, find, settle, sign_in
from forestall.privacy.keys import Keys
from forestall.privacy.vault import Vault


@pytest.mark.parametrize(
    ("known", "placed"),
    [
        (Known(), Placed("new", None)),
        (Known(anonymous="A"), Placed("adopt", "A")),
        (Known(anonymous="A", owned=True), Placed("new", None)),
        (Known(user="U"), Placed("point", "U")),
        (Known(user="U", anonymous="U", owned=True), Placed("keep", "U")),
        (Known(user="U", anonymous="A"), Placed("join", "U", "A")),
        (Known(user="U", anonymous="A", owned=True), Placed("point", "U")),
    ],
)
def test_what_a_sign_in_does(known: Known, placed: Placed) -> None:
    assert sign_in(known) == placed


steps = st.lists(
    st.tuples(
        st.sampled_from([None, "u1", "u2", "u3"]),
        st.sampled_from([None, "a1", "a2"]),
        st.booleans(),
    ).filter(lambda step: step[0] or step[1]),
    max_size=30,
)


@given(steps)
def test_two_users_never_share_a_pseudonym(
    history: list[tuple[str | None, str | None, bool]],
) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    vault = Vault(connection, Keys(b"m" * 32), random_id)
    vault.lay()
    for user, anonymous, signs_in in history:
        placed = find(vault, user, anonymous, signs_in=signs_in)
        subject = settle(vault, placed, user, anonymous, signs_in=signs_in)
        assert placed.subject in (None, subject)
        assert subject == find(vault, user, anonymous, signs_in=False).subject
        if signs_in and user and anonymous:
            assert vault.resolve("anonymous", anonymous) == vault.resolve("user", user)
        users = [vault.resolve("user", name) for name in ("u1", "u2", "u3")]
        known = [pseudonym for pseudonym in users if pseudonym]
        assert len(known) == len(set(known))
    connection.close()


def test_nobody_has_no_pseudonym() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    vault = Vault(connection, Keys(b"m" * 32), random_id)
    vault.lay()
    with pytest.raises(ValueError, match="needs a user"):
        settle(vault, find(vault, None, None, signs_in=False), None, None, signs_in=False)
    connection.close()
