"""The lifecycle over the operators' API, and its commands: who may ask what, and what is answered."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from flow.staffed import Staffed
from forestall.cli import door
from forestall.cli.person import TOKEN, Refused
from forestall.console.api import Api
from forestall.console.lifecycle_api import ROUTES, STATUS, extension
from forestall.console.lifecycle_api import Desk as Serving
from forestall.contracts.errors import ForestallError, UnreadableInput
from forestall.intervene.authority import People
from forestall.kernel.settings import Person
from forestall.policy.lifecycle import Artifact, Rules
from registries import BOB as TWO
from registries import STAGED, WAY, Desk, plain, policy
from unit.test_cli_people import serving

app = door()

ANN, BOB, CAT, DAN = (f"{name}-0123456789abcdefghij" for name in ("ann", "bob", "cat", "dan"))
PEOPLE = {
    "ann": Person(ANN, ("author",)),
    "bob": Person(BOB, ("publisher",)),
    "cat": Person(CAT, ("operator",)),
    "dan": Person(DAN, ("publisher",)),
}
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "lifecycle.md"
ABOUT = {"name": "declined", "reason": "it is time"}


class Client:
    """The API over a registry, asked as somebody."""

    def __init__(self, folder: Path, *, managed: bool = True) -> None:
        self.desk = Desk(folder / "registry.db", rules=Rules(shadow=0))
        staffed = Staffed(folder)
        office = type(staffed.office)(
            People(PEOPLE),
            staffed.approving,
            staffed.office.commanding,
            staffed.office.reviewing,
            staffed.office.records,
        )
        self.serving = Serving(
            self.desk.registry if managed else None, self.clock, steps=(0.01, 0.1, 0.5)
        )
        self.api = Api(office, extension(self.serving))

    def clock(self) -> int:
        self.desk.now += 1
        return self.desk.now

    def ask(self, token: str | None, method: str, path: str, body: Any = None) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.api)
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            url = f"/v1/lifecycle{path}"
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.request(method, url, json=body, headers=headers)

        return asyncio.run(once())

    def moved(self, token: str, what: str, **more: Any) -> list[tuple[str, str]]:
        """From where to where things went."""
        answer = self.ask(token, "POST", f"/{what}", {**ABOUT, **more})
        assert answer.status_code == 201, answer.text
        return [(one["before"], one["after"]) for one in answer.json()["transitions"]]

    def refused(self, token: str, what: str, **more: Any) -> tuple[int, str]:
        answer = self.ask(token, "POST", f"/{what}", {**ABOUT, **more})
        return answer.status_code, answer.json()["code"]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    made = Client(tmp_path)
    yield made
    made.desk.registry.close()


def test_nobody_is_answered_without_a_token(client: Client) -> None:
    for method, path, _ in ROUTES:
        short = path.removeprefix("/v1/lifecycle").replace("{id}", "1")
        assert client.ask(None, method, short).status_code == 401
        assert client.ask("wrong-0123456789abcdefgh", method, short).status_code == 401


def test_without_management_there_is_nothing_to_promote(tmp_path: Path) -> None:
    client = Client(tmp_path, managed=False)
    answers: dict[str, dict[str, Any]] = {
        "/switches": {"set": "green", "reason": "so"},
        "/requests/1/decisions": {"verdict": "seconded", "reason": "so"},
    }
    for method, path, _ in ROUTES:
        short = path.removeprefix("/v1/lifecycle").replace("{id}", "1")
        answer = client.ask(BOB, method, short, answers.get(short, ABOUT))
        assert (answer.status_code, answer.json()["code"]) == (409, "not-managed")
        assert "managed = true" in answer.json()["detail"]


def test_promoting_goes_to_the_next_state(client: Client) -> None:
    one = policy("a")
    client.desk.registry.put(one)
    client.desk.prove(one, "validated")
    client.desk.prove(one, "backtested")
    went = [client.moved(ANN, "promotions")[0] for _ in range(4)]
    assert went == [
        ("", "draft"),
        ("draft", "validated"),
        ("validated", "backtested"),
        ("backtested", "shadow"),
    ]
    assert client.refused(ANN, "promotions") == (403, "role-missing")
    assert client.moved(BOB, "promotions") == [("shadow", "canary")]
    (held,) = client.desk.registry.standing().in_force()
    assert (held.mode, held.share) == ("canary", 0.01)
    assert client.refused(BOB, "promotions") == (409, "conditions-missing")


def test_a_canary_grows_by_the_steps_or_as_asked(client: Client) -> None:
    one = policy("a", "high")
    client.desk.bring(one, *WAY)
    asked = client.ask(BOB, "POST", "/promotions", ABOUT)
    assert asked.status_code == 202
    request = asked.json()["request"]
    assert (request["ask"]["share"], request["ask"]["upto"]) == (0.01, 0.5)
    yes = {"verdict": "seconded", "reason": "yes"}
    path = f"/requests/{request['id']}/decisions"
    assert client.ask(DAN, "POST", path, yes).status_code == 201
    assert client.moved(BOB, "promotions", to="canary") == [("canary", "canary")]
    assert client.moved(BOB, "promotions", to="canary", share=0.4) == [("canary", "canary")]
    (held,) = client.desk.registry.standing().in_force()
    assert held.share == 0.4
    beyond = client.ask(BOB, "POST", "/promotions", {**ABOUT, "to": "canary", "share": 0.6})
    assert beyond.status_code == 202


def test_demoting_retiring_and_rolling_back(client: Client) -> None:
    one, two = policy("a"), policy("b")
    client.desk.registry.adopt([one], 1)
    client.desk.bring(two, *WAY)
    assert client.moved(BOB, "promotions") == [("shadow", "canary")]
    assert client.moved(CAT, "rollbacks") == [("canary", "backtested")]
    assert client.moved(ANN, "promotions") == [("backtested", "shadow")]
    assert client.moved(ANN, "demotions") == [("shadow", "backtested")]
    assert client.moved(ANN, "demotions", to="draft") == [("backtested", "draft")]
    assert client.refused(CAT, "demotions", version=two.version) == (409, "no-such-transition")
    assert client.moved(CAT, "demotions") == [("live", "shadow")]
    assert client.refused(CAT, "retirements") == (403, "role-missing")
    assert client.moved(BOB, "retirements") == [("shadow", "retired")]
    assert client.moved(ANN, "promotions", version=one.version[:9]) == [("retired", "draft")]


def test_what_is_under_way_goes_back_before_a_newer_draft(client: Client) -> None:
    one, newer = policy("a"), policy("b")
    client.desk.bring(one, *WAY)
    client.desk.registry.put(newer)
    assert client.moved(ANN, "promotions", version=newer.version) == [("", "draft")]
    client.desk.prove(newer, "validated")
    assert client.moved(ANN, "promotions", version=newer.version) == [("draft", "validated")]
    assert client.moved(ANN, "demotions") == [("shadow", "backtested")]
    assert client.moved(BOB, "retirements") == [("backtested", "retired")]


def test_what_stands_and_what_happened_is_told(client: Client) -> None:
    one, flag = policy("a"), plain("flag", "dark", True)
    client.desk.registry.adopt([one, flag], 1_000_000)
    client.moved(BOB, "retirements", kind="flag", name="dark")
    told = client.ask(CAT, "GET", "").json()
    assert told["active"] == "blue"
    assert told["artifacts"] == [
        {
            "set": "blue",
            "kind": "policy",
            "name": "declined",
            "version": one.version,
            "state": "live",
            "share": 1.0,
            "since": "1970-01-01T00:00:01.000000Z",
            "next": None,
            "missing": [],
        }
    ]
    assert len(client.ask(CAT, "GET", "?retired=true").json()["artifacts"]) == 2

    def numbers(query: str) -> list[int]:
        found = client.ask(CAT, "GET", f"/transitions{query}").json()["transitions"]
        return [entry["number"] for entry in found]

    assert numbers("") == [1, 2, 3]
    assert numbers("?name=dark") == [2, 3]
    assert numbers("?kind=policy") == [1]
    assert numbers("?after=1&limit=1") == [3]
    assert client.ask(CAT, "GET", "/transitions?limit=some").status_code == 400


def test_what_is_missing_is_told_before_anybody_asks(client: Client) -> None:
    client.desk.bring(policy("a"), "draft")
    (one,) = client.ask(CAT, "GET", "?name=declined").json()["artifacts"]
    assert one["next"] == "validated"
    assert one["missing"] == ["checks and tests that pass; `forestall apply` runs them"]
    client.desk.ask(policy("a"), "retired")
    client.desk.bring(policy("c"), "draft", "validated")
    client.desk.registry.rules = Rules(backtest_events=10**6)
    (two,) = client.ask(CAT, "GET", "?name=declined").json()["artifacts"]
    assert two["next"] == "backtested"
    assert "at least 1,000,000 events" in two["missing"][0]
    assert client.ask(CAT, "GET", "?name=other").json()["artifacts"] == []


def test_requests_are_listed_declined_and_void(client: Client) -> None:
    client.desk.bring(policy("a", "high"), *WAY)
    request = client.ask(BOB, "POST", "/promotions", ABOUT).json()["request"]
    (listed,) = client.ask(DAN, "GET", "/requests").json()["requests"]
    assert listed == request
    path = f"/requests/{request['id']}/decisions"
    no = {"verdict": "declined", "reason": "too early"}
    assert client.ask(CAT, "POST", path, no).status_code == 403
    declined = client.ask(DAN, "POST", path, no).json()["request"]
    assert (declined["status"], declined["answered_by"]) == ("declined", "dan")
    assert client.ask(DAN, "POST", path, no).json()["code"] == "too-late"
    assert client.ask(DAN, "GET", "/requests").json()["requests"] == []
    assert client.ask(DAN, "GET", "/requests?status=all").json()["requests"] == [declined]
    assert client.ask(DAN, "GET", "/requests?status=some").status_code == 400


def test_a_second_person_sees_what_it_is_about(client: Client) -> None:
    old, new = policy("old"), policy("new", "high")
    client.desk.registry.adopt([old], 1)
    client.desk.bring(new, *WAY)
    asked = client.ask(BOB, "POST", "/promotions", ABOUT).json()["request"]
    told = client.ask(DAN, "GET", f"/requests/{asked['id']}").json()
    assert told["request"] == asked
    assert (told["live"], told["version"]["risk"]) == (old.version, "high")
    assert told["version"]["source"] == new.source
    assert any("'new'" in words and "'old'" in words for words in told["differs"])
    assert told["findings"]["backtested"]["events"] == 5000
    client.desk.bring(policy("green", "high"), *STAGED, set="green")
    body = {"set": "green", "reason": "so"}
    switch = client.ask(BOB, "POST", "/switches", body).json()["request"]
    assert client.ask(DAN, "GET", f"/requests/{switch['id']}").json()["version"] is None
    assert client.ask(DAN, "GET", "/requests/99").status_code == 404


@pytest.mark.parametrize(
    ("what", "more", "wanted"),
    [
        ("promotions", {"name": "nobody"}, (404, "not-there")),
        ("promotions", {"version": "ffff"}, (404, "not-there")),
        ("promotions", {"version": ""}, (400, "invalid-json")),
        ("promotions", {"to": "alive"}, (400, "invalid-json")),
        ("promotions", {"kind": "wish"}, (400, "invalid-json")),
        ("promotions", {"set": "red"}, (400, "invalid-json")),
        ("promotions", {"share": 0}, (400, "invalid-json")),
        ("promotions", {"share": 1.01}, (400, "invalid-json")),
        ("promotions", {"shaer": 0.1}, (400, "invalid-json")),
        ("promotions", {"reason": " "}, (422, "reason-missing")),
        ("rollbacks", {"name": "nobody"}, (404, "not-there")),
        ("rollbacks", {}, (409, "no-such-transition")),
        ("requests/x/decisions", {}, (400, "invalid-json")),
    ],
)
def test_what_cannot_be_is_told_so(
    client: Client, what: str, more: dict[str, Any], wanted: tuple[int, str]
) -> None:
    client.desk.bring(policy("a"), "draft")
    token = CAT if what == "rollbacks" else ANN
    assert client.refused(token, what, **more) == wanted


def test_a_version_can_be_named_by_its_beginning_if_only_one_begins_so(client: Client) -> None:
    beginnings: dict[str, list[Artifact]] = {}
    for number in range(40):
        one = policy(str(number))
        client.desk.registry.put(one)
        beginnings.setdefault(one.version[0], []).append(one)
    several = next(first for first, held in beginnings.items() if len(held) > 1)
    assert client.refused(ANN, "promotions", version=several) == (404, "not-there")
    one = beginnings[several][0]
    assert client.moved(ANN, "promotions", version=one.version[:12]) == [("", "draft")]


@pytest.mark.parametrize("query", ["after=x", "after=-1", f"after={2**63}", "limit=1.5"])
def test_transitions_are_counted_in_numbers(client: Client, query: str) -> None:
    answer = client.ask(CAT, "GET", f"/transitions?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-query")


@pytest.mark.parametrize("which", ["0", "99", "x", "1" * 50])
def test_there_is_no_other_request(client: Client, which: str) -> None:
    yes = {"verdict": "seconded", "reason": "yes"}
    answer = client.ask(DAN, "POST", f"/requests/{which}/decisions", yes)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-there")


@pytest.mark.parametrize("word", [*(error.code for error in STATUS), *(p for _, p, _ in ROUTES)])
def test_the_reference_names_it(word: str) -> None:
    assert re.search(rf"`{re.escape(word)}`", DOCS.read_text()), f"name {word} in {DOCS.name}"


# -- commands ------------------------------------------------------------------------------------

Say = Callable[..., str]


@pytest.fixture
def say(client: Client, tmp_path: Path) -> Iterator[Say]:
    """What a command says, asked by somebody."""
    config = tmp_path / "forestall.toml"

    def run(token: str, *words: str) -> str:
        asked = [*words, "--config", str(config)]
        result = CliRunner().invoke(app, asked, env={TOKEN: token, "COLUMNS": "250"})
        if isinstance(result.exception, ForestallError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    for port in serving(client.api):
        config.write_text(f"[server]\nport = {port}\n")
        yield run


def test_the_commands_lead_a_policy_to_live_and_back(client: Client, say: Say) -> None:
    old, new = policy("old"), policy("new", "high")
    client.desk.registry.adopt([old], 1)
    client.desk.bring(new, *WAY[:3])
    why = ("--reason", "it is time")
    short = new.version[:8]
    assert say(ANN, "promote", "declined", *why) == (
        f"policy declined {short} is shadow, was backtested.\n"
    )
    assert say(BOB, "promote", "declined", *why) == (
        f"policy declined {short} to canary 1 %, growing to 50 % waits for a second person:"
        " `forestall second 1 --reason ...`\n"
    )
    assert f"policy declined {short} to canary 1 %, growing to 50 %" in say(DAN, "requests")
    shown = say(DAN, "requests", "1")
    assert "asked      by bob at 1970-01-01T00:00:00Z: it is time" in shown
    assert "version    Help with declined cards, risk high" in shown
    assert "differs    `risk` is high instead of low" in shown
    assert 'backtested {"events":5000,"useful":true}' in shown
    assert json.loads(say(DAN, "requests", "1", "--json"))["live"] == old.version
    assert say(DAN, "second", "1", *why) == (
        f"policy declined {short} is canary for 1 % of subjects, was shadow.\n"
    )
    assert "Nothing waits for a second person." in say(DAN, "requests")
    assert json.loads(say(DAN, "requests", "--all", "--json"))[0]["status"] == "seconded"
    table = say(CAT, "status")
    assert re.search(r"blue \* +policy +declined +canary +1 %", table)
    assert re.search(r"blue \* +policy +declined +live ", table)
    assert say(CAT, "rollback", "declined", *why) == (
        f"policy declined {short} is backtested, was canary.\n"
        f"  Running interventions of declined {short} finish: 0.\n"
    )
    assert say(ANN, "demote", "declined", "--version", short, *why) == (
        f"policy declined {short} is validated, was backtested.\n"
    )
    assert "is retired, was live." in say(BOB, "retire", "declined", "--version", old.version, *why)
    assert f"{short}" in say(CAT, "status", "declined")
    history = say(CAT, "history", "declined")
    assert re.search(r"policy declined +\w{12} +shadow +canary 1 % +bob, dan +it is time", history)
    assert json.loads(say(CAT, "history", "--limit", "1", "--json"))[0]["after"] == "retired"
    assert json.loads(say(CAT, "status", "--retired", "--json"))["active"] == "blue"


def test_the_commands_stage_and_switch_a_set(client: Client, say: Say) -> None:
    why = ("--reason", "it is time")
    model = plain("model", "churn", {"name": "churn"})
    client.desk.bring(model, *WAY[:3], set="green")
    promoted = say(BOB, "promote", "churn", "--model", "--set", "green", *why)
    assert promoted == f"model churn {model.version[:8]} is live, was backtested.\n"
    assert say(BOB, "switch", "green", *why) == "The set green is in force in place of blue.\n"
    with pytest.raises(Refused, match="no-such-transition: the set green is active already"):
        say(BOB, "switch", "green", *why)


def test_the_commands_say_when_there_is_nothing(say: Say) -> None:
    assert "Nothing is under change control yet" in say(CAT, "status")
    assert "Nothing called other is under change control yet" in say(CAT, "status", "other")
    assert "There are no transitions." in say(CAT, "history")
    with pytest.raises(Refused, match="not-there: there is no policy `declined`"):
        say(ANN, "promote", "declined", "--reason", "so")
    with pytest.raises(UnreadableInput, match="contradict"):
        say(ANN, "promote", "x", "--model", "--kind", "flag", "--reason", "so")


def test_the_commands_tell_of_a_rollback_that_begins_effects(client: Client, say: Say) -> None:
    desk = client.desk
    desk.registry.rules = Rules(shadow=0, skip=frozenset(("canary",)))
    for text in ("a", "b"):
        one = policy(text, "high")
        desk.registry.second(desk.bring(one, *WAY, "live").id, TWO, "I looked", desk.now)
    desk.ask(one, "retired")
    said = say(BOB, "rollback", "declined", "--reason", "we need it again")
    assert said.startswith("rollback of policy declined waits for a second person:")
    assert "rollback of policy declined" in say(DAN, "requests")
    assert "rollback of policy declined" in say(DAN, "requests", "3")
    assert "is live, was retired." in say(DAN, "second", "3", "--reason", "I looked")


def test_the_commands_decline(client: Client, say: Say) -> None:
    client.desk.bring(policy("a", "high"), *WAY)
    say(BOB, "promote", "declined", "--reason", "so")
    assert say(BOB, "decline", "1", "--reason", "never mind") == "Request 1 is declined.\n"
    with pytest.raises(Refused, match="too-late: declined: by bob"):
        say(DAN, "second", "1", "--reason", "yes")
