"""The key with which what pages are given is signed: Ed25519 (RFC 8032) in compact JWS (RFC 7515,
RFC 8037). Pages pin the public key, so that nobody between can change what they decide by."""

import base64
import hashlib
from pathlib import Path
from typing import Any, Final, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from forestall.contracts.errors import ForestallError
from forestall.kernel.clock import Tokens
from forestall.privacy.keys import load_secret

KEY_FILE: Final = "edge.key"
"""Where the data folder keeps the private key: 64 hex digits, mode 0600."""

ALGORITHM: Final = "EdDSA"

Kind = Literal["forestall-edge-bundle", "forestall-edge-pass"]


class SignatureInvalid(ForestallError):
    """What was signed was changed since, was signed with another key, or is of another kind."""

    code = "edge-signature-invalid"


class EdgeKey:
    """The key of the data folder ``folder``, which is made on first use.

    Raises ``VaultLocked`` where its file is exposed or damaged.
    """

    def __init__(self, folder: Path, ids: Tokens) -> None:
        seed = load_secret(folder / KEY_FILE, ids, create=True)
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        raw = self._key.public_key().public_bytes_raw()
        self.public = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        """The public key: base64url of its 32 bytes, 43 characters."""
        self.id = hashlib.sha256(raw).hexdigest()[:16]
        """Names it in what it signs: the first 16 hex digits of SHA-256 of the public key."""

    def sign(self, kind: Kind, payload: dict[str, Any]) -> str:
        """The compact JWS of ``payload``. Equal payloads give equal texts."""
        content = msgspec.json.encode(payload)
        headers = {"typ": kind, "kid": self.id}
        return jwt.PyJWS().encode(content, self._key, ALGORITHM, headers)


def new_key(folder: Path, ids: Tokens) -> EdgeKey:
    """A new key in place of the one of ``folder``, which is gone then."""
    (folder / KEY_FILE).unlink(missing_ok=True)
    return EdgeKey(folder, ids)


def read_signed(text: str, kind: Kind, public: str) -> dict[str, Any]:
    """The payload of what the owner of the key ``public`` signed, whatever its times say.

    Raises ``SignatureInvalid``.
    """
    try:
        raw = base64.urlsafe_b64decode(public + "=")
        key = Ed25519PublicKey.from_public_bytes(raw)
        parts = jwt.PyJWS().decode_complete(text, key, algorithms=[ALGORITHM])
        if parts["header"].get("typ") != kind:
            raise SignatureInvalid(f"this is no {kind}")
        return msgspec.json.decode(parts["payload"], type=dict[str, Any])
    except (jwt.PyJWTError, ValueError):
        raise SignatureInvalid("it was changed, or signed with another key") from None
