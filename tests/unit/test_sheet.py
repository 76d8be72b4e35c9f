"""A sheet is one file that loads nothing; what is written to a file is, or it is said why not."""

import re
from pathlib import Path

import pytest

from forestall.cli.writing import write
from forestall.console.sheet import sheet
from forestall.contracts.errors import UnreadableInput


def test_a_sheet_holds_all_that_it_is_given_and_loads_nothing() -> None:
    page = sheet("a title", "a heading", "since May", ["<p>one</p>", "", "<p>two</p>"], "by hand")
    assert "<title>a title · Forestall</title>" in page
    assert "<h1>a heading</h1>" in page
    assert '<p class="span">since May</p>' in page
    assert '<main id="main" tabindex="-1">\n<p>one</p>\n<p>two</p>\n</main>' in page
    assert "<footer>\n  <p>by hand</p>\n</footer>" in page
    assert "$" not in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_further_styles_come_after_those_of_all_sheets() -> None:
    plain, more = (sheet("t", "h", "s", [], "f", style) for style in ((), ("effect.css",)))
    added = len(more) - len(plain)
    assert added > 100
    assert more.index("</style>") == plain.index("</style>") + added


def test_a_file_is_written_or_the_error_says_where(tmp_path: Path) -> None:
    write(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    with pytest.raises(UnreadableInput, match=r"no/such: cannot be written: No such file"):
        write(tmp_path / "no" / "such", b"")
