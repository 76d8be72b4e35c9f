"""Write keys: who may send at all, and of which origin their events are."""

import base64
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from forestall.ingest.letter import Sender
from forestall.kernel.clock import Tokens
from forestall.kernel.settings import WriteKey
from forestall.privacy.keys import load_secret

INTERNAL = "forestall"
"""The name of the key with which our own processes send."""


def internal_key(folder: Path, ids: Tokens, *, create: bool = False) -> str:
    """The key of our own processes, from ``internal.key`` in the data folder (mode 0600).

    Made on first start if ``create``. Raises ``VaultLocked`` where it is missing or exposed.
    """
    return load_secret(folder / "internal.key", ids, create=create)


class Writers:
    """The keys in force. A credential is compared with every key, each in constant time."""

    def __init__(self, keys: Iterable[WriteKey], internal: str) -> None:
        self._known = [(key.key.encode(), Sender(key.name, key.origin)) for key in keys]
        self._known.append((internal.encode(), Sender(INTERNAL, "server", internal=True)))

    def find(self, credential: str | None) -> Sender | None:
        """Whose key it is, or none."""
        found = None
        given = (credential or "").encode("utf-8", "surrogateescape")
        for key, sender in self._known:
            if hmac.compare_digest(key, given) and key:
                found = sender
        return found


def credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The key that a request shows: HTTP basic (as user name), bearer, ``X-Write-Key``, or the
    query's ``writeKey`` (beacons can set no header)."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
        except ValueError:
            return None
    return headers.get("x-write-key") or query.get("writeKey")
