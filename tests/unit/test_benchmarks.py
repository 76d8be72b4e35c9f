"""The benchmarks' workload, frame and guard: what they say must be true, however fast we are."""

import importlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as frame
from benchmarks import bench_backtest, bench_policies, measure, workload
from benchmarks.bench_decide import RecordWithData, decode_alone, decode_lazily, slices
from benchmarks.engines import engine_of
from benchmarks.figures import Figure, Result, number, summarise
from benchmarks.machine import Machine, describe
from benchmarks.once import Run
from benchmarks.report import BEGIN, END, Bench, Report, between_markers, load, markdown, save
from forestall.contracts.event import CloudEvent, Record, decode_data
from forestall.contracts.instants import MINUTE
from forestall.decide.history import History
from forestall.log.streams import read_signals
from forestall.policy.language.model import Policy

MACHINE = Machine("a processor", 2, 8.0, "6.1", "CPython 3.11", "3.40")


@pytest.fixture(scope="module")
def first() -> list[Record]:
    """The first block, made now and not read from a file."""
    return workload._made(0, 1)


# -- the workload --------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_events(first: list[Record]) -> None:
    assert workload._made(0, 1) == first
    assert workload._made(0, 2) != first


def test_fewer_events_are_a_prefix_of_more(
    first: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "CACHE", tmp_path)
    some = list(workload.records(60_000))
    assert some[:50_000] == first
    assert list(workload.records(777)) == first[:777]
    assert len(some) == 60_000


def test_a_kept_block_reads_as_it_was_made(
    first: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "CACHE", tmp_path)
    assert workload.block(0) == first
    assert [path.name for path in tmp_path.iterdir()] == ["events-v1-s1-000.json"]
    assert workload.block(0) == first


def test_received_never_goes_back_not_even_between_blocks(first: list[Record]) -> None:
    received = [record.received for record in [*first, *workload._made(1, 1)]]
    assert received == sorted(received)
    assert (received[-1] - received[0]) / 1e6 == pytest.approx(100_000 / workload.RATE, rel=0.01)


def test_an_event_has_about_450_bytes() -> None:
    assert 430 <= mean(len(line) for line in workload.cloudevents(20_000)) <= 470


def test_all_15_types_come_and_their_data_is_json(first: list[Record]) -> None:
    assert len(workload.TYPES) == 15
    assert set(workload.TYPES) == {record.type for record in first}
    for record in first[:5_000]:
        data = decode_data(record.data)
        assert {"session", "plan", "locale", "release", "agent"} <= data.keys()
        assert len(data) >= 8


def test_a_share_is_repeated_late_out_of_order_and_ahead(first: list[Record]) -> None:
    ids = Counter(record.id for record in first)
    repeated = sum(count - 1 for count in ids.values())
    lags = [one.received - one.time for one in {one.id: one for one in reversed(first)}.values()]
    late = sum(lag > 5 * MINUTE for lag in lags)
    behind = sum(2_001_000 < lag <= 5 * MINUTE for lag in lags)
    ahead = sum(lag < 0 for lag in lags)
    assert 0.004 < repeated / len(first) < 0.006
    assert 0.0005 < late / len(first) < 0.002
    assert 0.008 < behind / len(first) < 0.012
    assert 0.0005 < ahead / len(first) < 0.002


def test_a_repeated_event_differs_only_in_when_it_came(first: list[Record]) -> None:
    seen: dict[str, Record] = {}
    for record in first:
        earlier = seen.setdefault(record.id, record)
        assert msgspec.structs.replace(record, received=earlier.received) == earlier


def test_subjects_follow_zipfs_law(first: list[Record]) -> None:
    counts = Counter(record.subject for record in first)
    total = sum(1 / rank for rank in range(1, workload.SUBJECTS + 1))
    for rank in (0, 1, 9):
        expected = len(first) / (rank + 1) / total
        assert counts[workload.subject(rank)] == pytest.approx(expected, rel=0.15)
    assert len({workload.subject(rank) for rank in range(workload.SUBJECTS)}) == workload.SUBJECTS


