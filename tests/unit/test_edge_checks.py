"""What a page cannot decide: every reason, at its place."""

import json
from pathlib import Path

import pytest

from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.errors import InvalidFile
from forestall.policy.bundle import load_folder, read_policies
from forestall.policy.edge_checks import refused
from forestall.policy.language.check import ANYTHING, Surroundings
from forestall.policy.language.parse import parse_located
from forestall.policy.sources import Written, contents

HEAD = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x, owner: me}
spec:
  edge: true
"""
WHEN = "  when: {event: cart.emptied}\n"
PLAYBOOK = "  playbook: [{guide: {text: hi, channel: inapp}}]\n"


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    for name, origins in {
        "cart.emptied": ["browser"],
        "cart.filled": ["browser", "server"],
        "order.paid": ["server"],
    }.items():
        contract = {"x-owner": "me", "x-origins": origins, "type": "object", "properties": {}}
        (tmp_path / f"{name}.v1.json").write_text(json.dumps(contract))
    return Surroundings(catalogue=load_catalogue(tmp_path))


def found(spec: str, around: Surroundings = ANYTHING) -> list[str]:
    """``line:column code: message`` of each."""
    (located,), problems = parse_located(HEAD + spec, "p.yaml")
    assert problems == []
    return [
        f"{one.line}:{one.column} {one.code}: {one.message}" for one in refused(located, around)
    ]


def test_what_a_page_can_decide_passes(around: Surroundings) -> None:
    spec = """  features: {n: {count: client.error, over: 10m}}
  when:
    sequence: [{event: cart.emptied, where: event.data.n > 1}, {not: cart.filled, for: 5s}]
    by: event.data.cart
  if: features.n < 3 && subject.plan != 'internal'
  playbook:
    - ask: {text: "Lost?", choices: {"y": "Yes", "n": "No"}, as: lost, for: 5m}
    - await: {event: order.paid, for: 10m}
    - resolve: {as: resolved}
"""
    assert found(spec, around) == []


def test_events_that_only_servers_send(around: Surroundings) -> None:
    spec = """  features: {n: {count: [cart.filled, order.paid], over: 10m}}
  when: {sequence: [{event: cart.emptied}, {not: order.paid, for: 5s}]}
  if: features.n < 3
"""
    only = "comes from servers only, and a page sees its own events only"
    assert found(spec + PLAYBOOK, around) == [
        f"6:39 edge-type: `order.paid` {only}",
        f"7:50 edge-type: `order.paid` {only}",
    ]
    assert found(spec + PLAYBOOK) == [], "nothing is known of such types"
    ticket = "  when: {event: forestall.ticket.opened}\n" + PLAYBOOK
    for known in (around, ANYTHING):
        assert found(ticket, known) == [f"6:17 edge-type: `forestall.ticket.opened` {only}"]


def test_any_event_means_those_of_servers_too() -> None:
    assert found('  when: {event: "*"}\n' + PLAYBOOK) == [
        "6:17 edge-type: `*` means events of servers too, and a page sees those of its own only"
    ]


def test_conditions_with_the_place_in_the_file() -> None:
    spec = """  when: {event: cart.emptied, where: "event.data.a.matches('x')"}
  if: >-
    has(subject.plan) &&
    service.payments == 'down'
"""
    assert found(spec + PLAYBOOK) == [
        "6:52 edge-condition: matches() is not known at the edge: RE2 and a browser's regular"
        " expressions differ",
        "9:5 edge-condition: the state of services is known to the server only",
    ]


def test_keys_values_and_features_are_looked_at_too() -> None:
    spec = """  features:
    a: {max: "size(event.data.s.split(','))", of: cart.emptied, over: 1m}
    b: {count: cart.emptied, over: 1m, by: "event.data.k.matches('x')"}
  when: {sequence: [{event: cart.emptied}], by: "type(event.data.k)"}
  if: features.a < features.b
