"""The browser SDK's own tests (Vitest), and what the build left behind."""

import gzip
import json
import os
import subprocess
from base64 import b64encode
from hashlib import sha384
from pathlib import Path

from forestall.ingest.scripts import BUILT

ROOT = Path(__file__).parents[2]


def test_its_own_tests_pass() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "sdk.sh", "test"],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_integrity_hashes_are_those_of_the_files() -> None:
    said = json.loads((BUILT / "integrity.json").read_text())
    assert {"forestall.js", "forestall.mjs", "snippet.js"} <= said.keys()
    for name, value in said.items():
        digest = sha384((BUILT / name).read_bytes()).digest()
        assert value == f"sha384-{b64encode(digest).decode()}"


def test_a_page_carries_no_more_than_was_promised() -> None:
    core = gzip.compress((BUILT / "forestall.js").read_bytes(), 9)
    snippet = gzip.compress((BUILT / "snippet.js").read_bytes(), 9)
    assert len(core) <= 8_192
    assert len(snippet) <= 1_024
