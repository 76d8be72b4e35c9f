"""The shop of the demo: every one of its policies is set off by clicking, and help comes to the page."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from examples.shop import demo
from forestall.contracts.instants import MINUTE, format_time
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Settings
from forestall.policy.bundle import load_folder
from running import free_port, until

SHOP = Path(demo.__file__).parent
AXE = SHOP.parents[1] / "sdk" / "node_modules" / "axe-core" / "axe.min.js"
ARGS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]


class Open:
    """A server of the shop's deployment, the shop itself, and a browser."""

    def __init__(
        self, settings: Settings, url: str, client: httpx.Client, browser: Browser
    ) -> None:
        self.settings, self.url, self.client, self.browser = settings, url, client, browser

    def decided(self, policy: str) -> set[str]:
        """The ids of what the policy has decided to do, holdouts included."""
        return {
            one.id
            for one in demo.decisions(self.settings.data)
            if one.policy == policy and one.outcome in ("intervene", "holdout")
        }

    def visitor(self, scheme: Literal["light", "dark"] = "light") -> Page:
        """A new browser at the front page, with the drawer of troubles open."""
        context = self.browser.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme=scheme
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(self.url)
        page.get_by_role("button", name="Troubles").click()
        return page


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("*.py*"))
    config = folder / "forestall.toml"
    text = config.read_text().replace("../../.cache/demo/data", "data")
    for port in ("8080", "8081"):
        text = text.replace(port, str(free_port()))
    config.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name, prefix in demo.SECRETS.items():
            patch.setenv(name, prefix + "0" * 32)
        settings = demo.prepare(config)
        base = f"http://127.0.0.1:{settings.server.port}"
        log = folder / "server.log"
        with (
            sync_playwright() as playwright,
            demo.served(config, log) as server,
            httpx.Client(base_url=base, timeout=20) as client,
        ):
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
            demo.await_ready(client, server)
            with demo.opened(settings, 0) as shop:
                yield Open(settings, shop.url, client, browser)
            browser.close()
        assert "Traceback" not in log.read_text()


def _order(page: Page) -> None:
    page.get_by_role("button", name="Pay €").click()


def _dead_button(page: Page) -> None:
    page.get_by_role("button", name="Apply").click(click_count=4, delay=60)
    # Now the drawer's list changes, which is no answer of the shop.
    page.evaluate("() => forestall.track('Late News')")
    page.locator(".told").get_by_text("late.news").wait_for()


def _address(page: Page) -> None:
    for name in ("Name", "Street and number", "Postcode", "Town"):
        page.get_by_label(name, exact=True).fill("1")
    page.get_by_role("button", name="Continue to payment").click()


def _refused_address(page: Page) -> None:
    for _ in range(3):
        _address(page)
        page.get_by_text("This is not a postcode.").wait_for()
        page.wait_for_timeout(600)


def _search(page: Page) -> None:
    page.get_by_role("searchbox").fill("mug")
    page.keyboard.press("Enter")


def _circles(page: Page) -> None:
    for label, heading in (("Living", "Living"), ("Kitchen", "Kitchen"), ("Tea & coffee", "Tea")):
        page.get_by_label(label).check()
        _headed(page, heading)


def _to_and_fro(page: Page) -> None:
    _address(page)
    page.get_by_role("list", name="Checkout").get_by_role("link", name="Delivery").click()


def _hurry(page: Page) -> None:
    for name, heading in (("Plants", "Plants"), ("Living", "Living"), ("Kitchen", "Kitchen")):
        page.get_by_role("navigation", name="Products").get_by_role("link", name=name).click()
        _headed(page, heading)
    page.get_by_role("link", name="Oak board").last.click()


def _question(page: Page) -> None:
    page.get_by_label("Ask in your own words").fill("Can I pay with PayPal?")
    page.get_by_role("button", name="Ask").click()


def _home(page: Page) -> None:
    page.get_by_role("link", name="Kettle & Fern").click()


def _again(page: Page) -> None:
    page.get_by_role("button", name="Try again").click()


def _headed(page: Page, heading: str) -> None:
    page.get_by_role("heading", level=1, name=heading).wait_for()


def _nothing(_: Page) -> None:
    """The page was opened, which is enough."""


