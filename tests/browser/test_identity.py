"""Who is at the computer: nobody ever sees another's messages, whoever comes and goes."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from helping import (
    CARD,
    SITE,
    WORDS,
    Device,
    empty,
    shows,
    sign_in,
    sign_out,
    streams,
    token,
    track,
)
from running import Server, cloud_event, until


@pytest.fixture
def computer(browser: Browser, server: Server) -> Iterator[Device]:
    computer = Device(browser, server)
    yield computer
    computer.close()
    streams(server, 0)


def happens(server: Server, number: int, kind: str, user: str) -> None:
    """The shop's backend tells of something, wherever the user is."""
    assert server.send([cloud_event(number, kind, user, data={})]).status_code == 202


def never(page: Page, text: str) -> None:
    """Fails if the page shows this text, or ever did since ``watched``."""
    assert text not in page.evaluate("() => window.said.join()")


def watched(page: Page) -> None:
    """Writes down whatever is shown from now on."""
    page.evaluate(
        """() => {
          window.said = [];
          const look = () => {
            const root = document.querySelector("forestall-help")?.shadowRoot;
            if (root) said.push(root.textContent);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )


def test_a_shared_computer(computer: Device, server: Server) -> None:
    page, other = computer.tab(), computer.tab()
    sign_in(page, "anna")
    track(page, "Payment Declined")
    shows(page, CARD)
    shows(other, CARD)

    sign_out(page)
    empty(page)
    empty(other)
    watched(page)
    watched(other)
    happens(server, 1, "payment.declined", "anna")
    track(other, "Search Slow")
    shows(other, WORDS)
    shows(page, WORDS)
    never(page, CARD)

    sign_in(other, "ben")
    page.reload()
    shows(page, WORDS)
    never(other, CARD)
    shows(other, WORDS)

    sign_out(page)
    empty(other)
    sign_in(page, "anna")
    shows(page, CARD)
    shows(other, CARD)
    streams(server, 1)


def test_signing_in_as_somebody_else_without_signing_out(computer: Device) -> None:
    page = computer.tab()
    sign_in(page, "clara")
    track(page, "Payment Declined")
    shows(page, CARD)
    sign_in(page, "dora")
    empty(page)
    watched(page)
    track(page, "Search Slow")
    shows(page, WORDS)
    never(page, CARD)


@pytest.mark.parametrize("known", [False, True])
def test_what_a_visitor_was_told_stays_when_they_sign_in(
    computer: Device, browser: Browser, server: Server, known: bool
) -> None:
    user = f"emma-{known}"
    elsewhere = Device(browser, server)
    if known:
        there = elsewhere.tab()
        sign_in(there, user)
        track(there, "Cart Viewed")
    page = computer.tab()
    track(page, "Payment Declined")
    shows(page, CARD)
    sign_in(page, user)
    shows(page, CARD)
    if known:
        shows(there, CARD)
    elsewhere.close()


def test_a_token_that_names_somebody_else_opens_nothing(computer: Device, server: Server) -> None:
    page = computer.tab()
    streams(server, 1)
    computer.context.route(f"{SITE}token/**", lambda route: route.fulfill(body=token("frank")))
    happens(server, 3, "payment.declined", "frank")
    sign_in(page, "gina")
    watched(page)
    streams(server, 0)
    page.wait_for_timeout(1500)
    never(page, CARD)
    streams(server, 0)


def test_no_token_stands_in_an_address(computer: Device) -> None:
    addresses: list[str] = []
    page = computer.tab()
    page.on("request", lambda request: addresses.append(request.url))
    sign_in(page, "hans")
    track(page, "Payment Declined")
    shows(page, CARD)
    assert any(one.endswith("/v1/stream") for one in addresses)
    assert [one for one in addresses if "token=" in one or "eyJ" in one] == []
    assert (
        page.evaluate("() => JSON.stringify({...localStorage, ...sessionStorage})").count("eyJ")
        == 0
    )


def test_a_token_is_fetched_again_before_it_ends(computer: Device) -> None:
    computer.lifetime = 2
    page = computer.tab()
    sign_in(page, "ida")
    until_asked(computer, page, 3)
    track(page, "Payment Declined")
    shows(page, CARD)


def until_asked(computer: Device, page: Page, times: int) -> None:
    """Waits until the shop's backend was asked so often."""

    def asked() -> bool:
        page.wait_for_timeout(50)
        return len(computer.tokens) >= times

    until(asked)


def test_a_page_that_comes_back_is_the_next_persons(computer: Device) -> None:
    page = computer.tab()
    sign_in(page, "jana")
    track(page, "Payment Declined")
    shows(page, CARD)
    page.goto(f"{SITE}bye")
    shows(page, CARD)
    sign_out(page)
    empty(page)
    page.go_back()
    page.wait_for_function("() => window[Symbol.for('forestall.help')]")
    watched(page)
    track(page, "Search Slow")
    shows(page, WORDS)
    never(page, CARD)
