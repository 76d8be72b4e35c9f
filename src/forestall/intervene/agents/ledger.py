"""The ledger of model calls: each is noted before it is sent, and its answer before anything follows.

The file ``agents.db`` in the data folder.
"""

from pathlib import Path

LEDGER_FILE = "agents.db"


class Ledger:
    """Opens the file at ``path``, and makes it if it is missing."""

    def __init__(self, path: Path) -> None:
        raise NotImplementedError