Act = Callable[[Page], object]
SLOW: dict[str, tuple[str, Act, str]] = {
    "search-takes-long": ("Everything", _search, "Our search is slow right now"),
    "clicking-in-vain": ("Payment", _dead_button, "The checkout stumbled"),
}
"""Policies whose signal takes seconds: where it begins, what to do, and what help says."""

QUICK: dict[str, tuple[str, Act, str]] = {
    "payment-failed": ("Payment", _order, "Your payment did not go through"),
    "checkout-failed": ("Payment", _order, "The checkout stumbled"),
    "address-refused": ("Delivery", _refused_address, "Does our form refuse your address?"),
    "error-pages": ("Something broke", _again, "That page should have worked"),
    "searching-in-circles": ("Plants", _circles, "Can we help you find it?"),
    "stuck-at-payment": ("Payment", Page.reload, "Would you like a hand with paying?"),
    "left-payment": ("Payment", _home, "Would you like a hand with paying?"),
    "checkout-back-and-forth": ("Delivery", _to_and_fro, "Two steps to your order"),
    "hurrying": ("Good things", _hurry, "Can we help you find it?"),
    "back-after-trouble": ("Cart", _nothing, "Good to see you again"),
    "asked-for-help": ("How can we help?", _question, "Apple Pay, Google Pay and PayPal"),
}
WAITING = "hesitating-at-payment"


def stage(page: Page, policy: str, heading: str) -> None:
    """Press the drawer's button that sets the stage, and wait until the SDK watches the page."""
    button = f".stage[data-policy={policy}]"
    page.locator(button).click()
    page.locator(f"[aria-current] {button}").wait_for()
    _headed(page, heading)
    until(lambda: page.evaluate("!!window[Symbol.for('forestall.signals')]"))


def test_every_policy_has_its_stage(opened: Open) -> None:
    assert opened.settings.policies is not None
    policies = {one.name for one in load_folder(opened.settings.policies).policies}
    assert policies == {*SLOW, *QUICK, WAITING}
    page = opened.visitor()
    stages = page.locator(".stage").evaluate_all("all => all.map((one) => one.dataset.policy)")
    assert sorted(stages) == sorted(policies)
    page.context.close()


Scheme = Literal["light", "dark"]
AT: dict[Scheme, tuple[str, ...]] = {
    "light": ("/search?kind=plants", "/help"),
    "dark": ("/product?id=iron-pan", "/account/sign-in"),
}
STAGED = {"light": ("address-refused", "Delivery"), "dark": ("payment-failed", "Payment")}
"""Where axe looks besides the front page: at a form that is refused, and at help that has come."""


@pytest.mark.parametrize("scheme", AT)
def test_axe_finds_nothing(opened: Open, scheme: Scheme) -> None:
    page = opened.visitor(scheme)
    found = {"": barriers(page)}
    for path in AT[scheme]:
        page.goto(opened.url + path)
        page.locator("main:not([aria-busy]) h1").wait_for()
        found[path] = barriers(page)
    stage(page, *STAGED[scheme])
    if scheme == "light":
        page.get_by_role("button", name="Continue to payment").click()
    else:
        _order(page)
        sees(page, "Your payment did not go through")
        page.wait_for_timeout(600)
    found["in the checkout"] = barriers(page)
    assert {where: said for where, said in found.items() if said} == {}
    page.context.close()


def test_nothing_is_wider_than_a_small_phone(opened: Open) -> None:
    context = opened.browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(opened.url)
    kettle = {"id": "copper-kettle", "name": "Copper kettle", "kind": "tea", "price": 79}
    page.evaluate(
        "(lines) => localStorage.setItem('cart', JSON.stringify(lines))",
        [{"product": kettle, "number": 12}],
    )
    wide = {}
    for path in ("/", "/cart", "/checkout/payment", "/account/sign-in", "/search?kind=plants"):
        page.goto(opened.url + path)
        page.locator("main:not([aria-busy]) h1").wait_for()
        wide[path] = page.evaluate("() => document.documentElement.scrollWidth")
    assert set(wide.values()) == {320}, wide
    context.close()


