"""What is declared is read with its defaults, and every mistake is told with its place."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.errors import InvalidFile
from forestall.contracts.instants import HOUR, MINUTE, SECOND
from forestall.kernel.settings import Api, Credential, McpServer, Settings
from forestall.policy.actions.folder import Declarations, load_declarations, offers
from forestall.policy.actions.model import Check, Flag, Function, Http, Rate, Tool
from forestall.policy.actions.read import problems_of, read_declarations
from forestall.policy.actions.schema import Arguments

API = """
openapi: 3.1.0
servers: [{url: "https://pay.example/v1"}]
components: {securitySchemes: {t: {type: http, scheme: bearer}}}
security: [{t: []}]
paths:
  /payments/{payment}:
    parameters: [{name: payment, in: path, required: true, schema: {type: string}}]
    get: {operationId: get}
    post:
      operationId: charge
      parameters: [{name: dry, in: query, schema: {type: boolean}}]
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [amount], properties: {amount: {type: integer}}}
"""
LOOKUP = """
apiVersion: forestall/v1
kind: Lookup
metadata: {name: payment}
spec:
  input:
    type: object
    required: [payment]
    properties: {payment: {type: string}}
  output: {status: /status, brand: /card/brand}
  http: {api: pay, operation: get}
"""
ACTION = """
apiVersion: forestall/v1
kind: Action
metadata: {name: charge, title: Charge once more, owner: payments, review_by: 2027-01-31}
spec:
  risk: high
  input:
    type: object
    required: [payment, amount]
    properties: {payment: {type: string}, amount: {type: integer, maximum: 500}}
  output: {charge: /id}
  dry_run: describe
  execute: {http: {api: pay, operation: charge}}
  verify: {lookup: payment, with: {payment: arguments.payment}, if: fields.status == "paid"}
"""
CREDENTIAL = Credential("s3cret", ("pay.example",), ("payment", "charge"))


def load(folder: Path, *texts: str, **settings: Any) -> Declarations:
    (folder / "pay.openapi.yaml").write_text(API)
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    return load_declarations(folder, Settings(**settings))


def told(folder: Path, *texts: str, **settings: Any) -> list[str]:
    """The problems, without the folder."""
    with pytest.raises(InvalidFile) as caught:
        load(folder, *texts, **settings)
    return [str(one).replace(f"{folder}/", "") for one in caught.value.problems]


def test_a_folder_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, LOOKUP, ACTION)
    lookup, action = found.lookups["payment"], found.actions["charge"]
    assert lookup.way == Http(api="pay", operation="get")
    assert lookup.timeout == 5 * SECOND
    assert (action.title, action.risk, action.people) == ("Charge once more", "high", 1)
    assert (action.dry_run, action.deduplication, action.rate) == ("describe", "neither", None)
    assert (action.owner, action.review_by) == ("payments", datetime.date(2027, 1, 31))
    assert action.verify == Check(
        lookup="payment",
        arguments={"payment": "arguments.payment"},
        condition='fields.status == "paid"',
    )
    assert action.needs_approval
    assert found.addresses == {"pay": "https://pay.example/v1"}
    assert found.operations["pay", "charge"].method == "POST"


def test_everything_that_may_be_said_is_read(tmp_path: Path) -> None:
    more = """
  people: 2
  rate: 10/1m
  timeout: 3s
  deduplication: lookup
  find: {lookup: payment, with: {payment: arguments.payment}, if: fields.status == key}
  precondition: {lookup: payment, with: {payment: arguments.payment}, if: fields.brand == "visa"}
  undo:
    http:
      api: pay
      operation: charge
      with: {payment: result.charge, amount: "0"}
      credential: pay
      key_header: X-Key
      done: [409]
      refused: [422]
      retry: [423]
