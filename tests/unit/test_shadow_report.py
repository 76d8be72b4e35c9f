"""Shadow against live, over a data folder that the real worker wrote."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from flow.intervening import START, applied, event
from forestall.cli import door
from forestall.cli.shadow import text
from forestall.contracts.control import PoliciesApplied, PolicyInForce, SettingsApplied
from forestall.contracts.decision import Mode
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR, SECOND, format_time
from forestall.decide.shadow_report import (
    NothingInShadow,
    ShadowReport,
    Span,
    in_shadow,
    report,
    span_of,
)
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.reading import Folder
from scenario import OPEN

app = door()

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {{name: {name}, title: Cards}}
spec:
  cooldown: {cooldown}
  when: {{sequence: [{{event: declined, times: {times}}}], within: 1h}}
"""


def policy(
    name: str = "cards", *, mode: Mode = "live", times: int = 2, cooldown: str = "1h"
) -> PolicyInForce:
    (one,) = applied(POLICY.format(name=name, times=times, cooldown=cooldown)).policies
    return replace(one, mode=mode)


LIVE, SHADOW = policy(), policy(mode="shadow", times=1)


def force(*policies: PolicyInForce, seconds: float = 0) -> PoliciesApplied:
    return PoliciesApplied(START + int(seconds * SECOND), policies, {}, "test", "")


def declined(seconds: float, subject: str = "s1") -> Record:
    return event("declined", seconds, subject)


class Deployment:
    """A data folder, written by the real worker."""

    def __init__(self, folder: Path, *policies: PolicyInForce, **settings: int) -> None:
        self.folder = folder
        self.signals = SqliteLog(folder / "gateway.db")
        self.own = SqliteLog(folder / "worker.db")
        self.worker = Stage(self.signals, self.own)
        self.worker.apply(
            [SettingsApplied(0, replace(OPEN, **settings), "test", ""), force(*policies)]
        )

    def happen(self, *records: Record) -> None:
        self.signals.commit([streams.signals(records)], tick=records[-1].received)
        while self.worker.step():
            pass

    def put(self, *policies: PolicyInForce) -> None:
        """From here on these are in force."""
        self.worker.apply([force(*policies)])

    def report(self, name: str = "cards", examples: int = 10) -> ShadowReport:
        folder = Folder(self.folder)
        try:
            return report(folder, name, examples)
        finally:
            folder.close()

    def close(self) -> None:
        self.signals.close()
        self.own.close()


