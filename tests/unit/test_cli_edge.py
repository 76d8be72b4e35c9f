"""``forestall edge``: the key that pages pin, and what they are given."""

import json
from pathlib import Path

import msgspec
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.contracts.control import Control, SettingsApplied, SwitchesApplied
from forestall.kernel.clock import random_id
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import control
from forestall.policy.bundle import Bundle, applied
from forestall.policy.edge_key import EdgeKey
from scenario import OPEN, on

GUIDE = {"guide": {"text": 'Hello {{ subject.name | default("you") }}!', "channel": "inapp"}}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(door(["edge"]), ["edge", *arguments])


def deployed(folder: Path, *more: Control) -> str:
    """The data folder of a server that has two policies for pages in force."""
    policies = tuple(
        on("{event: page.viewed}", name, cooldown="1h", playbook=[GUIDE], edge=True)
        for name in ("lost", "found")
    )
    records = [
        SettingsApplied(1, OPEN, "test", "test"),
        applied(Bundle(policies=policies), 1, "test", "test"),
        *more,
    ]
    log = SqliteLog(folder / "worker.db")
    log.commit([control([msgspec.structs.replace(one, received=1) for one in records])])
    log.close()
    return str(folder)


def test_the_key_is_the_one_of_the_data_folder(tmp_path: Path) -> None:
    first = run("key", "--data", str(tmp_path))
    assert (first.exit_code, first.output.strip()) == (0, EdgeKey(tmp_path, random_id).public)
    said = json.loads(run("key", "--data", str(tmp_path), "--json").output)
    assert said == {
        "public": first.output.strip(),
        "kid": EdgeKey(tmp_path, random_id).id,
        "algorithm": "Ed25519",
    }
    renewed = run("key", "--new", "--data", str(tmp_path))
    assert renewed.output != first.output
    assert run("key", "--data", str(tmp_path)).output == renewed.output
    secret = (tmp_path / "edge.key").read_text()
    assert secret not in first.output + renewed.output


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    mistyped = run("key", "--data", str(tmp_path / "dta"))
    assert "dta: there is no such data folder" in str(mistyped.exception)
    assert not (tmp_path / "dta").exists()
    (tmp_path / "edge.key").mkdir()
    result = run("key", "--data", str(tmp_path))
    assert result.exit_code != 0
    assert "edge.key: Is a directory" in str(result.exception)
    (tmp_path / "file").write_text("")
    assert "file: there is no such data folder" in str(
        run("key", "--data", str(tmp_path / "file")).exception
    )
    odd = run("key", "--new", "--data", str(tmp_path))
    assert "edge.key: cannot be used" in str(odd.exception)


def test_the_bundle_as_pages_get_it(tmp_path: Path) -> None:
    off = SwitchesApplied(1, ("found",), False, "test", "trouble")
    data = deployed(tmp_path, off)
    told = run("bundle", "--data", data)
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert lines[0].startswith("revision ")
    assert "good until" in lines[0]
    assert lines[2].startswith("lost ")
    assert lines[3:] == [
        "  on page.viewed; not again for 1h",
        "  the pass tells it name",
        '  says: Hello {{ subject.name | default("you") }}!',
        "",
        "left out:",
        "  found: it is switched off",
    ]
    said = json.loads(run("bundle", "--data", data, "--json").output)
    assert [one["name"] for one in said["bundle"]["policies"]] == ["lost"]
    assert said["left_out"] == {"found": "it is switched off"}


def test_nothing_to_serve_is_exit_code_1(tmp_path: Path) -> None:
    everything = SwitchesApplied(1, (), True, "test", "trouble")
    told = run("bundle", "--data", deployed(tmp_path, everything))
    assert told.exit_code == 1
    assert told.output.splitlines()[0] == "no policy in force is for pages to decide"


def test_without_a_server_s_folder_there_is_nothing_to_show(tmp_path: Path) -> None:
    assert "no worker.db" in str(run("bundle", "--data", str(tmp_path)).exception)
