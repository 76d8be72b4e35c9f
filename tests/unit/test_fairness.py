"""Fairness: what is counted of whom, and that warnings come as rarely and as surely as stated."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from flow.intervening import START, applied, event
from forestall.cli import door
from forestall.cli.fairness import TraitNotDeclared, text
from forestall.console.fairness_page import render
from forestall.contracts.control import DecideSettings, PoliciesApplied, SettingsApplied
from forestall.contracts.decision import Decided, Decision, Mode, Outcome, Reason
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, SECOND, format_time
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.assign import in_holdout
from forestall.measure.fairness import (
    NOBODY_ASIDE,
    Cell,
    Fairness,
    Rule,
    fairness,
    judge,
)
from forestall.measure.gaps import Arms, Share
from forestall.measure.reading import Happening
from forestall.measure.segments import MOST, OTHERS, Counts, Measure
from forestall.measure.trails import UNTOLD
from scenario import OPEN

app = door()

NOW = START + 30 * DAY
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: cards, title: Cards}
spec:
  when: {event: declined}
"""
LAX = Rule(least=1)


# -- what is counted -------------------------------------------------------------------------------


def decided(
    seconds: float,
    subject: str,
    outcome: Outcome = "intervene",
    reason: Reason | None = None,
    *,
    policy: str = "cards",
    mode: Mode = "live",
) -> Decided:
    at = START + int(seconds * SECOND)
    made = Decision(
        id=f"{subject}-{seconds}-{policy}",
        policy=policy,
        version=applied(POLICY).policies[0].version,
        mode=mode,
        subject=subject,
        key=None,
        at=format_time(at),
        outcome=outcome,
        reason=reason,
        matched=(),
        features={},
        explanation="",
    )
    return Decided(1, 0, at, made)


def told(subject: str, seconds: float = 0, **traits: Any) -> Record:
    return event("forestall.identify", seconds, subject, traits=traits)


def ticket(seconds: float, subject: str, **data: Any) -> Record:
    return event("forestall.ticket.opened", seconds, subject, ticket=f"t-{subject}", **data)


def alias(former: str, seconds: float, subject: str) -> Record:
    data: dict[str, Any] = {"from": former}
    return event("forestall.alias", seconds, subject, **data)


def found(*happenings: Happening, policy: str | None = None, **more: Any) -> Fairness:
    controls = more.pop("controls", [SettingsApplied(0, OPEN, "test", "")])
    traits = more.pop("traits", ("plan",))
    rule = more.pop("rule", LAX)
    return fairness(happenings, controls, NOW, traits, rule, policy=policy, **more)


def cells(report: Fairness, measure: Measure, trait: str = "plan") -> dict[str, Cell]:
    return {
        cell.segment: cell
        for cell in report.cells
        if (cell.trait, cell.measure) == (trait, measure)
    }


def values(report: Fairness, measure: Measure) -> dict[str, tuple[int, float | None]]:
    return {name: (one.customers, one.value) for name, one in cells(report, measure).items()}


def test_coverage_is_of_customers_in_need() -> None:
    report = found(
        told("a", plan="pro"),
        told("b", plan="free"),
        told("c", plan="free"),
        told("d", plan="free"),
        told("e", plan="free"),
        told("f", plan="pro"),
        decided(1, "a"),
        decided(2, "b", "suppress", "budget"),
        decided(3, "c", "suppress", "spacing"),
        decided(4, "c"),
        decided(5, "d", "suppress", "opted_out"),
        decided(6, "e", "holdout", "global_holdout"),
        decided(7, "f", "suppress", "budget", mode="shadow"),
    )
    assert values(report, "coverage") == {"pro": (1, 1.0), "free": (2, 0.5)}


def test_unwanted_is_of_customers_who_were_offered_help() -> None:
    dismissed = event("forestall.intervention.dismissed", 3, "a", policy="cards")
    report = found(
        told("a", plan="pro"), decided(1, "a"), decided(2, "b"), dismissed, told("b", plan="free")
    )
    assert values(report, "unwanted") == {"pro": (1, 1.0), "free": (1, 0.0)}


def test_missed_is_of_customers_with_a_ticket() -> None:
    report = found(
        *(
            told(name, plan=plan)
            for name, plan in zip("abcdefg", ["x"] * 4 + ["y"] * 3, strict=True)
        ),
        decided(1, "a"),
        ticket(2, "a"),
        ticket(2, "b"),
        ticket(1, "c"),
        decided(2, "c"),
        decided(1, "d"),
        ticket(8 * DAY / SECOND, "d"),
        ticket(1, "e", intervention="i1"),
        decided(1, "f", "holdout", "policy_holdout"),
        ticket(2, "f"),
        ticket(5, "g"),
    )
    assert values(report, "missed") == {"x": (4, 0.75), "y": (1, 1.0)}


