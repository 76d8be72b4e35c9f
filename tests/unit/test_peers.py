"""The peers' bench without its peers: questions, files, comparison, processes, tables."""

import os
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from pyarrow import csv, parquet

from benchmarks import workload
from benchmarks.figures import Figure, summarise
from benchmarks.machine import Machine
from benchmarks.peers import __main__ as command
from benchmarks.peers.duel import PEERS, Differs, Peer, fight, figures
from benchmarks.peers.environment import Missing, java_major, need_java
from benchmarks.peers.ours import answered
from benchmarks.peers.process import Answerer, Failed, Time, differences, read_answers
from benchmarks.peers.questions import COLUMNS, FIRST, HERE, level, questions, row, whole, write
from benchmarks.peers.tables import markdown
from benchmarks.report import Bench, Report
from forestall.contracts.event import Record
from forestall.contracts.instants import MINUTE, SECOND

NOW = workload.BEGIN
CORES = sorted(os.sched_getaffinity(0))
ANSWERER = """
import sys, pathlib
sys.path.insert(0, {here!r})
from contest import serve
def run(folder, answers):
    print("noise")
    answers.write_text((folder / "given").read_text())
    return 0.25
serve("Peer", "1.2", run)
"""


def event(number: int, kind: str, at: int, data: str = "{}", subject: str = "p") -> Record:
    return Record(f"e{number}", "s", kind, subject, at, at, data=msgspec.Raw(data.encode()))


# -- questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("restated", "as_they_are"), [("patterns.yaml", 16), ("windows.yaml", 8)])
def test_every_policy_of_the_workload_is_asked(restated: str, as_they_are: int) -> None:
    asked = {policy.name: policy for policy in questions(restated).policies}
    theirs = {policy.name: policy for policy in workload.bundle().policies}
    assert asked.keys() == theirs.keys()
    assert len(asked) == 20
    assert sum(asked[name] == theirs[name] for name in theirs) == as_they_are


def test_a_restated_absence_begins_with_the_same_event() -> None:
    theirs = {policy.name: policy for policy in workload.bundle().policies}
    for restated in ("patterns.yaml", "windows.yaml"):
        for policy in questions(restated).policies:
            step = policy.when.steps[-1]
            if step.quiet_for is not None:
                original = theirs[policy.name].when
                assert policy.when.steps[0] == original.steps[0]
                assert step.quiet_for == original.steps[-1].quiet_for
                assert policy.when.by == original.by


def test_what_the_workload_does_not_ask_cannot_be_restated(tmp_path: Path) -> None:
    text = (HERE / "patterns.yaml").read_text().replace("export-stuck", "export-lost")
    other = tmp_path / "other.yaml"
    other.write_text(text)
    with pytest.raises(ValueError, match=r"other\.yaml restates .*export-lost"):
        questions(str(other))


def test_each_query_asks_all_questions() -> None:
    names = {policy.name for policy in workload.bundle().policies}
    for path in ("flink/questions.sql", "duckdb/windows.sql"):
        asked = (HERE / path).read_text().split("UNION ALL")
        found = {part.rpartition("SELECT '")[2].partition("'")[0] for part in asked}
        assert found == names, path
    graph = (HERE / "csp/answer.py").read_text()
    assert all(f'"{name}": ' in graph for name in names)


# -- events --------------------------------------------------------------------------------------


def test_level_drops_repeats_and_gives_each_event_its_own_millisecond() -> None:
    records = [
        event(1, "a", NOW),
        event(2, "b", NOW + 300),
        event(1, "a", NOW + SECOND),
        msgspec.structs.replace(event(3, "c", NOW + SECOND), time=NOW - MINUTE),
    ]
    levelled = list(level(records))
    assert [(one.id, one.type) for one in levelled] == [
        (str(FIRST), "a"),
        (str(FIRST + 1), "b"),
        (str(FIRST + 2), "c"),
    ]
    assert [one.time - NOW for one in levelled] == [0, 1_000, SECOND]
    assert all(one.time == one.received for one in levelled)


