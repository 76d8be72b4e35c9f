"""The signals in a real browser: real clicks and keys on a real page."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from forestall.contracts.catalogue import load_catalogue
from forestall.ingest.scripts import BUILT

SITE = "http://shop.localhost/"
PAGE = """<!doctype html><title>Shop</title>
<script src="/sdk/forestall.js"></script>
<script>
  window.found = [];
  forestall.on("event", (event) => found.push(event));
  forestall.init({host: location.origin, key: "wk_test", slow: 3000, trace: ["http://api.localhost"]});
</script>
<body style="height: 3000px">
<button id="dead">Apply coupon</button>
<button id="works" onclick="out.textContent += 'x'">Sort</button>
<button id="late" onclick="setTimeout(() => out.textContent += 'x', 1900)">Open</button>
<button id="throws" onclick="boom.bang">Add to basket</button>
<button id="fails" onclick="fetch('/api/broken?card=4111', {method: 'POST', body: 'secret'}).then(() => out.textContent = 'Sorry')">Order</button>
<button id="off" disabled>Continue</button>
<button id="plus" onclick="n.value = +n.value + 1">More</button><input id="n" name="n" value="1">
<button id="xhr" onclick="const x = new XMLHttpRequest(); x.open('GET', '/api/broken'); x.onloadend = () => out.textContent = x.status; x.send()">Load</button>
<p id="text">Shipping takes two days</p>
<div data-private><button id="private">Anna Meier</button></div>
<form id="signup" onsubmit="return false"><input name="name"><input name="company">
  <input name="mail" type="email" required><input name="secret" type="password"><button id="send">Create</button></form>
