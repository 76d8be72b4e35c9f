"""The stock: what is read again, what stays although its file has mistakes, what has expired."""

import datetime
from pathlib import Path

import pytest

from forestall.context.knowledge.stock import Stock
from forestall.contracts.errors import InvalidFile

DAY = datetime.date(2026, 6, 1)


def write(path: Path, *, name: str, version: int = 1, review_by: str = "2027-01-31") -> Path:
    """A small runbook; its size differs by version, as clocks of file systems are coarse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"---\nid: {name}\ntitle: A title\nversion: {version}\nowner: us\nreview_by: {review_by}\n"
        f"---\n## Customer\n{'Hello. ' * version}\n"
    )
    return path


def versions(stock: Stock) -> dict[str, int]:
    return {name: one.version for name, one in stock.runbooks.items()}


def test_a_stock_without_a_folder_is_empty() -> None:
    stock = Stock(None)
    assert stock.look(DAY)
    assert not stock.look(DAY)
    assert stock.runbooks == {}
    stock.demand()


def test_changed_new_and_removed_files_are_seen(tmp_path: Path) -> None:
    one = write(tmp_path / "a.md", name="a")
    stock = Stock(tmp_path)
    assert stock.look(DAY)
    assert versions(stock) == {"a": 1}
    assert not stock.look(DAY)
    write(one, name="a", version=2)
    write(tmp_path / "deep" / "b.md", name="b")
    assert stock.look(DAY)
    assert versions(stock) == {"a": 2, "b": 1}
    one.unlink()
    assert stock.look(DAY)
    assert versions(stock) == {"b": 1}


def test_a_file_with_mistakes_stays_as_it_was_while_others_change(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.md", name="a"), write(tmp_path / "b.md", name="b")
    stock = Stock(tmp_path)
    stock.look(DAY)
    one.write_text("---\nid: a\n---\n")
    write(two, name="b", version=2)
    assert stock.look(DAY)
    assert versions(stock) == {"a": 1, "b": 2}
    assert {problem.file for problem in stock.problems} == {str(one)}
    write(one, name="a", version=3)
    assert stock.look(DAY)
    assert versions(stock) == {"a": 3, "b": 2}
    assert stock.problems == ()


def test_a_new_file_with_mistakes_is_told_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xff")
    stock = Stock(tmp_path)
    stock.look(DAY)
    assert versions(stock) == {}
    with pytest.raises(InvalidFile, match="runbook-encoding"):
        stock.demand()


def test_a_file_that_takes_the_id_of_another_keeps_its_own(tmp_path: Path) -> None:
    write(tmp_path / "a.md", name="a")
    two = write(tmp_path / "b.md", name="b")
    stock = Stock(tmp_path)
    stock.look(DAY)
    write(two, name="a", version=7)
    stock.look(DAY)
    assert versions(stock) == {"a": 1, "b": 1}
    assert [problem.code for problem in stock.problems] == ["runbook-duplicate"]


def test_a_folder_that_vanishes_takes_nothing_along(tmp_path: Path) -> None:
    folder = tmp_path / "runbooks"
    one = write(folder / "a.md", name="a")
    stock = Stock(folder)
    stock.look(DAY)
    one.unlink()
    folder.rmdir()
    assert stock.look(DAY)
    assert versions(stock) == {"a": 1}
    assert [problem.code for problem in stock.problems] == ["runbook-folder"]


def test_what_expires_overnight_is_a_change(tmp_path: Path) -> None:
    write(tmp_path / "a.md", name="a", review_by="2026-06-01")
    write(tmp_path / "b.md", name="b")
    stock = Stock(tmp_path)
    stock.look(DAY)
    assert sorted(stock.current) == ["a", "b"]
    assert stock.look(DAY + datetime.timedelta(days=1))
    assert stock.expired == ("a",)
    assert sorted(stock.current) == ["b"]
    assert not stock.look(DAY + datetime.timedelta(days=2))


def test_other_files_that_matter_are_watched(tmp_path: Path) -> None:
    synonyms = tmp_path / "synonyms.txt"
    folder = tmp_path / "runbooks"
    write(folder / "a.md", name="a")
    stock = Stock(folder, [synonyms])
    assert stock.look(DAY)
    assert not stock.look(DAY)
    synonyms.write_text("card, payment card\n")
    assert stock.look(DAY)
    assert not stock.look(DAY)
