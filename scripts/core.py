"""Compiles the typed cores (``typed.pyx`` in ``context`` and in ``log``) in place.

Where there is no C compiler, or none that works, it says so, and Forestall runs in Python alone.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src/forestall"
FOLDERS = [SOURCE / "context", SOURCE / "log"]


def main() -> int:
    """Compile what has not been; 1 where that cannot be."""
    return max(compiled(folder) for folder in FOLDERS)


def compiled(folder: Path) -> int:
    """Compile the core in ``folder`` unless that has been done; 1 where it cannot be."""
    source = folder / "typed.pyx"
    made = folder / f"typed{sysconfig.get_config_var('EXT_SUFFIX')}"
    newest = max(one.stat().st_mtime for one in [source, *folder.glob("*.pxi")])
    if made.exists() and made.stat().st_mtime >= newest:
        return 0
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    include = sysconfig.get_path("include")
    c, fresh = folder / "typed.c", made.with_suffix(".fresh")
    options = ["-O2", "-shared", "-fPIC", "-fwrapv", "-fno-strict-aliasing", f"-I{include}"]
    steps = [
        [sys.executable, "-m", "cython", "-3", str(source), "-o", str(c)],
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