def test_batches_payloads_and_lines_hold_the_same_events(first: list[Record]) -> None:
    batches = list(workload.batches(1_050, 100))
    assert [len(batch) for batch in batches] == [100] * 10 + [50]
    decode = msgspec.json.Decoder(list[Record]).decode
    payloads = workload.encoded(1_050, 100)
    assert [decode(payload) for payload in payloads] == batches
    events = [msgspec.json.decode(line, type=CloudEvent) for line in workload.cloudevents(1_050)]
    assert [event.id for event in events] == [record.id for record in first[:1_050]]


def test_a_history_reads_back_as_the_same_records(first: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    workload.write_ndjson(path, 3_000)
    assert [record for chunk in History(path) for record in chunk] == first[:3_000]


def test_parquet_reads_back_as_the_same_records(first: list[Record], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "events.parquet"
    workload.write_parquet(path, 3_000)
    assert [record for chunk in History(path) for record in chunk] == first[:3_000]


def test_each_of_20_policies_decides_soon_and_decisions_are_rare() -> None:
    bundle = workload.bundle()
    engine = engine_of(bundle)
    decided: Counter[str] = Counter()
    for batch in workload.batches(200_000, 500):
        decided.update(decision.policy for _, decision in engine.process(batch))
    assert len(bundle.policies) == 20
    assert not bundle.warnings
    assert set(decided) == {policy.name for policy in bundle.policies}
    assert 0.001 < decided.total() / 200_000 < 0.01
    assert engine.counters["duplicate"]
    assert engine.counters["late"]
    assert not engine.counters["expression_errors"]


def test_policies_cover_the_language() -> None:
    policies = workload.bundle().policies
    kinds = {feature.kind for policy in policies for feature in policy.features.values()}
    assert kinds >= {"count", "sum", "avg", "distinct", "p90", "since", "last"}
    texts = "".join(path.read_text() for path in workload.POLICIES.glob("*.yaml"))
    for word in ("times:", "not:", "for:", "all:", "by:", "where:", "if:", "within:"):
        assert word in texts


def test_each_type_concerns_one_to_three_policies() -> None:
    concerned: Counter[str] = Counter()
    for policy in workload.bundle().policies:
        concerned.update(_types_of(policy))
    assert set(concerned) == set(workload.TYPES)
    assert max(concerned.values()) <= 3
    assert concerned["page.viewed"] == concerned["request.completed"] == 2


def _types_of(policy: Policy) -> set[str]:
    text = msgspec.json.encode(policy).decode()
    return {name for name in workload.TYPES if f'"{name}"' in text}


# -- the benchmarks ------------------------------------------------------------------------------


def test_slices_hold_every_event_in_batches_of_several_sizes(first: list[Record]) -> None:
    made = list(slices(2_500, 1_000, (100, 1_000)))
    assert [[batch.count for batch in one] for one in made] == [[100] * 10, [1_000], [100] * 5]
    flat = [record for one in made for batch in one for record in read_signals(batch)]
    assert flat == first[:2_500]


def test_the_limit_decodes_what_the_log_holds(first: list[Record]) -> None:
    (batches,) = slices(1_000, 1_000, (1_000,))
    records = msgspec.json.decode(batches[0].payload, type=list[RecordWithData])
    assert [record.id for record in records] == [record.id for record in first[:1_000]]
    assert [record.data for record in records] == [decode_data(one.data) for one in first[:1_000]]
    decode_alone(batches)
    decode_lazily(batches)


def test_copied_policies_decide_on_moved_events_as_the_originals_do() -> None:
    few = engine_of(bench_policies.originals())
    many = engine_of(bench_policies.copies(3))
    types: set[str] = set()
    for batch in workload.batches(30_000, 500):
        moved = [bench_policies.moved(record, 3) for record in batch]
        types.update(record.type for record in moved)
        ours = [(order, one.policy, one.outcome) for order, one in few.process(batch)]
        theirs = [
            (order, one.policy.rpartition("-")[0], one.outcome)
            for order, one in many.process(moved)
        ]
        assert ours == theirs
    assert len(types) == 45


SMALL = {"log": {"filled": 50_000, "pieces": 30_000}}


@pytest.mark.parametrize("name", ["decide", "latency", "policies", "log"])
def test_a_benchmark_gives_figures_that_are_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module(f"benchmarks.bench_{name}")
    if name == "policies":
        monkeypatch.setattr(bench, "SETS", 5)
        for done in ("copies", "moved"):
            monkeypatch.setattr(bench, done, partial(getattr(bench, done), sets=5))
    figures = bench.run(events=2_000, **SMALL.get(name, {}))
    assert figures
    assert all(figure.value >= 0 for figure in figures)
    assert len({figure.what for figure in figures}) == len(figures)


def test_a_backtest_is_measured_against_windows_over_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    spent: list[tuple[list[str], int, str]] = []

    def pretended(
        command: Sequence[str | Path], cores: Collection[int], given: str | None = None
    ) -> bench_backtest.Spent:
        spent.append(([str(part) for part in command], len(cores), given or ""))
        return bench_backtest.Spent(float(len(spent)), 2.0 * len(spent), 1_000_000 * len(spent))

    monkeypatch.setattr(workload, "CACHE", tmp_path)
    monkeypatch.setattr(bench_backtest, "python_of", lambda _: Path("python"))
    monkeypatch.setattr(bench_backtest, "_spent", pretended)
    found = {figure.what: figure for figure in bench_backtest.run(events=5_000)}
    whole, tenth = (str(bench_backtest.history(count)) for count in (5_000, 500))
    extract, small, one, two, same, easier = spent
    assert whole in extract[2]
    assert extract[2].startswith("COPY")
    assert [part[0][-2] for part in (small, one, two)] == ["1", "1", "2"]
    assert [tenth in part[0] for part in (small, one, two)] == [True, False, False]
    assert [whole in part[0] for part in (small, one, two)] == [False, True, True]
    assert small[1] == one[1] == 1
    assert whole in same[2]
    assert "columns.parquet" in easier[2]
    assert same[2].count("OVER") == easier[2].count("OVER") + 1  # it numbers the rows as it reads
    ratio = found["backtest of 0.005 M events on 2 cores, of the speed on one"]
    assert (ratio.value, ratio.at_least, ratio.id) == (3 / 4, 1.6, "F7")
    assert found["backtest of 0.005 M events, memory for each event more"].value == 1e6 / 4_500
    assert found["backtest of 0.005 M events on one core, processor time"].value == 1_200


def test_what_a_command_spends_is_measured() -> None:
    cores = sorted(os.sched_getaffinity(0))[:1]
    work = "import os, sys; assert os.sched_getaffinity(0) == {%d}; sum(range(10**6)); sys.stdin.read()"
    spent = bench_backtest._spent([sys.executable, "-c", work % cores[0]], cores, "given")
    assert min(spent.cpu, spent.wall) > 0
    assert spent.peak > 1_000_000
    with pytest.raises(subprocess.CalledProcessError):
        bench_backtest._spent([sys.executable, "-c", "import sys; sys.exit(3)"], cores)


def test_memory_is_measured_in_processes_of_its_own() -> None:
    bench = importlib.import_module("benchmarks.bench_memory")
    figures = bench.run(subjects=2_000, remembered=10, an_hour=500)
    assert [figure.unit for figure in figures].count("bytes") == 3
    assert all(figure.id == "F6" for figure in figures)


# -- figures -------------------------------------------------------------------------------------


def _summary(*values: float, at_least: float | None = None, at_most: float | None = None) -> Result:
    runs = [[Figure("a", value, "s", "F1", at_least, at_most)] for value in values]
    (result,) = summarise("bench", runs)
    return result


def test_the_median_and_the_spread_of_runs() -> None:
    result = _summary(3.0, 1.0, 2.0)
    assert (result.median, result.low, result.high) == (2.0, 1.0, 3.0)
    assert result.runs == [3.0, 1.0, 2.0]
    assert result.met is None
    assert result.target == ""


@pytest.mark.parametrize(
    ("least", "most", "met"),
    [(1.0, None, True), (2.5, None, False), (None, 2.0, True), (None, 1.9, False), (1, 3, True)],
)
def test_a_target_is_met_by_the_median(least: float | None, most: float | None, met: bool) -> None:
    assert _summary(1.0, 2.0, 9.0, at_least=least, at_most=most).met is met


def test_a_bound_of_each_run_counts_by_its_median() -> None:
    runs = [[Figure("a", value, "ms", at_most=bound)] for value, bound in ((5, 4), (6, 7), (9, 9))]
    (result,) = summarise("bench", runs)
    assert result.at_most == 7
    assert result.met is True
    assert result.target == "at most 7"


def test_figures_of_runs_stay_in_their_order_and_may_be_missing() -> None:
    runs = [[Figure("b", 1, ""), Figure("a", 1, "")], [Figure("a", 3, "")]]
    assert [(one.what, one.runs) for one in summarise("x", runs)] == [("b", [1]), ("a", [1, 3])]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.8, "1,234,568"),
        (12.34, "12.3"),
        (0.3, "0.30"),
        (0.0123, "0.0123"),
        (0, "0"),
        (5.0, "5"),
    ],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values_with_that_share_at_or_below(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = measure.quantile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-6
    assert sum(value < found for value in ordered) <= max(share * len(ordered), 0) + 1e-6


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        measure.quantile([], 0.5)


def test_ways_take_turns_slice_by_slice() -> None:
    ticks = itertools.count()
    did: list[str] = []
    seconds = measure.in_turns(
        "xy",
        lambda one: did.append(f"limit {one}"),
        lambda one: did.append(f"ours {one}"),
        clock=lambda: float(next(ticks)),
    )
    assert did == ["limit x", "ours x", "limit y", "ours y"]
    assert seconds == [[1.0, 1.0], [1.0, 1.0]]


def test_the_middle_share_is_that_of_the_median_slice() -> None:
    assert measure.middle_share([1.0, 1.0, 1.0], [2.0, 4.0, 100.0]) == 0.25


def test_memory_and_fsyncs_are_measured(tmp_path: Path) -> None:
    assert measure.resident() > 1_000_000
    took = measure.fsync_seconds(tmp_path, 3)
    assert took == sorted(took)
    assert len(took) == 3
    assert not list(tmp_path.iterdir())


# -- the report ----------------------------------------------------------------------------------


def _bench(name: str, *figures: Figure) -> Bench:
    return Bench(name, 5, 0.5, 0.0, summarise(name, [figures]))


REPORT = (
    Report(MACHINE)
    .including(_bench("z", Figure("ratio", 0.25, "", "F3", at_least=0.3)))
    .including(
        _bench("a", Figure("a | b", 4.0, "µs", "F10", at_most=5), Figure("free", 12345, "events/s"))
    )
)


def test_the_table_tells_figures_targets_and_misses() -> None:
    lines = markdown(REPORT).splitlines()
    assert "a processor, 2 cores, 8 GB" in lines[0]
    assert lines[-3:] == [
        "| F3 | ratio | 0.25 (0.25 to 0.25) | at least 0.30 | **no** |",
        "| F10 | a \\| b | 4 µs (4 to 4) | at most 5 | yes |",
        "|  | free | 12,345 events/s (12,345 to 12,345) |  |  |",
    ]


def test_a_later_run_replaces_the_earlier_of_its_benchmark() -> None:
    again = REPORT.including(_bench("z", Figure("ratio", 0.5, "")))
    assert [bench.name for bench in again.benches] == ["a", "z"]
    assert again.benches[1].results[0].median == 0.5


def test_results_are_kept_for_the_same_machine_only(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert load(path, MACHINE) == Report(MACHINE)
    save(path, REPORT)
    assert load(path, MACHINE) == REPORT
    other = msgspec.structs.replace(MACHINE, cores=64)
    assert load(path, other) == Report(other)
    path.write_text('{"machine": 1}')
    assert load(path, MACHINE) == Report(MACHINE)


def test_the_table_goes_between_the_markers_and_nowhere_else() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert between_markers(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="lacks"):
        between_markers("no markers", "new\n")


def test_the_page_has_a_place_for_the_table() -> None:
    assert "table" in between_markers(frame.PAGE.read_text(), "table\n")


def test_this_machine_is_described() -> None:
    machine = describe()
    assert machine.cores >= 1
    assert machine.memory_gb > 0
    assert "Python" in machine.words


# -- the frame -----------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page = tmp_path / "speed.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(frame, "PAGE", page)
    monkeypatch.setattr(frame, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(frame, "CACHE", tmp_path / "cache")
    return tmp_path


def _pretend(monkeypatch: pytest.MonkeyPatch, runs: Iterable[Run | None]) -> list[tuple[str, bool]]:
    asked: list[tuple[str, bool]] = []
    left = iter(runs)

    def once(name: str, quick: bool) -> Run | None:
        asked.append((name, quick))
        return next(left)

    monkeypatch.setattr(frame, "_once", once)
    return asked


def test_the_frame_runs_five_times_and_writes_file_and_page(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [Run(0.5, [Figure("speed", value, "events/s", "F3")]) for value in (5, 1, 2, 3, 4)]
    asked = _pretend(monkeypatch, runs)
    assert frame.main(["decide", "--json"]) == 0
    assert asked == [("decide", False)] * 5
    report = load(places / "results.json", describe())
    assert report.benches[0].results[0].median == 3
    assert "| F3 | speed | 3 events/s (1 to 5) |" in (places / "speed.md").read_text()
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == report


def test_small_runs_are_kept_apart(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _pretend(monkeypatch, [Run(0.5, [Figure("speed", 1, "")])] * 3)
    assert frame.main(["decide", "--quick"]) == 0
    assert asked == [("decide", True)] * 3
    assert not (places / "results.json").exists()
    assert (places / "speed.md").read_text() == f"{BEGIN}\n{END}\n"


def test_a_benchmark_that_fails_is_told_and_the_others_go_on(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pretend(monkeypatch, [None, *[Run(0.5, [Figure("speed", 1, "")])] * 5])
    assert frame.main(["decide", "latency"]) == 1
    assert "failed: decide" in capsys.readouterr().err
    assert [one.name for one in load(places / "results.json", describe()).benches] == ["latency"]


def test_long_benchmarks_run_only_when_they_are_named(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _pretend(monkeypatch, itertools.repeat(Run(0.5, [Figure("speed", 1, "")])))
    assert frame.main(["--runs", "1"]) == 0
    without = {name for name, _ in asked}
    assert frame.main(["--runs", "1", "backtest_long"]) == 0
    assert {name for name, _ in asked} - without == {"backtest_long"}
    assert {"backtest", "decide", "latency"} <= without
    report = load(places / "results.json", describe())
    assert {one.name for one in report.benches} == {*without, "backtest_long"}


def test_what_another_run_has_written_meanwhile_is_kept(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Bench("log", 5, 0.5, 0.0, [])

    def once(*_: object) -> Run:
        save(places / "results.json", Report(describe(), [other]))
        return Run(0.5, [Figure("speed", 1, "")])

    monkeypatch.setattr(frame, "_once", once)
    assert frame.main(["decide", "--runs", "1"]) == 0
    benches = load(places / "results.json", describe()).benches
    assert [one.name for one in benches] == ["decide", "log"]


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        frame.main(["nothing"])
    assert refused.value.code == 2
    assert "no such benchmark: nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("places")
def test_one_run_is_a_process_of_its_own() -> None:
    run = frame._once("log", quick=True)
    assert run is not None
    assert run.fsync_ms > 0
    assert {figure.unit for figure in run.figures} >= {"events/s", "ms"}


@pytest.mark.usefixtures("places")
def test_the_last_words_of_a_run_that_fails_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame._once("nothing", quick=True) is None
    assert "bench_nothing" in capsys.readouterr().err


# -- the guard -----------------------------------------------------------------------------------
