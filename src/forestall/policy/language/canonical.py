"""The canonical form: one text for everything that makes a policy behave the way it does.

Compact JSON with sorted keys of the parsed policy, defaults filled in; tests and all metadata but
the name are left out. Its SHA-256 is the policy's version, so quoting, comments, the order of
keys and writing out a default change nothing, and whatever changes behaviour changes the version.
"""

import hashlib
from typing import Any

import msgspec

from forestall.policy.language.model import Policy, When

_LEFT_OUT = ("title", "owner", "labels", "tests")


def canonical(policy: Policy) -> bytes:
    """The canonical form as UTF-8 JSON text."""
    fields: dict[str, Any] = msgspec.to_builtins(policy)
    for field in _LEFT_OUT:
        del fields[field]
    return msgspec.json.encode(fields, order="sorted")


def version(policy: Policy) -> str:
    """Lower-case hex SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(policy)).hexdigest()


def from_canonical(raw: bytes) -> Policy:
    """A policy that behaves as the one ``canonical`` was given; its title is its name.

    Raises ``msgspec.MsgspecError`` when ``raw`` is not a canonical form.
    """
    fields = msgspec.json.decode(raw, type=dict[str, Any])
    return msgspec.convert({"title": fields.get("name"), "owner": "", **fields}, Policy)


def pattern_hash(when: When) -> str:
    """Lower-case hex SHA-256 of the pattern: versions with the same one share pattern state."""
    return hashlib.sha256(msgspec.json.encode(when, order="sorted")).hexdigest()