"""
    text = ACTION.replace("  risk: high", "  risk: low" + more).replace(
        "dry_run: describe", "dry_run: {argument: dry}"
    )
    text = text.replace('"paid"}', '"paid", every: 200ms, within: 9s}')
    action = load(tmp_path, LOOKUP, text, credentials={"pay": CREDENTIAL}).actions["charge"]
    assert (action.people, action.timeout, action.needs_approval) == (2, 3 * SECOND, True)
    assert action.rate == Rate(10, MINUTE)
    assert action.dry_run == Flag(argument="dry")
    assert action.find is not None
    assert (action.verify.every, action.verify.within) == (SECOND // 5, 9 * SECOND)
    assert action.undo == Http(
        api="pay",
        operation="charge",
        arguments={"payment": "result.charge", "amount": "0"},
        credential="pay",
        key_header="X-Key",
        done=frozenset([409]),
        refused=frozenset([422]),
        retry=frozenset([423]),
    )


def test_tools_functions_and_agents_are_read(tmp_path: Path) -> None:
    tool = LOOKUP.replace(
        "http: {api: pay, operation: get}", "mcp: {server: desk, tool: t, key_argument: k}"
    )
    agent = LOOKUP.replace("kind: Lookup", "kind: Agent").replace(
        "http: {api: pay, operation: get}", "python: {call: 'shop.agents:guess', credential: pay}"
    )
    found = load(
        tmp_path,
        tool,
        agent,
        mcp={"desk": McpServer(url="https://desk.example/mcp")},
        credentials={"pay": CREDENTIAL},
    )
    assert found.lookups["payment"].way == Tool(server="desk", tool="t", key_argument="k")
    assert found.agents["payment"].way == Function(call="shop.agents:guess", credential="pay")


@pytest.mark.parametrize("key", ["risk", "dry_run", "verify", "execute", "input"])
def test_an_action_lacks_nothing_that_matters(tmp_path: Path, key: str) -> None:
    lines = ACTION.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(f"  {key}:"))
    end = next(n for n in range(at + 1, len(lines) + 1) if n == len(lines) or lines[n][2] != " ")
    text = "".join(lines[:at] + lines[end:])
    problems = told(tmp_path, LOOKUP, text)
    assert problems[0].startswith("1.yaml:6:3: error: the action `charge` lacks `" + key)
    if key in ("risk", "dry_run", "verify"):
        assert "hint: say" in problems[0]


def changed(old: str, new: str) -> str:
    assert old in ACTION
    return ACTION.replace(old, new)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (changed("risk: high", "risk: huge"), "6:9", "must be `low`, `medium` or `high`"),
        (changed("risk: high", "risks: high"), "6:3", "unknown key `risks`"),
        (changed("risk: high", "risk: high\n  people: 3"), "7:11", "between 1 and 2"),
        (changed("risk: high", "risk: high\n  rate: often"), "7:9", "is no rate"),
        (changed("risk: high", "risk: high\n  rate: 5/0s"), "7:9", "is no rate"),
        (changed("risk: high", "risk: high\n  timeout: 10m"), "7:12", "between 1ms and 5m"),
        (changed("risk: high", "risk: high\n  deduplication: lookup"), "7:18", "`find`"),
        (changed("name: charge", "name: Charge!"), "4:18", "is not a name"),
        (changed("/id", "id"), "11:20", "JSON Pointer"),
        (changed("charge: /id", "cha-rge: /id"), "11:12", "no name of a field"),
        (changed("describe", "hope"), "12:12", "no way to try it"),
        (changed("describe", "{argument: nothing}"), "12:23", "no parameter `nothing`"),
        (changed("describe", "{argument: dry, http: {api: pay, operation: get}}"), "12:23", "`execute`"),
        (changed("operation: charge", "operation: chrge"), "13:41", "no operation `chrge`"),
        (changed("api: pay, ", "api: bank, "), "13:25", "no bank.openapi.yaml"),
        (changed("{http:", "{htp:"), "13:13", "unknown key `htp`"),
        (changed("operation: charge}", "operation: charge, with: {payment: arguments.payment}}"), "13:55", "needs `amount`"),
        (changed("operation: charge}", "operation: charge, with: {x: '1', payment: '1', amount: '1'}}"), "13:59", "no parameter `x`"),
        (changed("operation: charge}", "operation: charge, credential: pay}"), "13:61", "no [credentials.pay]"),
        (changed("operation: charge}", "operation: charge, refused: [42]}"), "13:59", "HTTP statuses"),
        (changed("lookup: payment", "lookup: paymnt"), "14:20", "no lookup `paymnt`"),
        (changed("fields.status", "fields.state"), "14:69", "nothing fills `fields.state`"),
        (changed("arguments.payment", "arguments.pay"), "14:45", "nothing fills `arguments.pay`"),
        (changed("{payment: arguments.payment}", "{id: '1'}"), "14:40", "takes no `id`"),
        (changed('fields.status == "paid"', "'fields.status =='"), "14:", "14"),
        (changed("maximum: 500", "maximum: many"), "10:76", "not a usable JSON Schema"),
        (changed("    type: object\n", ""), "8:5", "write `type: object`"),
        (changed("kind: Action", "kind: Act"), "3:7", "must be `Lookup`, `Agent` or `Action`"),
        (changed("forestall/v1", "forestall/v2"), "2:13", "must be `forestall/v1`"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    problems = [one for one in told(tmp_path, LOOKUP, text) if one.startswith("1.yaml:")]
    assert any(one.startswith(f"1.yaml:{place}") and message in one for one in problems), problems


def test_all_mistakes_of_all_files_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "z.yaml").write_bytes(b"\xff")
    problems = told(
        tmp_path,
        LOOKUP.replace("/status", "status"),
        changed("risk: high", "risk: huge"),
        "- a list",
        "",
        "a: [",
    )
    assert {one.split(":")[0] for one in problems} == {
        "0.yaml",
        "1.yaml",
        "2.yaml",
        "3.yaml",
        "4.yaml",
        "z.yaml",
    }


def test_a_lookup_cannot_change_anything(tmp_path: Path) -> None:
    text = LOOKUP.replace("operation: get", "operation: charge, with: {payment: '1', amount: '1'}")
    (problem,) = told(tmp_path, text)
    assert "`charge` is a POST, and a lookup changes nothing" in problem


def test_names_are_given_once_for_each_kind(tmp_path: Path) -> None:
    problems = told(tmp_path, LOOKUP, LOOKUP + "---" + ACTION)
    assert problems == [
        "1.yaml:4:18: error: another lookup is called `payment` already [duplicate-name]\n"
        "    hint: the first is at 0.yaml:2:1"
    ]


@pytest.mark.parametrize(
    ("credential", "message"),
    [
        (Credential("s", ("pay.example",), ("charge",)), "is not for `payment`"),
        (Credential("s", ("pay.example:444",), ("payment",)), "may not be sent to pay.example:443"),
        (Credential("s", (), ("payment",)), "may not be sent to pay.example:443"),
        (Credential("s", ("evil.example",), ("payment",)), "may not be sent to pay.example:443"),
    ],
)
def test_a_credential_is_for_its_users_and_hosts_only(
    tmp_path: Path, credential: Credential, message: str
) -> None:
    text = LOOKUP.replace("operation: get", "operation: get, credential: pay")
    (problem,) = told(tmp_path, text, credentials={"pay": credential})
    assert message in problem
    assert "0.yaml:11:48" in problem


@pytest.mark.parametrize("host", ["pay.example", "PAY.example:443"])
def test_a_host_may_be_given_with_and_without_its_port(tmp_path: Path, host: str) -> None:
    text = LOOKUP.replace("operation: get", "operation: get, credential: pay")
    credential = Credential("s", (host,), ("payment",))
    assert load(tmp_path, text, credentials={"pay": credential}).lookups


def test_the_settings_may_move_an_api(tmp_path: Path) -> None:
    found = load(tmp_path, LOOKUP, apis={"pay": Api("http://127.0.0.1:8082/")})
    assert found.addresses == {"pay": "http://127.0.0.1:8082"}
    problems = told(tmp_path, LOOKUP, apis={"pay": Api("nowhere")})
    assert "[apis.pay] url" in problems[0]


def test_a_started_server_gets_its_credential_by_name(tmp_path: Path) -> None:
    text = LOOKUP.replace("http: {api: pay, operation: get}", "mcp: {server: desk, tool: t}")
    desk = McpServer(command=("desk",), credential="pay", variable="T")
    problems = told(tmp_path, text, mcp={"desk": desk}, credentials={"pay": CREDENTIAL})
    assert "[credentials.pay] may not be sent to mcp:desk" in problems[0]
    assert "no [mcp.desk]" in told(tmp_path, text)[0]
    allowed = Credential("s", ("mcp:desk",), ("payment",))
    assert load(tmp_path, text, mcp={"desk": desk}, credentials={"pay": allowed}).lookups


def test_what_is_offered_to_policies(tmp_path: Path) -> None:
    lookups, agents, actions = offers(load(tmp_path, LOOKUP, ACTION))
    assert agents == {}
    assert lookups["payment"].arguments == frozenset(["payment"])
    assert lookups["payment"].required == frozenset(["payment"])
    assert lookups["payment"].fields == frozenset(["status", "brand"])
    assert lookups["payment"].risk is None
    assert actions["charge"].required == {"payment", "amount"}
    assert (actions["charge"].risk, actions["charge"].needs_approval) == ("high", True)


def test_how_many_people_an_action_asks_for(tmp_path: Path) -> None:
    low = changed("risk: high", "risk: low").replace("name: charge", "name: low")
    two = low.replace("risk: low", "risk: low\n  people: 2").replace("name: low", "name: two")
    found = load(tmp_path, LOOKUP, ACTION, low, two)
    assert [found.demands(name) for name in ("charge", "low", "two", "none")] == [1, 0, 2, 0]


def test_arguments_are_open_where_the_schema_is(tmp_path: Path) -> None:
    text = LOOKUP.replace("properties: {payment: {type: string}}", "additionalProperties: true")
    with_arguments = text.replace(
        "operation: get", "operation: get, with: {payment: arguments.payment}"
    )
    lookups, _, _ = offers(load(tmp_path, with_arguments))
    assert lookups["payment"].arguments is None


def test_documents_and_hidden_files_are_no_declarations(tmp_path: Path) -> None:
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    assert load(tmp_path, LOOKUP).lookups


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no such folder"):
        load_declarations(tmp_path / "nowhere", Settings())


def test_wrong_arguments_are_told_without_their_values() -> None:
    arguments = Arguments(
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}
    )
    assert arguments.wrong({"a": "abc"}) is None
    told = arguments.wrong({"a": "secret-value"})
    assert told is not None
    assert "arguments.a" in told
    assert "secret" not in told


def test_problems_are_told_once() -> None:
    _, source = read_declarations("kind: Lookup", "x.yaml")
    assert problems_of(source)
    assert len(problems_of(source)) == len(set(problems_of(source)))


def test_durations_are_microseconds() -> None:
    text = ACTION.replace("risk: high", "risk: high\n  rate: 7/2h")
    found, source = read_declarations(text, "x.yaml")
    assert source.problems == []
    assert found[0].declaration.rate == Rate(7, 2 * HOUR)  # type: ignore[union-attr]