<div id="out"></div>
<script>const [out, n] = [document.getElementById("out"), document.getElementById("n")]</script>
"""
CATALOGUE = load_catalogue()
Found = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.clock.install()
    page.route("**/*", _answer)
    page.goto(SITE)
    page.wait_for_function("() => window[Symbol.for('forestall.signals')]")
    page.clock.run_for(100)
    yield page
    context.close()


def _answer(route: Route) -> None:
    path = route.request.url.removeprefix(SITE).partition("?")[0]
    if path.startswith("sdk/"):
        body = (BUILT / path.removeprefix("sdk/")).read_bytes()
        cors = {"access-control-allow-origin": "*"}
        route.fulfill(body=body, content_type="text/javascript", headers=cors)
    elif path.startswith("v1/"):
        route.fulfill(status=503)
    elif path == "api/broken":
        route.fulfill(status=500)
    else:
        route.fulfill(body=PAGE, content_type="text/html")


def found(page: Page, after: int = 0) -> Found:
    """What was noticed, after so many milliseconds more; every event fits its contract."""
    page.clock.run_for(after)
    events = [(one["type"], one["data"]) for one in page.evaluate("found")]
    for event_type, data in events:
        contract = CATALOGUE.contract(event_type)
        assert contract is not None, event_type
        assert contract.validate(data) == []
        assert contract.minimise(data, str) == data
    return [one for one in events if one[0] != "client.vital"]


def wait_for(page: Page, text: str) -> None:
    page.wait_for_function("(text) => document.getElementById('out').textContent == text", arg=text)


def test_a_click_without_an_answer(page: Page) -> None:
    page.click("#dead")
    assert found(page, 4000) == []
    [(event_type, data)] = found(page, 3000)
    assert event_type == "client.click.dead"
    assert (data["target"], data["clicks"]) == ('button#dead "Apply coupon"', 1)


def test_rage(page: Page) -> None:
    for _ in range(5):
        page.click("#dead")
        page.clock.run_for(150)
    [(event_type, data)] = found(page, 7000)
    assert (event_type, data["clicks"]) == ("client.click.rage", 5)


def test_rage_at_a_disabled_button(page: Page) -> None:
    box = page.locator("#off").bounding_box()
    assert box is not None
    for _ in range(4):
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        page.clock.run_for(150)
    [(event_type, data)] = found(page, 7000)
    assert (event_type, data["target"]) == ("client.click.rage", 'button#off "Continue"')


def test_what_answers_is_no_trouble(page: Page) -> None:
    for _ in range(5):
        page.click("#works")
        page.click("#plus")
        page.clock.run_for(120)
    page.click("#late", click_count=3)
    page.clock.run_for(2000)
    page.click("#text", click_count=3)
    page.clock.run_for(2000)
    for _ in range(4):
        page.click("#private")
    page.focus("#works")
    page.keyboard.press("Enter")
    assert found(page, 10_000) == []


def test_a_click_that_throws(page: Page) -> None:
    page.click("#throws")
    click, error = sorted(found(page, 7000))
    assert (click[0], click[1]["target"]) == ("client.click.error", 'button#throws "Add to basket"')
    assert error[0] == "client.error"
    assert error[1]["message"] == "ReferenceError: boom is not defined"
    assert error[1]["page"] == SITE


@pytest.mark.parametrize(
    ("button", "method", "shown"), [("fails", "POST", "Sorry"), ("xhr", "GET", "500")]
)
def test_a_click_that_ends_in_a_500(page: Page, button: str, method: str, shown: str) -> None:
    page.click(f"#{button}")
    wait_for(page, shown)
    click, request = sorted(found(page, 7000))
    assert click[0] == "client.click.error"
    assert request[0] == "client.request"
    wanted = {"method": method, "path": "/api/broken", "status": 500, "outcome": "failed"}
    assert request[1] == {**wanted, "ms": request[1]["ms"], "origin": SITE.rstrip("/")}


def test_no_value_of_an_error_is_told(page: Page) -> None:
    page.evaluate(
        "() => { Promise.reject(new Error('No card 4111 of Anna')); Promise.reject('secret') }"
    )
    page.evaluate("() => { Promise.reject(new TypeError(`Cannot use 'in' operator in secret`)) }")
    page.wait_for_function("() => found.length >= 3")
    messages = [data["message"] for _, data in found(page)]
    assert messages == ["Error", "string", "TypeError: Cannot use *"]


def test_a_form_that_refuses_again_and_again(page: Page) -> None:
    for _ in range(3):
        page.fill("[name=mail]", "nobody")
        page.click("#send")
        page.clock.run_for(1500)
    assert found(page, 1000) == [
        ("client.form.stuck", {"form": "signup", "field": "mail", "tries": 3})
    ]


def test_a_form_that_is_left(page: Page) -> None:
    page.click("[name=name]")
    page.keyboard.type("Anna")
    page.clock.run_for(3000)
    page.click("[name=company]")
    page.keyboard.type("Acme")
    page.click("[name=secret]")
    page.keyboard.type("hunter2")
    page.evaluate("() => { history.pushState({}, '', '/home?q=1'); out.textContent = 'Home' }")
    [(event_type, data)] = found(page, 32_000)
    assert event_type == "client.form.abandoned"
    assert {**data, "seconds": 3} == {
        "form": "signup",
        "fields": 2,
        "seconds": 3,
        "last": "company",
    }


def test_circles_and_waits(page: Page) -> None:
    for path in ("/a", "/b", "/c") * 3:
        page.evaluate("(path) => { history.pushState({}, '', path); out.textContent += 'x' }", path)
        page.clock.run_for(5000)
    assert [one for one, _ in found(page)] == ["client.wandering"]
    page.evaluate("() => out.setAttribute('aria-busy', 'true')")
    events = found(page, 8000)
    assert (events[-1][0], events[-1][1]["what"]) == ("client.wait", "out")


def test_traces_go_only_to_allowed_origins(page: Page) -> None:
    asked: list[dict[str, str]] = []

    def answer(route: Route) -> None:
        asked.append(route.request.headers)
        route.fulfill(
            headers={"access-control-allow-origin": "*", "access-control-allow-headers": "*"}
        )

    page.route("http://*.localhost/trace", answer)
    page.evaluate(
        "() => Promise.all(['api', 'other'].map((at) => fetch(`http://${at}.localhost/trace`).then((r) => r.text())))"
    )
    traced = {headers.get("traceparent", "")[:3] for headers in asked if "traceparent" in headers}
    assert traced == {"00-"}
    assert len([one for one in asked if "traceparent" not in one]) >= 1


def test_the_page_keeps_its_own_functions(page: Page) -> None:
    assert page.evaluate("() => fetch('data:text/plain,hi').then((r) => r.text())") == "hi"
    assert page.evaluate("() => fetch('http://[').catch((e) => e.name)") == "TypeError"
    assert (
        page.evaluate(
            "() => { const gone = new AbortController(); gone.abort();"
            " return fetch('/api/broken', {signal: gone.signal}).catch((e) => e.name) }"
        )
        == "AbortError"
    )
    assert [one for one, _ in found(page)] == []


def test_circles_through_pages_that_are_loaded_anew(page: Page) -> None:
    told: Found = []
    for path in ("a", "b", "c", "a", "b", "c", "a"):
        page.goto(SITE + path)
        page.wait_for_function("() => window[Symbol.for('forestall.signals')]")
        told += found(page, 3000)
    [(event_type, data)] = told
    assert (event_type, data["pages"], data["loops"]) == ("client.wandering", 4, 3)
