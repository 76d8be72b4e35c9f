"""``forestall knowledge search``: what a customer or an agent would be shown for these words."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from forestall.cli.contracts import Json
from forestall.cli.days import OnOption, day_named
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import plain
from forestall.contracts.errors import Problem, UnreadableInput

if TYPE_CHECKING:
    from forestall.context.knowledge.index import Library
    from forestall.context.knowledge.passages import Passage

LONGEST_LINE = 100_000
"""Bytes of one line of a batch."""

SHOWN = 240
"""Characters of a passage that are shown to people."""


class Query(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of a batch; what it leaves out is as the options say. ``id`` stands in the answer."""

    query: str
    products: tuple[str, ...] = ()
    language: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    id: str | int | None = None


def search(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORDS", help="What the customer says.")
    ] = None,
    product: Annotated[
        list[str] | None,
        typer.Option("--product", help="Only what is about it, or about all; may be repeated."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Only what is in it, such as de.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many passages.")] = 5,
    batch: Annotated[
        Path | None,
        typer.Option("--batch", metavar="FILE", help="JSON lines with a query each; - for stdin."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Search this folder's runbooks and articles."),
    ] = None,
    on: OnOption = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Show the passages that answer these words best, each with its citation.

    The words are words: quotes, brackets and operators mean nothing. A batch has lines such as
    {"query": "card declined", "products": ["checkout"], "language": "en", "limit": 3} and answers
    each with a line. Exit code 1 when nothing was found.
    """
    if batch is None and not words:
        raise UnreadableInput("say what to search for, or give --batch FILE")
    if batch is not None and words:
        raise UnreadableInput("give either words or --batch FILE, not both")
    own = Query(" ".join(words or ()), tuple(product or ()), language, limit)
    queries = [own] if batch is None else [_filled(one, own) for one in _queries(batch)]
    library, known = _library(folder, config, on)
    strange = list(dict.fromkeys(message for one in queries for message in known.strange(one)))
    for message in strange:
        typer.echo(message, err=True)
    if strange and batch is None:
        raise typer.Exit(1)
    found = [(query, _answers(library, query)) for query in queries]
    for query, passages in found:
        if as_json or batch is not None:
            typer.echo(msgspec.json.encode(_shown(query, passages)))
        else:
            _show(passages)
    if not any(passages for _, passages in found):
        raise typer.Exit(1)


class _Known(msgspec.Struct, frozen=True):
    """What the documents are about, and their languages, expired ones' too."""

    products: frozenset[str]
    languages: frozenset[str]

    def strange(self, query: Query) -> Iterator[str]:
        """Says of each product and of the language that no document has it, and which there are."""
        from forestall.context.knowledge.words import spoken

        about = {product.casefold() for product in self.products}
        for product in query.products:
            if product.casefold() not in about:
                yield f"no document is about the product {product!r}; {_listed(self.products)}"
        if query.language is not None and spoken(query.language) not in self.languages:
            yield f"no document is in the language {query.language!r}; {_listed(self.languages)}"


def _listed(names: frozenset[str]) -> str:
    return f"there is {', '.join(sorted(names))}" if names else "there is none"


def _library(folder: Path | None, config: Path | None, on: str | None) -> "tuple[Library, _Known]":
    """What may be used on the day, and what is known. Raises ``InvalidFile``, ``UnreadableInput``."""
    from forestall.context.knowledge.index import library_of
    from forestall.context.knowledge.runbooks import load_runbooks
    from forestall.context.knowledge.words import spoken

    settings = settings_for(config)
    folder = folder or settings.runbooks
    if folder is None:
        raise UnreadableInput("name a --folder, or set [runbooks] folder in forestall.toml")
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: no such folder")
    runbooks, knowledge = load_runbooks(folder), settings.knowledge
    known = _Known(
        frozenset(product for one in runbooks.values() for product in one.products),
        frozenset(spoken(one.language or knowledge.language) for one in runbooks.values()),
    )
    return library_of(runbooks, day_named(on), knowledge), known


def _answers(library: "Library", query: Query) -> "list[Passage]":
    return library.search(
        query.query, products=query.products, language=query.language, limit=query.limit or 5
    )


def _filled(query: Query, options: Query) -> Query:
    """``query`` with the options' values where it has none."""
    return Query(
        query.query,
        query.products or options.products,
        query.language or options.language,
        query.limit or options.limit,
        query.id,
    )


def _queries(batch: Path) -> Iterator[Query]:
    """The lines of a batch. Raises ``UnreadableInput`` with all its mistakes."""
    problems: list[Problem] = []
    for number, line in enumerate(_lines(batch), start=1):
        try:
            if len(line) > LONGEST_LINE:
                raise msgspec.ValidationError(f"longer than {LONGEST_LINE:,} bytes")
            if line.strip():
                yield msgspec.json.decode(line, type=Query)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(Problem(str(batch), number, 1, "search-line", str(error)))
    if problems:
        raise UnreadableInput("\n".join(map(str, problems)))


def _lines(batch: Path) -> list[bytes]:
    try:
        content = sys.stdin.buffer.read() if str(batch) == "-" else batch.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{batch}: {error.strerror}") from None
    return content.splitlines()


def _shown(query: Query, passages: "list[Passage]") -> dict[str, Any]:
    named = {} if query.id is None else {"id": query.id}
    return {**named, "query": query.query, "results": passages}


def _show(passages: "list[Passage]") -> None:
    if not passages:
        typer.echo("nothing that we know speaks of this")
    for number, one in enumerate(passages, start=1):
        text = " ".join(one.text.split())
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} ..."
        typer.echo(f"{number}. {plain(one.title)}  [{one.cite}]  {one.score:.3g}")
        typer.echo(f"   {plain(shown)}")