def test_a_row_has_every_column_and_a_whole_event_every_field() -> None:
    record = next(level([event(1, "payment.declined", NOW, '{"amount":5.5,"source":"x","n":[1]}')]))
    assert row(record) == {
        "seq": FIRST,
        "happened": NOW // 1_000,
        "type": "payment.declined",
        "subject": "p",
        **dict.fromkeys(COLUMNS),
        "amount": 5.5,
    }
    found = whole(record)
    assert (found["n"], found["source"], found["seq"]) == ([1], "s", FIRST)
    assert found["happened"] == "2026-03-02T08:00:00.000000Z"


def test_all_files_hold_the_same_events(tmp_path: Path) -> None:
    write(tmp_path, 700)
    log = [
        record
        for line in (tmp_path / "events.log").read_bytes().splitlines()
        for record in msgspec.json.decode(line, type=list[Record])
    ]
    rows = [row(record) for record in log]
    assert [one["seq"] for one in rows] == list(range(FIRST, FIRST + 700))
    columns = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    assert [{**one, "happened": None} for one in columns] == [
        {**one, "happened": None} for one in rows
    ]
    assert [int(one["happened"].timestamp() * 1_000) for one in columns] == [
        one["happened"] for one in rows
    ]
    lines = (tmp_path / "events.json").read_bytes().splitlines()
    assert [msgspec.json.decode(line) for line in lines] == [whole(record) for record in log]
    text = csv.read_csv(
        tmp_path / "events.csv", csv.ReadOptions(column_names=list(rows[0]))
    ).to_pylist()
    assert [one["seq"] for one in text] == [one["seq"] for one in rows]
    before = (tmp_path / "events.log").stat()
    write(tmp_path, 700)
    assert (tmp_path / "events.log").stat() == before


# -- answers -------------------------------------------------------------------------------------


def test_ours_answers_each_completed_pattern_whatever_came_before() -> None:
    conflict = '{"document":"d","result":"conflict"}'
    records = [event(n, "document.saved", NOW + n * SECOND, conflict) for n in range(6)]
    found = list(answered(questions("patterns.yaml"), [list(level(records))]))
    assert [(one.policy, one.matched[-1]) for one in found] == [
        ("saves-conflict", str(FIRST + n)) for n in (1, 3, 5)
    ]
    assert {one.reason for one in found} == {"killed"}
    again = list(answered(questions("windows.yaml"), [list(level(records))]))
    assert [one.matched[-1] for one in again] == [str(FIRST + n) for n in range(1, 6)]


def test_ours_answers_an_absence_at_the_end_of_the_file() -> None:
    started = event(1, "export.started", NOW, '{"job":"j","rows":950000}')
    found = list(answered(questions("patterns.yaml"), [list(level([started]))]))
    assert [(one.policy, one.matched) for one in found] == [("export-stuck", (str(FIRST),))]


def test_answers_are_read_from_a_file_or_from_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "part-1").write_text("a 1\nb 2\n")
    (tmp_path / "part-2").write_text("a 1\n")
    assert read_answers(tmp_path) == Counter({("a", 1): 2, ("b", 2): 1})
    assert read_answers(tmp_path / "part-2") == Counter({("a", 1): 1})


def test_differences_say_who_lacks_what() -> None:
    ours, theirs = Counter({("a", 1): 1, ("b", 2): 1}), Counter({("a", 1): 2})
    assert differences(ours, ours) == []
    assert differences(ours, theirs) == [
        "the peer lacks: b at event 2",
        "ours lacks: a at event 1",
    ]
    many = Counter({("a", n): 1 for n in range(25)})
    assert differences(many, Counter(), shown=2)[1:] == [
        "the peer lacks: a at event 1",
        "and 23 more",
    ]


# -- processes -----------------------------------------------------------------------------------


def answerer(folder: Path, script: str) -> Answerer:
    file = folder / "answer.py"
    file.write_text(script)
    return Answerer(
        (sys.executable, str(file), str(folder), str(folder / "out")), folder / "out", CORES
    )


