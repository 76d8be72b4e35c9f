"""A folder of HTML pages as articles."""

import posixpath
from pathlib import Path

from forestall.context.knowledge.html import LARGEST, Page, Unusable, read_page
from forestall.context.knowledge.importing import Article, LeftOut, tidy_title
from forestall.contracts.errors import UnreadableInput

ORIGIN = "html:"
SUFFIXES = (".html", ".htm", ".xhtml")


def read_pages(folder: Path) -> tuple[list[Article], list[LeftOut]]:
    """The pages below ``folder``, and what is left out. What leads out of it is not followed.

    Raises ``UnreadableInput`` where there is no such folder, or no page in it.
    """
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: no such folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UnreadableInput(f"{folder}: there is no page (*.html, *.htm) in it")
    articles: list[Article] = []
    left: list[LeftOut] = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            articles.append(_article(name, read_page(_bytes(path, folder))))
        except Unusable as error:
            left.append(LeftOut(f"{ORIGIN}{name}", str(error), True))
    return articles, left


def _bytes(path: Path, folder: Path) -> bytes:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Unusable("a link that leads out of the folder")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from None


def _article(name: str, page: Page) -> Article:
    stem = posixpath.splitext(name)[0]
    title = tidy_title(page.title) or tidy_title(posixpath.basename(stem).replace("-", " "))
    if not page.markdown:
        raise Unusable("it has no text")
    return Article(
        source=f"{ORIGIN}{name}",
        name=stem,
        other=posixpath.splitext(name)[1],
        title=title,
        markdown=page.markdown,
        language=page.language,
        told=page.told,
    )
