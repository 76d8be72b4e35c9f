"""The browser SDK's own tests (Vitest), and what the build left behind."""

import gzip
import json
import os
import re
import subprocess
from base64 import b64encode
from hashlib import sha384
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("forestall.js", 8_192),
        ("forestall-signals.js", 8_192),
        ("forestall-vitals.js", 4_096),
        ("forestall-edge.js", 6_144),
        ("forestall-ui.js", 14_336),
        ("snippet.js", 1_024),
    ],
)
def test_a_page_carries_no_more_than_was_promised(name: str, most: int) -> None:
    assert len(gzip.compress((BUILT / name).read_bytes(), 9)) <= most


def test_no_name_that_the_build_shortens_is_known_elsewhere() -> None:
    """What pages, servers or devices read keeps its name: it is in none of these."""
    (listed,) = re.findall(r"const OURS = `([^`]*)`", (ROOT / "sdk" / "build.mjs").read_text())
    shortened = set(listed.split())
    page = (ROOT / "docs" / "reference" / "browser-sdk.md").read_text()
    known = set(re.findall(r'id="property-([^"]+)"', page))
    contracts = (ROOT / "src" / "forestall" / "contracts" / "builtin").glob("*.json")
    for file in (*contracts, ROOT / "spec" / "vectors" / "compiled.json"):
        known |= set(re.findall(r'"(\w+)"\s*:', file.read_text()))
    assert {"key", "policies", "outcome"} <= known
    assert len(shortened) > 20
    assert shortened & known == set()
