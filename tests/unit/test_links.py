"""Links of a Markdown text: where they lead and where they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.links import links_of


def test_every_link_and_picture_is_found_where_it_stands() -> None:
    text = "# T\n\nsee [a](one.md#how) and\n![p](x/p.png)\n\n- <https://x.example/y>\n- [b][ref]\n\n[ref]: #here\n"
    found = list(links_of(text))
    assert [(one.scheme, one.path, one.anchor) for one in found] == [
        ("", "one.md", "how"),
        ("", "x/p.png", ""),
        ("https", "", ""),
        ("", "", "here"),
    ]
    assert [text[one.offset :].startswith(one.url) for one in found] == [True, True, True, False]


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("javascript:alert(1)", "javascript"),
        ("JaVaScRiPt:x", "javascript"),
        ("java&#10;script:x", "javascript"),
        ("data:text/html;x", "data"),
        ("mailto:a@example.com", "mailto"),
        ("//evil.example/x", "https"),
        ("tel:+49", "tel"),
    ],
)
def test_where_else_a_link_leads(url: str, scheme: str) -> None:
    assert [one.scheme for one in links_of(f"[x]({url})")] == [scheme]


def test_an_encoded_path_is_read() -> None:
    (one,) = links_of("[x](a%20b.md#c%20d)")
    assert (one.path, one.anchor) == ("a b.md", "c d")


@given(st.text(max_size=200))
def test_any_text_has_links_or_none(text: str) -> None:
    assert all(0 <= one.offset <= len(text) for one in links_of(text))
    assert all(0 <= one.offset <= len(text) + 8 for one in links_of(f"[x](<{text}>)"))
