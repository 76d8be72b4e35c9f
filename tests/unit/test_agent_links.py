"""Links: every way out of a message is found, and only listed places pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.intervene.agents.links import astray, mail_host

LISTED = ("shop.example.com", "*.help.example", "tel:+49 30 123456", "xn--shp-0na.example")


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example.com",
        "See https://shop.example.com/help/returns?lang=en#how.",
        "See http://shop.example.com/a.",
        "shop.example.com/terms",
        "SHOP.example.com",
        "https://shop.example.com:443/a",
        "de.help.example and https://en.help.example/x",
        "write to care@shop.example.com, please",
        "mailto:care@shop.example.com",
        "https://xn--shp-0na.example/",
        "Call +49 30 123456.",
        "Call 0049 30 123456 now",
        "tel:+4930123456",
    ],
)
def test_listed_places_pass(text: str) -> None:
    assert astray(text, LISTED) is None
    assert astray(text, ()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "e.g. two, i.e. 2, z.B. zwei, d.h. 2, at 9 a.m.",
        "on 24.12.2026 at 10:15:30, or 2026-12-24",
        "1.234,50 EUR, 1,234.50 USD, 3.5 kg",
        "version 2.4.1, Node.js, invoice.pdf",
        "the dot on the map, a point of interest, und Punkt",
        "Order 4711-000-12, item 55102",
        "Sentences end. New ones begin.",
        "30 x 20 x 10 cm (a box)",
        "The page says: 502",
        "https is shown in the address bar",
        "Opening hours 9:00-17:30",
        "",
    ],
)
def test_what_leads_nowhere_passes(text: str) -> None:
    assert astray(text, ()) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://evil.example", "link"),
        ("HTTPS://EVIL.EXAMPLE", "link"),
        ("evil.example/x", "link"),
        ("Thanks.evil.com", "link"),
        ("https://shop.example.com@evil.example", "link"),
        ("https://shop.example.com:8443", "link"),
        ("https://shop.example.com.evil.example", "link"),
        ("https://evilshop.example.com", "link"),
        ("https://help.example", "link"),
        ("https://evil-help.example", "link"),
        ("https://shop.example.com/?u=https://evil.example", "link"),
        ("https://shop.example.com/?u=%68ttps%3A%2F%2Fevil.example", "link"),
        ("https://shop.example.com/%2e%2e//evil.example", "link"),
        ("https://shop.example.com\\@evil.example", "link"),
        ("https://shop%2eexample%2ecom/", "link"),
        ("ftp://shop.example.com", "link"),
        ("javascript:alert(1)", "link"),
        ("JavaScript: alert(1)", "link"),
        ("data:text/html,x", "link"),
        ("//evil.example", "link"),
        ("http://127.0.0.1/", "link"),
        ("127.0.0.1:80", "link"),
        ("10.0.0.1", "link"),
        ("http://[::1]/", "link"),
        ("2001:db8:0:0:0:0:0:1", "link"),
        ("http://0x7f000001", "link"),
        ("http://2130706433/", "link"),
        ("https://xn--evil-0na.example", "link"),
        ("https://shöp.example.com", "link"),
        ("evil dot com", "link"),
        ("evil [dot] com", "link"),
        ("evil(.)com", "link"),
        ("evil .com", "link"),
        ("evil punkt de", "link"),
        ("evil。com", "link"),
        ("evil․com", "link"),
        ("www evil com", "link"),
        ("hxxp://evil", "link"),
        ("evil com/login", "link"),
        ("https://shop.example.com:99999/", "link"),
        ("https://[broken/", "link"),
        ("a@evil.example", "e-mail"),
        ("a@shop.example.com@evil.example", "e-mail"),
        ("a @ evil.example", "e-mail"),
        ("a(at)evil", "link"),
        ("@quickhelp", "handle"),
        ("+44 20 7946 0958", "phone"),
        ("0044 20 7946 0958", "phone"),
        ("(030) 1234567", "phone"),
        ("01711234567", "phone"),
        ("555-234-5678", "phone"),
        ("1-800-FLOWERS", "phone"),
        ("call 22 33 44 55", "phone"),
        ("five five five two three four", "phone"),
    ],
)
def test_every_other_way_out_is_found(text: str, kind: str) -> None:
    for around in ("{}", "Please see {} for help.", "({})", "Bitte: {}"):
        assert astray(around.format(text), LISTED) == kind


def test_only_one_at_sign_makes_an_address() -> None:
    assert mail_host("care@shop.example.com", LISTED)
    assert not mail_host("care@evil.example", LISTED)
    assert not mail_host("care@shop.example.com@evil.example", LISTED)
    assert not mail_host("care", LISTED)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    astray(text, LISTED)


@given(st.from_regex(r"[a-z]{3,10}\.(com|net|org|io|de|xyz)", fullmatch=True), st.text(max_size=20))
def test_a_host_is_found_wherever_it_stands(host: str, around: str) -> None:
    if host not in ("node.js",):
        assert astray(f"{around} {host} {around}", ()) is not None
