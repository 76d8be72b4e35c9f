"""Secrets by name: given to whoever the settings say, and hidden from everything that is told."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from forestall.kernel.settings import Credential

MASK = "***"


class Secret:
    """A secret that does not show itself; ``reveal`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for sending it, and for nothing else."""
        return self._value

    def __repr__(self) -> str:
        return MASK


class Credentials:
    """The credentials of a deployment; who may use them is checked when declarations are read."""

    def __init__(self, credentials: Mapping[str, Credential]) -> None:
        self._secrets = {name: Secret(one.value) for name, one in credentials.items()}
        hidden = {form for one in credentials.values() for form in _forms(one.value)}
        self._hidden = sorted(hidden, key=len, reverse=True)

    def secret(self, name: str | None) -> Secret | None:
        """The secret of that name; none for no name."""
        return None if name is None else self._secrets[name]

    def hide(self, value: Any) -> Any:
        """JSON data with every secret in its texts and keys masked, also in the spellings in which
        they travel."""
        if isinstance(value, str):
            for secret in self._hidden:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, dict):
            return {self.hide(key): self.hide(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(one) for one in value]
        return value

    def __repr__(self) -> str:
        return f"Credentials({sorted(self._secrets)})"


def _forms(secret: str) -> set[str]:
    """The secret as itself, in base64 (also after ``user:``, as in Basic) and in a URL."""
    raw = secret.encode()
    coded = [base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()]
    return {form for form in (secret, quote(secret, safe=""), *coded) if form}
