"""``forestall explain`` over a server's data folder, as a support lead meets it."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.kernel.clock import random_id
from forestall.kernel.database.files import open_database
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.policy.bundle import Bundle
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Vault
from scenario import OPEN, START, event, instant, on, records

app = door()

TWICE = on("{sequence: [{event: payment.declined, times: 2}], within: 10m}", "declined", "2h")


def declined(at: float, subject: str) -> bytes:
    return event(at, "payment.declined", {}, subject=subject)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ann, whom the vault knows, was a visitor until she signed in 100 seconds after the start."""
    signals: list[Record] = records(
        declined(0, "visitor"),
        declined(5, "visitor"),
        declined(90, "visitor"),
        event(100, "forestall.alias", {"from": "visitor"}, subject="ann-now"),
        declined(110, "ann-now"),
    )
    log = SqliteLog(tmp_path / "gateway.db")
    log.commit([streams.signals(signals)], tick=START + 200 * SECOND)
    log.close()
    connection = open_database(tmp_path / "gateway.db")
    vault = Vault(connection, load_keys(tmp_path, random_id, create=True), random_id)
    vault.lay()
    vault.assign("anonymous", "cookie", "visitor")
    vault.assign("user", "ann", "ann-now")
    vault.join("visitor", "ann-now")
    connection.close()
    log = SqliteLog(tmp_path / "worker.db")
    first = opening(Bundle(policies=(TWICE,)), OPEN)
    log.commit([streams.control([replace(one, received=START) for one in first])])
    log.close()
    return tmp_path


def explain(folder: Path, subject: str, *more: str) -> Result:
    command = ["explain", "--data", str(folder), "--subject", subject, "--policy", "declined"]
    return CliRunner().invoke(app, [*command, *more])


def test_a_customers_own_id_and_a_no_with_its_counterfactual(folder: Path) -> None:
    told = explain(folder, "ann")
    assert told.exit_code == 0, told.output
    assert "declined for ann-now" in told.output
    assert "payment.declined@110  (counts)" in told.output
    assert (
        "No: at 2024-05-01T12:01:50Z it had 1 of 2 steps. It would have acted if one more"
        " `payment.declined` had come by 2024-05-01T12:11:50Z." in told.output
    )


def test_a_visitors_pseudonym_is_its_own_before_the_sign_in_and_the_customers_after(
    folder: Path,
) -> None:
    before = json.loads(explain(folder, "visitor", "--at", instant(99), "--json").stdout)
    assert (before["subject"], before["answer"]) == ("visitor", "yes")
    assert [one["id"] for one in before["matched"]] == ["payment.declined@0", "payment.declined@5"]
    after = json.loads(explain(folder, "visitor", "--json").stdout)
    assert (after["subject"], after["answer"]) == ("ann-now", "no")


def test_yes_names_the_matched_events_with_type_and_time(folder: Path) -> None:
    told = explain(folder, "visitor", "--at", instant(20)).output
    assert "  2024-05-01T12:00:00Z  payment.declined  payment.declined@0  (counts)" in told
    assert "Yes, at 2024-05-01T12:00:05Z." in told
    assert "  ok  cooldown" in told


def test_what_cannot_be_explained(folder: Path) -> None:
    assert explain(folder, "bob").exit_code == 1
    error = explain(folder, "ann", "--at", "yesterday").exception
    assert "--at: 'yesterday' is not an RFC 3339 time" in str(error)
    told = explain(folder, "visitor", "--at", instant(-1))
    assert (told.exit_code, "No policy called declined was in force." in told.output) == (0, True)


@pytest.mark.parametrize(
    ("name", "hint"), [("decline", "did you mean `declined`?"), ("x", "there are: declined")]
)
def test_a_policy_that_never_was_is_told_with_those_that_are(
    folder: Path, name: str, hint: str
) -> None:
    for more in ((), ("--json",)):
        command = ["explain", "--data", str(folder), "--subject", "ann", "--policy", name, *more]
        told = CliRunner().invoke(app, command)
        assert isinstance(told.exception, UnreadableInput)
        assert told.exception.exit_code == 2
        assert str(told.exception) == f"no policy {name!r} was ever in force; {hint}"
        assert told.output == ""


def test_which_argument_was_wrong_is_told(folder: Path) -> None:
    before = json.loads(explain(folder, "visitor", "--at", instant(99), "--json").stdout)
    data = {
        "intervention": before["decision"]["id"],
        "policy": "declined",
        "version": "v",
        "step": 2,
        "reason": "bad-arguments",
        "detail": "arguments.payment: event.data.payment has no value",
    }
    failed = event(120, "forestall.intervention.failed", data, subject="visitor")
    other = event(
        121, "forestall.intervention.failed", {**data, "intervention": "x"}, subject="visitor"
    )
    log = SqliteLog(folder / "gateway.db")
    log.commit([streams.signals(records(failed, other))], tick=START + 300 * SECOND)
    log.close()
    after = explain(folder, "visitor", "--at", instant(99)).output
    assert after.endswith(
        "  step 2: failed (bad-arguments): arguments.payment: event.data.payment has no value\n"
    )
    assert after.count("bad-arguments") == 1


def test_what_agents_concluded_is_told_whoever_the_customer_was(folder: Path) -> None:
    (before,) = [json.loads(explain(folder, "visitor", "--at", instant(99), "--json").stdout)]
    assert before["inferences"] == []
    how = {"agent": "helper", "version": "a" * 64, "by": "composer", "fallback": "no-model"}
    data = {
        "intervention": before["decision"]["id"],
        "policy": "declined",
        "version": "v",
        "step": 1,
        "fields": {},
        "plan": {"message": "Try another card."},
        "inference": how,
    }
    log = SqliteLog(folder / "gateway.db")
    filled = records(
        event(120, "forestall.intervention.filled", data, subject="visitor"),
        event(130, "forestall.intervention.filled", {**data, "step": 2}, subject="ann-now"),
    )
    log.commit([streams.signals(filled)], tick=START + 300 * SECOND)
    log.close()
    after = explain(folder, "visitor", "--at", instant(99))
    assert after.exit_code == 0, after.output
    assert "step 1: helper planned\n  message      Try another card.\n" in after.output
    assert "step 2: helper planned" in after.output
    assert "fallback     no-model" in after.output
    told = json.loads(explain(folder, "visitor", "--at", instant(99), "--json").stdout)
    assert [one["inference"] for one in told["inferences"]] == [how, how]
    assert told["inferences"][0]["plan"] == {"message": "Try another card."}
