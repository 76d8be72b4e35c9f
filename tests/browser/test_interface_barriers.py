"""The interface for everybody: axe, contrast, forced colours, zoom, touch, direction."""

import gzip
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Page, expect

from forestall.ingest.scripts import BUILT
from interface import AXE, FORMS, box, chromium, opened, show

ARABIC: dict[str, Any] = {
    "locale": "ar",
    "title": "رُفضت بطاقتك",
    "body": "طلبك محفوظ.",
    "why": "رُفضت دفعتان.",
}
OUTSIDE = """() => {
  const root = document.querySelector("forestall-help").shadowRoot;
  const scrolls = root.querySelector(".scroll");
  return [...root.querySelectorAll("*")].filter((one) => one.checkVisibility()).filter((one) => {
    const {left, top, right, bottom} = one.getBoundingClientRect();
    const high = !scrolls.contains(one) && (top < -1 || bottom > innerHeight + 1);
    return left < -1 || right > innerWidth + 1 || high;
  }).map((one) => one.outerHTML);
}"""
TARGETS = """() => [...document.querySelector("forestall-help").shadowRoot
  .querySelectorAll("button, label:has(input), textarea")].filter((one) => one.checkVisibility())
  .map((one) => { const {width, height} = one.getBoundingClientRect();
    return [one.textContent, width, height] })"""
COLOURS = """(pairs) => pairs.map(([selector, property, behind]) => {
  const root = document.querySelector("forestall-help").shadowRoot;
  const of = (which, what) => getComputedStyle(root.querySelector(which))[what];
  return [selector, of(selector, property), of(behind, "backgroundColor")];
})"""

EDGELESS = """() => { const root = document.querySelector("forestall-help").shadowRoot;
  return [...root.querySelectorAll(".card, button, input, textarea")]
    .filter((one) => one.checkVisibility()).filter((one) => {
      const style = getComputedStyle(one);
      return style.borderBottomStyle !== "solid" || /^rgba.*, 0\\)$/.test(style.borderBottomColor)
        || style.borderBottomColor === style.backgroundColor;
    }).map((one) => one.outerHTML) }"""
BACKGROUND = "(one) => getComputedStyle(one).backgroundColor"

ENDS = """() => {
  const words = document.createRange();
  words.selectNodeContents(document.querySelector("forestall-help").shadowRoot.querySelector(".body"));
  return [...words.getClientRects()].map(({right}) => right);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def barriers(page: Page) -> list[Any]:
    """What axe finds, in all of the page."""
    found = page.evaluate("async () => (await axe.run(document)).violations")
    return [
        (rule["id"], node["html"], node["failureSummary"])
        for rule in cast(list[dict[str, Any]], found)
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_axe_finds_nothing_in_any_form(browser: Browser, scheme: str, direction: str) -> None:
    rtl = direction == "rtl"
    with opened(
        browser,
        lang="ar" if rtl else "en",
        direction=direction,
        color_scheme=scheme,
        reduced_motion="reduce",
    ) as page:
        page.evaluate(AXE.read_text())
        assert barriers(page) == []
        for form in FORMS:
            show(page, form, **(ARABIC if rtl else {}))
            page.get_by_role("button", name="Why am I seeing this?").click()
            page.get_by_role("button", name="More options").click()
            assert barriers(page) == [], form


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_what_comes_after(browser: Browser, scheme: str) -> None:
    with opened(browser, color_scheme=scheme, reduced_motion="reduce") as page:
        page.evaluate(AXE.read_text())
        show(page)
        page.get_by_role("button", name="More options").click()
        page.get_by_role("button", name="Stop these").click()
        assert barriers(page) == []
        show(page, "checklist")
        for tick in page.get_by_role("checkbox").all():
            tick.check()
        expect(page.get_by_text("All done")).to_be_visible()
        assert barriers(page) == []
        show(page, "handover")
        page.get_by_role("button", name="Ask for a person").click()
        assert barriers(page) == []
        show(page, body="Read https://shop.localhost/help first.", title="Long " * 40)
        assert barriers(page) == []


def luminance(colour: str) -> float:
    """The relative luminance of a colour; WCAG 2.2, section 3, "relative luminance"."""
    channels = [float(one) / 255 for one in re.findall(r"[\d.]+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours; WCAG 2.2, section 3, "contrast ratio"."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_controls_stand_out(browser: Browser, scheme: str) -> None:
    with opened(browser, color_scheme=scheme, reduced_motion="reduce") as page:
        show(page, "handover", choices={"a": "Another card"})
        page.get_by_role("button", name="Why").click()
        pairs = [
            (".title", "color", ".card", 7.0),
            (".body", "color", ".card", 4.5),
            (".why", "color", ".why", 4.5),
            (".known li", "color", ".known", 4.5),
            (".full", "color", ".full", 4.5),
            (".quiet", "color", ".card", 4.5),
            (".close", "color", ".card", 4.5),
            (".icon", "color", ".card", 4.5),
            ("textarea", "borderTopColor", ".card", 3.0),
            (".row:last-child button", "borderTopColor", ".card", 3.0),
            (".full", "backgroundColor", ".card", 3.0),
        ]
        found = page.evaluate(COLOURS, [pair[:3] for pair in pairs])
        ratios = {name: contrast(one, other) for name, one, other in found}
        least = {name: ratio for name, _, _, ratio in pairs}
        assert {name: ratio for name, ratio in ratios.items() if ratio < least[name]} == {}


def test_focus_can_be_seen(browser: Browser) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        show(page, "checklist")
        page.locator("#far").focus()
        for _ in range(6):
            page.keyboard.press("Tab")
            width, style = page.evaluate(
                """() => { const style = getComputedStyle(
                  document.querySelector("forestall-help").shadowRoot.activeElement);
                  return [style.outlineWidth, style.outlineStyle] }"""
            )
            assert (width, style) == ("2px", "solid")


def test_forced_colours_leave_edges_and_states(browser: Browser) -> None:
    with opened(browser, forced_colors="active", reduced_motion="reduce") as page:
        page.evaluate(AXE.read_text())
        for form in FORMS:
            show(page, form)
            assert page.evaluate(EDGELESS) == [], form
        assert barriers(page) == []
        show(page, "checklist")
        tick = page.get_by_role("checkbox").first
        before = tick.evaluate(BACKGROUND)
        tick.check()
        assert tick.evaluate(BACKGROUND) != before


@pytest.mark.parametrize("size", [(320, 568), (320, 256), (640, 360)])
def test_small_screens_and_zoom_hide_nothing(browser: Browser, size: tuple[int, int]) -> None:
    """320 pixels are a phone, or 1280 at 400 %; 640 by 360 is a laptop's 1280 by 720 at 200 %."""
    width, height = size
    with opened(
        browser, viewport={"width": width, "height": height}, reduced_motion="reduce"
    ) as page:
        for form in FORMS:
            show(page, form, title="Zahlungsdienstleisterauthentifizierung erforderlich")
            page.get_by_role("button", name="Why").click()
            assert page.evaluate(OUTSIDE) == [], form
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            for name in ("Close", "More options"):
                expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("touch", "least"), [(False, 24), (True, 44)])
