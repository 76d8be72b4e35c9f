"""A page that carries the SDK, in a real browser, with a real gateway."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from forestall.contracts.event import decode_data
from forestall.contracts.instants import SECOND
from forestall.ingest.scripts import BUILT
from forestall.kernel.clock import wall_clock
from forestall.privacy import tokens
from serving import BROWSER, SECRET, Running, ingest, running, settings

EVENTS = "/v1/events"
ARGS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
SITE = "http://shop.localhost/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        yield opened
        opened.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(settings(tmp_path, ingest=ingest(cors_origins=("*",)))) as server:
        yield server


def snippet(host: str, options: str = "") -> str:
    """Without messages: there is only a gateway here."""
    stub = (BUILT / "snippet.js").read_text()
    start = f'{{host: "{host}", key: "{BROWSER}", interface: false, {options}}}'
    leads = "forestall.on('leads', (leads) => (window.leads = leads))"
    return f"<script>{stub};forestall.init({start});{leads}</script>"


class Site:
    """A page at ``SITE`` and what its console and its errors say."""

    def __init__(self, context: BrowserContext, html: str, head: str = "") -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.noise: list[str] = []
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        body = f"<!doctype html>{head}<title>Shop</title><body>{html}</body>"
        self.page.route(f"{SITE}**", lambda route: _answer(route, body))

    def open(self, path: str = "") -> None:
        self.page.goto(SITE + path)
        self.page.wait_for_function(READY)

    def lead(self, path: str = "") -> None:
        """Open, and wait until the browser lets this tab send: what is flushed before has to wait."""
        self.open(path)
        self.page.wait_for_function("() => window.leads")

    def run(self, script: str) -> object:
        return self.page.evaluate(script)


def comes(server: Running, page: Page, types: set[str]) -> None:
    """Waits until the log has events of these types and no others."""
    for _ in range(400):
        if {record.type for record in server.records()} == types:
            return
        page.wait_for_timeout(25)
    assert {record.type for record in server.records()} == types


def _answer(route: Route, body: str) -> None:
    route.fulfill(body=body, content_type="text/html")


READY = "() => !Array.isArray(window.forestall)"


def test_what_a_page_tells_comes_into_the_log_in_order(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    site = Site(context, snippet(server.base) + "<script>analytics.track('Cart Viewed')</script>")
    site.lead("cart?secret=1#x")
    site.run(
        "async () => { analytics.track('Payment Failed', {amount: 12.5});"
        " forestall.page('Checkout'); await forestall.flush() }"
    )
    records = server.records()
    assert [(record.type, decode_data(record.data)) for record in records] == [
        ("cart.viewed", {}),
        ("payment.failed", {"amount": 12.5}),
        ("page.viewed", {"name": "Checkout", "path": "/cart"}),
    ]
    assert len({record.subject for record in records}) == 1
    assert {record.source[:5] for record in records} == {"/web/"}
    assert site.noise == []
    context.close()


def test_nobody_inherits_who_was_at_the_computer_before(browser: Browser, server: Running) -> None:
    expires = wall_clock() + 600 * SECOND
    token = tokens.sign(tokens.SubjectToken(subject_id="u1", expires=expires), SECRET)
    context = browser.new_context()
    site = Site(context, snippet(server.base, f'token: () => "{token}"'))
    site.lead()
    site.run(
        "async () => { forestall.track('a'); forestall.identify('u1', {plan: 'pro'});"
        " forestall.track('b'); await forestall.flush(); forestall.reset();"
        " forestall.track('c'); await forestall.flush() }"
    )
    first, identified, second, after = server.records()
    assert identified.type == "forestall.identify"
    assert first.subject == identified.subject == second.subject
    assert after.subject != first.subject
    assert site.noise == []
    context.close()


def test_the_queue_survives_a_reload_while_the_server_is_away(
    browser: Browser, server: Running
) -> None:
    context = browser.new_context()
    site = Site(context, snippet(server.base))
    site.lead()
    events = f"{server.base}/v1/events**"
    context.route(events, lambda route: route.abort())
    site.run("async () => { for (const n of 'abc') forestall.track(n); await forestall.flush() }")
    assert server.records() == []
    context.unroute(events)
    site.open()
    site.run("() => forestall.track('d')")
    comes(server, site.page, {"a", "b", "c", "d"})
    assert [record.type for record in server.records()] == ["a", "b", "c", "d"]
    context.close()


@pytest.mark.parametrize("wanted", [True, False])
def test_web_vitals_come_by_a_script_of_their_own_where_they_are_wanted(
    browser: Browser, server: Running, wanted: bool
) -> None:
    context = browser.new_context()
    scripts: list[str] = []
    context.on("request", lambda request: scripts.append(request.url.rpartition("/")[2]))
    options = "" if wanted else "signals: {vitals: false}"
    site = Site(context, snippet(server.base, options) + "<h1>Shop</h1>")
    site.open()
    site.run(
        "() => { window.told = []; forestall.on('event', ({type, data}) => told.push([type, data.name])) }"
    )
    site.page.wait_for_function("() => window[Symbol.for('forestall.signals')]")
    if wanted:
        site.page.wait_for_function("() => window[Symbol.for('forestall.vitals')]")
        site.run(
            "() => new Promise((go) => new PerformanceObserver(() => go())"
            ".observe({type: 'largest-contentful-paint', buffered: true}))"
        )
        site.page.click("h1")
        site.page.wait_for_function("() => told.some((one) => `${one}` == 'client.vital,LCP')")
    assert ("forestall-vitals.js" in scripts) == wanted
    assert site.noise == []
    context.close()


KEPT = """(name) => new Promise((go) => {
  const device = indexedDB.open(name);
  device.onsuccess = () => {
    const count = device.result.transaction("events").objectStore("events").count();
    count.onsuccess = () => { device.result.close(); go(count.result === 3) };
  };
})"""


def test_a_wrong_key_ends_sending_and_a_page_with_the_right_one_sends_it_all(
    browser: Browser, server: Running
) -> None:
    context = browser.new_context()
    asked = _asked(context)
    wrong = Site(context, snippet(server.base, 'key: "nobody-knows-it", signals: false'))
    wrong.open()
    wrong.run(
        "async () => { window.told = []; forestall.on('error', (what) => told.push(what.reason));"
        " for (const n of 'abc') { forestall.track(n); await forestall.flush() } }"
    )
    # The page sends once the browser has let it lead; what was refused is then on the device.
    wrong.page.wait_for_function("() => told.length > 0")
    wrong.page.wait_for_function(KEPT, arg=f"forestall.{server.base}")
    assert wrong.run("() => told") == ["key"]
    wrong.page.close()
    assert asked == [f"{server.base}/v1/events"]
    right = Site(context, snippet(server.base, "signals: false"))
    right.open()
    right.run("() => forestall.track('d')")
    comes(server, right.page, set("abcd"))
    assert [record.type for record in server.records()] == list("abcd")
    assert [line for line in wrong.noise if "Failed to load resource" not in line] == []
    assert right.noise == []
    context.close()


def test_offline_nothing_is_asked_of_the_server(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    asked = _asked(context)
    site = Site(context, snippet(server.base, "signals: false"))
    site.open()
    context.set_offline(True)
    site.run(
        "async () => { for (const n of 'abc') { forestall.track(n); await forestall.flush() } }"
    )
    assert asked == []
    context.set_offline(False)
    comes(server, site.page, set("abc"))
    assert [record.type for record in server.records()] == list("abc")
    context.close()


def _asked(context: BrowserContext) -> list[str]:
    """What pages ask the server for from now on, but for scripts."""
    asked: list[str] = []
    context.on(
        "request", lambda request: asked.append(request.url) if "/v1/" in request.url else None
    )
    return asked


def test_nothing_is_kept_before_consent(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    site = Site(context, snippet(server.base, 'consent: "required"'))
    site.lead()
    site.run("async () => { forestall.track('a'); await forestall.flush() }")
    kept = (
        "async () => [localStorage.length, (await indexedDB.databases()).length, document.cookie]"
    )
    assert site.run(kept) == [0, 0, ""]
    assert server.records() == []
    site.run("async () => { forestall.consent(true); await forestall.flush() }")
    assert [record.type for record in server.records()] == ["a"]
    assert site.noise == []
    context.close()


@pytest.mark.parametrize("trouble", ["html", "500", "redirect", "gone", "slow", "csp"])
def test_a_server_in_trouble_is_none_of_the_pages_business(
    browser: Browser, server: Running, trouble: str
) -> None:
    context = browser.new_context()
    policy = (
        "<meta http-equiv='content-security-policy' content=\"connect-src 'none'\">"
        if trouble == "csp"
        else ""
    )
    site = Site(context, snippet(server.base), policy)
    tries: list[str] = []

    def answer(route: Route) -> None:
        tries.append(route.request.url)
        if trouble == "html":
            route.fulfill(status=200, body="<html>hello</html>", content_type="text/html")
        elif trouble == "500":
            route.fulfill(status=500, body="")
        elif trouble == "redirect":
            route.fulfill(status=302, headers={"location": SITE})
        elif trouble == "gone":
            route.abort()

    context.route(f"{server.base}/v1/events**", answer)
    site.lead()
    site.run(
        "async () => { window.thrown = []; addEventListener('error', (e) => thrown.push(e.message));"
        " addEventListener('unhandledrejection', (e) => thrown.push(String(e.reason)));"
        " for (let n = 0; n < 50; n++) forestall.track('n', {n}); }"
    )
    site.page.wait_for_timeout(300) if trouble == "slow" else site.run("() => forestall.flush()")
    assert site.run("() => window.thrown") == []
    assert len(tries) <= 5
    assert server.records() == []
    browsers_own = ("Failed to load resource", "Content Security Policy", "CORS policy")
    assert [line for line in site.noise if not any(own in line for own in browsers_own)] == []
    context.close()


def test_a_wrong_clock_is_set_right_by_the_servers(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    context.add_init_script("{ const real = Date.now; Date.now = () => real() + 5 * 3600e3 }")
    site = Site(context, snippet(server.base))
    site.lead()
    for name in "ab":
        site.run(f"async () => {{ forestall.track('{name}'); await forestall.flush() }}")
    site.lead()
    site.run("async () => { forestall.track('c'); await forestall.flush() }")
    ahead = [(record.time - record.received) / SECOND for record in server.records()]
    assert ahead[0] > 4 * 3600
    assert all(abs(seconds) < 60 for seconds in ahead[1:])
    context.close()


def test_a_page_of_elsewhere_may_read_when_to_come_back(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    site = Site(context, snippet(server.base))
    tries: list[str] = []

    def answer(route: Route) -> None:
        tries.append(route.request.url)
        headers = {
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "date, retry-after",
            "retry-after": "3000",
        }
        route.fulfill(status=429, headers=headers)

    context.route(f"{server.base}/v1/events**", answer)
    site.lead()
    site.run("async () => { forestall.track('a'); await forestall.flush() }")
    breaker = f"forestall.{server.base}.breaker"
    until = site.run(f"() => JSON.parse(localStorage['{breaker}']).until")
    assert 2_900_000 < float(str(until)) - wall_clock() / 1000 < 3_100_000
    assert len(tries) == 1
    context.close()


def test_tabs_share_one_queue_and_one_sender(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    tabs = [Site(context, snippet(server.base)) for _ in range(3)]
    sent: list[tuple[str, str]] = []

    def watch(site: Site, tab: str) -> None:
        site.page.on("request", lambda request: sent.append((tab, request.url)))

    for n, tab in enumerate(tabs):
        watch(tab, str(n))
        tab.open()
    for n, tab in enumerate(tabs):
        tab.run(f"() => forestall.track('from.{n}')")
    comes(server, tabs[0].page, {"from.0", "from.1", "from.2"})
    assert len({record.subject for record in server.records()}) == 1
    (leader,) = {int(tab) for tab, url in sent if EVENTS in url}
    tabs.pop(leader).page.close()
    tabs[0].run("() => forestall.track('after')")
    comes(server, tabs[0].page, {"from.0", "from.1", "from.2", "after"})
    assert len({tab for tab, url in sent if EVENTS in url}) == 2
    context.close()