def test_of_one_policy_only() -> None:
    happenings = (
        told("a", plan="pro"),
        told("b", plan="pro"),
        decided(1, "a", "suppress", "cooldown"),
        decided(1, "b", policy="other"),
        decided(2, "a", policy="other"),
        event("forestall.intervention.dismissed", 3, "a", policy="other"),
        ticket(4, "a"),
    )
    report = found(*happenings, policy="cards")
    assert values(report, "coverage") == {"pro": (1, 0.0)}
    assert values(report, "unwanted") == {}
    assert values(report, "missed") == {"pro": (1, 1.0)}
    assert values(found(*happenings), "unwanted") == {"pro": (2, 0.5)}


def test_only_declared_traits_are_read_and_the_newest_counts() -> None:
    report = found(
        told("a", 0, plan="free", religion="some"),
        told("a", 1, plan="pro"),
        decided(2, "a"),
        traits=("plan", "size"),
    )
    assert {(cell.trait, cell.segment) for cell in report.cells} == {
        ("plan", "pro"),
        ("size", UNTOLD),
    }
    assert b"some" not in msgspec.json.encode(report)


def test_traits_of_any_type_are_segments() -> None:
    people = [("a", True), ("b", 3), ("c", None), ("d", ""), ("e", ["x"])]
    report = found(
        *(told(name, plan=value) for name, value in people), *(decided(1, n) for n, _ in people)
    )
    assert list(cells(report, "coverage")) == ["3", '["x"]', "true", UNTOLD]
    assert cells(report, "coverage")[UNTOLD].verdict == "not judged"


def test_pseudonyms_of_one_person_are_one_customer() -> None:
    report = found(
        told("visitor", plan="free"),
        decided(1, "visitor", "suppress", "budget"),
        alias("visitor", 2, "user"),
        told("user", 3, language="de"),
        decided(4, "user"),
        traits=("plan", "language"),
    )
    assert report.customers == 1
    assert values(report, "coverage") == {"free": (1, 1.0)}
    assert cells(report, "coverage", "language")["de"].customers == 1


def test_rare_segments_are_put_together() -> None:
    names = [f"s{n:02}" for n in range(MOST + 3)]
    report = found(
        *(told(name, plan=name) for name in names), *(decided(1, name) for name in names)
    )
    shown = cells(report, "coverage")
    assert len(shown) == MOST + 1
    assert list(shown)[-1] == OTHERS
    assert (shown[OTHERS].customers, shown[OTHERS].verdict) == (3, "not judged")


def people_of_a_trial(number: int) -> Iterator[Happening]:
    """Customers of two languages; in English help halves the tickets, in German it does nothing."""
    chance = np.random.default_rng(9)
    for person in range(number):
        name, english = f"p{person}", person % 2 == 0
        aside = in_holdout("salt", name, 0.3)
        yield told(name, language="en" if english else "de")
        yield decided(
            10, name, "holdout" if aside else "intervene", "global_holdout" if aside else None
        )
        if chance.random() < (0.3 if english and not aside else 0.6):
            yield ticket(100, name)


def trial(policies: PoliciesApplied | None = None) -> list[Any]:
    settings = DecideSettings(salt="salt", holdout=0.3)
    return [SettingsApplied(START - 1, settings, "test", ""), policies or applied(POLICY)]


def test_the_effect_of_each_segment_is_told_from_the_holdout() -> None:
    report = found(
        *people_of_a_trial(4000), controls=trial(), traits=("language",), rule=Rule(least=100)
    )
    assert report.no_effect == ""
    effects = cells(report, "effect", "language")
    assert effects["en"].value == pytest.approx(0.3, abs=0.06)
    assert effects["de"].value == pytest.approx(0.0, abs=0.06)
    assert effects["de"].verdict == "much worse"
    assert effects["en"].verdict == "not shown worse"
    assert effects["de"].customers < 700
    assert [cell.segment for cell in report.warnings if cell.measure == "effect"] == ["de"]


def test_without_a_holdout_no_effect_is_told() -> None:
    assert found(told("a", plan="x"), decided(1, "a")).no_effect == NOBODY_ASIDE


def test_an_assignment_that_cannot_be_trusted_tells_no_effect() -> None:
    happenings = list(people_of_a_trial(2000))
    only = [
        one for one in happenings if not (isinstance(one, Decided) and one.decision.reason is None)
    ]
    report = found(*only, controls=trial(), traits=("language",))
    assert "kept aside" in report.no_effect
    assert cells(report, "effect", "language") == {}


# -- judging ---------------------------------------------------------------------------------------


def test_too_few_are_not_told() -> None:
    (small, large) = judge(
        {"plan": {"coverage": {"a": Share(1, 99), "b": Share(10, 200)}}}, Rule(least=100)
    )[::-1]
    assert (small.verdict, small.value, small.customers) == ("too few", None, 99)
    assert large.verdict == "too few"
    assert large.value == pytest.approx(0.95)
    assert large.rest is None


