"""``forestall knowledge import``: help articles from elsewhere, again and again."""

import datetime
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.table import Table

from forestall.cli.days import day_named
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import AsJson, cell, echo_json
from forestall.cli.tables import print_table
from forestall.context.knowledge.importing import (
    Article,
    Defaults,
    LeftOut,
    Told,
    import_articles,
)
from forestall.context.knowledge.runbooks import read_folder
from forestall.contracts.errors import UnreadableInput

app = typer.Typer(
    help="Import help articles. What is unchanged stays as it is, what changed gets a new version,"
    " and what was edited here is left alone.",
    no_args_is_help=True,
)

HALF_A_YEAR = datetime.timedelta(days=182)

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder for the articles.")]
Owner = Annotated[str, typer.Option("--owner", help="Who answers for new articles.")]
ReviewBy = Annotated[
    str | None,
    typer.Option(
        "--review-by",
        metavar="DAY",
        help="Until when what is new or changed is used, today or later; half a year from now if"
        " left out.",
    ),
]
Product = Annotated[
    list[str] | None, typer.Option("--product", help="A product of new articles; may be repeated.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over what was edited here.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, write nothing.")]


@app.command("zendesk")
def import_zendesk(
    source: Annotated[
        Path, typer.Argument(metavar="FILE_OR_FOLDER", help="Pages of articles.json, as files.")
    ],
    out: Out,
    owner: Owner = "support",
    review_by: ReviewBy = None,
    product: Product = None,
    products_from: Annotated[
        Literal["none", "labels", "section", "category"],
        typer.Option("--products-from", help="What else the products are taken from."),
    ] = "none",
    force: Force = False,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Import a Zendesk Help Center export: JSON as the pages of its API give it.

    Drafts and articles that only some users may read are left out and told. Exit code 1 if
    something needs a look: it could not be read, is gone, or was edited here and changed there.
    """
    from forestall.context.knowledge import zendesk

    articles, left = zendesk.read_zendesk(source, products_from)
    defaults = _defaults(owner, review_by, product, out, config)
    _run(articles, left, out, defaults, zendesk.ORIGIN, force=force, dry=dry_run, as_json=as_json)


@app.command("html")
def import_html(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of HTML pages.")],
    out: Out,
    owner: Owner = "support",
    review_by: ReviewBy = None,
    product: Product = None,
    force: Force = False,
    dry_run: DryRun = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Import a folder of HTML pages: what is read on them, without menus, footers and scripts.

    Exit code 1 if something needs a look: it could not be read, is gone, or was edited here and
    changed there.
    """
    from forestall.context.knowledge import pages

    articles, left = pages.read_pages(source)
    defaults = _defaults(owner, review_by, product, out, config)
    _run(articles, left, out, defaults, pages.ORIGIN, force=force, dry=dry_run, as_json=as_json)


def _defaults(
    owner: str, review_by: str | None, product: list[str] | None, out: Path, config: Path | None
) -> Defaults:
    if not owner.strip():
        raise UnreadableInput("--owner: say who answers for these articles")
    last = day_named(review_by, HALF_A_YEAR)
    if last < day_named(None):
        raise UnreadableInput(
            f"--review-by {last}: this day is over, so nothing that is imported would be used; name"
            " today or a later one"
        )
    return Defaults(
        owner=owner,
        review_by=last,
        products=tuple(product or ()),
        taken=_taken(out, config),
    )


def _taken(out: Path, config: Path | None) -> frozenset[str]:
    """The ids of the deployment's other runbooks and articles."""
    folder = settings_for(config).runbooks
    if folder is None or not folder.is_dir():
        return frozenset()
    own, (found, _) = out.resolve(), read_folder(folder)
    others = (one for one in found.values() if not Path(one.path).resolve().is_relative_to(own))
    return frozenset(one.id for one in others)


def _run(
    articles: list[Article],
    left: list[LeftOut],
    out: Path,
    defaults: Defaults,
    origin: str,
    *,
    force: bool,
    dry: bool,
    as_json: bool,
) -> None:
    told = import_articles(articles, left, out, defaults, origin=origin, force=force, dry=dry)
    if as_json:
        echo_json([msgspec.to_builtins(one) for one in told])
    else:
        _show(told, dry=dry)
    if any(one.wrong for one in told):
        raise typer.Exit(1)


def _show(told: list[Told], *, dry: bool) -> None:
    table = Table("what", "source", "file", "about", box=None)
    shown = [one for one in told if one.what != "unchanged" or one.about]
    for one in shown:
        table.add_row(*map(cell, (one.what, one.source, one.file or "", "; ".join(one.about))))
    if shown:
        print_table(table)
    counts = Counter(one.what for one in told)
    numbers = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    typer.echo(f"{numbers or 'nothing'}{' (nothing is written)' if dry else ''}")
