import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.instants import DAY, HOUR, SECOND
from forestall.privacy.tokens import (
    SubjectToken,
    TokenExpired,
    TokenInvalid,
    WeakSecret,
    check_secret,
    sign,
    sign_anonymous,
    verify,
)

SECRET = "an-example-secret-of-more-than-32-bytes"
NOW = 1_700_000_000 * SECOND


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"exp": NOW // SECOND + 600, **claims}, secret, algorithm=algorithm)


def test_a_users_token_names_the_user() -> None:
    found = verify(token(sub="u-1"), SECRET, NOW)
    assert found == SubjectToken(subject_id="u-1", expires=NOW + 600 * SECOND)


def test_a_visitors_token_names_the_anonymous_id() -> None:
    found = verify(sign_anonymous("a-1", SECRET, NOW, HOUR), SECRET, NOW)
    assert found == SubjectToken(anonymous_id="a-1", expires=NOW + HOUR)


def test_an_anonymous_token_never_lives_longer_than_a_day() -> None:
    assert verify(sign_anonymous("a", SECRET, NOW, 30 * DAY), SECRET, NOW).expires == NOW + DAY


@pytest.mark.parametrize("after", [5 * SECOND, 6 * SECOND, DAY])
def test_an_expired_token_is_told_apart(after: int) -> None:
    with pytest.raises(TokenExpired) as caught:
        verify(token(sub="u"), SECRET, NOW + 600 * SECOND + after)
    assert caught.value.code == "token-expired"


def test_clocks_may_differ_by_seconds() -> None:
    assert verify(token(sub="u"), SECRET, NOW + 604 * SECOND).subject_id == "u"
    assert verify(token(sub="u", nbf=NOW // SECOND + 4), SECRET, NOW).subject_id == "u"
    assert verify(token(sub="u", exp=NOW // SECOND + 86_404), SECRET, NOW).subject_id == "u"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"sub": "u", "exp": NOW // SECOND + 86_410}, id="too far ahead"),
        pytest.param({"sub": "u", "exp": float("inf")}, id="never"),
        pytest.param({"sub": "u", "exp": float("nan")}, id="not a number"),
        pytest.param({"sub": "u", "exp": True}, id="a truth value"),
        pytest.param({"sub": "u", "exp": "soon"}, id="a text"),
        pytest.param({"sub": "u", "exp": None}, id="null"),
        pytest.param({"sub": "u", "nbf": NOW // SECOND + 60}, id="not yet"),
        pytest.param({}, id="nobody"),
        pytest.param({"sub": "u", "anon": "a"}, id="two people"),
        pytest.param({"sub": ""}, id="empty id"),
        pytest.param({"sub": 7}, id="a number for an id"),
        pytest.param({"anon": "a" * 257}, id="long id"),
    ],
)
def test_claims_that_do_not_fit_are_refused(bad: dict[str, Any]) -> None:
    claims = {"exp": NOW // SECOND + 600, **bad}
    raw = jwt.PyJWS().encode(json.dumps(claims).encode(), SECRET, algorithm="HS256")
    with pytest.raises(TokenInvalid) as caught:
        verify(raw, SECRET, NOW)
    assert caught.value.code == "token-invalid"


def test_exp_is_required() -> None:
    raw = jwt.encode({"sub": "u"}, SECRET, algorithm="HS256")
    with pytest.raises(TokenInvalid):
        verify(raw, SECRET, NOW)


def test_another_secret_does_not_sign() -> None:
    with pytest.raises(TokenInvalid):
        verify(token(sub="u", secret=SECRET[::-1]), SECRET, NOW)


def test_the_algorithm_is_pinned() -> None:
    long = SECRET * 3
    with pytest.raises(TokenInvalid):
        verify(token(sub="u", secret=long, algorithm="HS512"), long, NOW)
    header, payload, _ = token(sub="u").split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for forged in (f"{none}.{payload}.", f"{header}.{payload}."):
        with pytest.raises(TokenInvalid):
            verify(forged, SECRET, NOW)


def test_a_changed_payload_does_not_pass() -> None:
    header, _, signature = token(sub="u").split(".")
    _, payload, _ = token(sub="somebody-else").split(".")
    with pytest.raises(TokenInvalid):
        verify(f"{header}.{payload}.{signature}", SECRET, NOW)


def test_a_huge_token_is_not_parsed() -> None:
    with pytest.raises(TokenInvalid, match="longer"):
        verify("a." * 5_000, SECRET, NOW)


def test_a_payload_that_is_no_object_is_refused() -> None:
    raw = jwt.PyJWS().encode(b'["sub"]', SECRET, algorithm="HS256")
    with pytest.raises(TokenInvalid):
        verify(raw, SECRET, NOW)


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(text, SECRET, NOW)


@given(st.text(min_size=1, max_size=50), st.integers(1, DAY // SECOND))
def test_what_is_signed_is_read_back(identity: str, seconds: int) -> None:
    said = SubjectToken(subject_id=identity, expires=NOW + seconds * SECOND)
    assert verify(sign(said, SECRET), SECRET, NOW) == said


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_weak_secret_is_refused(secret: str) -> None:
    for attempt in (
        lambda: check_secret(secret),
        lambda: verify(token(sub="u"), secret, NOW),
        lambda: sign_anonymous("a", secret, NOW, HOUR),
    ):
        with pytest.raises(WeakSecret, match="32 bytes"):
            attempt()


def test_ids_and_secrets_stay_out_of_texts() -> None:
    found = verify(token(sub="anna@example.org"), SECRET, NOW)
    assert "anna" not in f"{found!r} {found}"
    with pytest.raises(TokenExpired) as caught:
        verify(token(sub="anna@example.org"), SECRET, NOW + DAY)
    assert "anna" not in str(caught.value)
    assert SECRET not in str(caught.value)
