"""DuckDB's answers, by window functions over Parquet; ``THREADS`` is the third argument."""

import sys
from importlib.metadata import version
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1]))
from contest import serve

SQL = (Path(__file__).parent / "windows.sql").read_text()


def run(folder: Path, answers: Path) -> None:
    """Ask it all in one statement."""
    with duckdb.connect(config={"threads": int(sys.argv[3])}) as database:
        rows = database.execute(SQL.replace("{events}", str(folder / "events.parquet"))).fetchall()
    answers.write_text("".join(f"{question} {seq}\n" for question, seq in rows))


if __name__ == "__main__":
    serve("DuckDB", version("duckdb"), run)