@pytest.fixture
def deployment(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Deployment(tmp_path, LIVE, SHADOW)
    yield made
    made.close()


def rows(found: ShadowReport) -> list[tuple[str, str, int]]:
    return [(row.live, row.shadow, row.moments) for row in found.totals]


def test_what_only_the_shadow_would_do_is_gained(deployment: Deployment) -> None:
    deployment.happen(declined(1, "a"), declined(2, "b"), declined(3, "b"), event("seen", 4, "c"))
    found = deployment.report()
    assert rows(found) == [
        ("intervene", "suppress (cooldown)", 1),
        ("no decision", "intervene", 2),
    ]
    assert (found.live, found.shadow, found.live_acts, found.shadow_acts) == (1, 3, 1, 2)
    assert (found.gained, found.lost, found.subjects, found.events) == (2, 1, 3, 4)
    assert (found.gained_per_1000, found.lost_per_1000) == (666.67, 333.33)
    assert (found.since, found.until) == (
        format_time(START + SECOND),
        format_time(START + 4 * SECOND),
    )
    assert found.live_versions == (LIVE.version,)
    assert found.version == SHADOW.version


def test_each_example_says_both_reasons(deployment: Deployment) -> None:
    deployment.happen(declined(1, "b"), declined(2, "b"))
    first, second = deployment.report().examples
    assert (first.subject, first.live, first.shadow) == ("b", "no decision", "intervene")
    assert first.at == format_time(START + SECOND)
    assert first.live_why == "the pattern had not completed: 1 of 2 steps stood within 1h"
    assert first.matched == ("declined-1",)
    assert (second.live, second.shadow) == ("intervene", "suppress (cooldown)")
    assert f"The act was that of cards at {first.at}." in second.shadow_why
    assert second.live_why.strip()


def test_a_shadow_that_never_matches_says_how_far_it_came(tmp_path: Path) -> None:
    made = Deployment(tmp_path, policy(times=1), policy(times=3, mode="shadow"))
    made.happen(declined(1, "a"))
    (example,) = made.report().examples
    made.close()
    assert (example.live, example.shadow) == ("intervene", "no decision")
    assert example.shadow_why == "the pattern had not completed: 1 of 3 steps stood within 1h"


def test_equal_decisions_are_no_difference(tmp_path: Path) -> None:
    made = Deployment(tmp_path, policy(), policy(mode="shadow", cooldown="2h"))
    made.happen(declined(1), declined(2))
    found = made.report()
    made.close()
    assert (found.live_acts, found.shadow_acts, found.totals, found.examples) == (1, 1, (), ())
    assert "Both decided everything alike." in text(found)


def test_what_was_before_the_shadow_does_not_count(tmp_path: Path) -> None:
    made = Deployment(tmp_path, LIVE)
    made.happen(declined(1, "a"), declined(2, "a"))
    made.put(LIVE, SHADOW)
    made.happen(declined(10, "b"))
    found = made.report()
    made.close()
    assert rows(found) == [("no decision", "intervene", 1)]
    assert (found.events, found.subjects, found.live) == (1, 1, 0)


def test_other_policies_are_left_out(tmp_path: Path) -> None:
    made = Deployment(tmp_path, LIVE, SHADOW, policy("other", times=1))
    made.happen(declined(1, "a"))
    found = made.report()
    made.close()
    assert rows(found) == [("no decision", "intervene", 1)]


def test_what_other_policies_did_is_told_apart(tmp_path: Path) -> None:
    """The same policy in shadow differs from live only because it sees no acts of others."""
    same = replace(policy(times=1), version="0" * 64, mode="shadow")
    made = Deployment(
        tmp_path, policy(times=1), same, policy("about", times=1), spacing=HOUR, budget=9
    )
    made.happen(declined(1, "a"), declined(2, "b"))
    found = made.report()
    made.close()
    assert rows(found) == [("suppress (outranked)", "intervene", 2)]
    assert (found.gained, found.crowded) == (2, 2)
    assert any(line.startswith("Of the new ones, 2 were refused for what") for line in text(found))


def test_a_policy_without_a_live_version_would_be_new(tmp_path: Path) -> None:
    made = Deployment(tmp_path, SHADOW)
    made.happen(declined(1, "a"))
    found = made.report()
    made.close()
    assert (found.live_versions, found.live, found.gained) == ((), 0, 1)
    assert found.examples[0].live_why == "there is no such policy in this set"
    assert "against nothing live" in next(text(found))


def test_examples_are_as_many_as_asked_for(deployment: Deployment) -> None:
    deployment.happen(*(declined(1 + n, f"s{n}") for n in range(9)))
    assert len(deployment.report(examples=3).examples) == 3
    assert deployment.report(examples=0).examples == ()
    assert deployment.report(examples=0).gained == 9


def test_nothing_happened_yet(deployment: Deployment) -> None:
    found = deployment.report()
    assert (found.events, found.gained_per_1000) == (0, None)
    assert "Nothing has happened since it came into shadow." in text(found)


def versions(*spans: Span) -> Sequence[tuple[str, str, int]]:
    return [(one.policy, one.version[:4], one.since) for one in spans]


def test_a_span_begins_when_the_version_came_into_shadow() -> None:
    other = policy(mode="shadow", times=5)
    records = [
        force(LIVE, SHADOW, seconds=1),
        force(LIVE, SHADOW, policy("other"), seconds=2),
    ]
    assert in_shadow(records) == [
        Span("cards", SHADOW.version, records[0].received, (LIVE.version,))
    ]
    records.append(force(LIVE, other, seconds=3))
    assert [(one.version, one.since) for one in in_shadow(records)] == [
        (other.version, records[2].received)
    ]
    records.append(force(LIVE, seconds=4))
    assert in_shadow(records) == []
    records.append(force(LIVE, SHADOW, seconds=5))
    assert in_shadow(records)[0].since == records[4].received


def test_versions_that_were_live_meanwhile_are_all_named() -> None:
    later = policy(times=4)
    canary = policy(times=6, mode="canary")
    (span,) = in_shadow([force(LIVE, SHADOW), force(later, canary, SHADOW, seconds=2)])
    assert span.live == (LIVE.version, later.version, canary.version)


def test_nothing_in_shadow_is_refused() -> None:
    with pytest.raises(NothingInShadow, match=r"cards is in shadow \(nothing is\)"):
        span_of([force(LIVE)], "cards")
    with pytest.raises(NothingInShadow, match=r"other is in shadow \(in shadow is cards\)"):
        span_of([force(LIVE, SHADOW)], "other")


def test_the_command_prints_text_or_json(deployment: Deployment) -> None:
    deployment.happen(declined(1, "a"), declined(2, "b"), declined(3, "b"))
    run = CliRunner().invoke(app, ["shadow", "cards", str(deployment.folder)])
    assert run.exit_code == 0, run.output
    assert f"cards: {SHADOW.version[:12]} in shadow, against {LIVE.version[:12]} live" in run.output
    assert (
        "2 interventions would be new (1,000.00 per 1,000 customers), 1 would be gone" in run.output
    )
    assert "      2  no decision -> intervene" in run.output
    assert "shadow: " in run.output
    arguments = ["shadow", "cards", str(deployment.folder), "--json", "--examples", "1"]
    read = msgspec.json.decode(CliRunner().invoke(app, arguments).output, type=ShadowReport)
    assert read == deployment.report(examples=1)


def test_the_command_refuses_where_nothing_is_in_shadow(tmp_path: Path) -> None:
    made = Deployment(tmp_path, LIVE)
    run = CliRunner().invoke(app, ["shadow", "cards", str(tmp_path)])
    made.close()
    assert isinstance(run.exception, NothingInShadow)
    assert run.exception.exit_code == 1
