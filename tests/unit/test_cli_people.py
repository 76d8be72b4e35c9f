"""The commands of people, against the real API on loopback."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from flow.staffed import ANN, BOB, CAT, DAN, EVE, Staffed
from forestall.cli import door, person
from forestall.cli.person import TOKEN, Refused, ServerSilent
from forestall.console.api import Api
from forestall.contracts.errors import UnreadableInput
from forestall.ingest.exchange import App, Receive, Response, Scope, Send, respond
from forestall.ingest.serve import Server, listen
from forestall.intervene.receipts import KeyUnreadable, ReceiptInvalid
from running import free_port, until

app = door()


def serving(application: App) -> Iterator[int]:
    """The port on which ``application`` is served."""
    bound = listen("127.0.0.1", 0)
    server = Server(application, 1)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    until(lambda: server.started)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    bound.close()
    assert not thread.is_alive()


@pytest.fixture
def staffed(tmp_path: Path) -> Staffed:
    return Staffed(tmp_path)


@pytest.fixture
def port(staffed: Staffed) -> Iterator[int]:
    yield from serving(Api(staffed.office))


class Shell:
    """Runs ``forestall`` as somebody."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.config = folder / "forestall.toml"
        self.config.write_text(f"[server]\nport = {port}\n")

    def run(self, *arguments: object, token: str = ANN) -> Result:
        words = [str(one) for one in arguments]
        if "verify" not in words:
            words += ["--config", str(self.config)]
        result = CliRunner().invoke(app, words, env={TOKEN: token, "COLUMNS": "250"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def text(self, *arguments: object, token: str = ANN) -> str:
        result = self.run(*arguments, token=token)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def shell(tmp_path: Path, port: int) -> Shell:
    return Shell(tmp_path, port)


def test_an_approval_is_listed_shown_and_approved(shell: Shell, staffed: Staffed) -> None:
    assert shell.text("approval", "list") == "Nothing waits.\n"
    assert "no such requests" in shell.text("approval", "list", "--status", "void")
    asked = staffed.ask("s1", "s2")
    listed = shell.text("approval", "list")
    assert asked.id in listed
    assert "amount=20, payment=p1" in listed
    assert len(json.loads(shell.text("approval", "list", "--json"))) == 2
    shown = shell.text("approval", "show", asked.id)
    for words in (
        "retry-charge",
        "amount      20",
        'payment.failed {"payment":"p1","amount":20}',
        "looked up     nothing",
        "2 undecided for the same action",
        "A second charge.",
        "dry run       done\n  would       charge 20\n",
        "escalate to payments",
        "1 of role approver until 2023-11-14T22:43:",
    ):
        assert words in shown
    assert json.loads(shell.text("approval", "show", asked.id, "--json"))["hash"] == asked.hash
    told = shell.text("approval", "approve", asked.id, "--reason", "I looked")
    assert told == f"{asked.id} is approved.\n"
    assert "by ann (Head of payments)" in shell.text("approval", "show", asked.id)
    with pytest.raises(Refused, match=r"^too-late: approved: "):
        shell.run("approval", "decline", asked.id, "--reason", "too late")


def test_what_customers_send_does_not_look_like_our_words(shell: Shell, staffed: Staffed) -> None:
    lie = "p1\ndry run       done\x1b[2K\u202e[bold]"
    asked = staffed.ask(payment=lie)
    told = r"p1\u000adry run       done\u001b[2K\u202e[bold]"
    assert told in shell.text("approval", "show", asked.id)
    assert told in shell.text("approval", "list")
    why = "look: [red]\x07"
    shell.text("pause", "--policy", "[bold]", "--reason", why, token=CAT)
    assert "[bold]" in shell.text("pauses")
    assert r"look: [red]\u0007" in shell.text("records")


def test_a_second_person_is_asked_for(shell: Shell, staffed: Staffed) -> None:
    staffed.demands["retry-charge"] = 2
    asked = staffed.ask()
    first = shell.text("approval", "approve", asked.id, "--reason", "one")
    assert first == f"{asked.id} has your yes; it needs 2 people.\n"
    with pytest.raises(Refused, match=r"^own-request: "):
        shell.run("approval", "approve", asked.id, "--reason", "again")
    second = shell.text("approval", "approve", asked.id, "--reason", "two", token=BOB)
    assert second == f"{asked.id} is approved.\n"


def test_declining_says_so(shell: Shell, staffed: Staffed) -> None:
    asked = staffed.ask()
    told = shell.text("approval", "decline", asked.id, "--reason", "too dear")
    assert told == f"{asked.id} is declined.\n"


def test_a_receipt_verifies_with_no_server(
    shell: Shell, staffed: Staffed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = staffed.ask()
    shell.text("approval", "approve", asked.id, "--reason", "I looked")
    receipt, key = tmp_path / "receipt.json", tmp_path / "key.pem"
    receipt.write_text(shell.text("approval", "receipt", asked.id))
    key.write_text(shell.text("approval", "key"))
    monkeypatch.delattr(person, "_exchange")
    told = shell.text("approval", "verify", receipt, "--key", key)
    assert told.startswith("The receipt is good.\n")
    assert "by ann (Head of payments) at 2023-11-14T22:13:" in told
    statement = json.loads(shell.text("approval", "verify", receipt, "--key", key, "--json"))
    assert statement["approval"] == asked.id
    changed = msgspec.json.decode(receipt.read_bytes())
    changed["statement"]["people"][0]["name"] = "bob"
    receipt.write_bytes(msgspec.json.encode(changed))
    with pytest.raises(ReceiptInvalid) as caught:
        shell.run("approval", "verify", receipt, "--key", key)
    assert caught.value.exit_code == 1
    with pytest.raises(KeyUnreadable):
        shell.run("approval", "verify", receipt, "--key", receipt)
    with pytest.raises(UnreadableInput, match="nowhere"):
        shell.run("approval", "verify", tmp_path / "nowhere", "--key", key)


def test_a_grant_is_given_listed_and_revoked(
    shell: Shell, staffed: Staffed, tmp_path: Path
) -> None:
    assert shell.text("grant", "list") == "There are no grants.\n"
    words = ("--budget", 1, "--for", "2h", "--limit", "amount=20", "--reason", "the bank is back")
    told = shell.text("grant", "add", "retry-charge", *words)
    given = told.split()[0]
    assert told == f"{given} is good for 1 until 2023-11-15T00:13:20Z.\n"
    asked = staffed.ask()
    assert asked.status == "approved"
    assert "1/1" in shell.text("grant", "list")
    assert json.loads(shell.text("grant", "list", "--json"))[0]["limits"] == {"amount": 20.0}
    assert shell.text("grant", "revoke", given, "--reason", "enough") == f"{given} is revoked.\n"
    with pytest.raises(UnreadableInput, match="NAME=NUMBER"):
        shell.run("grant", "add", "x", *words[:4], "--limit", "amount=lots", "--reason", "r")
    receipt, key = tmp_path / "receipt.json", tmp_path / "key.pem"
    receipt.write_text(shell.text("approval", "receipt", asked.id))
    key.write_text(shell.text("approval", "key"))
    told = shell.text("approval", "verify", receipt, "--key", key)
    assert f"{given} by ann: the bank is back" in told


@pytest.mark.parametrize(
    ("option", "what"), [("--customer", "s1"), ("--account", "acme"), ("--policy", "charge")]
)
def test_a_pause_holds_until_it_is_resumed(
    shell: Shell, staffed: Staffed, option: str, what: str
) -> None:
    assert shell.text("pauses") == "Nothing is paused.\n"
    told = shell.text("pause", option, what, "--reason", "a wrong price", token=CAT)
    which = told.split()[0]
    assert told == f"{which} holds.\n"
    assert what in shell.text("pauses")
    (known,) = staffed.office.commanding.pauses()
    assert (known.scope, known.what, known.until) == (option[2:], what, None)
    shell.text("resume", which, "--reason", "mended", token=CAT)
    assert shell.text("pauses") == "Nothing is paused.\n"
    assert len(json.loads(shell.text("pauses", "--past", "--json"))) == 1


def test_a_pause_of_what_nobody_met_is_told_as_a_slip(shell: Shell, staffed: Staffed) -> None:
    staffed.ask("s1")
    for option, known, slip in (("--policy", "charge", "chrage"), ("--customer", "s1", "s\x1b")):
        met = shell.run("pause", option, known, "--reason", "x", token=CAT)
        assert (met.exit_code, met.stderr) == (0, "")
        told = shell.run("pause", option, slip, "--reason", "x", token=CAT)
        which, _, _ = told.stdout.partition(" ")
        assert told.exit_code == 0
        shown = slip.replace("\x1b", "\\u001b")
        assert f"for the {option[2:]} {shown}: is that its name?" in told.stderr
        assert f"`forestall resume {which}`" in told.stderr


def test_everything_is_paused_for_a_while(shell: Shell) -> None:
    told = shell.text("pause", "--everything", "--for", "1h", "--reason", "x", token=CAT)
    assert told.endswith(" holds until 2023-11-14T23:13:20Z.\n")
    for words in ([], ["--everything", "--policy", "p"]):
        with pytest.raises(UnreadableInput, match="name one of"):
            shell.run("pause", *words, "--reason", "x", token=CAT)


@pytest.mark.parametrize("command", ["stop", "force", "repeat", "take-over"])
def test_an_operator_commands(shell: Shell, staffed: Staffed, command: str) -> None:
    asked = staffed.ask()
    told = shell.text(
        "interventions", command, asked.intervention[:12], "--reason", "they called", token=CAT
    )
    word = command.replace("-", " ")
    assert told == f"{asked.intervention} was told to {word}.\n"
    assert staffed.noted() == [f"cat intervention.{command.replace('-', '_')}"]
    listed = shell.text("records", "--about", asked.intervention[:8])
    assert "they called" in listed
    assert json.loads(shell.text("records", "--limit", 1, "--json"))[0]["who"] == "cat"


def test_stopping_may_undo(shell: Shell, staffed: Staffed) -> None:
    asked = staffed.ask()
    shell.text("interventions", "stop", asked.intervention, "--undo", "--reason", "x", token=CAT)
    assert staffed.office.records.newest()[0].detail["undo"] is True


def test_a_sample_is_reviewed(shell: Shell, staffed: Staffed) -> None:
    assert shell.text("review", "numbers") == "Nothing was sampled yet.\n"
    assert shell.text("review", "list") == "There is nothing to look at.\n"
    shell.text("grant", "add", "retry-charge", "--budget", 5, "--for", "1h", "--reason", "r")
    staffed.ask("s1", "s2")
    staffed.come_back()
    staffed.act()
    words = ("--share", 1, "--seed", "monday", "--json")
    found = json.loads(shell.text("review", "sample", *words, token=DAN))
    assert len(found) == 2
    first, second = (one["id"] for one in found)
    assert "accepted" in shell.text("review", "accept", first, "--reason", "good", token=DAN)
    assert "rejected" in shell.text("review", "reject", second, "--reason", "bad", token=DAN)
    assert "rejected by dan: bad" in shell.text("review", "list", "--state", "judged")
    counted = json.loads(shell.text("review", "numbers", "--json"))
    assert [(one["accepted"], one["rejected"]) for one in counted] == [(1, 1)]
    assert "retry-charge" in shell.text("review", "numbers")


def test_no_records_at_first(shell: Shell) -> None:
    assert shell.text("records") == "There are no records.\n"


def test_who_is_not_known_or_may_not_is_told(shell: Shell, staffed: Staffed) -> None:
    asked = staffed.ask()
    with pytest.raises(Refused, match=r"^unknown-person: ") as caught:
        shell.run("approval", "list", token="somebody-else-entirely")
    assert caught.value.exit_code == 1
    with pytest.raises(Refused, match=r"^role-missing: eve "):
        shell.run("approval", "approve", asked.id, "--reason", "x", token=EVE)
    with pytest.raises(Refused, match=r"^not-there: "):
        shell.run("approval", "show", "nothing")
    with pytest.raises(UnreadableInput, match="set FORESTALL_TOKEN"):
        shell.run("approval", "list", token="")


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    shell = Shell(tmp_path, free_port())
    with pytest.raises(ServerSilent, match="no server answers"):
        shell.run("approval", "list")


@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_talks_nonsense_is_told(tmp_path: Path, status: int) -> None:
    async def nonsense(_scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, Response(status, b"<html>", "text/html"), {})

    served = serving(nonsense)
    shell = Shell(tmp_path, next(served))
    with pytest.raises(ServerSilent, match=r"no answer that can be read|no reason"):
        shell.run("approval", "list")
    assert list(served) == []
