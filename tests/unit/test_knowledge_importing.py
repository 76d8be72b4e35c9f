"""Importing again and again: what is new, changed, edited here, gone there, and never lost."""

import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.importing import (
    Article,
    Defaults,
    LeftOut,
    Told,
    import_articles,
    tidy_title,
)
from forestall.context.knowledge.runbooks import Runbook, load_runbooks, passages_of
from forestall.contracts.errors import UnreadableInput

DEFAULTS = Defaults(owner="care", review_by=datetime.date(2027, 6, 30))


def article(number: int = 1, title: str = "A title", text: str = "Some text.") -> Article:
    return Article(
        source=f"x:{number}",
        name=title,
        other=str(number),
        title=title,
        markdown=text,
        language="en",
    )


def run(
    out: Path,
    *articles: Article,
    left: tuple[LeftOut, ...] = (),
    defaults: Defaults = DEFAULTS,
    force: bool = False,
    dry: bool = False,
) -> list[Told]:
    return import_articles(articles, left, out, defaults, origin="x:", force=force, dry=dry)


def whats(told: list[Told]) -> list[str]:
    return [f"{one.what}{'!' if one.wrong else ''}" for one in told]


def books(out: Path) -> dict[str, Runbook]:
    return dict(load_runbooks(out))


def contents(out: Path) -> dict[str, tuple[bytes, int]]:
    files = sorted(out.iterdir()) if out.exists() else []
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_new_article_is_written_with_its_front_matter(tmp_path: Path) -> None:
    (told,) = run(tmp_path / "deep" / "out", article())
    assert (told.what, told.wrong) == ("new", False)
    assert Path(str(told.file)) == tmp_path / "deep" / "out" / "a-title.md"
    book = books(tmp_path)["a-title"]
    assert (book.kind, book.title, book.version, book.owner) == ("article", "A title", 1, "care")
    assert (book.language, book.review_by) == ("en", datetime.date(2027, 6, 30))
    assert [one.text for one in passages_of(book)] == ["Some text."]


def test_the_same_again_touches_nothing(tmp_path: Path) -> None:
    run(tmp_path, article(1), article(2, "Other"))
    before = contents(tmp_path)
    assert whats(run(tmp_path, article(1), article(2, "Other"))) == ["unchanged", "unchanged"]
    assert contents(tmp_path) == before


def test_what_changed_gets_the_next_version_and_a_later_review(tmp_path: Path) -> None:
    run(tmp_path, article())
    later = msgspec.structs.replace(DEFAULTS, review_by=datetime.date(2028, 1, 1), owner="others")
    assert whats(run(tmp_path, article(text="Other text."), defaults=later)) == ["updated"]
    book = books(tmp_path)["a-title"]
    assert (book.version, book.review_by, book.owner) == (2, datetime.date(2028, 1, 1), "care")
    assert whats(run(tmp_path, article(title="Renamed", text="Other text."))) == ["updated"]
    renamed = books(tmp_path)["a-title"]
    assert (renamed.version, renamed.title) == (3, "Renamed")
    assert renamed.review_by == datetime.date(2028, 1, 1)


def test_what_was_added_to_the_front_matter_stays(tmp_path: Path) -> None:
    run(tmp_path, article())
    path = tmp_path / "a-title.md"
    more = "signals: [payment.failed]\nactions: [retry]\nsteps: [Look.]\nproducts: [shop]\n"
    path.write_text(path.read_text().replace("owner: care\n", f"owner: me\n{more}"))
    assert whats(run(tmp_path, article(text="New."))) == ["updated"]
    book = books(tmp_path)["a-title"]
    assert (book.owner, book.signals, book.actions) == ("me", ("payment.failed",), ("retry",))
    assert (book.steps, book.products) == (("Look.",), ("shop",))


def test_what_was_edited_here_is_kept_unless_forced(tmp_path: Path) -> None:
    run(tmp_path, article())
    path = tmp_path / "a-title.md"
    path.write_text(path.read_text().replace("Some text.", "Better text."))
    assert whats(run(tmp_path, article())) == ["unchanged"]
    (told,) = run(tmp_path, article(text="New."))
    assert (told.what, told.wrong) == ("kept", True)
    assert "Better text." in path.read_text()
    assert whats(run(tmp_path, article(text="New."), force=True)) == ["updated"]
    assert "New." in path.read_text()
    assert whats(run(tmp_path, article(text="New."))) == ["unchanged"]


