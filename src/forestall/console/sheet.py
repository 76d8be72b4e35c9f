"""A sheet: a page of figures as one HTML file that looks like the console and loads nothing."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template
from typing import Final

STYLES: Final = ("console.css", "report.css")


def sheet(
    title: str,
    heading: str,
    span: str,
    sections: Iterable[str],
    foot: str,
    style: Sequence[str] = (),
) -> str:
    """The file. All is HTML: ``span`` says whose figures and of when, ``foot`` how they were found;
    ``style`` names further style sheets."""
    static = files("forestall.console") / "static"
    icon = (static / "icon.svg").read_text("utf-8")
    return Template((static / "sheet.html").read_text("utf-8")).substitute(
        title=title,
        heading=heading,
        span=span,
        style="\n".join((static / each).read_text("utf-8") for each in (*STYLES, *style)),
        icon=icon.replace("<svg ", '<svg width="32" height="32" aria-hidden="true" ', 1).strip(),
        sections="\n".join(filter(None, sections)),
        foot=foot,
    )
