"""What pages are given is signed, and nothing that was changed passes."""

import base64
import json
import stat
from pathlib import Path

import pytest

from forestall.kernel.clock import random_id
from forestall.policy.edge_key import (
    KEY_FILE,
    EdgeKey,
    SignatureInvalid,
    new_key,
    read_signed,
)
from forestall.privacy.keys import VaultLocked


def test_it_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    key = EdgeKey(tmp_path, random_id)
    assert len(key.public) == 43
    assert len(base64.urlsafe_b64decode(key.public + "=")) == 32
    assert EdgeKey(tmp_path, random_id).public == key.public
    file = tmp_path / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    with pytest.raises(VaultLocked, match="chmod 600"):
        EdgeKey(tmp_path, random_id)


def test_signed_text_is_a_compact_jws(tmp_path: Path) -> None:
    key = EdgeKey(tmp_path, random_id)
    text = key.sign("forestall-edge-bundle", {"v": 1})
    head, payload, signature = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split(".")
    )
    assert json.loads(head) == {"alg": "EdDSA", "typ": "forestall-edge-bundle", "kid": key.id}
    assert json.loads(payload) == {"v": 1}
    assert len(signature) == 64
    assert key.sign("forestall-edge-bundle", {"v": 1}) == text
    assert read_signed(text, "forestall-edge-bundle", key.public) == {"v": 1}


def test_what_was_changed_does_not_pass(tmp_path: Path) -> None:
    key = EdgeKey(tmp_path, random_id)
    text = key.sign("forestall-edge-pass", {"tickets": 0})
    head, payload, signature = text.split(".")
    forged = base64.urlsafe_b64encode(b'{"tickets":9}').decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for wrong in (
        f"{head}.{forged}.{signature}",
        f"{none}.{payload}.",
        f"{head}.{payload}.{'A' * 86}",
        f"{head}.{payload}",
        "",
        "x.y.z",
    ):
        with pytest.raises(SignatureInvalid):
            read_signed(wrong, "forestall-edge-pass", key.public)
    with pytest.raises(SignatureInvalid, match="no forestall-edge-bundle"):
        read_signed(text, "forestall-edge-bundle", key.public)
    with pytest.raises(SignatureInvalid):
        read_signed(text, "forestall-edge-pass", "not a key")


def test_a_new_key_ends_the_old_one(tmp_path: Path) -> None:
    old = EdgeKey(tmp_path, random_id)
    text = old.sign("forestall-edge-pass", {})
    new = new_key(tmp_path, random_id)
    assert new.public != old.public
    assert EdgeKey(tmp_path, random_id).public == new.public
    with pytest.raises(SignatureInvalid):
        read_signed(text, "forestall-edge-pass", new.public)
