"""Whose event it is: the rules by which ids come to stand for pseudonyms.

An event names a user, an anonymous visitor, or both. Only a sign-in (``forestall.identify`` or
Segment's ``alias``) links the two; any other event that names both belongs to the user.
"""

from typing import Literal

import msgspec

from forestall.privacy.vault import Vault

Move = Literal["keep", "new", "adopt", "point", "join"]


class Known(msgspec.Struct, frozen=True):
    """What is known when a sign-in arrives: the pseudonyms of the user and the visitor.

    ``owned`` says that the visitor's pseudonym already belongs to some user.
    """

    user: str | None = None
    anonymous: str | None = None
    owned: bool = False


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where an event belongs; ``former`` is the pseudonym that its sign-in joins, if any.

    ``subject`` is none where a fresh pseudonym is due.
    """

    move: Move
    subject: str | None
    former: str | None = None


def sign_in(known: Known) -> Placed:
    """What a sign-in does.

    ``adopt``: a new user takes over the visitor's pseudonym. ``join``: a known user came with
    another device, whose history joins theirs. ``point``: the visitor's id simply stands for the
    user now. Where the visitor's pseudonym is another user's (a shared device), it stays theirs.
    """
    if known.user is None:
        if known.anonymous is not None and not known.owned:
            return Placed("adopt", known.anonymous)
        return Placed("new", None)
    if known.anonymous == known.user:
        return Placed("keep", known.user)
    if known.anonymous is None or known.owned:
        return Placed("point", known.user)
    return Placed("join", known.user, known.anonymous)


def find(vault: Vault, user: str | None, anonymous: str | None, *, signs_in: bool) -> Placed:
    """Where an event naming these ids belongs; changes nothing. At least one id is given."""
    if user and anonymous and signs_in:
        visitor = vault.resolve("anonymous", anonymous)
        owned = visitor is not None and vault.owned(visitor)
        return sign_in(Known(vault.resolve("user", user), visitor, owned))
    known = owner(vault, user, anonymous)
    return Placed("keep" if known else "new", known)


def owner(vault: Vault, user: str | None, anonymous: str | None) -> str | None:
    """Whose an event is that signs nobody in, if they are known: the user's before the visitor's."""
    return vault.resolve("user", user) if user else vault.resolve("anonymous", anonymous or "")


def settle(
    vault: Vault, placed: Placed, user: str | None, anonymous: str | None, *, signs_in: bool
) -> str:
    """Carry ``placed`` out in the vault; the subject's pseudonym."""
    if placed.move == "keep" and placed.subject:
        return placed.subject
    subject = placed.subject
    if user and placed.move in ("new", "adopt"):
        subject = vault.assign("user", user, subject)
    if anonymous and (signs_in or not user) and placed.move != "adopt":
        subject = vault.assign("anonymous", anonymous, subject)
    if placed.former and subject:
        vault.join(placed.former, subject)
    if subject is None:
        raise ValueError("an event needs a user or an anonymous id")
    return subject
