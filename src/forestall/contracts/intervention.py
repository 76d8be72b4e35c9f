"""Interventions: what is carried out for a customer, and the words in which it reaches them."""

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Guidance for one customer, as a channel carries it.

    ``id`` is unique and never reused (a client ignores one it has seen), ``intervention`` the id of
    the decision behind it, ``subject`` a pseudonym, ``why`` the sentence that tells the customer
    why they see this. ``created`` and ``expires`` are log times in microseconds; from ``expires``
    on it may no longer be shown. ``locale`` is a BCP 47 tag such as ``de-CH``.
    """

    id: str
    intervention: str
    subject: str
    policy: str
    title: str
    body: str
    why: str
    created: int
    expires: int
    locale: str | None = None
