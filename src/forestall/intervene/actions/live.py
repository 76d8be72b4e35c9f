"""The live agents of a managed deployment, looked up in its registry as often as one likes."""

import sqlite3
from pathlib import Path

import sqlalchemy as sa
import structlog

from forestall.contracts.errors import ForestallError
from forestall.kernel.database.tables import first_line
from forestall.policy.actions.live import Live
from forestall.policy.shelf import live_of
from forestall.policy.store import REGISTRY_FILE, Registry, RegistryMissing

_UNREADABLE = (ForestallError, sqlite3.DatabaseError, sa.exc.DBAPIError)
_log = structlog.get_logger(__name__)


class LiveAgents:
    """What is live by the registry in the data folder ``data``, opened as soon as there is one.

    Where it cannot be read what was live stays, and the log says so once.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / REGISTRY_FILE
        self._registry: Registry | None = None
        self._number = 0
        self._live = Live()
        self._problem: str | None = None

    def close(self) -> None:
        """Let the file go."""
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def look(self) -> Live:
        """What is live now; cheap where nothing was decided since."""
        problem = None
        try:
            if self._registry is None:
                self._registry = Registry(self._path, read_only=True)
            number = self._registry.version()
            if number != self._number:
                self._live, self._number = live_of(self._registry), number
        except RegistryMissing as error:
            problem = str(error) if self._number else None
        except _UNREADABLE as error:
            self.close()
            problem = str(error) if isinstance(error, ForestallError) else first_line(error)
        if problem is not None and problem != self._problem:
            _log.error("live agents cannot be looked up; those that were stay", why=problem)
        self._problem = problem
        return self._live
