"""What the machine is, so that figures can be read."""

import os
import platform
import sqlite3
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """What figures depend on. Figures of two machines do not stand in one table."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    sqlite: str

    @property
    def words(self) -> str:
        """The description in one line."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, Linux {self.kernel}, "
            f"{self.python}, SQLite {self.sqlite}"
        )


def describe() -> Machine:
    """This machine."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        model,
        len(os.sched_getaffinity(0)),
        round(memory / 2**30, 1),
        platform.release(),
        f"{platform.python_implementation()} {platform.python_version()}",
        sqlite3.sqlite_version,
    )
