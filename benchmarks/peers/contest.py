"""What every answerer is: a process that answers the questions each time it is told to.

Run by the peer's Python, so nothing but the standard library is imported here. The process says
who it is when it is ready, and for each line that it reads runs once and says how long that took.
Answers are lines in a file, or in files of a folder: the question, a space, the event's number.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


def serve(
    name: str,
    version: str,
    run: Callable[[Path, Path], float | None],
    prepare: Callable[[], object] | None = None,
) -> None:
    """Speak for ``run``, which reads the folder of events that its first argument names, writes
    the answers to its second, and may return the seconds that the work took without its planning.

    Whatever else writes to the standard output, such as a Java machine, writes to the error output.
    """
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)

        def say(**message: object) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        if prepare is not None:
            prepare()
        say(name=name, version=version)
        folder, answers = Path(sys.argv[1]), Path(sys.argv[2])
        for _ in sys.stdin:
            started = time.perf_counter()
            inner = run(folder, answers)
            seconds = time.perf_counter() - started
            say(seconds=seconds, inner=seconds if inner is None else inner)
