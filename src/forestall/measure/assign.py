"""Assignment: which subjects are kept aside, by a stable hash of salt and subject. Pure."""

import hashlib


def in_holdout(salt: str, subject: str, share: float) -> bool:
    """Whether ``subject`` falls into the first ``share`` of the hash space under ``salt``.

    The first 8 bytes, big endian, of SHA-256 of ``salt:subject``, divided by 2^64, are below
    ``share`` (policy language, section 6).
    """
    if share <= 0:
        return False
    digest = hashlib.sha256(f"{salt}:{subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
