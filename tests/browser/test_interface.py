"""The interface in a real browser: focus, keys, hints, strict and hostile pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from interface import IN_PLACE, STYLE, WHY, begin, box, chromium, opened, show, told

MOVED = """(from, by) => Math.abs(document.querySelector("forestall-help").shadowRoot
  .querySelector(".card").getBoundingClientRect().top - from - by) < 2"""
MOVED_ACROSS = MOVED.replace(".top", ".left")
PAINTED = """() => {
  const style = getComputedStyle(
    document.querySelector("forestall-help").shadowRoot.querySelector(".card"));
  return [style.position, style.backgroundColor, style.fontSize];
}"""
HOSTILE = """<style>
* { all: unset !important; display: none !important; opacity: 0 !important }
html, head, body, main, p { display: block !important; opacity: 1 !important }
html { font-size: 62.5% !important; letter-spacing: 3px !important; text-transform: uppercase }
body { color: red !important; line-height: 3 !important; font-family: cursive !important }
#above { display: block !important; opacity: 1 !important; position: fixed !important;
  inset: 0 !important; z-index: 2147483647 !important; background: teal !important }
::backdrop { display: block !important; background: red !important }
:root { --x: 400px; --background: red; --text: red; --arrow: 900px }
</style>"""
BACKDROP = """() => getComputedStyle(
  document.querySelector("forestall-help"), "::backdrop").display"""
LOOKS = """() => [...document.querySelector("forestall-help").shadowRoot.querySelectorAll("*")]
  .filter((one) => one.checkVisibility()).map((one) => {
    const {left, top, width, height} = one.getBoundingClientRect();
    const style = getComputedStyle(one);
    return [one.className, left, top, width, height, style.color, style.backgroundColor,
      style.fontSize, style.fontFamily, style.letterSpacing, style.textTransform].join();
  })"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def focused(page: Page) -> str:
    """The name of what has focus, in the page or in the interface."""
    return str(
        page.evaluate(
            """() => {
              let at = document.activeElement;
              while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
              return at.id || at.getAttribute("aria-label") || at.textContent || at.localName;
            }"""
        )
    )


