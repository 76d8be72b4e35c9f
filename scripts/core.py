"""Compiles the typed core in place, where there is a C compiler; else Python does without it.

``python -m scripts.core``: exit code 0 also where it cannot be compiled, and says why.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src/forestall/context/typed.pyx"


def main() -> int:
    """Compile it unless that has been done."""
    made = SOURCE.with_name("typed" + sysconfig.get_config_var("EXT_SUFFIX"))
    if made.exists() and made.stat().st_mtime >= SOURCE.stat().st_mtime:
        return 0
    compiler = sysconfig.get_config_var("CC").split()
    c = SOURCE.with_suffix(".c")
    steps = [
        [sys.executable, "-m", "cython", "-3", str(SOURCE), "-o", str(c)],
        [
            *compiler,
            "-O2",
            "-shared",
            "-fPIC",
            "-fwrapv",
            "-fno-strict-aliasing",
            "-I",
            sysconfig.get_path("include"),
            str(c),
            "-o",
            str(made),
        ],
    ]
    for step in steps:
        subprocess.run(step, check=True)
    c.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
