"""Pages that carry the SDK, and a whole server that sends them messages: tabs, devices, people."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from forestall.contracts.event import decode_data
from forestall.contracts.instants import SECOND
from forestall.ingest.scripts import BUILT
from forestall.kernel.clock import wall_clock
from running import SECRET, Server, until
from serving import logged, settings

SITE = "http://shop.localhost/"
ARGS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
READY = "() => window[Symbol.for('forestall.help')]"
BROWSERS_OWN = ("Failed to load resource", "net::ERR", "Content Security Policy", "CORS policy")
"""What browsers write into the console about requests, whoever made them."""

MORE = """
[ingest]
cors_origins = ["*"]
"""


def policy(name: str, event: str, text: str) -> str:
    """A policy that says ``text`` in the app at each event of a type."""
    return f"""
apiVersion: forestall/v1
kind: Policy
metadata: {{name: {name}, title: "About {event}", owner: shop}}
spec:
  when: {{event: {event}}}
  cooldown: 0s
  valid_for: 30m
  budget_class: transactional
  playbook:
    - guide: {{text: "{text}", channel: inapp}}
"""


CARD, WORDS = "Another card works", "Try fewer words"
"""What the first two of these policies say."""

POLICIES = {
    "declined.yaml": policy("declined", "payment.declined", CARD),
    "slow.yaml": policy("slow", "search.slow", WORDS),
    "asked.yaml": policy("asked", "client.help", "We are here"),
}


def token(user: str, seconds: int = 600) -> str:
    """What the shop's backend gives its signed-in user."""
    claims = {"sub": user, "exp": wall_clock() // SECOND + seconds}
    return jwt.encode(claims, SECRET, "HS256")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        yield opened
        opened.close()


class Device:
    """One browser with storage of its own, and the shop's backend as it sees it."""

    def __init__(self, browser: Browser, server: Server, options: str = "", **more: Any) -> None:
        self.context: BrowserContext = browser.new_context(**more)
        self.context.set_default_timeout(20_000)
        self.base = f"http://127.0.0.1:{server.port}"
        self.options = options
        self.lifetime = 600
        """Seconds that a token lives."""
        self.answering = True
        """Whether the shop's backend gives tokens."""
        self.tokens: list[str] = []
        """Whom it gave tokens."""
        self.noise: list[str] = []
        """What consoles and errors said, but for the browser's own words about the network."""
        self.streams: list[Page] = []
        """Which tabs connected."""
        self.context.route(f"{SITE}**", self._shop)

    def _shop(self, route: Route) -> None:
        path = route.request.url.removeprefix(SITE)
        if path.startswith("token/"):
            user = path.removeprefix("token/")
            self.tokens.append(user)
            if self.answering:
                route.fulfill(body=token(user, self.lifetime))
            else:
                route.fulfill(status=503)
            return
        stub = (BUILT / "snippet.js").read_text()
        source = """token: async () => {
          const answer = await fetch("/token/" + (localStorage.user ?? ""));
          if (!answer.ok) throw new Error("no token");
          return answer.text();
        }"""
        start = f'{{host: "{self.base}", key: "browser-key", {source}, {self.options}}}'
        page = f"""<!doctype html><html lang="en"><title>Shop</title><script>{stub};
          forestall.init({start});
          if (localStorage.user) forestall.identify(localStorage.user);</script><h1>Shop</h1>"""
        route.fulfill(body=page, content_type="text/html")

    def tab(self, path: str = "") -> Page:
        """A new tab with the shop in it, whose SDK runs."""
        page = self.context.new_page()
        page.on("console", lambda message: self._note(message.text))
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda request: self._watch(page, request.url))
        page.goto(SITE + path)
        page.wait_for_function(READY)
        return page

    def _watch(self, page: Page, url: str) -> None:
        if url.endswith("/v1/stream"):
            self.streams.append(page)

    def _note(self, text: str) -> None:
        if not any(own in text for own in BROWSERS_OWN):
            self.noise.append(text)

    def close(self) -> None:
        """Closes the browser, and fails where anything was noisy."""
        self.context.close()
        assert self.noise == [], self.noise


def sign_in(page: Page, user: str) -> None:
    """The shop signs its user in."""
    page.evaluate(
        "async (user) => { localStorage.user = user; forestall.identify(user);"
        " await forestall.flush() }",
        user,
    )


def sign_out(page: Page) -> None:
    """The shop signs its user out."""
    page.evaluate("() => { delete localStorage.user; forestall.reset() }")


def track(page: Page, name: str) -> None:
    """Something happens on a page, and the server has it."""
    page.evaluate("async (name) => { forestall.track(name); await forestall.flush() }", name)


def shows(page: Page, text: str, seconds: float = 20) -> None:
    """Waits until a page shows a message with this text."""
    expect(page.locator("forestall-help").get_by_text(text)).to_be_visible(timeout=seconds * 1000)


def empty(page: Page, seconds: float = 20) -> None:
    """Waits until a page shows no message."""
    expect(page.locator("forestall-help")).to_have_count(0, timeout=seconds * 1000)


def streams(server: Server, count: int) -> None:
    """Waits until so many event streams are open."""
    until(lambda: metric(server, "forestall_inapp_streams") == count)


def metric(server: Server, name: str) -> float:
    """What a metric says now."""
    for line in server.client.get("/metrics/app").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return 0.0


def told(server: Server, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """The data of all events of a type, once there are so many."""
    where = settings(server.folder)

    def found() -> list[dict[str, Any]]:
        return [decode_data(one.data) for one in logged(where) if one.type == kind]

    until(lambda: len(found()) >= count)
    return found()
