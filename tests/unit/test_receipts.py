"""A receipt says who approved what on which evidence, and any change to it shows."""

import stat
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from forestall.contracts.instants import SECOND
from forestall.intervene.approvals import Approval, Evidence, Grant, Said, binding, digest
from forestall.intervene.receipts import (
    KEY_FILE,
    KeyUnreadable,
    ReceiptInvalid,
    Signer,
    read_public,
    verify,
)
from forestall.privacy.keys import VaultLocked

NOW = 1_700_000_000 * SECOND
ids = (f"{number:032x}" for number in count(1))

SAID = Said(who="ann", title="Head of payments", verdict="approved", reason="seen", at=NOW)
GRANT = Grant(
    id="g1", action="retry-charge", budget=50, until=NOW + SECOND, by="bob", why="w", at=NOW, used=3
)


def approved(**changes: Any) -> Approval:
    arguments = {"payment": "p1"}
    return Approval(
        **{
            "id": "a1",
            "intervention": "i1",
            "step": 1,
            "covers": 2,
            "subject": "s1",
            "policy": "card",
            "version": "v1",
            "action": "retry-charge",
            "arguments": arguments,
            "hash": binding("i1", 2, "v1", "retry-charge", arguments),
            "role": "approver",
            "people": 1,
            "asked": NOW - SECOND,
            "expires": NOW + SECOND,
            "evidence": Evidence(explanation="Twice.", events=("e1",), features={"failures": 2}),
            "status": "approved",
            "said": (SAID,),
            **changes,
        }
    )


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path, lambda: next(ids))


def test_a_receipt_names_person_evidence_and_version(signer: Signer) -> None:
    text = msgspec.json.encode(signer.receipt(approved(), None, NOW))
    statement = verify(text, read_public(signer.public.encode()))
    assert statement["outcome"] == "approved"
    assert (statement["intervention"], statement["step"]) == ("i1", 2)
    assert (statement["policy"], statement["version"]) == ("card", "v1")
    assert statement["people"] == [
        {
            "name": "ann",
            "title": "Head of payments",
            "verdict": "approved",
            "reason": "seen",
            "at": "2023-11-14T22:13:20.000000Z",
        }
    ]
    assert statement["binding"] == binding("i1", 2, "v1", "retry-charge", {"payment": "p1"})
    assert statement["arguments_hash"] == digest({"payment": "p1"})
    assert statement["evidence_hash"] == digest(approved().evidence)
    assert statement["grant"] is None


def test_a_receipt_of_a_grant_names_who_gave_it(signer: Signer) -> None:
    receipt = signer.receipt(approved(said=(), grant="g1"), GRANT, NOW)
    assert receipt.statement["people"] == []
    assert receipt.statement["grant"] == {
        "id": "g1",
        "by": "bob",
        "reason": "w",
        "budget": 50,
        "used": 3,
        "until": "2023-11-14T22:13:21.000000Z",
    }


def test_the_key_is_kept_to_ourselves_and_stays(tmp_path: Path, signer: Signer) -> None:
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    again = Signer(tmp_path, lambda: next(ids))
    assert again.public == signer.public
    assert "PRIVATE" not in signer.public
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(VaultLocked, match="chmod 600"):
        Signer(tmp_path, lambda: next(ids))


def parts(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in parts(part, (*path, key))]
    if isinstance(value, list):
        return [found for at, part in enumerate(value) for found in parts(part, (*path, at))]
    return [path]


def test_every_changed_part_shows(signer: Signer) -> None:
    text = msgspec.json.encode(signer.receipt(approved(grant="g1"), GRANT, NOW))
    public = read_public(signer.public.encode())
    places = parts(msgspec.json.decode(text)["statement"])
    assert len(places) > 20
    for place in places:
        changed = msgspec.json.decode(text)
        inner = changed["statement"]
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = "other"
        with pytest.raises(ReceiptInvalid, match="was changed"):
            verify(msgspec.json.encode(changed), public)
    more = msgspec.json.decode(text)
    more["statement"]["more"] = 1
    with pytest.raises(ReceiptInvalid, match="was changed"):
        verify(msgspec.json.encode(more), public)


def test_how_it_is_written_down_does_not_matter(signer: Signer) -> None:
    receipt = msgspec.to_builtins(signer.receipt(approved(), None, NOW))
    receipt["statement"] = dict(reversed(receipt["statement"].items()))
    text = msgspec.json.format(msgspec.json.encode(receipt), indent=4)
    assert verify(text, read_public(signer.public.encode()))["approval"] == "a1"


def test_another_key_does_not_verify(tmp_path: Path, signer: Signer) -> None:
    other = read_public(Signer(tmp_path / "other", lambda: next(ids)).public.encode())
    receipt = signer.receipt(approved(), None, NOW)
    with pytest.raises(ReceiptInvalid, match="signed with the key"):
        verify(msgspec.json.encode(receipt), other)
    named = msgspec.structs.replace(
        receipt, key=Signer(tmp_path / "other", lambda: next(ids)).receipt(approved(), None, 0).key
    )
    with pytest.raises(ReceiptInvalid, match="was changed"):
        verify(msgspec.json.encode(named), other)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"statement": {}, "key": "k"}',
        b'{"statement": {}, "key": "k", "signature": "not base64!"}',
        b"[" * 5_000,
    ],
)
def test_what_is_no_receipt_is_refused(signer: Signer, text: bytes) -> None:
    with pytest.raises(ReceiptInvalid, match="no receipt"):
        verify(text, read_public(signer.public.encode()))


def test_what_is_no_public_key_is_refused() -> None:
    curve = generate_private_key(SECP256R1()).public_key()
    pem = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for text in (b"", b"key", pem, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
        with pytest.raises(KeyUnreadable):
            read_public(text)