def test_an_answerer_runs_when_told_and_its_noise_is_no_message(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("a 7\n")
    with answerer(tmp_path, ANSWERER.format(here=str(HERE))) as peer:
        assert (peer.name, peer.version) == ("Peer", "1.2")
        time = peer.run()
        assert time.inner == 0.25
        assert peer.answers() == Counter({("a", 7): 1})
        (tmp_path / "given").write_text("b 8\n")
        peer.run()
        assert peer.answers() == Counter({("b", 8): 1})
    assert "noise" in (tmp_path / "out.log").read_text()


@pytest.mark.parametrize("script", ["raise SystemExit('no Java')", "import nothing_of_this_name"])
def test_an_answerer_that_does_not_start_fails_with_its_last_words(
    tmp_path: Path, script: str
) -> None:
    with pytest.raises(Failed, match=r"no Java|nothing_of_this_name"):
        answerer(tmp_path, script)


def test_an_answerer_that_breaks_off_fails(tmp_path: Path) -> None:
    with answerer(tmp_path, ANSWERER.format(here=str(HERE))) as peer, pytest.raises(Failed):
        peer.run()  # there is no file to give


def test_a_duel_is_refused_where_answers_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = _peer_of(tmp_path, monkeypatch, "a 1\n")
    with pytest.raises(
        Differs, match=r"(?s)Test does not answer as we do:.*ours lacks: a at event 1"
    ):
        fight(peer, 2_000, 1, tmp_path, CORES)


def test_a_duel_times_both_where_answers_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data" / "2000", 2_000)
    decode = msgspec.json.Decoder(list[Record]).decode
    lines = (tmp_path / "data" / "2000" / "events.log").read_bytes().splitlines()
    given = "".join(
        f"{one.policy} {one.matched[-1]}\n"
        for one in answered(questions("patterns.yaml"), map(decode, lines))
    )
    duel = fight(_peer_of(tmp_path, monkeypatch, given), 4_000, 2, tmp_path, CORES)
    assert (duel.version, duel.events, len(duel.rounds)) == ("1.2", 2_000, 2)
    assert duel.answers == len(given.splitlines()) > 0
    assert duel.rounds[0][1] == Figure("Test: events answered", 2_000 / 0.25, "events/s")


def _peer_of(folder: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> Peer:
    (folder / "test").mkdir()
    script = ANSWERER.format(here=str(HERE)).replace('(folder / "given").read_text()', repr(given))
    (folder / "test" / "answer.py").write_text(script)
    monkeypatch.setattr("benchmarks.peers.duel.HERE", folder)
    monkeypatch.setattr("benchmarks.peers.duel.python_of", lambda _: Path(sys.executable))
    return Peer("test", "Test", "test", "patterns.yaml", share=0.5)


# -- environments --------------------------------------------------------------------------------


def test_every_peer_has_pinned_and_hashed_packages_from_nowhere_in_particular() -> None:
    for folder in {peer.folder for peer in PEERS}:
        text = (HERE / folder / "requirements.txt").read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index-url" not in text
        for line in (HERE / folder / "requirements.in").read_text().split():
            assert f"\n{line.partition('==')[0]}==" in f"\n{text}"


@pytest.mark.parametrize(
    ("shown", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", 0),
    ],
)
def test_the_version_of_java(shown: str, major: int) -> None:
    assert java_major(shown) == major


def test_without_java_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Missing, match=r"Java 17 or newer .* no Java .* openjdk-17-jre-headless"):
        need_java()


# -- tables --------------------------------------------------------------------------------------


def test_a_round_gives_rates_and_ratios() -> None:
    peer = Peer("x", "X", "x", "patterns.yaml", at_least=3.0)
    found = {
        one.what: one for one in figures(peer, 1_000, Time(2.0, 2.0, 1.0), Time(10.0, 8.0, 6.0))
    }
    assert found["X: events answered"].value == 125
    assert found["X: events answered, planning included"].value == 100
    assert found["X's questions answered by Forestall"].value == 500
    ratio = found["Forestall against X"]
    assert (ratio.value, ratio.id, ratio.at_least) == (4.0, "F3", 3.0)
    assert found["Forestall against X, by processor time, all included"].value == 6.0


def test_the_table_names_peer_spread_and_target() -> None:
    machine = Machine("A processor", 2, 24.0, "6.1", "CPython 3.11.7", "3.40.1")
    rounds = [[Figure("ratio", value, "times", at_least=3.0)] for value in (2.0, 4.0, 9.0)]
    bench = Bench("X 1.2", 3, 0.1, 0.0, summarise("x", rounds))
    table = markdown(Report(machine, [bench]))
    assert "| X 1.2, 3 rounds | ratio | 4 times (2 to 9) | at least 3 | yes |" in table
    assert "A processor, 2 cores" in table


def test_a_peer_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["esper"])
    assert "no such peer: esper" in capsys.readouterr().err
