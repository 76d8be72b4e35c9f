"""What every answerer is: a process that answers the questions each time it is told to.

Run by the peer's Python, so nothing but the standard library is imported here. The process says
``ready``, and for each line that it reads runs once and says how long that took. Answers go to a
file, a line for each: the question, a space, the number of the event.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def serve(name: str, version: str, run: Callable[[Path, Path], object]) -> None:
    """Speak for ``run``, which reads the events in its first argument, a folder, and writes the
    file, or the folder of files, that its second names.
    """
    folder, answers = Path(sys.argv[1]), Path(sys.argv[2])
    say({"name": name, "version": version})
    for _ in sys.stdin:
        started = time.perf_counter()
        run(folder, answers)
        say({"seconds": time.perf_counter() - started})


def say(message: dict[str, object]) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
