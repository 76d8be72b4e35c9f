"""A page in a real browser on which the interface shows messages, and what it told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import Browser, Page, Route, sync_playwright

from forestall.ingest.scripts import BUILT

SITE = "https://shop.localhost/"
AXE = Path(__file__).parents[1] / "sdk/node_modules/axe-core/axe.min.js"

PAGE = """<!doctype html><html lang="{lang}" dir="{dir}"><head><title>Shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}</head>
<body><main><h1>Checkout</h1>
<p><label>Name <input id="name"></label></p>
<p><label>Card <input id="card"></label></p>
<p><a id="last" href="/help">Help</a></p>
<p><button id="far">Order</button></p>
</main>{body}</body></html>"""

STYLE = """<style>:root { color-scheme: light dark }
body { margin: 24px; font: 16px/1.5 system-ui; background: light-dark(#fff, #121318) }
a { color: light-dark(#00e, #aaf) } main { max-width: 600px; height: 2400px }
#card { width: 200px; border-radius: 8px } #far { margin-top: 1800px }</style>"""

WHY = "Two payments with this card were declined."
FORMS: dict[str, dict[str, Any]] = {
    "toast": {},
    "banner": {"show": {"as": "banner"}},
    "hint": {"show": {"as": "hint", "at": "#card"}},
    "question": {"choices": {"card": "Another card", "later": "Pay later", "no": "Not now"}},
    "checklist": {"show": {"as": "checklist"}, "steps": ["Check the number.", "Try again."]},
    "handover": {"show": {"as": "handover"}, "known": ["Order 48213", "Two cards were declined"]},
}

SHOW = """([message, look]) => {
  window.told = [];
  window.began = performance.now();
  const names = ["seen", "acted", "dismissed", "helped", "stop", "asked"];
  const told = Object.fromEntries(names.map((name) => [name, (...what) => {
    window.took = performance.now() - began;
    window.told.push([name, ...what.filter((one) => one !== undefined)]);
  }]));
  Object.assign(told, {ticked: () => false, tick() {}, over() {}, broken: () => console.error("broken")});
  window.take = window[Symbol.for("forestall.ui")](window, message, told, look);
}"""
IN_PLACE = """() => {
  const card = document.querySelector("forestall-help")?.shadowRoot.querySelector(".on");
  return card && card.getAnimations({subtree: true}).length === 0;
}"""
BOX = """() => {
  const box = document.querySelector("forestall-help").shadowRoot.querySelector(".card")
    .getBoundingClientRect();
  return [box.left, box.top, box.right, box.bottom];
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    *,
    head: str = STYLE,
    body: str = "",
    lang: str = "en",
    direction: str = "ltr",
    headers: dict[str, str] | None = None,
    **context: Any,
) -> Iterator[Page]:
    """A page at ``SITE`` with the interface's bundle; any noise on its console fails the test."""
    own = browser.new_context(**{"viewport": {"width": 900, "height": 640}, **context})
    page = own.new_page()
    page.set_default_timeout(20_000)
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    script = '<script nonce="n" src="/sdk/forestall-ui.js"></script>'
    html = PAGE.format(lang=lang, dir=direction, head=head, body=body + script)

    def answer(route: Route) -> None:
        if route.request.url.endswith(".js"):
            route.fulfill(path=BUILT / "forestall-ui.js", content_type="text/javascript")
        elif route.request.url.endswith("favicon.ico"):
            route.fulfill(status=204)
        else:
            route.fulfill(body=html, content_type="text/html", headers=headers or {})

    page.route(f"{SITE}**", answer)
    page.goto(SITE)
    yield page
    own.close()
    assert noise == []


def show(page: Page, form: str = "toast", look: dict[str, Any] | None = None, **about: Any) -> None:
    """Shows a message and waits until it is in place."""
    begin(page, form, look, **about)
    page.wait_for_function(IN_PLACE)


def begin(
    page: Page, form: str = "toast", look: dict[str, Any] | None = None, **about: Any
) -> None:
    """Shows a message."""
    message = {
        "id": "m1",
        "intervention": "i1",
        "policy": "p",
        "title": "Your card was declined",
        "body": "Your order is safe.\nNothing was charged.",
        "why": WHY,
    }
    page.evaluate(SHOW, [{**message, **FORMS[form], **about}, look or {}])


def told(page: Page) -> list[list[Any]]:
    """What the interface told, but that it was seen: that comes when its second is over."""
    everything = cast(list[list[Any]], page.evaluate("() => window.told"))
    return [one for one in everything if one != ["seen"]]


def box(page: Page) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the message."""
    left, top, right, bottom = page.evaluate(BOX)
    return left, top, right, bottom