def test_coverage_is_told_as_who_was_helped_and_its_interval_holds_it() -> None:
    one, other = judge({"plan": {"coverage": {"a": Share(20, 200), "b": Share(100, 200)}}}, Rule())
    assert one.segment == "a"
    assert one.value == pytest.approx(0.9)
    assert (one.low or 0) < 0.9 < (one.high or 0)
    assert one.rest == pytest.approx(0.5)
    assert one.worse_by == pytest.approx(-0.4)
    assert (one.verdict, other.verdict) == ("not shown worse", "much worse")


def test_a_gap_that_is_real_but_small_is_no_warning() -> None:
    counts: dict[str, Counts] = {
        "plan": {"missed": {"a": Share(5300, 10_000), "b": Share(50_000, 100_000)}}
    }
    assert all(cell.verdict == "not shown worse" for cell in judge(counts, Rule(margin=0.05)))
    assert any(cell.verdict == "much worse" for cell in judge(counts, Rule(margin=0.01)))


SEGMENTS = {"en": 4000, "de": 900, "fr": 300, "it": 120, "pt": 101}
PLANS = {"free": 4000, "pro": 1421}
RUNS = 2000


def drawn(chance: np.random.Generator, worse: Mapping[str, float]) -> dict[str, Counts]:
    """Counts of two traits and four measures; segments in ``worse`` fare worse by so much."""

    def share(base: float, name: str, size: int) -> Share:
        return Share(int(chance.binomial(size, base + worse.get(name, 0.0))), size)

    def arms(name: str, size: int) -> Arms:
        aside = max(100, size // 10)
        return Arms(share(0.2, name, size), Share(int(chance.binomial(aside, 0.4)), aside))

    return {
        trait: {
            "coverage": {name: share(0.3, name, size) for name, size in sizes.items()},
            "unwanted": {name: share(0.02, name, size) for name, size in sizes.items()},
            "missed": {name: share(0.6, name, size) for name, size in sizes.items()},
            "effect": {name: arms(name, size) for name, size in sizes.items()},
        }
        for trait, sizes in (("language", SEGMENTS), ("plan", PLANS))
    }


def warned(worse: Mapping[str, float], rule: Rule, runs: int) -> list[set[str]]:
    chance = np.random.default_rng(10)
    return [
        {cell.segment for cell in judge(drawn(chance, worse), rule) if cell.verdict == "much worse"}
        for _ in range(runs)
    ]


def test_false_warnings_are_as_rare_as_stated() -> None:
    """Nobody is worse at all, and any gap would be told: still at most 5 % of reports warn."""
    false = sum(map(bool, warned({}, Rule(margin=0.0), RUNS))) / RUNS
    assert false <= 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5


def test_false_warnings_are_rare_also_where_gaps_are_as_wide_as_is_tolerated() -> None:
    at_the_margin = {"de": 0.05, "fr": 0.05, "it": 0.05}
    false = sum(map(bool, warned(at_the_margin, Rule(), RUNS))) / RUNS
    assert false <= 0.05


def test_a_planted_gap_is_found_and_nothing_else_is() -> None:
    found = warned({"de": 0.15}, Rule(), 300)
    assert sum("de" in names for names in found) >= 0.99 * 300
    assert sum(bool(names - {"de"}) for names in found) <= 0.06 * 300


def test_a_planted_gap_in_a_small_segment_is_found_when_it_is_wide() -> None:
    found = warned({"it": 0.3}, Rule(), 300)
    assert sum("it" in names for names in found) >= 0.95 * 300


# -- the command -----------------------------------------------------------------------------------

SETTINGS = '[fairness]\ntraits = ["language", "plan"]\nleast = 20\n'


def deployment(folder: Path) -> None:
    """A data folder in which customers who speak Danish are refused by the budget."""
    (folder / "forestall.toml").write_text(SETTINGS)
    data = folder / "data"
    data.mkdir()
    signals, own = SqliteLog(data / "gateway.db"), SqliteLog(data / "worker.db")
    worker = Stage(signals, own)
    settings = msgspec.structs.replace(OPEN, budget=1, budget_window=DAY)
    worker.apply([SettingsApplied(0, settings, "test", ""), applied(POLICY.replace("cards", "a"))])
    records = [
        record
        for number in range(120)
        for record in (
            told(f"c{number}", number, language="da" if number % 4 == 0 else "en", plan="free"),
            event("declined", number, f"c{number}"),
            *([ticket(number, f"c{number}")] if number % 2 == 0 else []),
        )
    ]
    signals.commit([streams.signals(records)], tick=records[-1].received)
    while worker.step():
        pass
    own.close()
    signals.close()


def run(folder: Path, *arguments: str) -> Any:
    words = ["fairness", str(folder / "data"), "--config", str(folder / "forestall.toml")]
    return CliRunner().invoke(app, [*words, *arguments])


def test_the_command_prints_bars_and_says_what_cannot_be_told(tmp_path: Path) -> None:
    deployment(tmp_path)
    told = run(tmp_path)
    assert told.exit_code == 0, told.output
    assert "120 customers, all policies, within 7d" in told.output
    assert "language, coverage: of the customers in need, who was offered help" in told.output
    assert f"  en         90  {'█' * 20}  100.0 %  (95.9 % to 100.0 %)  rest 100.0 %" in (
        told.output
    )
    assert "No segment is shown to be worse than the rest by more than 5 percentage points." in (
        told.output
    )
    assert "No effect is told. Nobody was kept aside" in told.output


def test_the_command_gives_json_of_the_asked_trait(tmp_path: Path) -> None:
    deployment(tmp_path)
    read = msgspec.json.decode(run(tmp_path, "--by", "language", "--json").output, type=Fairness)
    assert (read.traits, read.customers, read.rule.least) == (("language",), 120, 20)
    assert {cell.segment for cell in read.cells} == {"en", "da"}


def test_the_command_reads_no_trait_that_is_not_declared(tmp_path: Path) -> None:
    deployment(tmp_path)
    refused = run(tmp_path, "--by", "religion").exception
    assert isinstance(refused, TraitNotDeclared)
    assert "religion" in str(refused)
    (tmp_path / "forestall.toml").write_text("")
    assert isinstance(run(tmp_path).exception, TraitNotDeclared)


@pytest.mark.parametrize("what", ["soon", "0s"])
def test_what_is_not_a_horizon_is_bad_input(tmp_path: Path, what: str) -> None:
    deployment(tmp_path)
    told = run(tmp_path, "--horizon", what)
    assert told.exit_code == 2
    assert "Invalid value for '--horizon'" in told.output


def test_a_warning_is_told_first_and_by_the_exit_code(tmp_path: Path) -> None:
    deployment(tmp_path)
    told = run(tmp_path, "--policy", "a")
    assert told.exit_code == 0
    counts: dict[str, Counts] = {
        "plan": {"coverage": {"pro": Share(0, 300), "free\n": Share(150, 300)}}
    }
    report = Fairness(
        policy=None,
        traits=("plan",),
        customers=600,
        horizon_seconds=60.0,
        rule=Rule(),
        no_effect="",
        judged=2,
        cells=tuple(judge(counts, Rule())),
    )
    lines = list(text(report))
    assert lines[2].startswith(
        "WARNING: plan free\\u000a is served much worse: coverage 50.0 %, the rest 100.0 %,"
        " worse by 50.0 percentage points (adjusted p below 0.001)"
    )
    assert any(line.endswith("<< much worse") for line in lines)


def test_a_page_tells_the_same_and_loads_nothing(tmp_path: Path) -> None:
    deployment(tmp_path)
    page = tmp_path / "fairness.html"
    assert run(tmp_path, "--html", str(page)).exit_code == 0
    words = page.read_text()
    assert "<title>Fairness of " in words
    assert words.count("<table>") == 6
    assert '<th scope="row">en</th><td>90</td><td>100.0 %' in words
    assert "95.9 % to 100.0 %" in words
    assert "No effect is told. Nobody was kept aside" in words
    assert "src=" not in words
    assert "url(" not in words
    refused = run(tmp_path, "--html", str(tmp_path)).exception
    assert "cannot be written: Is a directory" in str(refused)


def test_a_page_escapes_what_customers_send_and_shows_warnings() -> None:
    counts: dict[str, Counts] = {
        "plan": {
            "coverage": {"<b>": Share(150, 300), "pro": Share(0, 300), UNTOLD: Share(1, 9)},
            "effect": {
                "<b>": Arms(Share(150, 300), Share(150, 300)),
                "pro": Arms(Share(30, 300), Share(200, 300)),
            },
        }
    }
    report = Fairness(
        policy="a<i>",
        traits=("plan", "size"),
        customers=600,
        horizon_seconds=3600.0,
        rule=Rule(),
        no_effect="",
        judged=4,
        cells=tuple(judge(counts, Rule())),
    )
    page = render(report, "shop & co", NOW)
    assert "<strong>plan: &lt;b&gt;</strong> is served much worse. Coverage 50.0 %" in page
    assert "<b>" not in page
    assert "the policy a&lt;i&gt;" in page
    assert "Fairness of shop &amp; co" in page
    assert "effect, −100 % to 100 %" in page
    assert page.count('<strong class="worse">much worse</strong>') == 2
    assert "Nothing to compare yet." in page
    assert "<td>9</td><td>-</td><td>-</td><td>not judged</td>" in page
