"""What ``forestall`` does with what no command can use: bytes that are no text, and Ctrl-C."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

import forestall.cli
from forestall.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["forestall", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_argument_that_is_not_utf_8_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "actions").mkdir()
    (tmp_path / "forestall.toml").write_text('[actions]\nfolder = "actions"\n')
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "agent", "try", "helper", "--input", '{"text": "\udcff"}') == 2
    told = capsys.readouterr().err
    assert told == 'a text or the name of a file is not UTF-8: \'{"text": "\\udcff"}\'\n'


def test_a_file_name_that_is_not_utf_8_is_told_where_json_cannot_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "br\udcffken.md").touch()
    assert run(monkeypatch, "knowledge", "lint", str(tmp_path), "--json") == 2
    assert "br\\udcffken.md" in capsys.readouterr().err


def test_a_stop_while_a_command_is_imported_shows_no_stack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(name: str) -> ModuleType:
        raise KeyboardInterrupt(name)

    monkeypatch.setattr(forestall.cli, "import_module", stopped)
    assert run(monkeypatch, "tone", "hello") == 130
    assert capsys.readouterr().err == "Aborted!\n"
