"""A folder that may not be looked into is told, wherever people's files are looked for."""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from forestall.cli import deployment
from forestall.context.knowledge.runbooks import read_folder
from forestall.context.knowledge.stock import Stock
from forestall.contracts.catalogue import read_contracts
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.folders import files_below
from forestall.kernel.settings import InvalidSettings, Settings
from forestall.policy.actions.folder import load_declarations
from forestall.policy.bundle import policy_files

RUNBOOK = """---
id: card
title: Your card
version: 1
owner: payments
review_by: 2100-01-01
---
## Customer
Try it again.
"""
TEXT = (".md",)
Close = Callable[[Path], None]


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Close:
    """Takes the right to look into a folder away, also from root."""
    scandir, closed = os.scandir, set[str]()

    def guarded(path: Any = ".") -> Any:
        if os.fspath(path) in closed:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    return lambda folder: closed.add(str(folder))


def test_files_come_in_order_and_hidden_ones_only_if_asked_for(tmp_path: Path) -> None:
    for name in ("b/c.md", "a.md", ".hidden/d.md", "b/.e.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path, TEXT) == [tmp_path / "a.md", tmp_path / "b" / "c.md"]
    assert len(files_below(tmp_path, TEXT, hidden=True)) == 4
    assert files_below(tmp_path / "nowhere", TEXT) == []
    assert files_below(tmp_path / "a.md", TEXT) == []


def test_files_are_those_with_an_ending_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    for name in ("a.md", "b.txt", "c.mdx", "d"):
        (tmp_path / name).touch()
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "piped.md").symlink_to(tmp_path / "pipe.md")
    found = files_below(tmp_path, (".md", ".txt"))
    assert [path.name for path in found] == ["a.md", "b.txt", "gone.md"]


def test_a_closed_folder_is_told_and_a_hidden_one_is_none_of_ours(
    tmp_path: Path, close: Close
) -> None:
    for name in ("open", "shut", ".git"):
        (tmp_path / name).mkdir()
    close(tmp_path / ".git")
    assert files_below(tmp_path, TEXT) == []
    close(tmp_path / "shut")
    with pytest.raises(UnreadableInput, match="shut: cannot be read: Permission denied"):
        files_below(tmp_path, TEXT)


def test_policies_contracts_and_actions_do_not_vanish(tmp_path: Path, close: Close) -> None:
    close(tmp_path)
    for look in (
        policy_files,
        read_contracts,
        lambda folder: load_declarations(folder, Settings()),
    ):
        with pytest.raises(UnreadableInput, match="cannot be read"):
            look(tmp_path)


def test_prompts_do_not_vanish(tmp_path: Path, close: Close) -> None:
    for name in ("actions", "prompts"):
        (tmp_path / name).mkdir()
    close(tmp_path / "prompts")
    with pytest.raises(UnreadableInput, match="prompts: cannot be read"):
        load_declarations(tmp_path / "actions", Settings())


def test_knowledge_stays_as_it_was(tmp_path: Path, close: Close) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "card.md").write_text(RUNBOOK)
    stock = Stock(tmp_path)
    assert stock.look(date(2027, 1, 1))
    close(tmp_path / "more")
    assert stock.look(date(2027, 1, 1))
    assert set(stock.current) == {"card"}
    (told,) = stock.problems
    assert told.code == "runbook-folder"
    assert "more: cannot be read: Permission denied" in told.message
    assert not stock.look(date(2027, 1, 1))
    assert read_folder(tmp_path)[0] == {}


def test_a_declaration_that_is_far_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * 4_000_001)
    with pytest.raises(InvalidFile, match=r"4,000,001 bytes; split it \[too-large\]"):
        load_declarations(tmp_path, Settings())


@pytest.mark.parametrize("name", ["actions/a.yaml", "prompts/a.md"])
def test_a_closed_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for folder in ("actions", "prompts"):
        (tmp_path / folder).mkdir()
    (tmp_path / name).touch()
    read_text = Path.read_text

    def refused(path: Path, **options: Any) -> str:
        if path == tmp_path / name:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(InvalidFile, match="the file cannot be read: Permission denied"):
        load_declarations(tmp_path / "actions", Settings())


def test_a_closed_contract_is_told_and_a_hidden_one_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".git/a.b.v1.json", ".a.b.v1.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{")
    assert read_contracts(tmp_path) == ([], [])
    (tmp_path / "a.b.v1.json").touch()

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UnreadableInput, match=r"a\.b\.v1\.json: cannot be read: Permission denied"):
        read_contracts(tmp_path)


def test_settings_that_nobody_may_see_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "stat", refused)
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InvalidSettings, match="cannot be read: Permission denied"):
        deployment.settings_for(None)
