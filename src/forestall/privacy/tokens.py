"""Subject tokens: who a browser speaks for, signed by the customer's backend (JWT, HS256).

Claims: ``sub`` (the customer's own id of a signed-in user) or ``anon`` (the anonymous id of a
visitor), exactly one of them; ``exp`` (RFC 7519 NumericDate), at most 24 hours ahead; ``nbf`` is
heeded where given. The raw id in a token never belongs in a log line: ``repr`` leaves it out.
"""

from typing import Annotated, Any

import jwt
import msgspec

from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import DAY, SECOND

ALGORITHM = "HS256"
LEEWAY = 5 * SECOND
LONGEST_LIFE = DAY
LONGEST_TOKEN = 4096
SHORTEST_SECRET = 32

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class WeakSecret(ForestallError):
    """``[tokens] secret`` has fewer than 32 bytes, which HS256 needs (RFC 7518, 3.2)."""

    code = "token-secret-weak"
    exit_code = 2


class TokenInvalid(ForestallError):
    """The token is not one of ours: malformed, wrongly signed, or with claims that don't fit."""

    code = "token-invalid"


class TokenExpired(ForestallError):
    """The token was good and its time is over; the page should fetch a fresh one."""

    code = "token-expired"


class SubjectToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token says: exactly one id is set; ``expires`` is in microseconds."""

    subject_id: str | None = None
    anonymous_id: str | None = None
    expires: int

    def __repr__(self) -> str:
        kind = "a user" if self.subject_id is not None else "a visitor"
        return f"SubjectToken({kind}, expires={self.expires})"


class _Claims(msgspec.Struct, frozen=True):
    exp: int | float
    sub: _Id | None = None
    anon: _Id | None = None
    nbf: int | float = 0


def check_secret(secret: str) -> None:
    """Raise ``WeakSecret`` if the secret is too short to sign with; meant for start-up."""
    if len(secret.encode()) < SHORTEST_SECRET:
        raise WeakSecret(
            f"[tokens] secret has fewer than {SHORTEST_SECRET} bytes; make one with"
            " `openssl rand -hex 32` and give it to your backend too"
        )


def verify(token: str, secret: str, now: int) -> SubjectToken:
    """What ``token`` says, if ``secret`` signed it and its time, at ``now``, has come and not gone.

    Raises ``TokenExpired``, ``TokenInvalid`` and ``WeakSecret``. Five seconds of leeway.
    """
    check_secret(secret)
    claims = _claims(token, secret)
    earliest, latest = now - LEEWAY, now + LEEWAY
    if not claims.nbf * SECOND <= latest:
        raise TokenInvalid("the subject token is not valid yet; check the backend's clock")
    if claims.exp * SECOND <= earliest:
        raise TokenExpired("the subject token has expired; fetch a fresh one from your backend")
    if not claims.exp * SECOND <= latest + LONGEST_LIFE:
        raise TokenInvalid("the subject token expires more than 24 hours ahead; sign shorter ones")
    if (claims.sub is None) == (claims.anon is None):
        raise TokenInvalid("the subject token needs exactly one of the claims sub and anon")
    return SubjectToken(
        subject_id=claims.sub, anonymous_id=claims.anon, expires=int(claims.exp * SECOND)
    )


def sign(token: SubjectToken, secret: str) -> str:
    """The compact JWT of ``token``, as the customer's backend would sign it. ``exp`` in seconds."""
    check_secret(secret)
    claims: dict[str, Any] = {"exp": token.expires // SECOND}
    if token.subject_id is not None:
        claims["sub"] = token.subject_id
    if token.anonymous_id is not None:
        claims["anon"] = token.anonymous_id
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def sign_anonymous(anonymous_id: str, secret: str, now: int, lifetime: int) -> str:
    """A token for a visitor, bound to ``anonymous_id``, good for ``lifetime`` microseconds.

    Who hands it out makes sure that the id is the visitor's own: a fresh one, or from its cookie.
    """
    expires = now + min(lifetime, LONGEST_LIFE)
    return sign(SubjectToken(anonymous_id=anonymous_id, expires=expires), secret)


def _claims(token: str, secret: str) -> _Claims:
    """The claims under a good signature; PyJWT compares it in constant time. No time is checked."""
    if len(token) > LONGEST_TOKEN:
        raise TokenInvalid(f"the subject token is longer than {LONGEST_TOKEN} characters")
    try:
        parts = jwt.PyJWS().decode_complete(token, secret, algorithms=[ALGORITHM])
        return msgspec.json.decode(parts["payload"], type=_Claims)
    except (jwt.PyJWTError, ValueError):
        raise TokenInvalid(
            "the subject token is malformed or not signed (HS256) with this deployment's secret"
        ) from None
