"""The page of what help changed: whole, self-contained, readable without its plots, and safe."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from forestall.console.effect_page import render
from forestall.contracts.instants import DAY
from forestall.measure.cohorts import Question
from forestall.measure.findings import Place, Report
from forestall.measure.report import report
from forestall.measure.terms import plan_of
from forestall.measure.trails import Trails
from simulator import POLICY, Deployment, World

HOSTILE = "<script>alert('x')</script>&\"'"
VOID = {"meta", "link", "br", "rect", "line", "circle", "path", "polyline", "polygon", "img"}


class Page(HTMLParser):
    """Every tag must be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def found() -> Report:
    world = Deployment(
        world=World(customers=1_200, share=0.4, effect=-0.5, rate=0.6), everybody=0.02
    )
    trails = Trails()
    trails.take(world.history(np.random.default_rng(1)))
    return report(trails, plan_of(world.controls()), Question(horizon=7 * DAY, now=world.end))


@pytest.fixture(scope="module")
def page(found: Report) -> Page:
    return Page(render(found, "acme"))


def test_it_says_what_the_report_says(page: Page, found: Report) -> None:
    own = found.experiments[2]
    assert own.figures is not None
    main = own.figures.outcomes.contrast
    assert main is not None
    for part in (
        "What help changed",
        "acme",
        POLICY,
        f"Help spared {-main.difference.value:.1f} tickets per 1,000 customers",
        "against its own holdout of 40 %",
        "tickets per 1,000 sessions",
        "1,200 customers",
        "Who had not asked yet",
        "Difference per 1,000 over time",
    ):
        assert part in page.text


def test_where_there_is_no_number_it_says_why_and_what_would_help(
    page: Page, found: Report
) -> None:
    refused = found.experiments[1].refused
    assert refused is not None
    assert "No number" in page.text
    assert refused.why in page.text
    assert refused.what in page.text


def test_it_loads_nothing_and_runs_nothing(found: Report) -> None:
    text = render(found, "acme")
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|url\(|@import| on\w+=", text.replace("http://www.w3.org", ""))
    assert "default-src 'none'" in text


def test_plots_are_named_or_hidden_and_their_figures_stand_in_tables(page: Page) -> None:
    for plot in page.of("svg"):
        assert plot.get("aria-hidden") == "true" or plot.get("aria-label")
    named = [plot for plot in page.of("svg") if plot.get("role") == "img"]
    assert len(named) >= 2
    assert page.text.count("As a table") == len(named)
    labels = [one["aria-labelledby"] for one in page.of("section")]
    assert len(labels) == len(set(labels))


def test_every_drawn_point_is_inside(page: Page) -> None:
    for shape in [*page.of("polyline"), *page.of("polygon")]:
        for point in (shape["points"] or "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 1000
            assert 0 <= y <= 200


def test_names_from_outside_are_escaped(found: Report) -> None:
    own = found.experiments[2]
    assert own.figures is not None
    place = Place("channel", HOSTILE, own.figures.outcomes)
    figures = msgspec.structs.replace(own.figures, places=(place,))
    odd = msgspec.structs.replace(own, policy=HOSTILE, figures=figures)
    past = msgspec.structs.replace(odd, current=False)
    hostile = msgspec.structs.replace(found, experiments=(odd, past), outcome=HOSTILE)
    text = render(hostile, HOSTILE)
    assert "<script" not in text
    assert HOSTILE in Page(text).text


def test_several_unmeasured_policies_are_named_together(found: Report) -> None:
    bare = [
        msgspec.structs.replace(found.experiments[2], policy=name, start=None, figures=None)
        for name in ("a-first", "b-second")
    ]
    hidden = msgspec.structs.replace(found, experiments=(*found.experiments, *bare))
    text = render(hidden, "acme")
    assert "they keep nobody aside: a-first, b-second." in Page(text).text
    assert "<code>holdout: 0.1</code>" in text


def test_earlier_terms_are_told_apart(found: Report) -> None:
    past = msgspec.structs.replace(found.experiments[2], current=False)
    text = Page(render(msgspec.structs.replace(found, experiments=(past,)), "acme")).text
    assert "Earlier" in text
    assert "experiments of their own" in text


def test_a_report_without_experiments_is_a_page(found: Report) -> None:
    empty = msgspec.structs.replace(found, experiments=(), unit="account")
    assert "Counted by account" in Page(render(empty, "acme")).text