def apart(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two rectangles do not overlap."""
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def element(page: Page, selector: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an element of the page."""
    at = page.locator(selector).bounding_box()
    assert at is not None
    return at["x"], at["y"], at["x"] + at["width"], at["y"] + at["height"]


@pytest.mark.parametrize("form", ["toast", "hint", "question", "handover"])
def test_a_message_never_takes_focus(browser: Browser, form: str) -> None:
    with opened(browser) as page:
        page.locator("#card").focus()
        page.keyboard.type("4242")
        begin(page, form)
        page.keyboard.type("4242 4242")
        page.wait_for_function(IN_PLACE)
        page.keyboard.type(" 4242")
        assert focused(page) == "card"
        page.evaluate("() => take()")
        assert focused(page) == "card"
        assert page.locator("#card").input_value() == "42424242 4242 4242"


def test_the_keyboard_reaches_all_in_the_order_of_sight(browser: Browser) -> None:
    with opened(browser) as page:
        show(page, "checklist")
        page.locator("#far").focus()
        way = []
        for _ in range(6):
            page.keyboard.press("Tab")
            way.append(focused(page))
        assert way[0] == "Close"
        assert way[3:6] == ["It helped", "Why am I seeing this?", "More options"]
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert (focused(page), told(page)) == ("Not this again", [])
        page.keyboard.press("Escape")
        assert focused(page) == "More options"
        expect(page.get_by_role("button", name="Stop these")).to_be_hidden()
        page.keyboard.press("Escape")
        assert focused(page) == "far"
        assert told(page) == [["dismissed"]]
        expect(page.locator("forestall-help")).to_have_count(0)


def test_the_menu_closes_when_something_else_is_pressed(browser: Browser) -> None:
    with opened(browser) as page:
        show(page)
        menu = page.get_by_role("button", name="More options")
        stop = page.get_by_role("button", name="Stop these")
        for elsewhere in ("h1", "forestall-help .icon"):
            menu.click()
            expect(stop).to_be_visible()
            page.locator(elsewhere).click()
            expect(stop).to_be_hidden()
        menu.click()
        stop.click()
        expect(page.get_by_role("button", name="Keep them")).to_be_visible()


def test_escape_outside_is_the_pages(browser: Browser) -> None:
    with opened(browser) as page:
        show(page)
        page.locator("#card").focus()
        page.keyboard.press("Escape")
        expect(page.get_by_text("Your card was declined")).to_be_visible()
        assert told(page) == []


def test_focus_goes_back_after_a_click_and_after_a_withdrawal(browser: Browser) -> None:
    with opened(browser) as page:
        page.locator("#name").focus()
        show(page)
        page.get_by_role("button", name="Close").click()
        assert (focused(page), told(page)) == ("name", [["dismissed"]])
        show(page)
        page.get_by_role("button", name="Why").click()
        page.evaluate("() => take()")
        assert focused(page) == "name"


def test_focus_stays_inside_while_words_change(browser: Browser) -> None:
    with opened(browser) as page:
        show(page)
        page.get_by_role("button", name="More options").press("Enter")
        page.get_by_role("button", name="Stop these").press("Enter")
        assert focused(page) == "Stop them"
        page.keyboard.press("Escape")
        expect(page.get_by_text("Your card was declined")).to_be_visible()
        assert focused(page) == "Close"


def test_keys_that_are_typed_into_it_are_no_shortcuts_of_the_page(browser: Browser) -> None:
    with opened(browser) as page:
        page.evaluate(
            "() => { window.keys = 0; document.addEventListener('keydown', () => keys++) }"
        )
        show(page, "handover")
        page.get_by_role("textbox", name="Anything to add").fill("")
        page.keyboard.type("je")
        page.get_by_role("button", name="Ask for a person").click()
        expect(page.get_by_text("Passed on")).to_be_visible()
        assert page.evaluate("() => keys") == 0
        assert told(page) == [["asked", "je"]]


def test_it_was_seen_after_a_second(browser: Browser) -> None:
    with opened(browser) as page:
        begin(page)
        page.wait_for_function("() => told.length")
        assert page.evaluate("() => took") >= 1000
        assert page.evaluate("() => told") == [["seen"]]


def test_a_hint_goes_with_its_element(browser: Browser) -> None:
    with opened(browser) as page:
        show(page, "hint")
        first = box(page)
        assert apart(first, element(page, "#card"))
        assert apart(first, element(page, "label:has(#card)"))
        page.mouse.wheel(0, 40)
        page.wait_for_function(f"() => scrollY === 40 && ({MOVED})({first[1]}, -40)")
        page.evaluate("() => document.querySelector('#card').style.marginLeft = '120px'")
        page.wait_for_function(f"() => ({MOVED_ACROSS})({first[0]}, 120)")
        page.set_viewport_size({"width": 420, "height": 640})
        page.wait_for_function("() => innerWidth === 420")
        page.wait_for_function(
            "() => document.querySelector('forestall-help').shadowRoot"
            ".querySelector('.card').dataset.side === 'bottom'"
        )
        assert apart(box(page), element(page, "#card"))
        assert told(page) == []


def test_a_hint_is_in_the_corner_while_its_element_is_not_there(browser: Browser) -> None:
    with opened(browser) as page:
        show(page, "hint")
        beside, corner = "forestall-help .hint", "forestall-help .toast"

        def becomes(where: str) -> None:
            expect(page.locator(where)).to_be_visible()

        becomes(beside)
        page.evaluate("() => document.querySelector('#card').style.display = 'none'")
        becomes(corner)
        expect(page.get_by_role("button", name="Show me where")).to_be_hidden()
        page.evaluate("() => document.querySelector('#card').style.display = ''")
        becomes(beside)
        page.evaluate("() => document.querySelector('#card').remove()")
        becomes(corner)
        page.evaluate(
            "() => { const one = document.createElement('input'); one.id = 'card';"
            " document.querySelector('h1').append(one) }"
        )
        becomes(beside)
        assert page.locator("#card").get_attribute("aria-describedby") == "forestall-hint"


def test_an_element_out_of_sight_is_shown_when_asked(browser: Browser) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        show(page, "hint", show={"as": "hint", "at": "#far"})
        assert page.evaluate("() => scrollY") == 0
        page.get_by_role("button", name="Show me where").click()
        page.wait_for_function("() => scrollY > 0")
        expect(page.locator("forestall-help .hint")).to_be_visible()
        assert apart(box(page), element(page, "#far"))


def test_a_hint_describes_its_element(browser: Browser) -> None:
    with opened(browser) as page:
        show(page, "hint")
        session = page.context.new_cdp_session(page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        (card,) = [
            node
            for node in nodes
            if node.get("name", {}).get("value", "").strip() == "Card"
            and node["role"]["value"] == "textbox"
        ]
        assert card["description"]["value"].startswith(
            "Your card was declined. Your order is safe."
        )
        roles = {node["role"]["value"] for node in nodes}
        assert "status" in roles
        assert "alert" not in roles


def test_a_strict_policy_forbids_nothing_that_it_does(browser: Browser) -> None:
    strict = (
        "default-src 'none'; script-src 'nonce-n'; style-src 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    with opened(browser, head="", headers={"content-security-policy": strict}) as page:
        page.evaluate(
            "() => { window.broken = []; addEventListener('securitypolicyviolation',"
            " (event) => broken.push(event.violatedDirective)) }"
        )
        for form in ("hint", "checklist", "handover"):
            show(page, form)
            assert page.evaluate(PAINTED) == ["absolute", "rgb(255, 255, 255)", "16px"]
        assert page.evaluate("() => broken") == []


@pytest.mark.parametrize("form", ["toast", "banner", "checklist", "handover"])
def test_a_page_whose_styles_are_hostile_changes_nothing(browser: Browser, form: str) -> None:
    with opened(browser) as page:
        show(page, form)
        wanted = page.evaluate(LOOKS)
    with opened(browser, head=STYLE + HOSTILE, body='<div id="above"></div>') as page:
        show(page, form)
        assert page.evaluate(LOOKS) == wanted
        assert page.evaluate(BACKDROP) == "none"
        page.get_by_role("button", name="Close").click()
        assert told(page) == [["dismissed"]]


def test_it_can_be_reached_while_a_modal_dialog_is_open(browser: Browser) -> None:
    dialog = "<dialog><p>Terms</p><button>Agree</button></dialog>"
    with opened(browser, body=dialog) as page:
        show(page)
        page.evaluate("() => document.querySelector('dialog').showModal()")
        page.get_by_role("button", name="Why").click()
        expect(page.get_by_text(WHY)).to_be_visible()
        page.evaluate("() => document.querySelector('dialog').close()")
        page.get_by_role("button", name="It helped").click()
        assert told(page) == [["acted", "why"], ["helped"]]
        page.evaluate("() => document.querySelector('dialog').remove()")
        expect(page.get_by_text("Thank you")).to_be_visible()


def test_nothing_is_left_of_it(browser: Browser) -> None:
    with opened(browser) as page:
        before = page.content()
        show(page, "hint")
        assert page.content() != before
        page.evaluate("() => take()")
        assert page.content() == before


def test_links_lead_only_into_the_page_itself(browser: Browser) -> None:
    with opened(browser) as page:
        show(page, body="See https://shop.localhost/help?x=1#top, not https://evil.example/help.")
        page.evaluate("() => addEventListener('click', (event) => event.preventDefault())")
        links = page.locator("forestall-help a")
        expect(links).to_have_count(1)
        links.click()
        assert told(page) == [["acted", "link", "/help"]]


def test_it_moves_only_where_movement_is_wanted(browser: Browser) -> None:
    counting = """() => document.querySelector("forestall-help").shadowRoot
      .querySelector(".card").getAnimations().length"""
    on = """() => document.querySelector("forestall-help")?.shadowRoot.querySelector(".on")"""
    for motion, moves in (("reduce", 0), ("no-preference", 1)):
        with opened(browser, reduced_motion=motion) as page:
            page.evaluate(
                """() => { window.most = 0; const look = () => {
                  const card = document.querySelector("forestall-help")?.shadowRoot
                    .querySelector(".card");
                  window.most = Math.max(window.most, card?.getAnimations().length ?? 0);
                  requestAnimationFrame(look) }; look() }"""
            )
            show(page)
            page.wait_for_function(on)
            assert (page.evaluate("() => most"), page.evaluate(counting)) == (moves, 0)


def test_it_follows_the_theme_and_the_properties_of_the_page(browser: Browser) -> None:
    with opened(browser) as page:
        show(page)
        assert page.evaluate(PAINTED)[1] == "rgb(255, 255, 255)"
        page.evaluate("() => document.documentElement.dataset.theme = 'dark'")
        page.wait_for_function(f"() => ({PAINTED})()[1] === 'rgb(30, 32, 39)'")
        page.evaluate(
            "() => document.documentElement.style.setProperty("
            "'--forestall-dark-background', 'rgb(1, 2, 3)')"
        )
        assert page.evaluate(PAINTED)[1] == "rgb(1, 2, 3)"
        page.evaluate("() => document.documentElement.dataset.theme = 'light'")
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"() => ({PAINTED})()[1] === 'rgb(255, 255, 255)'")
        page.evaluate("() => { delete document.documentElement.dataset.theme }")
        page.wait_for_function(f"() => ({PAINTED})()[1] === 'rgb(1, 2, 3)'")


def test_it_is_not_printed(browser: Browser) -> None:
    with opened(browser) as page:
        show(page)
        page.emulate_media(media="print")
        expect(page.get_by_text("Your card was declined")).to_be_hidden()


def test_its_own_words_are_german_or_the_pages(browser: Browser) -> None:
    with opened(browser, lang="de") as page:
        show(page)
        expect(page.get_by_role("button", name="Warum sehe ich das?")).to_be_visible()
        show(page, look={"locale": "fr", "texts": {"close": "Fermer"}})
        expect(page.get_by_role("button", name="Fermer")).to_be_visible()
        show(page, look={"locale": "en"})
        expect(page.get_by_role("button", name="Close")).to_be_visible()
