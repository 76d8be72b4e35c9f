"""Compiles the typed core (``src/forestall/context/typed.pyx``) in place.

Where there is no C compiler, or none that works, it says so, and Forestall runs in Python alone.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src/forestall/context"
SOURCES = [FOLDER / "typed.pyx", *sorted(FOLDER.glob("*.pxi"))]


def main() -> int:
    """Compile it unless that has been done; 1 where it cannot be."""
    made = FOLDER / f"typed{sysconfig.get_config_var('EXT_SUFFIX')}"
    newest = max(source.stat().st_mtime for source in SOURCES)
    if made.exists() and made.stat().st_mtime >= newest:
        return 0
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    include = sysconfig.get_path("include")
    c, fresh = FOLDER / "typed.c", made.with_suffix(".fresh")
    options = ["-O2", "-shared", "-fPIC", "-fwrapv", "-fno-strict-aliasing", f"-I{include}"]
    steps = [
        [sys.executable, "-m", "cython", "-3", str(SOURCES[0]), "-o", str(c)],
        [*compiler, *options, str(c), "-o", str(fresh)],
    ]
    try:
        for step in steps:
            subprocess.run(step, check=True, capture_output=True, text=True)
        fresh.replace(made)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", None) or str(error)
        sys.stderr.write(f"core: not compiled, so Python alone is used: {why.strip()}\n")
        return 1
    finally:
        c.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
