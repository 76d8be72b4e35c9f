"""The two cores: chosen at import, and each goes on from what the other wrote."""

import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from forestall.contracts.event import Record
from forestall.decide.engine import Engine
from forestall.decide.snapshot import encode_state

START = 1_790_000_000_000_000

GOES_ON = """
import sys
from array import array
from forestall.context.core import CORE
from forestall.contracts.event import Record
from forestall.decide.engine import Engine
from forestall.decide.snapshot import decode_state, encode_state

content = open(sys.argv[1], "rb").read()
engine = Engine.restore(decode_state(content))
start = int(sys.argv[2])
again = [Record(f"e{n}", "/s", "a", f"p{n % 3}", start, start + 200) for n in range(100)]
assert engine.process(again) == []
names = list(engine.population.names())
print(CORE, engine.counters["records"], engine.counters["duplicate"], names)
"""


@pytest.mark.parametrize("pure", ["1", ""])
def test_a_core_goes_on_from_a_snapshot_of_either(pure: str, tmp_path: Path) -> None:
    if not pure:
        pytest.importorskip("forestall.context.typed")
    engine = Engine()
    engine.process(
        [Record(f"e{n}", "/s", "a", f"p{n % 3}", START, START + n) for n in range(0, 100, 2)]
    )
    (tmp_path / "state").write_bytes(encode_state(engine.snapshot()))
    done = subprocess.run(
        [sys.executable, "-c", GOES_ON, str(tmp_path / "state"), str(START)],
        env={**os.environ, "FORESTALL_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    core = "python" if pure else "typed"
    assert done.stdout.strip() == f"{core} 150 50 ['p0', 'p2', 'p1']"


def test_a_function_of_texts_is_asked_once_for_those_it_remembers() -> None:
    typed = pytest.importorskip("forestall.context.typed")
    asked: list[object] = []

    def told(value: object) -> str:
        asked.append(value)
        return f"<{value}>"

    remembered = typed.Remembered(told, 2)
    assert [remembered.of(one) for one in ("a", "b", "a", "b")] == ["<a>", "<b>", "<a>", "<b>"]
    assert asked == ["a", "b"]
    assert [remembered.of(one) for one in (1, 1, True, None)] == ["<1>", "<1>", "<True>", "<None>"]
    assert remembered.of("c") == "<c>"
    assert remembered.of("c") == "<c>"
    assert remembered.of("a") == "<a>"
    assert asked == ["a", "b", 1, 1, True, None, "c", "a"]


PAGES = """
from forestall.context import core
core.large_pages()
core.large_pages()
for turn in range(3):
    kept = [{"n": (turn, n)} for n in range(60_000)]
    assert all(one["n"] == (turn, n) for n, one in enumerate(kept))
    del kept
print(core.large_pages())
"""


@pytest.mark.parametrize("pure", ["1", ""])
def test_memory_in_large_pages_is_memory(pure: str) -> None:
    printed = _printed(PAGES, pure)
    assert printed == str(not pure and sys.platform == "linux")


AHEAD = """
from forestall.context import core
assert not core.large_page_ahead(), "nothing is in large pages yet"
core.large_pages()
kept, taken, again = [], 0, 0
while taken < 5 and len(kept) < 1_000_000:
    kept.append({"n": (0, len(kept))})
    if core.large_page_ahead():
        taken += 1
        again += core.large_page_ahead()
assert all(one["n"][1] == n for n, one in enumerate(kept))
print(taken, again)
"""


@pytest.mark.parametrize("pure", ["1", ""])
def test_a_large_page_is_there_before_it_is_needed(pure: str) -> None:
    printed = _printed(AHEAD, pure)
    assert printed.split() == (["0", "0"] if pure or sys.platform != "linux" else ["5", "0"])


def test_content_that_does_not_fit_together_is_refused() -> None:
    typed = pytest.importorskip("forestall.context.typed")
    with pytest.raises(ValueError, match="ids that do not fit"):
        typed.Ids.restored([b"0" * 16, array("q", [1, 2])])
    times = array("q", [1, 2])
    for values, serials, head in (
        (array("q", [1]), None, 0),
        (None, times[:1], 0),
        (None, None, 3),
    ):
        with pytest.raises(ValueError, match="a window"):
            typed.restored([0, times, values, serials, head, None, 32])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_python_alone_agrees_with_the_reference_too(part: int) -> None:
    properties = Path(__file__).parents[1] / "property" / "test_engine_agrees.py"
    chosen = ["-k", "packed or more or versions", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(properties), *chosen],
        env={**os.environ, "FORESTALL_PURE": "1", "FORESTALL_EXAMPLES_PART": str(part)},
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout


def _printed(script: str, pure: str) -> str:
    """What a process of its own prints, in Python alone or with the typed core."""
    if not pure:
        pytest.importorskip("forestall.context.typed")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "FORESTALL_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()
