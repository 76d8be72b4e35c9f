"""Markdown as plain words: no marks, no tags, no addresses, nothing that turns text around."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.plain import plain


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("", ""),
        ("Just *some* __words__ and `code`.", "Just some words and code."),
        ("one\ntwo  \nthree", "one two\nthree"),
        ("one\n\n\n\ntwo", "one\n\ntwo"),
        ("[the returns page](https://x.example/r?a=1 'T')", "the returns page"),
        ("![a red button](b.png)", "a red button"),
        ("[![logo](l.png) home](/)", "logo home"),
        ("# Title\ntext", "Title\n\ntext"),
        ("> quoted\n> text", "quoted text"),
        ("- a\n- b\n  more\n\nend", "- a\n- b more\n\nend"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- a\n  - b\n- c", "- a\n- b\n- c"),
        ("|a|b|\n|-|-|\n|1||\n|2|3|", "a, b\n1\n2, 3"),
        ("    indented\n    code", "indented\ncode"),
        ("```sh\nls\n```", "ls"),
        ("5 * 3 * 2 and a_b_c", "5 * 3 * 2 and a_b_c"),
        ("a&nbsp;b &amp; &lt;c&gt;", "a\xa0b & <c>"),
        ("<b>bold</b> x<br>y <script>alert(1)</script>", "bold x\ny alert(1)"),
        ("<div>\n## Heading\n</div>", "Heading"),
        ("\\*not\\* marked", "*not* marked"),
        ("a\u202eb\u200bc\x07d", "a b c d"),
        ("---", ""),
        ("[x](javascript:alert)", "x"),
        ("[x]\n\n[x]: https://x.example", "x"),
    ],
)
def test_marks_are_gone(markdown: str, words: str) -> None:
    assert plain(markdown) == words


@given(st.text(max_size=300))
def test_any_text_gives_words(markdown: str) -> None:
    words = plain(markdown)
    assert words == words.strip()
    assert "\n\n\n" not in words
    assert not any(mark in words for mark in "\x00\r\t\u202e\u2066\ufeff")


@given(st.lists(st.text(alphabet="abc de", min_size=1, max_size=12).map(str.strip), max_size=5))
def test_words_without_marks_stay(words: list[str]) -> None:
    paragraphs = [" ".join(one.split()) for one in words if one]
    assert plain("\n\n".join(paragraphs)) == "\n\n".join(paragraphs)
