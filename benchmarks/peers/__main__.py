"""Ask other engines the same, check that they answer the same, and time them.

A run of all peers on all events writes ``benchmarks/peers.json`` and ``peers.md``.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import summarise
from benchmarks.machine import describe
from benchmarks.measure import fsync_seconds
from benchmarks.peers.duel import PEERS, Differs, Duel, Peer, fight
from benchmarks.peers.environment import CACHE, Missing, need_java
from benchmarks.peers.process import Failed
from benchmarks.peers.tables import markdown
from benchmarks.report import Bench, Report, save
from benchmarks.workload import EVENTS

JSON = Path(__file__).parents[1] / "peers.json"
PAGE = Path(__file__).parents[1] / "peers.md"
ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all answered as we do, 1 when one did not or something is missing."""
    known = sorted({peer.folder for peer in PEERS})
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("peers", nargs="*", help=f"{', '.join(known)}; all where none is named")
    parser.add_argument("--events", type=int, default=EVENTS, help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default %(default)s")
    options = parser.parse_args(arguments)
    if unknown := set(options.peers) - set(known):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if options.events < 1 or options.rounds < 1:
        parser.error("--events and --rounds are 1 or more")
    wanted = [peer for peer in PEERS if not options.peers or peer.folder in options.peers]
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        if any(peer.folder == "flink" for peer in wanted):
            need_java()
        duels = [_fought(peer, options.events, options.rounds) for peer in wanted]
    except (Differs, Failed, Missing) as error:
        print(error, file=sys.stderr)
        return 1
    report = Report(describe(), _benches(duels))
    print(markdown(report))
    if not options.peers and options.events == EVENTS:
        save(JSON, report)
        PAGE.write_text(markdown(report))
    return 0


def _fought(peer: Peer, events: int, rounds: int) -> Duel:
    began = time.perf_counter()
    print(f"{peer.what} ...", end=" ", flush=True, file=sys.stderr)
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    duel = fight(peer, events, rounds, CACHE, cores)
    seconds = time.perf_counter() - began
    print(f"{duel.answers:,} answers, all as ours, {seconds:.0f} s", file=sys.stderr)
    return duel


def _benches(duels: Sequence[Duel]) -> list[Bench]:
    fsync = 1000 * sorted(fsync_seconds(CACHE))[0]
    load_now = round(os.getloadavg()[0], 2)
    return [
        Bench(
            f"{duel.peer.what} {duel.version}: {duel.events:,} events, {duel.answers:,} answers",
            len(duel.rounds),
            round(fsync, 3),
            load_now,
            summarise(duel.peer.key, duel.rounds),
        )
        for duel in duels
    ]


if __name__ == "__main__":
    sys.exit(main())
