"""A peer's own virtual environment, built from its pinned and hashed packages when they change."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(__file__).parents[2] / ".cache" / "peers"
JAVA = 17
LIMIT = 900.0


class Missing(Exception):
    """Something that a peer needs is not here; the message says what, and what to do."""


def python_of(name: str) -> Path:
    """The Python that has the peer's packages; installs them once. Raises ``Missing``."""
    requirements = HERE / name / "requirements.txt"
    home = CACHE / name
    python, stamp = home / "bin" / "python", home / "ready"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"{name}: installing its packages into {home} (once)", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    command = (
        str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check",
        "--require-hashes", "-r", str(requirements),
    )  # fmt: skip
    try:
        subprocess.run(command, check=True, timeout=LIMIT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise Missing(
            f"{name}: the packages of {requirements} could not be installed. They come from PyPI "
            "(or the index your pip is set to use): is it reachable from here?"
        ) from None
    stamp.write_text(wanted)
    return python


def need_java() -> None:
    """Find Java 17 or newer, or install Debian's where that is allowed. Raises ``Missing``."""
    if _java_version() >= JAVA:
        return
    if os.geteuid() == 0 and (apt := shutil.which("apt-get")):
        print(f"flink: installing Debian's Java {JAVA} with apt-get", file=sys.stderr)
        for command in (("update", "-qq"), ("install", "-y", "-qq", "openjdk-17-jre-headless")):
            subprocess.run(
                (apt, *command),
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=sys.stderr,
                timeout=LIMIT,
                check=False,
            )
    found = _java_version()
    if found < JAVA:
        what = f"the Java found is {found}" if found else "no Java was found"
        raise Missing(
            f"flink: Java {JAVA} or newer is needed, and {what}. Install it (on Debian: apt-get "
            "install openjdk-17-jre-headless) or set JAVA_HOME, or leave Flink out: "
            "make bench-peers ARGS='csp duckdb'"
        )


def _java_version() -> int:
    """The major version of the Java that Flink would start; 0 where there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java") if home is None else f"{home}/bin/java"
    if java is None:
        return 0
    try:
        shown = subprocess.run((java, "-version"), capture_output=True, timeout=60, check=False)
    except OSError:
        return 0
    return java_major(shown.stderr.decode(errors="replace"))


def java_major(shown: str) -> int:
    """The major version in what ``java -version`` shows; 0 where there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(found[1]) if found else 0
