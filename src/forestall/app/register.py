"""The registry as the worker obeys it: what was decided there becomes control records."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from forestall.contracts.control import Control, PoliciesApplied, Transition
from forestall.contracts.errors import ForestallError
from forestall.kernel.database.tables import TROUBLE, first_line
from forestall.policy.bundle import policy_of
from forestall.policy.language.canonical import from_canonical
from forestall.policy.language.compile import compile_policy
from forestall.policy.language.model import Feature
from forestall.policy.lifecycle import ROLLED_BACK, soon
from forestall.policy.managed import in_force, stands
from forestall.policy.store import REGISTRY_FILE, Registry, RegistryMissing

_UNREADABLE = (*TROUBLE, sqlite3.DatabaseError, sa.exc.DatabaseError, msgspec.MsgspecError)

_log = structlog.get_logger("worker")


class Register:
    """The registry in the data folder ``data``, opened as soon as there is one.

    ``problem`` says why what was in force stays in force, none while the registry can be used.
    ``soon`` are the features of what a rollback or a switch would put in force, ``hurried`` whether
    the newest thing that was decided is one of these.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / REGISTRY_FILE
        self._registry: Registry | None = None
        self._seen: int | None = None
        self._numbers: object = None
        self.problem: str | None = None
        self.soon: set[Feature] = set()
        self.hurried = False

    def close(self) -> None:
        """Let the file go."""
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def changes(self, history: list[Control], numbers: dict[str, dict[str, Any]]) -> list[Control]:
        """What is new since ``history``, the control records so far: transitions, and after them
        the sets that they put in force. ``numbers`` are the catalogue's number fields."""
        if self._seen is None:
            told = [one.number for one in history if isinstance(one, Transition)]
            self._seen = max(told, default=0)
        try:
            found = self._look(history, numbers, self._seen)
        except RegistryMissing as error:
            self._trouble(str(error) if self._seen else None)
            return []
        except ForestallError as error:
            self._trouble(str(error))
            return []
        except _UNREADABLE as error:
            self.close()
            self._trouble(f"{self._path}: cannot be read: {first_line(error)}")
            return []
        self._trouble(None)
        return found

    def _look(
        self, history: list[Control], numbers: dict[str, dict[str, Any]], seen: int
    ) -> list[Control]:
        if self._registry is None:
            self._registry = Registry(self._path, read_only=True)
        version = self._registry.version()
        if version < seen:
            raise RegistryMissing(
                f"{self._path}: ends with transition {version}, and {seen} was in force; restore"
                " the newest copy of it"
            )
        if version == 0 or (version == seen and numbers == self._numbers):
            return []
        standing = self._registry.standing()
        new = [one for one in self._registry.transitions(seen) if one.number <= standing.number]
        by, why = (new[-1].by, new[-1].why) if new else ("files", "contracts changed")
        wanted = in_force(self._registry, standing, numbers, by, why)
        _check(wanted[0])
        changed = [record for record in wanted if not stands(record, history)]
        self._seen, self._numbers = standing.number, numbers
        self.soon = _features(self._registry, soon(standing))
        self.hurried = any(one.artifact == "set" or ROLLED_BACK in one.evidence for one in new)
        return [*new, *changed]

    def _trouble(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            _log.error("the registry cannot be used; what was in force stays", why=problem)
        elif problem is None and self.problem is not None:
            _log.info("the registry can be used again")
        self.problem = problem


def _features(registry: Registry, policies: Iterable[tuple[str, str]]) -> set[Feature]:
    held = [registry.artifact("policy", name, version) for name, version in policies]
    return {
        feature
        for one in held
        if one is not None
        for feature in from_canonical(one.content).features.values()
    }


def _check(applied: PoliciesApplied) -> None:
    """Raises what compiling a policy raises, before anything of it is in force."""
    for one in applied.policies:
        compile_policy(policy_of(one), one.version, one.mode)
