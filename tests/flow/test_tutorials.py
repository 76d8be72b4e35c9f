"""The tutorials do what they say: every command of theirs, in a shell, with real servers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from documents import ROOT, TUTORIAL, Example, examples_of, matches, transcript
from running import free_port, until

PAGES = [
    page
    for page in sorted((ROOT / "docs" / "tutorial").glob("*.md"))
    if TUTORIAL in page.read_text()
]
PORTS = ("8080", "8081", "8082")


class Shell:
    """A reader's terminals: a folder and exported variables that one command leaves to the next.

    The checkout is a folder of its own, so that nothing is left in the real one, and each port of
    the page is one that nobody listens on.
    """

    def __init__(self, folder: Path) -> None:
        self._checkout = folder / "checkout"
        self._state = folder / "state.sh"
        self._ports = {port: str(free_port()) for port in PORTS}
        (self._checkout / ".cache").mkdir(parents=True)
        shared = ".cache/request-tracker"
        (ROOT / shared).mkdir(parents=True, exist_ok=True)
        for name in ("examples", "scripts", "tests", "src", ".venv", shared):
            (self._checkout / name).symlink_to(ROOT / name)
        self._state.write_text(f"cd {self._checkout}\n")
        self._surroundings = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }

    def here(self, text: str) -> str:
        """``text`` with the ports of this shell."""
        for port, ours in self._ports.items():
            text = text.replace(port, ours)
        return text

    def save(self, name: str, body: str) -> None:
        """Save a file in the folder where the reader is."""
        folder = self.run("pwd").stdout.strip()
        target = Path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.here(body) + "\n")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run one command; what it said comes in one stream."""
        script = (
            f". {self._state}\n{self.here(command)}\ncode=$?\n"
            f"{{ export -p; echo \"cd '$PWD'\"; }} > {self._state}\nexit $code"
        )
        return subprocess.run(
            ["bash", "-c", script],
            env=self._surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def keeps(self, command: str, log: Path) -> Iterator[None]:
        """Leave a command running in a terminal of its own; Ctrl-C at the end."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f". {self._state}\n{self.here(command)}"],
                env=self._surroundings,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                yield
            finally:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise
        assert "Traceback" not in log.read_text(), log.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.timeout(240)
def test_a_tutorial_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    with ExitStack() as terminals:
        for number, example in enumerate(examples_of(page)):
            if example.file is not None:
                shell.save(example.file, example.body)
            elif example.stays:
                log = tmp_path / f"terminal-{number}.log"
                terminals.enter_context(shell.keeps(example.body, log))
            else:
                follows(shell, example, tmp_path)


def follows(shell: Shell, example: Example, terminals: Path) -> None:
    """Do what a block says. A reader looks again where what is shown is not there yet, and so do we."""
    commands = list(transcript(example.body))
    if example.language == "sh":
        commands = [(example.body, "")]
    assert commands, f"{example} shows neither a file nor commands"
    for command, shown in commands:
        said: list[str] = []

        def as_shown(command: str = command, shown: str = shown, said: list[str] = said) -> bool:
            answer = shell.run(command)
            said.append(answer.stdout)
            return matches(shell.here(shown), answer.stdout) and bool(
                shown.strip() or answer.returncode == 0
            )

        try:
            until(as_shown, 60)
        except AssertionError:
            others = "".join(log.read_text() for log in sorted(terminals.glob("terminal-*.log")))
            pytest.fail(f"{example}: $ {command}\n{said[-1]}\ninstead of\n{shown}\n{others}")


def test_there_are_tutorials_of_five_stories() -> None:
    assert [page.stem for page in PAGES] == [
        "an-agent-that-helps",
        "declined-card",
        "from-draft-to-live",
        "stuck-export",
        "undo",
    ]
