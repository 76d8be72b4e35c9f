"""One peer against us: the same file, the same questions, the same answers; then turn about."""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Figure
from benchmarks.peers.environment import python_of
from benchmarks.peers.process import Answerer, Failed, Time, differences
from benchmarks.peers.questions import write

HERE = Path(__file__).parent
TICK = 0.01
"""Seconds of processor time that the system counts at least; a shorter run may show none at all."""


class Peer(msgspec.Struct, frozen=True):
    """Who is asked, what, and on how much.

    ``restated`` is the file with the questions that differ from the workload's; ``arguments`` go to
    its ``answer.py``; ``share`` is its part of the events asked for, so that a slow one takes no
    longer; ``at_least`` how many times as fast we mean to be.
    """

    key: str
    what: str
    folder: str
    restated: str
    arguments: tuple[str, ...] = ()
    cores: int = 1
    share: float = 1.0
    at_least: float | None = None


PEERS = (
    Peer("flink", "Flink SQL", "flink", "patterns.yaml", ("json",), share=0.2, at_least=5.0),
    Peer(
        "flink-columns", "Flink SQL on columns", "flink", "patterns.yaml", ("columns",), share=0.2
    ),
    Peer("csp", "csp", "csp", "patterns.yaml", ("json",), at_least=3.0),
    Peer("csp-columns", "csp on columns", "csp", "patterns.yaml", ("columns",), share=0.5),
    Peer("duckdb", "DuckDB", "duckdb", "windows.yaml", ("1",), share=0.5),
    Peer("duckdb-2", "DuckDB on 2 cores", "duckdb", "windows.yaml", ("2",), cores=2, share=0.5),
)


class Differs(Exception):
    """A peer's answers are not ours."""


class Duel(msgspec.Struct, frozen=True):
    """What came of one: the peer with its version, how many answers all gave, a list per round."""

    peer: Peer
    version: str
    events: int
    answers: int
    rounds: list[list[Figure]]


def fight(peer: Peer, events: int, rounds: int, work: Path, cores: Sequence[int]) -> Duel:
    """Ask both once and compare, then time them in turn.

    Raises ``Differs``, ``process.Failed`` and ``environment.Missing``.
    """
    count = max(1, int(events * peer.share))
    folder = work / "data" / str(count)
    write(folder, count)
    answers = work / "answers"
    answers.mkdir(exist_ok=True)
    python = str(python_of(peer.folder))
    script = str(HERE / peer.folder / "answer.py")
    theirs_at, ours_at = answers / peer.key, answers / f"{peer.key}-ours"
    module = (sys.executable, "-m", "benchmarks.peers.ours")
    with (
        Answerer((*module, str(folder), str(ours_at), peer.restated), ours_at, cores[:1]) as us,
        Answerer(
            (python, script, str(folder), str(theirs_at), *peer.arguments),
            theirs_at,
            cores[: peer.cores],
        ) as them,
    ):
        us.run()
        first = them.run()
        expected, given = us.answers(), them.answers()
        if wrong := differences(expected, given):
            raise Differs("\n  ".join((f"{peer.what} does not answer as we do:", *wrong)))
        if not expected:
            raise Failed(f"{count} events give no answer: too few to compare")
        cold = Figure(
            f"{peer.what}, from its start to its first answers, of {count:,} events",
            them.started + first.wall,
            "s",
        )
        timed = [[cold, *figures(peer, count, us.run(), them.run())] for _ in range(rounds)]
        return Duel(peer, them.version, count, expected.total(), timed)


def figures(peer: Peer, count: int, ours: Time, theirs: Time) -> list[Figure]:
    """What one round says. The ratio that counts leaves the peer's planning out."""
    found = [
        Figure(f"{peer.what}: events answered", count / theirs.inner, "events/s"),
        Figure(f"{peer.what}'s questions answered by Forestall", count / ours.inner, "events/s"),
        Figure(
            f"Forestall against {peer.what}",
            theirs.inner / ours.inner,
            "times",
            id="F3" if peer.at_least else "F2",
            at_least=peer.at_least,
        ),
        Figure(
            f"Forestall against {peer.what}, by processor time, all included",
            theirs.cpu / max(ours.cpu, TICK),
            "times",
        ),
    ]
    if theirs.inner < theirs.wall:
        rate = count / theirs.wall
        found.insert(
            1, Figure(f"{peer.what}: events answered, planning included", rate, "events/s")
        )
    return found