"""
    places = [one.partition(" edge-condition")[0] for one in found(spec + PLAYBOOK)]
    assert [place.partition(":")[0] for place in places] == ["7", "8", "9"]


def test_a_condition_that_does_not_compile_is_told_of_once() -> None:
    _, problems = parse_located(HEAD + "  when: {event: a, where: '1 +'}\n" + PLAYBOOK, "p.yaml")
    assert len(problems) == 1
    (located,), _ = parse_located(HEAD + "  when: {event: a, where: '1 +'}\n" + PLAYBOOK, "p.yaml")
    assert refused(located, ANYTHING) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("model: {name: m, threshold: 0.5}", "7:10 edge-model: models are asked on the server only"),
        ("risk: medium", "7:9 edge-risk: a page has nobody to approve what is of medium risk"),
        ("risk: high", "7:9 edge-risk: a page has nobody to approve what is of high risk"),
        ("cooldown: 0s", "7:13 edge-cooldown: the cooldown of a policy that pages decide is not 0, so the server would say the same again"),
        ("cooldown: 366d", "7:13 edge-cooldown: the cooldown of a policy that pages decide is not longer than a year, and a pass tells of no acts before that"),
    ],
)  # fmt: skip
def test_settings(line: str, problem: str) -> None:
    assert found(f"{WHEN}  {line}\n{PLAYBOOK}") == [problem]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("- guide: {text: hi, channel: sms}", "8:34 edge-channel: a page shows messages itself, and does not reach `sms`"),
        ("- escalate: {queue: q}", "8:17 edge-step: `escalate` is a step that only the server can carry out"),
        ("- await: {event: a, for: 5m}", "8:14 edge-step: a page's playbook begins with a message, and not with `await`"),
        ("- guide: {text: hi, channel: inapp}\n    - guide: {text: ho, channel: inapp}", "9:14 edge-step: a page shows the first message of a playbook, and no other"),
        ("- guide: {text: hi, channel: inapp}\n    - escalate: {queue: q}", "9:17 edge-step: `escalate` is a step that only the server can carry out"),
        ("- guide: {text: hi, channel: inapp, undo: {action: a}}", "8:14 edge-step: the `undo` of this `guide` is an action, which only the server carries out"),
    ],
)  # fmt: skip
def test_steps(steps: str, problem: str) -> None:
    assert found(f"{WHEN}  playbook:\n    {steps}\n") == [problem]


def test_steps_within_steps_are_looked_at() -> None:
    steps = """  playbook:
    - guide: {text: hi, channel: inapp}
    - await: {event: a, for: 5m, on_failure: [{escalate: {queue: q}}]}
"""
    assert [one.split()[:2] for one in found(WHEN + steps)] == [["9:58", "edge-step:"]]


def test_without_a_playbook_there_is_nothing_to_show() -> None:
    assert found(WHEN) == ["5:3 edge-step: a page that decides it would have nothing to show"]


def test_only_policies_for_pages_are_judged() -> None:
    text = (HEAD + WHEN + "  risk: high\n" + PLAYBOOK).replace("edge: true", "edge: false")
    (located,), _ = parse_located(text, "p.yaml")
    assert refused(located, ANYTHING) == []


def test_files_and_folders_under_change_control_are_judged_alike(tmp_path: Path) -> None:
    text = HEAD + WHEN + "  risk: medium\n" + PLAYBOOK
    file = tmp_path / "p.yaml"
    file.write_text(text)
    _, problems = read_policies([file])
    assert [str(one) for one in problems] == [
        f"{file}:7:9: error: a page has nobody to approve what is of medium risk [edge-risk]\n"
        "    hint: leave `edge` out: the server decides it as before"
    ]
    with pytest.raises(InvalidFile, match="edge-risk"):
        load_folder(tmp_path)
    applied = contents([Written("policy", "p.yaml", text)], lambda raw: ("", raw))
    assert [one.code for one in applied.items[0].problems] == ["edge-risk"]


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (("priority: much", "risk: high", "priority: 9"), [17]),
        (("risk: high", "priority: much"), [8]),
        (("priority: much\n  risk: high",), []),
        (("risk: high", "spec: {"), []),
    ],
)
def test_mistakes_of_other_policies_hide_none(texts: tuple[str, ...], lines: list[int]) -> None:
    """A policy is judged where it loads by itself; what follows broken YAML cannot be told apart."""
    policies = [
        (HEAD + WHEN + PLAYBOOK).replace("name: x", f"name: x{number}") + f"  {text}\n"
        for number, text in enumerate(texts)
    ]
    located, problems = parse_located("---\n".join(policies), "p.yaml")
    assert problems
    found = [one for policy in located for one in refused(policy, ANYTHING)]
    assert [(one.code, one.line) for one in found] == [("edge-risk", line) for line in lines]


def test_a_folder_is_told_all_its_mistakes_at_once(tmp_path: Path) -> None:
    for name, text in {"a": "priority: much", "b": "risk: high"}.items():
        policy = HEAD.replace("name: x", f"name: {name}") + WHEN + PLAYBOOK + f"  {text}\n"
        (tmp_path / f"{name}.yaml").write_text(policy)
    _, problems = read_policies([tmp_path])
    assert [one.code for one in problems] == ["wrong-type", "edge-risk"]
