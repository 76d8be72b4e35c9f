"""Cards, tables and legends: the pieces that pages of figures are made of. All take HTML."""

from collections.abc import Iterable, Sequence

from forestall.console import plots


def section(name: str, title: str, body: str) -> str:
    """A card; ``name`` is its anchor."""
    return (
        f'<section class="card" aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n'
        f"{body}\n</section>"
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], name: str) -> str:
    """A table whose cells are HTML, the first of each row its heading."""
    heads = "".join(f'<th scope="col">{one}</th>' for one in head)
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>{"".join(map(_cell, cells))}</tr>'
        for first, *cells in rows
    )
    return (
        f'<div class="scroll" role="group" tabindex="0" aria-label="{name}">'
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(content: str) -> str:
    return f'<td class="broad">{content}</td>' if plots.BAR in content else f"<td>{content}</td>"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Words and the CSS class of each colour."""
    items = "".join(
        f'<li><svg class="swatch {shade}" aria-hidden="true"><rect class="{shade}" width="100%"'
        f' height="100%"/></svg>{word}</li>'
        for word, shade in entries
    )
    return f'<ul class="legend" aria-label="Legend">{items}</ul>'
