"""A server in trouble is never the page's: no error, no noise, and the page loads as fast."""

import pytest
from playwright.sync_api import Browser

from benchmarks.bench_page import SLOW, WAYS, host, interval, measured, shop
from helping import BROWSERS_OWN


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_thrown_and_nothing_said(browser: Browser, way: str) -> None:
    noise: list[str] = []
    with host(way) as address, shop(address, way) as url:
        context = browser.new_context()
        page = context.new_page()
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.goto(f"{url}/with")
        page.evaluate(
            "() => { for (const word of ['track', 'page', 'identify', 'trigger', 'optOut', 'reset'])"
            " forestall[word](word) }"
        )
        page.wait_for_timeout(1000 * SLOW + 500 if way == "slow" else 700)
        page.evaluate(
            "() => { history.pushState({}, '', '?x'); dispatchEvent(new Event('pagehide')) }"
        )
        context.close()
    # A file that is not what it should be is told by the browser, whoever asked for it.
    own = (*BROWSERS_OWN, "Refused to", "MIME type", "integrity", "preload")
    assert [line for line in noise if not any(word in line for word in own)] == []


def test_a_slow_server_does_not_hold_up_the_page(browser: Browser) -> None:
    """The fastest of some loads: a machine may have other things to do."""
    with host("slow") as address, shop(address, "slow") as url:
        pairs = measured(browser, url, 3)
    assert min(load for _, (load, *_) in pairs) < 1000 * SLOW


def test_the_interval_holds_what_it_is_of() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0] * 10)
    assert 2 < low < 2.5 < high < 3
    assert interval([5.0] * 9) == (5.0, 5.0)
