"""SQLite files: WAL, ``synchronous=FULL``, foreign keys, patient locks."""

import sqlite3
from pathlib import Path


def open_database(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; the caller writes ``BEGIN IMMEDIATE`` where it needs one.

    ``read_only`` never creates the file and raises ``sqlite3.OperationalError`` if it is missing.
    """
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 10000")
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    return connection
