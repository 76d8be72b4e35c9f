"""Printing a table whole, so that what it names can be copied."""

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Print ``table`` as wide as its words, even where that is wider than the terminal.

    A line that wraps can still be copied and searched; an id that is cut short cannot.
    """
    console = Console()
    wanted = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    console.width = max(console.width, wanted)
    console.print(table, crop=False)
