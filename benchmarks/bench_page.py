"""What a page pays for carrying the SDK: load event, long tasks and main thread, with and without it.

A page of a shop is loaded in Chromium, 30 times with the SDK and 30 times without, in turns, while
the server is up, down, slow (3 seconds for each answer), answering HTML to everything, or forbidden
by the page's content-security policy. Figures are the difference of the means, in milliseconds,
with the ends of a 95 % bootstrap interval over the pairs (percentiles, 2,000 draws).

Long tasks are those of the main thread above 50 ms, the main thread is its processor time (what
Chromium calls ``TaskDuration``, in thread ticks), both until a second after the load event: by then
the bundles that come late have come. The load event and long tasks have to be unchanged; processor
time is told, not judged.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from benchmarks.figures import Figure
from benchmarks.served import served
from forestall.ingest.scripts import BUILT

ARGS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
WAYS = ("up", "down", "slow", "html", "csp")
SLOW = 3.0
DRAWS, SEED = 2_000, 8
QUICK: dict[str, object] = {"pairs": 5}
MORE = """
[ingest]
cors_origins = ["*"]
[[keys]]
name = "web"
key = "browser-key"
origin = "browser"
"""

ITEMS = "".join(
    f'<li><img src="/item.svg?{n % 4}" alt="" width="40" height="40"><h3>Item {n}</h3>'
    f"<p>About item {n}</p><button>Add to basket</button></li>"
    for n in range(100)
)
SCRIPT = """
  const until = performance.now() + 30; let sum = 0;
  while (performance.now() < until) sum += Math.sqrt(sum + 1);
  document.title = "Shop";
  window.long = [];
  new PerformanceObserver((list) => long.push(...list.getEntries().map((one) => one.duration)))
    .observe({type: "longtask", buffered: true});
"""
MEASURED = """async () => {
  if (document.readyState !== "complete") await new Promise((go) => addEventListener("load", go));
  await new Promise((go) => setTimeout(go, 1000));
  const [{loadEventEnd}] = performance.getEntriesByType("navigation");
  return [loadEventEnd, long.reduce((sum, one) => sum + one, 0)];
}"""


def run(pairs: int = 30) -> list[Figure]:
    """Measure all ways; see the module."""
    figures: list[Figure] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        for way in WAYS:
            with host(way) as address, shop(address, way) as url:
                figures += _compared(way, measured(browser, url, pairs))
        browser.close()
    return figures


Loaded = tuple[float, float, float]
"""Load event, long tasks, and processor time of the main thread, in milliseconds."""

Pair = tuple[Loaded, Loaded]


def measured(browser: Browser, url: str, pairs: int) -> list[Pair]:
    """Without and with the SDK, in turns; the first load of each is not counted.

    Each load is of a new visitor, with an empty cache.
    """
    found: list[Pair] = []
    for number in range(pairs + 1):
        order = ("without", "with") if number % 2 else ("with", "without")
        one = {which: _loaded(browser, f"{url}/{which}") for which in order}
        if number:
            found.append((one["without"], one["with"]))
    return found


def _loaded(browser: Browser, url: str) -> Loaded:
    context = browser.new_context()
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    load, long = page.evaluate(MEASURED)
    told = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
    context.close()
    return load, long, 1000 * told["TaskDuration"]


def _compared(way: str, pairs: Sequence[Pair]) -> list[Figure]:
    figures: list[Figure] = []
    for place, what in enumerate(("load event later", "long tasks more", "main thread more")):
        differences = [with_it[place] - without[place] for without, with_it in pairs]
        low, high = interval(differences)
        name = f"{what}, server {way}"
        most = None if what.startswith("main") else 0.0
        figures += [
            Figure(name, fmean(differences), "ms", "W5"),
            Figure(f"{name}: 95 % from", low, "ms", "W5", at_most=most),
            Figure(f"{name}: 95 % to", high, "ms", "W5"),
        ]
    return figures


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of their mean (Efron 1979)."""
    chance = random.Random(SEED)
    means = sorted(fmean(chance.choices(differences, k=len(differences))) for _ in range(DRAWS))
    return means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS) - 1]


@contextmanager
def host(way: str) -> Iterator[str]:
    """The address of a server in this state."""
    with ExitStack() as stack:
        if way == "down":
            yield "http://127.0.0.1:9"
        elif way in ("slow", "html"):
            yield stack.enter_context(_serving(_Slow if way == "slow" else _Html))
        else:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            port = stack.enter_context(served(folder, {}, more=MORE)).port
            yield f"http://127.0.0.1:{port}"


@contextmanager
def shop(address: str, way: str) -> Iterator[str]:
    """A page with and one without the SDK of ``address``, as ``/with`` and ``/without``."""
    stub = (BUILT / "snippet.js").read_text()
    sdk = f'<script>{stub};forestall.init({{host: "{address}", key: "browser-key"}})</script>'

    class Shop(_Quiet):
        def do_GET(self) -> None:
            if self.path.startswith("/item.svg"):
                self.answer(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")
                return
            head = sdk if self.path == "/with" else ""
            page = f"<!doctype html><title>-</title>{head}<ul>{ITEMS}</ul><script>{SCRIPT}</script>"
            policy = f"script-src 'unsafe-inline' {address}; connect-src 'none'"
            more = {"content-security-policy": policy} if way == "csp" else {}
            self.answer(page.encode(), "text/html", **more)

    with _serving(Shop) as url:
        yield url


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(b"", "text/plain")

    def do_POST(self) -> None:
        self.do_GET()

    def do_OPTIONS(self) -> None:
        self.do_GET()

    def answer(self, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(200)
        for name, value in {"content-type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a benchmark speaks in figures."""


class _Html(_Quiet):
    def do_GET(self) -> None:
        self.answer(b"<!doctype html><h1>Welcome</h1>", "text/html")


class _Slow(_Quiet):
    def do_GET(self) -> None:
        time.sleep(SLOW)
        name = self.path.removeprefix("/sdk/")
        body = (BUILT / name).read_bytes() if self.path.startswith("/sdk/") else b"{}"
        self.answer(body, "text/javascript", **{"access-control-allow-origin": "*"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing: a page went before it had its answer."""


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