def test_everything_can_be_hit(browser: Browser, touch: bool, least: int) -> None:
    with opened(
        browser,
        has_touch=touch,
        is_mobile=touch,
        viewport={"width": 390, "height": 800},
        reduced_motion="reduce",
    ) as page:
        for form in FORMS:
            show(page, form)
            page.get_by_role("button", name="More options").click()
            targets = cast(list[tuple[str, float, float]], page.evaluate(TARGETS))
            small = [name for name, width, height in targets if min(width, height) < least]
            assert small == [], form


def test_words_without_a_title_leave_room_for_closing(browser: Browser) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        show(page, title="", body="wwwww " * 40)
        close = page.get_by_role("button", name="Close").bounding_box()
        ends = page.evaluate(ENDS)
        assert close is not None
        assert ends
        assert max(ends) <= close["x"] + (close["width"] - 20) / 2


def test_right_to_left_is_a_mirror(browser: Browser) -> None:
    with opened(browser, direction="rtl", reduced_motion="reduce") as page:
        show(page)
        left, _, right, _ = box(page)
        assert left == pytest.approx(20)
        close = page.get_by_role("button", name="Close").bounding_box()
        assert close is not None
        assert close["x"] < (left + right) / 2
        show(page, locale="de")
        assert box(page)[2] == pytest.approx(page.evaluate("() => innerWidth") - 20, abs=16)


def test_words_of_another_direction_keep_their_points_in_place(browser: Browser) -> None:
    with opened(browser, direction="rtl", reduced_motion="reduce") as page:
        for form, words in (("checklist", "li span"), ("question", ".row button")):
            show(page, form, locale="ar")
            own = "(one) => getComputedStyle(one).unicodeBidi"
            assert page.locator(f"forestall-help {words}").first.evaluate(own) == "plaintext"


def test_people_who_read_larger_letters_get_larger_ones(browser: Browser) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        show(page)
        before = box(page)
        page.evaluate(
            "() => document.documentElement.style.setProperty('--forestall-font-size', '2em')"
        )
        after = box(page)
        assert after[3] - after[1] > 1.5 * (before[3] - before[1])
        assert page.evaluate(OUTSIDE) == []


def test_the_bundle_is_as_small_as_promised() -> None:
    assert len(gzip.compress((BUILT / "forestall-ui.js").read_bytes(), 9)) <= 14_336
