"""Receipts: what was approved or declined, by whom and on which evidence, signed with Ed25519.

A receipt is JSON: the statement, the id of the key, and the signature (RFC 8032, base64) over the
statement as JSON with sorted keys and no blanks. Whoever has the public key can verify it, offline.
"""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import format_time
from forestall.intervene.approvals import Approval, Grant, Said, canonical, digest
from forestall.kernel.clock import Tokens
from forestall.privacy.keys import load_secret

KEY_FILE = "receipts.key"
"""Where the data folder keeps the private key: 64 hex digits, mode 0600."""

_TYPE = "forestall/receipt/1"


class ReceiptInvalid(ForestallError):
    """A receipt was changed, was signed with another key, or is none."""

    code = "receipt-invalid"


class KeyUnreadable(ForestallError):
    """The file is not an Ed25519 public key in PEM, as `forestall approval key` prints it."""

    code = "key-unreadable"
    exit_code = 2


class Receipt(msgspec.Struct, frozen=True):
    """A signed statement. ``key`` is the first 16 hex digits of SHA-256 of the public key."""

    statement: dict[str, Any]
    key: str
    signature: str


class Signer:
    """Signs with the key of the data folder ``folder``, which is made on first use.

    Raises ``VaultLocked`` where its file is exposed or damaged."""

    def __init__(self, folder: Path, ids: Tokens) -> None:
        seed = load_secret(folder / KEY_FILE, ids, create=True)
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))

    @property
    def public(self) -> str:
        """The public key, PEM."""
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def receipt(self, approval: Approval, grant: Grant | None, now: int) -> Receipt:
        """A signed receipt of what was decided about ``approval``, by people or by ``grant``."""
        statement = {
            "type": _TYPE,
            "approval": approval.id,
            "outcome": approval.status,
            "intervention": approval.intervention,
            "step": approval.covers or approval.step,
            "customer": approval.subject,
            "policy": approval.policy,
            "version": approval.version,
            "action": approval.action,
            "arguments_hash": digest(approval.arguments),
            "binding": approval.hash,
            "evidence_hash": digest(approval.evidence),
            "people": [_person(said) for said in approval.said],
            "grant": None if grant is None else _granted(grant),
            "asked": format_time(approval.asked),
            "at": format_time(now),
        }
        signature = base64.b64encode(self._key.sign(canonical(statement))).decode()
        return Receipt(statement, key_id(self._key.public_key()), signature)


def _person(said: Said) -> dict[str, Any]:
    return {
        "name": said.who,
        "title": said.title,
        "verdict": said.verdict,
        "reason": said.reason,
        "at": format_time(said.at),
    }


def _granted(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "by": grant.by,
        "reason": grant.why,
        "budget": grant.budget,
        "used": grant.used,
        "until": format_time(grant.until),
    }


def key_id(public: Ed25519PublicKey) -> str:
    """A short name of a public key."""
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def read_public(pem: bytes) -> Ed25519PublicKey:
    """A public key in PEM. Raises ``KeyUnreadable``."""
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnreadable("this is no Ed25519 public key in PEM; `forestall approval key` has it")
    return key


def verify(text: bytes, public: Ed25519PublicKey) -> dict[str, Any]:
    """The statement of a receipt that ``public`` signed. Raises ``ReceiptInvalid``."""
    try:
        receipt = msgspec.json.decode(text, type=Receipt)
        signature = base64.b64decode(receipt.signature, validate=True)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError, RecursionError) as error:
        raise ReceiptInvalid(f"this is no receipt: {error}") from None
    if receipt.key != key_id(public):
        raise ReceiptInvalid(
            f"the receipt was signed with the key {receipt.key}, this one is {key_id(public)}"
        )
    try:
        public.verify(signature, canonical(receipt.statement))
    except InvalidSignature:
        raise ReceiptInvalid("the signature does not fit: the receipt was changed") from None
    if receipt.statement.get("type") != _TYPE:
        raise ReceiptInvalid(f"this is no {_TYPE}")
    return receipt.statement
