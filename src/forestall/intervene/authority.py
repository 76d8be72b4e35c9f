"""People: who somebody is, what they may do, and why they are told no.

Everything that people change goes through here first: the right role, and a reason in words.
"""

import hmac
from collections.abc import Iterator, Mapping

import msgspec

from forestall.contracts.errors import ForestallError
from forestall.contracts.refusals import RoleMissing
from forestall.kernel.settings import Person

APPROVER, OPERATOR, REVIEWER = "approver", "operator", "reviewer"
"""Roles that the product itself asks for. A policy's ``approve`` may ask for any other by name."""


class UnknownPerson(ForestallError):
    """No token, or one that belongs to nobody in `[people]`."""

    code = "unknown-person"


class Who(msgspec.Struct, frozen=True):
    """Somebody who is known."""

    name: str
    roles: tuple[str, ...]
    title: str = ""

    def need(self, role: str) -> None:
        """Raises ``RoleMissing`` without ``role``."""
        if role not in self.roles:
            raise RoleMissing(
                f"{self.name} does not have the role {role!r}; [people.{self.name}] roles gives it"
            )


class People(Mapping[str, Who]):
    """The people of the settings, by name."""

    def __init__(self, people: Mapping[str, Person]) -> None:
        self._tokens = [(person.token.encode(), name) for name, person in people.items()]
        self._known = {
            name: Who(name, person.roles, person.title) for name, person in people.items()
        }

    def __getitem__(self, name: str) -> Who:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, token: str | None) -> Who:
        """Whose token it is; it is compared with everybody's, each in constant time.

        Raises ``UnknownPerson``."""
        given = (token or "").encode("utf-8", "surrogateescape")
        found = None
        for known, name in self._tokens:
            if hmac.compare_digest(known, given) and known:
                found = name
        if found is None:
            raise UnknownPerson("no token, or one that is nobody's; see [people] of the settings")
        return self._known[found]
