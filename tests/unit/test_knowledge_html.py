"""HTML as Markdown: what is read on a page stays, what runs, hides or surrounds it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.html import DEEPEST, LARGEST, MOST, Unusable, read_page
from forestall.context.knowledge.plain import plain

PAGE = """<!doctype html><html lang="de-DE"><head><title>Returns &ndash; Shop help</title>
<style>p {color: red}</style><script>track()</script></head>
<body><header><a href="/">Shop</a></header><nav>Menu</nav>
<main><h1>Returns</h1><p>Open <b>Orders</b>.</p><h2>Costs</h2><ul><li>Free<ul><li>here</li></ul></li></ul>
<table><tr><th>a</th><th>b</th></tr><tr><td>1|2</td><td>3</td></tr></table></main>
<aside>Ads</aside><footer>Imprint</footer></body></html>"""

TAGS = st.one_of(
    st.sampled_from(
        ["p", "div", "h2", "b", "script", "a", "ul", "li", "table", "td", "pre"]
    ).flatmap(lambda name: st.sampled_from([f"<{name}>", f"</{name}>"])),
    st.sampled_from(
        ["<a href='javascript:x'>", "<img alt='x'>", "<br>", "&amp;", "&#0;", "<", "x "]
    ),
    st.sampled_from(["<!--", "-->", "<![CDATA[", "]]>", "<?", ">", "\n", "[", "](", "*", "`"]),
)


def body(html: str) -> str:
    return read_page(html, whole=False).markdown


def test_a_page_is_what_is_read_on_it() -> None:
    page = read_page(PAGE)
    assert (page.title, page.language) == ("Returns", "de")
    assert page.markdown == (
        "Open **Orders**.\n\n## Costs\n\n- Free\n  - here\n\n"
        "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"
    )
    assert page.told == ()


@pytest.mark.parametrize(
    ("tag", "language"), [("DE-at", "de"), ("xx", None), ("x-default", None), ("fil", None)]
)
def test_the_language_of_a_page_is_one_that_there_is(tag: str, language: str | None) -> None:
    assert read_page(f"<html lang='{tag}'><p>x</p></html>").language == language


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title>Fees | Help</title><h1>Fees</h1><p>x", "Fees"),
        ("<title>Fees</title><h1>What it costs</h1><p>x", "Fees"),
        ("<h1>What it <i>costs</i></h1><p>x", "What it costs"),
        ("<title> Fees\n</title><p>x", "Fees"),
        ("<p>x", ""),
    ],
)
def test_where_the_title_comes_from(html: str, title: str) -> None:
    assert read_page(html).title == title


def test_a_heading_that_is_not_the_title_stays() -> None:
    assert read_page("<title>Fees</title><h1>Costs</h1><p>x").markdown == "# Costs\n\nx"
    assert body("<h1>Costs</h1><p>x") == "# Costs\n\nx"


@pytest.mark.parametrize(
    "html",
    [
        "<script>steal()</script>",
        "<style>p{}</style>",
        "<iframe src='https://x.example'>steal</iframe>",
        "<svg><text>steal</text></svg>",
        "<template>steal</template>",
        "<p hidden>steal</p>",
        "<p style='DISPLAY : none'>steal</p>",
        "<span style='font-size:0'>steal</span>",
        "<span aria-hidden='true'>steal</span>",
        "<!-- steal -->",
        "<form>steal <button>steal</button></form>",
        "<div role='navigation'>steal</div>",
        "<noscript>steal</noscript>",
        "<p onclick='steal()' title='steal'></p>",
        "<img src='data:text/html,steal' onerror='steal()'>",
        "<object data='steal'>steal</object>",
    ],
)
def test_what_runs_hides_or_surrounds_is_gone(html: str) -> None:
    assert "steal" not in body(f"<p>before</p>{html}<p>after</p>")
    assert body(f"<p>before</p>{html}<p>after</p>").split() == ["before", "after"]


@pytest.mark.parametrize(
    "html",
    [
        "<html lang='en'><title>Fees</title><nav>Menu</nav><main><p>Text.</p></main></html>",
        "<title>Fees</title><header>Shop</header><section>Text.</section>",
        "<head><title>Fees</title><p>Text.</p></head>",
        "<article><h1>Fees</h1>Text.</article><article hidden>x</article>",
        "<title>Fees</title>Text.",
    ],
)
def test_pages_without_a_body_are_read(html: str) -> None:
    page = read_page(html)
    assert (page.title, page.markdown) == ("Fees", "Text.")


def test_what_was_taken_out_is_told() -> None:
    html = "<p hidden>a</p><p hidden></p><script></script><iframe></iframe><a href='data:x'>y</a>"
    assert read_page(html).told == ("2 × script or frame", "1 × hidden text", "1 × unsafe link")


@pytest.mark.parametrize(
    ("link", "markdown"),
    [
        ("<a href='https://x.example/a_(b)?c=d'>x</a>", "[x](https://x.example/a_%28b%29?c=d)"),
        ("<a href='/hc/articles/1'>x</a>", "[x](/hc/articles/1)"),
        ("<a href='mailto:a@x.example'>x</a>", "[x](mailto:a@x.example)"),
        ("<a href='#top'>x</a>", "x"),
        ("<a href='other.html'>x</a>", "x"),
        ("<a>x</a>", "x"),
        ("<a href=' java\nscript:alert(1)'>x</a>", "x"),
        ("<a href='JAVASCRIPT:alert(1)'>x</a>", "x"),
        ("<a href='java%0ascript:alert(1)'>x</a>", "x"),
        ("<a href='&#106;avascript:alert(1)'>x</a>", "x"),
        ("<a href='vbscript:x'>x</a>", "x"),
        ("<a href='file:///etc/passwd'>x</a>", "x"),
        ("<img src='https://x.example/p.png' alt='a [red] button'>", "a \\[red\\] button"),
    ],
)
def test_links_and_pictures(link: str, markdown: str) -> None:
    assert body(f"<p>{link}</p>") == markdown


@pytest.mark.parametrize(
    "text",
    ["# no heading", "1. no list", "- no list", "a_b_c", "*stars*", "[x](y)", "<b>no tag</b>",
     "`code`", "> no quote", "| a | b |", "a\\b", "+ x", "=== x", "~~~", "---"],
)  # fmt: skip
def test_text_that_looks_like_marks_reads_as_it_stands(text: str) -> None:
    escaped = text.replace("<", "&lt;")
    assert plain(body(f"<p>{escaped}</p>")) == text


def test_code_stays_as_it_is() -> None:
    assert plain(body("<pre><code>a_b = [1]\n# x</code></pre>")) == "a_b = [1]\n# x"


def test_bytes_in_other_encodings_are_read() -> None:
    html = "<meta charset='iso-8859-1'><title>Größe</title><p>Rück"
    page = read_page(html.encode("latin-1"))
    assert (page.title, page.markdown) == ("Größe", "Rück")


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ("x" * (LARGEST + 1), "larger"),
        ("<div>" * (DEEPEST + 1), "nested"),
        ("<b>x</b>" * (MOST + 1), "elements"),
    ],
)
def test_what_is_too_much_is_refused(html: str, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        read_page(html)


def test_what_is_no_text_is_refused_and_utf_16_is_text() -> None:
    with pytest.raises(Unusable, match="not text"):
        read_page(b"\x7fELF\x00\x01 words")
    assert read_page("<title>T</title><p>Größe</p>".encode("utf-16")).markdown == "Größe"


def test_deep_pages_below_the_limit_are_read() -> None:
    half = (DEEPEST - 4) // 2
    assert body("<ul><li>" * half + "x").endswith("x")
    assert "x" in body("<blockquote>" * (DEEPEST - 4) + "x")


@pytest.mark.parametrize(
    "part", ["<a ", "<!--", "</", "<![CDATA[", "&#", "<a x='", "<?", "<script>"]
)
def test_tags_that_never_end_are_harmless(part: str) -> None:
    assert read_page(part * 100_000).title == ""


@given(st.lists(TAGS, max_size=60).map("".join))
def test_any_mixture_of_tags_is_read(html: str) -> None:
    page = read_page(html)
    assert "](javascript:" not in page.markdown
    assert page.markdown == page.markdown.strip()


@given(st.binary(max_size=300), st.sampled_from([b"", b"<p>", b"<html><body><main><h1>"]))
def test_any_bytes_are_read_or_are_not_text(raw: bytes, start: bytes) -> None:
    if b"\x00" in raw and not (start + raw).startswith((b"\xff\xfe", b"\xfe\xff")):
        with pytest.raises(Unusable, match="not text"):
            read_page(start + raw)
        return
    page = read_page(start + raw)
    assert "\x00" not in page.markdown
    assert "\r" not in page.markdown