def test_force_brings_back_what_was_edited_though_nothing_changed_there(tmp_path: Path) -> None:
    run(tmp_path, article())
    path = tmp_path / "a-title.md"
    path.write_text(path.read_text().replace("Some text.", "Better text."))
    assert whats(run(tmp_path, article(), force=True)) == ["updated"]
    assert books(tmp_path)["a-title"].version == 2
    assert whats(run(tmp_path, article(), force=True)) == ["unchanged"]


def test_articles_of_the_same_name_get_other_ids_and_keep_them(tmp_path: Path) -> None:
    told = run(tmp_path, article(7), article(3))
    assert [Path(str(one.file)).stem for one in told] == ["a-title", "a-title-7"]
    assert told[1].about == ("the id a-title is taken",)
    assert whats(run(tmp_path, article(7, text="New."))) == ["gone!", "updated"]
    assert books(tmp_path)["a-title-7"].imported is not None


def test_files_that_were_not_imported_are_never_written_over(tmp_path: Path) -> None:
    mine = tmp_path / "a-title.md"
    mine.write_text("my notes")
    (told,) = run(tmp_path, article(), force=True)
    assert Path(str(told.file)).name == "a-title-1.md"
    assert mine.read_text() == "my notes"


def test_ids_of_the_other_runbooks_are_taken(tmp_path: Path) -> None:
    taken = msgspec.structs.replace(DEFAULTS, taken=frozenset({"a-title", "a-title-1"}))
    (told,) = run(tmp_path, article(), defaults=taken)
    assert Path(str(told.file)).name == "a-title-1-2.md"


def test_what_is_gone_or_withdrawn_is_told_and_stays(tmp_path: Path) -> None:
    run(tmp_path, article(1), article(2, "Other"))
    told = run(tmp_path, left=(LeftOut("x:2", "a draft"), LeftOut("x:9", "a draft")))
    assert whats(told) == ["gone!", "left out!", "left out"]
    assert sorted(books(tmp_path)) == ["a-title", "other"]


def test_imports_of_another_kind_are_not_gone(tmp_path: Path) -> None:
    run(tmp_path, article(1))
    other = import_articles([], [], tmp_path, DEFAULTS, origin="html:")
    assert other == []


def test_a_moved_file_is_found_by_its_source(tmp_path: Path) -> None:
    run(tmp_path, article())
    (tmp_path / "sub").mkdir()
    (tmp_path / "a-title.md").rename(tmp_path / "sub" / "moved.md")
    (told,) = run(tmp_path, article(text="New."))
    assert (told.what, told.file) == ("updated", str(tmp_path / "sub" / "moved.md"))
    assert not (tmp_path / "a-title.md").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert whats(run(tmp_path / "out", article(), dry=True)) == ["new"]
    assert not (tmp_path / "out").exists()


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    out = tmp_path / "out"
    run(out, article())
    text = (out / "a-title.md").read_text()
    outside.write_text(text)
    (out / "a-title.md").unlink()
    (out / "a-title.md").symlink_to(outside)
    assert whats(run(out, article(text="New."))) == ["updated"]
    assert outside.read_text() == text
    assert not (out / "a-title.md").is_symlink()


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UnreadableInput, match="cannot be written"):
        run(tmp_path / "out", article())


def test_an_agents_part_from_elsewhere_is_told(tmp_path: Path) -> None:
    (told,) = run(tmp_path, article(text="Hi.\n\n## Agent\n\nthem"))
    assert told.about == ("what stands under the heading Agent is kept from customers",)


def test_titles_are_one_line() -> None:
    assert tidy_title("  a\n\tb  ") == "a b"
    assert len(tidy_title("x" * 900)) == 200


TEXTS = st.text(st.characters(exclude_categories=["C"], include_characters="\n"), max_size=60)


@given(st.lists(st.tuples(st.text(max_size=30), TEXTS), max_size=5))
def test_importing_twice_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, pages: list[tuple[str, str]]
) -> None:
    out = tmp_path_factory.mktemp("out")
    articles = [
        article(number, tidy_title(title) or "untitled", f"{text}.")
        for number, (title, text) in enumerate(pages)
    ]
    assert set(whats(run(out, *articles))) <= {"new"}
    before = contents(out)
    assert set(whats(run(out, *articles))) <= {"unchanged"}
    assert contents(out) == before
    assert len(load_runbooks(out)) == len(articles)
