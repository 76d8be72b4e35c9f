import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from forestall.channels.parking import HEALTH_FILE, Health, SqliteHealth
from forestall.cli.webhooks import app
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import HOUR

SETTINGS = """
[server]
data = "."
[webhooks.crm]
url = "https://crm.example/hook"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
[webhooks.push]
url = "https://push.example/hook"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "forestall.toml"
    path.write_text(SETTINGS)
    return path


def park(config: Path, name: str = "crm") -> None:
    store = SqliteHealth(config.parent / HEALTH_FILE)
    store.save(name, Health(12, HOUR, 2 * HOUR, "answered 503"))
    store.close()


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_endpoints_are_well_until_something_is_heard(config: Path) -> None:
    listed = run("list", "--config", config, "--json")
    assert listed.exit_code == 0
    assert [(one["name"], one["state"]) for one in json.loads(listed.stdout)] == [
        ("crm", "well"),
        ("push", "well"),
    ]
    assert "whsec_" not in listed.stdout
    assert not (config.parent / HEALTH_FILE).exists()


def test_a_parked_endpoint_is_reported(config: Path) -> None:
    park(config)
    listed = run("list", "--config", config, "--json")
    assert listed.exit_code == 1
    assert json.loads(listed.stdout)[0] == {
        "name": "crm",
        "url": "https://crm.example/hook",
        "state": "parked",
        "failures": 12,
        "since": "1970-01-01T02:00:00.000000Z",
        "why": "answered 503",
    }
    assert "answered 503" in run("list", "--config", config).stdout


def test_a_mended_endpoint_is_unparked_once(config: Path) -> None:
    park(config)
    first, second = (run("unpark", "crm", "--config", config) for _ in range(2))
    assert (first.exit_code, first.stdout) == (0, "crm is unparked.\n")
    assert (second.exit_code, second.stdout) == (1, "crm was not parked.\n")
    assert run("list", "--config", config).exit_code == 0


def test_an_unknown_endpoint_is_told(config: Path) -> None:
    with pytest.raises(UnreadableInput, match="known: crm, push"):
        run("unpark", "sms", "--config", config)
