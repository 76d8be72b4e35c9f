"""Tables are printed whole, so that ids can be copied and lines searched."""

from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from forestall.cli.contracts import app
from forestall.cli.tables import print_table


def test_nothing_is_cut_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = Table("id", "why", box=None)
    table.add_row("0123456789abcdef" * 2, "a sentence of several words")
    print_table(table)
    head, row = capsys.readouterr().out.splitlines()
    assert row.split(maxsplit=1) == ["0123456789abcdef" * 2, "a sentence of several words "]
    assert head.split() == ["id", "why"]


def test_contracts_are_listed_whole(tmp_path: Path) -> None:
    name = "checkout.delivery-chosen-again"
    (tmp_path / f"{name}.v1.json").write_text('{"x-owner": "checkout"}')
    listed = CliRunner().invoke(app, ["list", str(tmp_path)], env={"COLUMNS": "30"})
    assert listed.exit_code == 0, listed.output
    assert listed.stdout.splitlines()[1].split()[:3] == [name, "1", "checkout"]


def test_a_folder_without_contracts_is_said_so(tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["list", str(tmp_path)])
    assert (listed.exit_code, listed.stdout) == (0, f"There are no contracts in {tmp_path}.\n")
