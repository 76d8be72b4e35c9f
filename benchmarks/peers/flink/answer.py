"""Apache Flink's answers, by SQL, on one core with one slot."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

sys.path.insert(0, str(Path(__file__).parents[1]))
from contest import serve

SQL = (Path(__file__).parent / "questions.sql").read_text()
OPTIONS = {
    "parallelism.default": "1",
    "table.local-time-zone": "UTC",
    "pipeline.object-reuse": "true",
    "execution.checkpointing.interval": "10 min",
}
"""Objects are reused, which is faster; a sink of files gives them out at a checkpoint, and there is
one at the end."""


def statements(events: str, answers: str) -> list[str]:
    """The statements of ``questions.sql`` for these files."""
    lines = [line for line in SQL.splitlines() if not line.startswith("--")]
    text = "\n".join(lines).replace("{events}", events).replace("{answers}", answers)
    return [one for one in text.split(";") if one.strip()]


def run(folder: Path, answers: Path) -> None:
    """Plan and run the job, and wait for its end."""
    shutil.rmtree(answers, ignore_errors=True)
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for option, value in OPTIONS.items():
        environment.get_config().set(option, value)
    *views, insert = statements((folder / "events.csv").as_uri(), answers.as_uri())
    for view in views:
        environment.execute_sql(view)
    environment.execute_sql(insert).wait()


if __name__ == "__main__":
    TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    serve("Apache Flink", version("apache-flink"), run)