def test_help_says_why_in_the_customers_words_and_keeps_what_is_ticked(opened: Open) -> None:
    page = opened.visitor()
    stage(page, "payment-failed", "Payment")
    _order(page)
    help_ = page.locator("forestall-help")
    help_.get_by_role("button", name="Why am I seeing this?").click()
    sees(page, "Your payment did not go through a moment ago.")
    help_.get_by_role("checkbox").nth(1).check()
    page.reload()
    sees(page, "1 of 3 done")
    assert [one.is_checked() for one in help_.get_by_role("checkbox").all()] == [False, True, False]
    page.context.close()


def test_who_said_not_this_again_is_not_asked_what_was_missing(opened: Open) -> None:
    page = opened.visitor()
    stage(page, "payment-failed", "Payment")
    _order(page)
    help_ = page.locator("forestall-help")
    help_.get_by_role("button", name="More options").click()
    help_.get_by_role("button", name="Not this again").click()
    page.reload()
    _headed(page, "Payment")
    _home(page)
    _headed(page, "Good things")
    page.evaluate("() => forestall.flush()")
    # Somebody else's trouble is decided after hers, were there any.
    other = opened.visitor()
    stage(other, "left-payment", "Payment")
    _home(other)
    sees(other, "Would you like a hand with paying?")
    assert help_.count() == 0
    for one in (page, other):
        one.context.close()


def test_who_is_signed_in_shows_in_every_tab(opened: Open) -> None:
    page = opened.visitor()
    other = page.context.new_page()
    other.goto(f"{opened.url}/account")
    page.goto(f"{opened.url}/account/sign-in")
    page.get_by_role("button", name="Ada").click()
    for tab in (page, other):
        tab.get_by_role("heading", level=1, name="Hello, Ada").wait_for()
        assert tab.locator("#account").text_content() == "Ada"
    page.get_by_role("button", name="Sign out").click()
    for tab in (page, other):
        tab.get_by_role("heading", level=1, name="Orders and returns").wait_for()
        assert tab.locator("#account").text_content() == "Sign in"
    names = [tab.evaluate("() => forestall.user().anonymousId()") for tab in (page, other)]
    assert names[0] == names[1]
    page.context.close()


def test_every_policy_can_be_set_off_by_clicking(opened: Open) -> None:
    """The last test here: it moves log time on."""
    slow = {policy: opened.visitor() for policy in SLOW}
    for policy, page in slow.items():
        heading, act, _ = SLOW[policy]
        stage(page, policy, heading)
        act(page)
    page = opened.visitor()
    for policy, (heading, act, words) in QUICK.items():
        stage(page, policy, heading)
        act(page)
        decided(opened, policy)
        if not held_out(opened, policy):
            sees(page, words)
    for policy, watching in slow.items():
        decided(opened, policy)
        sees(watching, SLOW[policy][2])
        watching.context.close()
    stage(page, WAITING, "Payment")
    until(lambda: page.locator(".told").get_by_text("checkout.payment").count())
    time_passes(opened)
    decided(opened, WAITING)
    sees(page, "Would you like a hand with paying?")
    page.context.close()


def barriers(page: Page) -> list[str]:
    """What axe-core has against the page as it is now."""
    page.evaluate(f"{AXE.read_text()};0")
    run = "axe.run().then(({violations}) => violations.map(({id, nodes}) => `${id} ${nodes[0].html}`))"
    found: list[str] = page.evaluate(run)
    return found


def decided(opened: Open, policy: str) -> None:
    """Wait until the policy has decided to do something."""
    until(lambda: opened.decided(policy))


def sees(page: Page, words: str) -> None:
    """Wait until help is on the page, and says this."""
    page.locator("forestall-help .card").get_by_text(words).first.wait_for()


def held_out(opened: Open, policy: str) -> bool:
    """Whether chance kept the visitor aside."""
    return any(
        one.policy == policy and one.outcome == "holdout"
        for one in demo.decisions(opened.settings.data)
    )


def time_passes(opened: Open) -> None:
    """The shop's clock strikes three minutes later: log time follows events."""
    key = next(key.key for key in opened.settings.keys if key.origin == "server")
    later = {
        "specversion": "1.0",
        "id": "later",
        "source": "test",
        "type": "shop.ticked",
        "subject": "shop",
        "time": format_time(wall_clock() + 3 * MINUTE),
        "data": {},
    }
    headers = {"content-type": "application/cloudevents+json"}
    answer = opened.client.post("/v1/events", json=later, headers=headers, auth=(key, ""))
    assert answer.json()["accepted"] == 1, answer.text
