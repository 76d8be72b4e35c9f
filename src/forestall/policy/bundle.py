"""A folder of policies as one unit: read, judged, hashed, and put in force by a control record."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.control import PoliciesApplied, PolicyInForce
from forestall.contracts.errors import InvalidFile, Problem, UnreadableInput
from forestall.contracts.folders import files_at, require_some
from forestall.policy.edge_checks import refused
from forestall.policy.language.canonical import canonical, from_canonical, version
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.model import Policy
from forestall.policy.language.overlap import outranked
from forestall.policy.language.parse import Located, parse_located

MAX_FILE_BYTES = 4_000_000


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """Policies that go into force together, by name. ``warnings`` are what ``lint`` shows besides.

    ``numbers`` are the catalogue's number fields (see ``contracts.control.PoliciesApplied``).
    """

    policies: tuple[Policy, ...] = ()
    warnings: tuple[Problem, ...] = ()
    numbers: dict[str, dict[str, Any]] = {}

    @property
    def hash(self) -> str:
        """Lower-case hex SHA-256 over names, versions and number fields: same hash, same deciding."""
        parts = ([(policy.name, version(policy)) for policy in self.policies], self.numbers)
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def policy_files(path: Path) -> list[Path]:
    """``path`` itself, or every ``*.yaml`` and ``*.yml`` below it, sorted, hidden ones left out.

    Raises ``UnreadableInput`` when there is no such file or folder, or it may not be looked into.
    """
    return files_at(path, (".yaml", ".yml"))


def require_policies(path: Path) -> None:
    """Raises ``UnreadableInput`` when there is no file of policies at ``path``, for commands to which
    that is a slip."""
    require_some(policy_files(path), path, "policy (*.yaml, *.yml)")


def load_folder(path: Path, surroundings: Surroundings = ANYTHING) -> Bundle:
    """The policies in a file or folder.

    Raises ``InvalidFile`` with the problems of all files when one of them is an error, and
    ``UnreadableInput`` when ``path`` does not exist.
    """
    policies, problems = read_policies([path], surroundings)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidFile(problems)
    catalogue = surroundings.catalogue
    return Bundle(
        policies=tuple(sorted(policies, key=lambda policy: policy.name)),
        warnings=tuple(problems),
        numbers={} if catalogue is None else catalogue.numbers,
    )


def read_policies(
    paths: list[Path], surroundings: Surroundings = ANYTHING
) -> tuple[list[Policy], list[Problem]]:
    """The policies in files and folders, and every problem there is with them.

    Where a problem is an error the policies are not to be trusted. Raises ``UnreadableInput``.
    """
    located: list[Located] = []
    sound: list[Located] = []
    problems: list[Problem] = []
    for file in dict.fromkeys(file for path in paths for file in policy_files(path)):
        found, wrong = _read(file)
        located += found
        sound += [] if wrong else found
        problems += wrong
        for one in found:
            problems += [*check(one, surroundings), *refused(one, surroundings)]
    problems += jointly(located, sound)
    return [one.policy for one in located], sorted(problems)


def jointly(located: Sequence[Located], sound: Sequence[Located]) -> list[Problem]:
    """Problems that policies only have together; ``sound`` are those that could be read."""
    return _doubles(located) + outranked(sound)


def _read(file: Path) -> tuple[list[Located], list[Problem]]:
    def problem(line: int, column: int, code: str, message: str) -> list[Problem]:
        return [Problem(str(file), line, column, code, message)]

    try:
        size = file.stat().st_size
        raw = file.read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise UnreadableInput(f"{file}: {error.strerror}") from None
    if size > MAX_FILE_BYTES:
        return [], problem(1, 1, "too-large", f"the file has {size:,} bytes; split it")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        column = len(before) - before.rfind("\n")
        return [], problem(before.count("\n") + 1, column, "yaml", "the file is not UTF-8 text")
    return parse_located(text, str(file))


def _doubles(located: Sequence[Located]) -> list[Problem]:
    """Names that stand in two files (``parse`` tells those of one file)."""
    first: dict[str, Located] = {}
    problems = []
    for one in located:
        name = one.policy.name
        earlier = first.setdefault(name, one)
        if not name or earlier.source.file == one.source.file:
            continue
        place, there = one.place("metadata", "name"), earlier.place("metadata", "name")
        problems.append(
            Problem(
                one.source.file,
                place.line,
                place.column,
                "duplicate-name",
                f"another policy is called `{name}` already",
                f"the first is at {earlier.source.file}:{there.line}:{there.column}",
            )
        )
    return problems


def applied(bundle: Bundle, received: int, by: str, why: str) -> PoliciesApplied:
    """The control record that puts a bundle in force from ``received`` (microseconds) on."""
    return PoliciesApplied(
        received=received,
        policies=tuple(
            PolicyInForce(
                policy.name, version(policy), msgspec.Raw(canonical(policy)), title=policy.title
            )
            for policy in bundle.policies
        ),
        numbers=bundle.numbers,
        by=by,
        why=why,
    )


def policies_of(record: PoliciesApplied) -> list[Policy]:
    """The policies that a control record puts in force, in its order."""
    return [policy_of(one) for one in record.policies]


def policy_of(one: PolicyInForce) -> Policy:
    """The policy as its canonical form says, with its title."""
    policy = from_canonical(bytes(one.canonical))
    return msgspec.structs.replace(policy, title=one.title or policy.name)
