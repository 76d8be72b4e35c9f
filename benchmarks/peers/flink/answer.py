"""Apache Flink's answers, by SQL, with one slot; the third argument is ``json`` or ``columns``."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

sys.path.insert(0, str(Path(__file__).parents[1]))
from contest import serve

HERE = Path(__file__).parent
OPTIONS = {
    "parallelism.default": "1",
    "table.local-time-zone": "UTC",
    "pipeline.object-reuse": "true",
    "execution.checkpointing.interval": "10 min",
}
"""Objects are reused, which is faster; a sink of files gives them out at a checkpoint, and there is
one at the end."""


def statements(events: str, answers: str) -> list[str]:
    """The statements that make the tables and views, then the one that asks."""
    sql = (HERE / f"{sys.argv[3]}.sql").read_text() + (HERE / "questions.sql").read_text()
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    text = "\n".join(lines).replace("{events}", events).replace("{answers}", answers)
    return [one for one in text.split(";") if one.strip()]


def prepare() -> None:
    """Start the Java machine."""
    TableEnvironment.create(EnvironmentSettings.in_streaming_mode())


def run(folder: Path, answers: Path) -> float:
    """Plan and run the job, and wait for its end; the job's own seconds."""
    shutil.rmtree(answers, ignore_errors=True)
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for option, value in OPTIONS.items():
        environment.get_config().set(option, value)
    *views, insert = statements((folder / "events").as_uri(), answers.as_uri())
    for view in views:
        environment.execute_sql(view)
    result = environment.execute_sql(insert)
    result.wait()
    return result.get_job_client().get_job_execution_result().result().get_net_runtime() / 1000


if __name__ == "__main__":
    serve("Apache Flink", version("apache-flink"), run, prepare)
