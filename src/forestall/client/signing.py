"""Signs the token with which a page speaks for the customer who is signed in to it."""

from forestall.contracts.instants import SECOND
from forestall.kernel.clock import Clock, wall_clock


def subject_token(
    secret: str,
    user_id: str | None = None,
    *,
    anonymous_id: str | None = None,
    seconds: int = 3600,
    clock: Clock = wall_clock,
) -> str:
    """A token for ``user_id``, or for the visitor ``anonymous_id``, good for so many seconds.

    ``secret`` is the gateway's ``[tokens] secret``. Hand it out only to whom you have signed in.
    Raises ``ValueError`` unless there is exactly one id of 1 to 256 characters and 1 second to 24
    hours of life, and ``WeakSecret``.
    """
    # Imported here: most processes never sign, and cryptography takes long to load.
    from forestall.privacy.tokens import LONGEST_LIFE, SubjectToken, sign

    if (user_id is None) == (anonymous_id is None):
        raise ValueError("give exactly one of user_id and anonymous_id")
    if not 1 <= len(user_id or anonymous_id or "") <= 256:
        raise ValueError("an id has 1 to 256 characters")
    if not 1 <= seconds <= LONGEST_LIFE // SECOND:
        raise ValueError("a token lives for 1 second to 24 hours")
    expires = clock() + seconds * SECOND
    return sign(
        SubjectToken(subject_id=user_id, anonymous_id=anonymous_id, expires=expires), secret
    )
