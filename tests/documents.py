"""Examples in documents: fenced blocks, the files that they are, and the output that they show."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
FENCE = re.compile(
    r"(?P<before>[^\n]*)\n+(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)\n(?P=indent)```",
    re.DOTALL,
)
NAMED = re.compile(r"`([\w./-]+\.\w+)`:$")
TUTORIAL = "<!-- run as it stands by tests/flow/test_tutorials.py -->"
"""What a page says whose commands need servers."""


class Example(msgspec.Struct, frozen=True):
    """A fenced block: in which page and line, in which language, and the file it is, if it is.

    ``run`` is false after a comment ``<!-- not run: WHY -->``, ``stays`` true after
    ``<!-- keeps running -->``.
    """

    page: Path
    line: int
    language: str
    body: str
    run: bool
    stays: bool
    file: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples_of(page: Path) -> Iterator[Example]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        indent = len(found["indent"])
        body = "\n".join(line[indent:] for line in found["body"].split("\n"))
        named = NAMED.search(found["before"].rstrip())
        yield Example(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            body,
            "<!-- not run" not in found["before"],
            "<!-- keeps running -->" in found["before"],
            named[1] if named else None,
        )


def transcript(body: str) -> Iterator[tuple[str, str]]:
    """Each command after a ``$``, without it, and the output shown below it."""
    for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE):
        head, _, shown = part.partition("\n")
        while head.endswith("\\"):
            more, _, shown = shown.partition("\n")
            head = head[:-1] + more
        if head.startswith("$ "):
            yield head.removeprefix("$ "), shown


def matches(shown: str, said: str) -> bool:
    """Whether ``said`` has the lines of ``shown``; a line ``...`` stands for any lines, ``…`` in
    a line for anything."""
    pieces = [" ".join(line.split()) for line in shown.strip().split("\n")] if shown.strip() else []
    pattern = "".join(
        r"(?:.*\n)*?" if piece == "..." else re.escape(piece).replace("…", ".*") + r"\s*\n"
        for piece in pieces
    )
    actual = "\n".join(" ".join(line.split()) for line in said.strip().split("\n")) + "\n"
    return not pieces or re.fullmatch(pattern, actual) is not None
