"""Keys of a deployment: one master key in a file of mode 0600, and what is derived from it."""

import hmac
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from forestall.contracts.errors import ForestallError
from forestall.kernel.clock import Tokens

Kind = Literal["user", "anonymous"]
_NONCE = 12
LATELY = 4_096


class VaultLocked(ForestallError):
    """The master key is missing, exposed, damaged, or not the one the vault was sealed with."""

    code = "vault-locked"
    exit_code = 2


class Box:
    """AES-256-GCM under one key of 32 bytes; a sealed value is its nonce, then the ciphertext."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: bytes, ids: Tokens) -> bytes:
        """``plain``, sealed; ``context`` must be given again to open it."""
        nonce = bytes.fromhex(ids())[:_NONCE]
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plain bytes. Raises ``VaultLocked`` where key or context is another."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
        except (InvalidTag, ValueError):
            raise VaultLocked(
                "the vault was sealed with another master.key, or its file is damaged;"
                " restore master.key from the backup that belongs to this data folder"
            ) from None


class Keys:
    """The keys of a deployment, all derived from one master key of 32 bytes."""

    def __init__(self, master: bytes) -> None:
        self.box = Box(_derived(master, b"seal"))
        self._handles = _derived(master, b"handles")
        self._fields = _derived(master, b"fields")
        self._tokens = _derived(master, b"tokens")
        self.handle = lru_cache(LATELY)(self._handle)

    def _handle(self, kind: Kind, value: str) -> bytes:
        """What the mapping is keyed by: HMAC-SHA-256 of kind and id. Who is new is looked up and
        then entered, so the last ones are kept at hand."""
        return hmac.digest(self._handles, f"{kind}\x00{value}".encode(), "sha256")

    def field(self, sort: str, name: str) -> bytes:
        """What a personal field is filed under, so that its name does not show."""
        return hmac.digest(self._fields, f"{sort}\x00{name}".encode(), "sha256")

    def token(self, value: object) -> str:
        """A keyed token for a field that the catalogue says to tokenise; equal values agree."""
        text = msgspec.json.encode(value, order="deterministic")
        return "tok_" + hmac.digest(self._tokens, text, "sha256")[:16].hex()


def load_keys(folder: Path, ids: Tokens, *, create: bool = False) -> Keys:
    """The keys from ``folder/master.key``, made on first start with mode 0600 if ``create``.

    Raises ``VaultLocked`` where the file is missing, can be read by others, or is no key.
    """
    return Keys(bytes.fromhex(load_secret(folder / "master.key", ids, create=create)))


def load_secret(path: Path, ids: Tokens, *, create: bool = False) -> str:
    """64 hex digits kept in a file of mode 0600, made from chance if ``create`` and missing."""
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(ids() + ids())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text().strip()
        if len(bytes.fromhex(text)) != 32:
            raise ValueError(text)
    except OSError as error:
        raise VaultLocked(
            f"{path}: {error.strerror}; it is made when the server first starts. Run this where"
            " it lies, as the user that runs the server"
        ) from None
    except ValueError:
        raise VaultLocked(f"{path}: not 64 hex digits; restore it from a backup") from None
    if mode & 0o077:
        raise VaultLocked(f"{path}: others can read it (mode {mode:04o}); run chmod 600 {path}")
    return text


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hmac.digest(master, b"forestall/" + purpose, "sha256")
