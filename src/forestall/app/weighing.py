"""What the server finds out about changes: plans, checks, tests and backtests.

Runs in a process of its own (``judging`` starts it), so that neither what people send nor a long
history delays the rest. Reads the deployment and its data folder, and writes nothing.
"""

import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from forestall.app.backtesting import Told, World, plan_figures, version_figures
from forestall.app.standing import drifted, read_model, reviews, today
from forestall.contracts.errors import ForestallError, InvalidFile, Problem, UnreadableInput
from forestall.decide.examine import examine
from forestall.decide.trial import Figures
from forestall.kernel.settings import Settings, load_settings
from forestall.policy.actions.live import Live, judging
from forestall.policy.deployment import surroundings
from forestall.policy.language.asked import models_in
from forestall.policy.language.check import Surroundings
from forestall.policy.lifecycle import Set
from forestall.policy.plan import Checked, Item, Plan, compare
from forestall.policy.reviews import overdue
from forestall.policy.shelf import Shelf, live_in, shelf
from forestall.policy.sources import (
    MOST_BYTES,
    MOST_FILES,
    JudgeAgent,
    Written,
    contents,
    prompts_in,
)

MEMORY: Final = 4_000_000_000
SECONDS: Final = 1_800
"""How much memory (bytes of address space) and processor time the process may use."""

_written = msgspec.json.Decoder(list[Written])


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be found out about the deployment of ``config``.

    A ``plan`` is of the files in ``files`` (JSON: a list of ``Written``), with ``prune`` and
    ``backtest`` as wanted. A ``backtest`` is of the version ``version`` of the policy ``name``. The
    ``standing`` is what has drifted and whose review is overdue, ``at`` a wall time.
    """

    what: Literal["plan", "backtest", "standing"]
    config: str
    set: Set = "blue"
    prune: bool = False
    backtest: bool = True
    files: bytes = b"[]"
    name: str = ""
    version: str = ""
    at: int = 0


class Weighed(msgspec.Struct, frozen=True):
    """What was found: of a plan the plan, its ``items`` and ``warnings``, of a backtest its
    ``figures``, of the standing how many things have ``drifted`` and are ``overdue``. ``number`` is
    the newest transition that this rests on."""

    number: int
    plan: Plan | None = None
    items: tuple[Item, ...] = ()
    warnings: tuple[Problem, ...] = ()
    figures: Figures | None = None
    drifted: int = 0
    overdue: int = 0


class Wrong(msgspec.Struct, frozen=True):
    """Why nothing was found: an error's code and its words."""

    code: str
    message: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that the process says: which fraction is ``done``, or how it ended."""

    done: float | None = None
    weighed: Weighed | None = None
    wrong: Wrong | None = None


def weigh(task: Task, told: Told) -> Weighed:
    """Find out what is asked. Raises ``ForestallError``."""
    settings = load_settings(Path(task.config), secrets=False)
    if task.what == "standing":
        return _standing(settings, task.at)
    known, files = shelf(settings.data, task.set), _files(task.files)
    live = live_in(settings.data, known.set)
    world = World(settings, _around(settings, known, files, live))
    number = known.standing.number
    if task.what == "backtest":
        figures = version_figures(task.name, task.version, known, world, told)
        return Weighed(number, figures=figures)
    found = contents(files, read_model, world.around, _judge(settings, live, files))
    errors = [one for one in found.problems if one.severity == "error"]
    if errors:
        raise InvalidFile(errors)
    plan = _plan(task, found.items, known, world)
    if task.backtest:
        items = {(one.kind, one.name): one for one in found.items}
        plan = plan_figures(plan, items, known, world, told)
    warnings = (*found.problems, *(one for item in found.items for one in item.problems))
    shown = tuple(sorted(one for one in warnings if one.severity == "warning"))
    return Weighed(number, plan, found.items, shown)


def _standing(settings: Settings, at: int) -> Weighed:
    """Policies that nobody put in a folder cannot drift from one."""
    found = [] if settings.policies is None else drifted(settings)
    late = overdue(reviews(settings), today(at))
    return Weighed(0, drifted=sum(one.wrong for one in found), overdue=len(late))


def _files(raw: bytes) -> list[Written]:
    try:
        files = _written.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableInput(f"the files are not as they should be: {error}") from None
    if len(files) > MOST_FILES or sum(len(one.text) for one in files) > MOST_BYTES:
        raise UnreadableInput(f"more than {MOST_FILES:,} files or {MOST_BYTES:,} characters")
    return files


def _judge(settings: Settings, live: Live, files: Sequence[Written]) -> JudgeAgent:
    """What is wrong with an agent here; its prompt may be live or come along."""
    if settings.actions is None:
        return lambda _: ()
    prompts = live.prompts | prompts_in(files)
    return judging(settings.actions, settings, prompts)


def _around(settings: Settings, known: Shelf, files: Sequence[Written], live: Live) -> Surroundings:
    """What policies may name: of models those that the registry has and those that come along, of
    agents the live ones."""
    kept = (one.content for one in known.kept() if one.kind == "model" and one.state != "retired")
    come = (one.text.encode() for one in files if one.kind == "model")
    models = models_in([*kept, *come])
    return msgspec.structs.replace(surroundings(settings, live), models=models or None)


def _plan(task: Task, items: tuple[Item, ...], known: Shelf, world: World) -> Plan:
    by_name = {(one.kind, one.name): one for one in items}
    lines = []
    for line in compare(items, known.kept()):
        item = by_name.get((line.kind, line.name))
        if item is not None and line.what != "unchanged":
            line = msgspec.structs.replace(line, checked=_check(item, world))
        lines.append(line)
    return Plan(set=task.set, prune=task.prune, lines=tuple(lines))


def _check(item: Item, world: World) -> Checked:
    """Run what an item brings along to prove itself."""
    wrong = [str(one) for one in item.problems if one.severity == "error"]
    policy = item.policy
    if policy is None or wrong:
        return Checked(len(wrong), 0, 0, tuple(wrong))
    passed, failed = 0, []
    for one in examine(world.bundle([policy]), policy, world.settings.decide):
        if one.passed:
            passed += 1
        else:
            failed.append(f"test `{one.case.name}`: {'; '.join(one.differences)}")
    return Checked(0, passed, len(failed), tuple(failed))


# -- the process -----------------------------------------------------------------------------------


def main() -> None:
    """Answer the task on standard input, line by line on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    least = 0.0

    def told(done: float) -> None:
        nonlocal least
        if done >= least:
            least = done + 0.01
            _say(Answer(done=done))

    try:
        _say(Answer(weighed=weigh(task, told)))
    except ForestallError as error:
        _say(Answer(wrong=Wrong(error.code, str(error))))
    except MemoryError:
        words = f"it takes more than {MEMORY // 10**9} GB of memory; apply fewer things at a time"
        _say(Answer(wrong=Wrong("weighing-failed", words)))
    gc.freeze()  # the end need not look for what could be freed


def _say(answer: Answer) -> None:
    """Tell the app process; where it has gone, so does this one."""
    try:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)


if __name__ == "__main__":
    main()
