"""The page of a backtest: whole, self-contained, readable without its plots, and safe."""

import re
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from forestall.console.report import OUTCOMES, REASONS, SHOWN, lasting, percent, render, spread
from forestall.contracts.decision import Reason
from forestall.contracts.instants import DAY
from forestall.decide.evidence import Count, Facts, Hit, Overlap, Rate
from forestall.measure.outcomes import Followed, LeadTime, Outcomes, PolicyOutcomes
from forestall.measure.statistics import Estimate

HOSTILE = "<script>alert('x')</script>&\"'"
VOID = {"meta", "link", "br", "rect", "line", "circle", "path", "img"}
SHARE = Estimate(0.25, 0.1, 0.4)
TIME = Estimate(90.0, 60.0, 7200.0)


class Page(HTMLParser):
    """What a page says and how it is built; every tag must be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            return
        self.words.append(data)
        if any(tag in self._open for tag in ("td", "th")):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.words)


def count(policy: str, day: str | None, reason: Reason | None, number: int) -> Count:
    holdout = (reason or "").endswith("_holdout")
    outcome: Any = "holdout" if holdout else "suppress" if reason else "intervene"
    return Count(day=day, policy=policy, outcome=outcome, reason=reason, decisions=number)


def facts(**more: Any) -> Facts:
    rows: list[tuple[str, str, Reason | None, int]] = [
        ("a", "2024-05-01", None, 1_200),
        ("a", "2024-05-03", "cooldown", 30),
        ("b", "2024-05-03", "global_holdout", 4),
    ]
    given: dict[str, Any] = {
        "first": "2024-05-01T00:00:00.000000Z",
        "last": "2024-05-03T12:00:00.000000Z",
        "customers": 77,
        "sessions": 4_000,
        "session_gap_seconds": 1800.0,
        "counts": tuple(count(policy, None, reason, n) for policy, _, reason, n in rows),
        "by_day": tuple(count(policy, day, reason, n) for policy, day, reason, n in rows),
        "rates": (Rate("a", 1_230, 1_200, 307.5, 300.0), Rate("b", 4, 0, 1.0, 0.0)),
        "overlap": (Overlap(("a", "b"), 3, 2),),
        "most_hit": (Hit(HOSTILE, 9, 12, {"a": 9}),),
    }
    return Facts(**given | more)


EMPTY = Facts(
    first=None,
    last=None,
    customers=0,
    sessions=0,
    session_gap_seconds=1800.0,
    counts=(),
    by_day=(),
    rates=(),
    overlap=(),
    most_hit=(),
)


def policy_outcomes(policy: str, share: Estimate = SHARE, time: Estimate = TIME) -> PolicyOutcomes:
    return PolicyOutcomes(
        policy=policy,
        interventions=1_200,
        followed=300,
        unfinished=5,
        reached=40,
        reachable=50,
        precision=share,
        recall=share,
        reachable_share=share,
        lead_seconds=LeadTime(time, time, time),
    )


def outcomes(*policies: PolicyOutcomes, together: PolicyOutcomes | None = None) -> Outcomes:
    return Outcomes(
        type="<ticket>",
        horizon_seconds=7 * 86_400.0,
        total=160,
        customers=60,
        together=together or policy_outcomes("*"),
        by_policy=policies,
        seed=3,
        resamples=1_000,
        caveat="This history cannot show whether it would have been avoided.",
    )


def page(found: Facts | None = None, followed: Outcomes | None = None) -> Page:
    return Page(render(found or facts(), followed, "5 events in 0.1 s", "may.ndjson"))


@pytest.mark.parametrize("followed", [None, outcomes(policy_outcomes("a"))])
@pytest.mark.parametrize("found", [facts(), EMPTY, facts(overlap=(), most_hit=())])
def test_a_page_is_whole_and_loads_nothing(found: Facts, followed: Outcomes | None) -> None:
    text = render(found, followed, "about", "history")
    made = Page(text)
    assert not made.tags["script"] + made.tags["link"] + made.tags["img"] + made.tags["iframe"]
    for _, attributes in made.attributes:
        assert not {"src", "onclick", "onload", "style"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
    outside = re.findall(r"(?:https?:)?//[^\s\"')]+", text)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text
    policies = [one.get("http-equiv") for tag, one in made.attributes if tag == "meta"]
    assert "Content-Security-Policy" in policies
    assert "$" not in made.text


def test_ids_are_unique_and_what_refers_to_them_finds_them() -> None:
    made = page(followed=outcomes(policy_outcomes("a")))
    ids = [one["id"] for _, one in made.attributes if one.get("id")]
    assert len(ids) == len(set(ids))
    referred = {one["aria-labelledby"] for _, one in made.attributes if "aria-labelledby" in one}
    assert referred <= set(ids)
    assert [one["lang"] for tag, one in made.attributes if tag == "html"] == ["en"]


def test_every_plot_is_named_or_hidden_from_those_who_do_not_see_it() -> None:
    made = page(followed=outcomes(policy_outcomes("a")))
    plots = [one for tag, one in made.attributes if tag == "svg"]
    assert len(plots) > 8
    for one in plots:
        assert (one.get("aria-hidden") == "true") != bool(
            one.get("role") == "img" and one.get("aria-label")
        )


def test_names_from_outside_are_text_and_nothing_else() -> None:
    made = Page(render(facts(), outcomes(), HOSTILE, HOSTILE))
    assert not made.tags["script"] + made.tags["ticket"]
    assert made.text.count(HOSTILE) >= 4
    assert "<ticket>" in made.text


def test_the_figures_stand_there_as_text() -> None:
    made = page()
    assert ["a", "1,230", "1,200 intervened · 30 cooldown"] in made.rows
    assert ["b", "4", "4 global holdout"] in made.rows
    assert ["2024-05-01", "1,200", "0", "0"] in made.rows
    assert ["2024-05-03", "0", "4", "30"] in made.rows
    assert ["a", "300.0", "307.5", ""] in made.rows
    assert ["a and b", "2", "3"] in made.rows
    assert [HOSTILE, "12", "9: 9 a"] in made.rows
    assert "300.0 interventions per 1,000 sessions" in re.sub(r"\s+", " ", made.text)
    assert "may.ndjson, 2024-05-01 to 2024-05-03" in re.sub(r"\s+(?=,)", "", made.text)


def test_what_followed_stands_there_with_its_intervals() -> None:
    made = page(followed=outcomes(policy_outcomes("a"), policy_outcomes("z", Estimate(None))))
    share = "25.0 %10.0 to 40.0 %"
    lead = "90 s60 s to 2.0 hquartiles 90 to 90 s"
    assert ["a", "1,200", share, share, share, lead] in made.rows
    assert ["z", "1,200", "-", "-", "-", lead] in made.rows
    assert ["All together", "1,200", share, share, share, lead] in made.rows
    assert "This history cannot show whether it would have been avoided." in made.text
    assert "For 5 interventions the history ends before 7d have passed" in made.text
    assert "1,000 times (seed 3)" in made.text


def test_an_outcome_that_never_came_leaves_dashes() -> None:
    found = Followed("never", DAY).result(0, seed=1)
    made = page(followed=found)
    assert ["All together", "0", "-", "-", "-", "-"] in made.rows


def test_an_empty_history_says_so() -> None:
    made = page(EMPTY)
    assert "No policy noticed anything." in made.text
    assert made.tags["table"] == 0


def test_nobody_hit_and_no_overlap_are_said() -> None:
    made = page(facts(overlap=(), most_hit=()))
    assert "Nobody would have seen an intervention." in made.text
    assert "No two policies noticed the same customer within an hour." in made.text


def test_rare_overlap_is_folded_away_and_not_left_out() -> None:
    pairs = tuple(Overlap((f"p{n}", "q"), 100 - n, 1) for n in range(SHOWN + 5))
    made = page(facts(overlap=pairs))
    assert [f"p{SHOWN + 4} and q", "1", str(100 - SHOWN - 4)] in made.rows
    assert "5 more" in made.text


@pytest.mark.parametrize(
    ("days", "unit", "columns"),
    [
        (("2024-05-01", "2024-05-31"), "day", 31),
        (("2024-02-01", "2024-05-31"), "week", 18),
        (("2021-05-01", "2024-05-31"), "month", 37),
    ],
)
def test_a_long_history_is_drawn_in_coarser_steps(
    days: tuple[str, str], unit: str, columns: int
) -> None:
    found = facts(by_day=tuple(count("a", day, None, 1) for day in days))
    made = page(found)
    assert f"Decisions by {unit}" in made.text
    assert made.tags["g"] == columns


def test_every_reason_and_outcome_has_words_and_a_colour() -> None:
    from typing import get_args

    assert set(REASONS) == {*get_args(Reason), "intervene"}
    style = (files("forestall.console") / "static" / "report.css").read_text()
    for _, shade in (*REASONS.values(), *OUTCOMES.values()):
        assert f".{shade} {{" in style
    script = (files("forestall.console") / "static" / "console.js").read_text()
    for reason, (words, _) in REASONS.items():
        assert reason == "intervene" or f'{reason}: "{words}"' in script


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2.0 min"), (720, "12 min"), (7200, "2.0 h"), (1e6, "12 d")],
)
def test_time_spans(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(60, 90, "60 to 90 s"), (60, 7200, "60 s to 2.0 h"), (600, 1200, "10 to 20 min")],
)
def test_ranges_name_a_shared_unit_once(low: float, high: float, text: str) -> None:
    assert spread(low, high, lasting) == text


def test_shares() -> None:
    assert percent(0.1234) == "12.3 %"


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#\w{6});", block))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_plots_stand_out_in_light_and_in_dark(scheme: str) -> None:
    style = (files("forestall.console") / "static" / "console.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    names = colours(light) if scheme == "light" else colours(dark.split("* {", 1)[0])
    for text in ("ink", "soft", "accent"):
        for ground in ("card", "page"):
            assert contrast(names[text], names[ground]) >= 4.5
    for drawn in ("accent", "intervene", "holdout", "held-3"):
        assert contrast(names[drawn], names["card"]) >= 3
