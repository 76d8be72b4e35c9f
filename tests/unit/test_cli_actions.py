from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from examples.shop.payments import Payments
from forestall.cli.actions import app
from forestall.contracts.errors import UnreadableInput
from forestall.intervene.actions.notes import NOTES_FILE, Notes

SHOP = Path(__file__).parents[2] / "examples" / "shop" / "actions"
CANARY = "canary-4471ae"
SETTINGS = """
[actions]
folder = "{folder}"
[credentials.payments]
value = "env:PAYMENTS_TOKEN"
hosts = ["127.0.0.1"]
actions = ["payment", "tokens", "receipts", "retry-charge", "reissue-token", "resend-receipt"]
[apis.payments]
url = "http://127.0.0.1:{port}"
[outbound]
allow = ["127.0.0.1"]
"""
REALLY = ("--yes", "--by", "ann", "--why", "the customer asked")


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Payments]:
    with Payments("127.0.0.1", 0, CANARY) as payments:
        payments.add("p1")
        text = SETTINGS.format(folder=SHOP, port=payments.port)
        (tmp_path / "forestall.toml").write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PAYMENTS_TOKEN", CANARY)
        yield payments


def ran(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"})
    assert CANARY not in result.output
    return result


def outcome(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(result.stdout[result.stdout.index("{") :])
    return found


@pytest.mark.usefixtures("provider")
def test_everything_declared_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYMENTS_TOKEN")
    table = ran("list")
    assert table.exit_code == 0
    assert "retry-charge" in table.stdout
    lines = msgspec.json.decode(ran("list", "--json").stdout)
    charge = next(one for one in lines if one["name"] == "retry-charge")
    assert charge == {
        "kind": "action",
        "name": "retry-charge",
        "title": "Charge a declined payment once more",
        "risk": "high",
        "people": 1,
        "dry_run": "argument dry_run",
        "undo": True,
    }
    assert {one["kind"] for one in lines} == {"lookup", "agent", "action"}


@pytest.mark.usefixtures("provider")
def test_a_declaration_is_shown_in_full() -> None:
    shown = msgspec.json.decode(ran("show", "resend-receipt").stdout)
    assert (shown["kind"], shown["risk"], shown["deduplication"]) == ("action", "low", "dedupes")
    assert shown["verify"]["condition"] == "fields.sent == true"


def test_nothing_declared_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Nothing is declared" in ran("list").stdout
    assert ran("list", "--json").stdout == "[]\n"


def test_a_lookup_is_asked(provider: Payments) -> None:
    result = ran("run", "payment", "--with", "payment=p1")
    assert result.exit_code == 0
    assert outcome(result)["fields"]["card_brand"] == "visa"
    missing = ran("run", "payment", "--with", "payment=nope")
    assert (missing.exit_code, outcome(missing)["reason"]) == (1, "missing")
    assert provider.calls == ["getPayment", "getPayment"]


def test_a_dry_run_changes_nothing(provider: Payments) -> None:
    result = ran("run", "retry-charge", "--with", "payment=p1", "--dry-run")
    assert result.exit_code == 0
    assert outcome(result)["evidence"]["answer"]["fields"]["amount"] == 20
    assert provider.charges == {}


def test_an_action_is_run_by_somebody_for_a_reason(provider: Payments, tmp_path: Path) -> None:
    result = ran("run", "resend-receipt", "--with", "payment=p1", "--key", "k-1", *REALLY)
    assert result.exit_code == 0
    assert (outcome(result)["key"], outcome(result)["outcome"]) == ("k-1", "done")
    assert provider.resent == {"k-1": "p1"}
    notes = Notes(tmp_path / "data" / NOTES_FILE)
    (run,) = notes.by_hand()
    notes.close()
    assert (run.action, run.key, run.person, run.why, run.outcome) == (
        "resend-receipt",
        "k-1",
        "ann",
        "the customer asked",
        "done",
    )


@pytest.mark.parametrize("lacking", ["--yes", "--by", "--why"])
def test_an_action_is_not_run_just_so(provider: Payments, lacking: str) -> None:
    at = REALLY.index(lacking)
    given = REALLY[:at] + REALLY[at + (1 if lacking == "--yes" else 2) :]
    result = ran("run", "resend-receipt", "--with", "payment=p1", *given)
    assert isinstance(result.exception, UnreadableInput)
    assert "--dry-run to try it" in str(result.exception)
    assert provider.calls == []


def test_what_needs_an_approval_is_not_run_by_hand(provider: Payments) -> None:
    result = ran("run", "retry-charge", "--with", "payment=p1", *REALLY)
    assert (result.exit_code, outcome(result)["reason"]) == (1, "needs-approval")
    assert provider.calls == []


def test_arguments_come_from_a_file_and_from_options(provider: Payments, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"customer": "c0", "scope": "write"}')
    options = ("--json", "a.json", "--with", "customer=c1")
    result = ran("run", "reissue-token", *options, *REALLY)
    assert result.exit_code == 0, result.stdout
    (token,) = provider.reissued.values()
    assert (token["customer"], token["scope"]) == ("c1", "write")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing"), "nothing is declared as 'nothing' (known: payment"),
        (("show", "nothing"), "nothing is declared as 'nothing'"),
        (("run", "payment", "--with", "p1"), "write it as NAME=VALUE"),
        (("run", "payment", "--json", "none.json"), "none.json: No such file"),
        (("run", "payment", "--json", "list.json"), "not a JSON object"),
    ],
)
@pytest.mark.usefixtures("provider")
def test_bad_input_is_told(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    result = ran(*arguments)
    assert isinstance(result.exception, UnreadableInput)
    assert message in str(result.exception)


def test_values_are_read_by_their_type(provider: Payments) -> None:
    wrong = ran("run", "payment", "--with", "payment=5")
    assert outcome(wrong)["reason"] == "missing", "a text stays a text"
    extra = ran("run", "payment", "--with", "payment=p1", "--with", "x=[1]")
    assert outcome(extra)["reason"] == "bad-arguments"
    assert provider.calls == ["getPayment"]
