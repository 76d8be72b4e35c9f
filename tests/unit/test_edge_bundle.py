"""The bundle of policies that pages decide, and why others are left out."""

import datetime
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.context.knowledge.runbooks import Runbooks, load_runbooks
from forestall.context.knowledge.template import parse_template
from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.decision import Mode
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND
from forestall.policy.bundle import read_policies
from forestall.policy.edge import (
    LIFE,
    NotForPages,
    Offer,
    edge_policy,
    in_force,
    offer,
    payload,
    template_text,
)
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import parse
from scenario import on

TODAY = datetime.date(2026, 5, 1)
TEXT = """apiVersion: forestall/v1
kind: Policy
metadata: {name: lost, title: Help people who are lost, owner: me}
spec:
  edge: true
  features:
    n: {count: page.viewed, over: 10m, where: "event.data.depth > 2"}
    sum: {sum: event.data.amount, of: cart.filled, over: 1h, by: event.data.cart}
  when:
    sequence:
      - {event: page.viewed, times: 2}
      - {not: cart.filled}
      - {event: [page.left, page.viewed], where: "subject.plan == 'pro'"}
      - {not: search.done, for: 30s}
    within: 10m
    by: event.data.visit
  if: features.n < 5
  priority: 60
  cooldown: 2h
  valid_for: 5m
  playbook:
    - guide: {text: 'Lost, {{ subject.name | default("you") }}?', channel: inapp}
tests: []
"""


def lost() -> Policy:
    return parse(TEXT, "p.yaml")[0]


def applied(*some: tuple[Policy, Mode], numbers: dict[str, Any] | None = None) -> PoliciesApplied:
    entries = tuple(
        PolicyInForce(
            one.name, version(one), msgspec.Raw(canonical(one)), mode, title=one.title or one.name
        )
        for one, mode in some
    )
    return PoliciesApplied(1, entries, numbers or {}, "test", "test")


def offered(*controls: Control, runbooks: Runbooks | None = None) -> Offer:
    return offer(in_force(controls), runbooks or {}, TODAY)


def names(one: Offer) -> list[str]:
    return [each.policy.name for each in one.policies]


def test_an_entry_says_all_that_a_page_needs() -> None:
    one = edge_policy(lost(), "v" * 64, {}, TODAY)
    viewed = {"types": ["page.viewed"]}
    assert json.loads(json.dumps(one.entry)) == {
        "name": "lost",
        "version": "v" * 64,
        "title": "Help people who are lost",
        "priority": 60,
        "cooldown": 2 * HOUR,
        "valid_for": 5 * MINUTE,
        "budget_class": "guidance",
        "in_conversation": "hold",
        "quiet_hours": "respect",
        "purpose": "support",
        "when": {
            "ordered": True,
            "positives": [
                viewed,
                viewed,
                {
                    "types": ["page.left", "page.viewed"],
                    "where": ["==", ["$", "subject", "plan"], "pro"],
                },
            ],
            "gaps": {"1": {"types": ["cart.filled"]}},
            "trailing": {"types": ["search.done"]},
            "quiet_for": 30 * SECOND,
            "within": 10 * MINUTE,
            "by": ["$", "event", "data", "visit"],
        },
        "features": {
            "n": {
                "kind": "count",
                "match": {**viewed, "where": [">", ["$", "event", "data", "depth"], ["i", 2]]},
                "over": 10 * MINUTE,
            },
            "sum": {
                "kind": "sum",
                "match": {"types": ["cart.filled"]},
                "value": ["$", "event", "data", "amount"],
                "over": HOUR,
                "by": ["$", "event", "data", "cart"],
            },
        },
        "if": ["<", ["$", "features", "n"], ["i", 5]],
        "message": {
            "title": "",
            "body": 'Lost, {{ subject.name | default("you") }}?',
        },
    }
    assert one.traits == {"plan", "name"}


def test_a_question_comes_with_its_choices_and_its_time() -> None:
    ask = {"text": "Help?", "choices": {"y": "Yes", "n": "No"}, "as": "wants", "for": "3m"}
    one = edge_policy(
        on("{event: a}", cooldown="1h", edge=True, playbook=[{"ask": ask}]), "v", {}, TODAY
    )
    assert one.entry["message"]["choices"] == {"y": "Yes", "n": "No"}
    assert one.entry["valid_for"] == 3 * MINUTE


RUNBOOK = """---
id: lost
title: Where is it?
version: 1
owner: me
review_by: {day}
language: en
fields: [event.data.place, subject.guide, features.n]
why: You looked for {{{{ event.data.place }}}}.
show: {{as: checklist}}
steps: ["Look at {{{{ event.data.place }}}}", "Ask {{{{ subject.guide }}}}"]
---

## Customer

Have you looked at {{{{ event.data.place | default("home") }}}}, {{{{ features.n }}}} times?
"""


def shelf(folder: Path, day: str = "2027-01-01") -> Runbooks:
    (folder / "lost.md").write_text(RUNBOOK.format(day=day))
    return load_runbooks(folder)


def test_the_words_of_a_runbook(tmp_path: Path) -> None:
    guide = {"runbook": "lost", "text": "Hello.", "channel": "inapp"}
    del guide["text"]
    policy = on("{event: a}", cooldown="1h", edge=True, playbook=[{"guide": guide}])
    one = edge_policy(policy, "v", shelf(tmp_path), TODAY)
    assert one.entry["message"] == {
        "title": "Where is it?",
        "why": "You looked for {{ event.data.place }}.",
        "body": 'Have you looked at {{ event.data.place | default("home") }}, {{ features.n }} times?',
        "show": {"as": "checklist"},
        "steps": ["Look at {{ event.data.place }}", "Ask {{ subject.guide }}"],
        "locale": "en",
    }
    assert one.traits == {"guide"}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{event: client.error}", "error"),
        ("{event: [client.error, client.request]}", "error"),
        ("{event: [client.error, client.wait]}", None),
        ("{event: [client.error, a]}", None),
        ("{sequence: [{event: client.wait}, {not: a}, {event: client.wait}], within: 5m}", "wait"),
        ("{event: payment.failed}", None),
    ],
)
def test_what_was_noticed_is_told_where_it_is_one_kind_of_thing(
    when: str, expected: str | None
) -> None:
    said = [{"guide": {"text": "Sorry.", "channel": "inapp"}}]
    one = edge_policy(on(when, cooldown="1h", edge=True, playbook=said), "v", {}, TODAY)
    assert one.entry["message"].get("noticed") == expected
    assert "why" not in one.entry["message"]


def test_a_runbook_that_has_expired_or_is_gone_leaves_the_policy_out(tmp_path: Path) -> None:
    guide = {"runbook": "lost", "channel": "inapp"}
    policy = on("{event: a}", cooldown="1h", edge=True, playbook=[{"guide": guide}])
    old = offered(applied((policy, "live")), runbooks=shelf(tmp_path, "2026-04-30"))
    assert (names(old), dict(old.left_out)) == (
        [], {"p": "its runbook lost was to be reviewed by 2026-04-30"}
    )  # fmt: skip
    gone = offered(applied((policy, "live")))
    assert dict(gone.left_out) == {"p": "there is no runbook `lost` to show"}


def edge(name: str = "p", **more: Any) -> Policy:
    guide = {"text": "hi", "channel": "inapp"}
    more = {"playbook": [{"guide": guide}], "edge": True} | more
    return on("{event: a}", name, cooldown="1h", **more)


def test_only_live_policies_for_pages_are_offered() -> None:
    one = offered(
        applied(
            (edge("live"), "live"),
            (edge("tried"), "live"),
            (edge("tried", priority=1), "canary"),
            (edge("watched"), "shadow"),
            (edge("better"), "live"),
            (edge("better", priority=2), "shadow"),
            (edge("server", edge=False), "live"),
        )
    )
    assert names(one) == ["better", "live"]
    assert dict(one.left_out) == {
        "tried": "a version is in canary, and who gets it is decided on the server",
        "watched": "it is in shadow",
    }


def test_what_is_switched_off_is_left_out() -> None:
    two = applied((edge("a"), "live"), (edge("b"), "live"))
    one = offered(two, SwitchesApplied(2, ("b",), False, "test", "test"))
    assert (names(one), dict(one.left_out)) == (["a"], {"b": "it is switched off"})
    nothing = offered(two, SwitchesApplied(2, (), True, "test", "test"))
    assert set(nothing.left_out.values()) == {"everything is switched off"}
    again = offered(
        two,
        SwitchesApplied(2, (), True, "test", "test"),
        SwitchesApplied(3, (), False, "test", "test"),
    )
    assert names(again) == ["a", "b"]


def test_a_policy_that_came_in_before_pages_could_not_decide_it_is_left_out_with_the_reason() -> (
    None
):
    hard = edge("hard", **{"if": "service.x == 'down'"})
    bare = edge("bare", playbook=[{"escalate": {"queue": "q"}}])
    one = offered(applied((hard, "live"), (bare, "live")))
    assert dict(one.left_out) == {
        "hard": "the state of services is known to the server only (edge-condition)",
        "bare": "its playbook does not begin with a message",
    }
    with pytest.raises(NotForPages):
        edge_policy(bare, "v", {}, TODAY)


def test_the_payload_has_settings_doubles_and_its_times() -> None:
    settings = DecideSettings(budget=2, quiet_hours=(1320, 480), timezone="Europe/Berlin")
    numbers = {"a": {"amount": True}, "z": {"other": True}}
    one = offered(
        applied((edge(), "live"), numbers=numbers), SettingsApplied(2, settings, "test", "test")
    )
    noon = 20_000 * DAY + 13 * HOUR
    said = payload(one, noon)
    assert said["settings"] == {
        "lateness": 300 * SECOND,
        "grace": 2 * SECOND,
        "budget": 2,
        "budget_window": DAY,
        "spacing": 600 * SECOND,
        "quiet_hours": (1320, 480),
        "timezone": "Europe/Berlin",
        "require_consent": False,
    }
    assert said["doubles"] == {"a": {"amount": True}}, "types that nobody looks at are left out"
    assert (said["issued"], said["expires"]) == (noon - HOUR, noon - HOUR + LIFE)
    assert one.traits == {"timezone"}
    assert payload(one, noon + 10 * HOUR) == said
    later = payload(one, noon + 11 * HOUR)
    assert (later["revision"], later["issued"]) == (said["revision"], noon + 11 * HOUR)


def test_the_revision_is_that_of_the_content() -> None:
    def revision(policy: Policy) -> object:
        return payload(offered(applied((policy, "live"))), DAY)["revision"]

    assert revision(edge()) == revision(edge())
    assert revision(edge()) != revision(edge(priority=7))
    reworded = edge(playbook=[{"guide": {"text": "ho", "channel": "inapp"}}])
    assert revision(edge()) != revision(reworded)


@pytest.mark.parametrize(
    "text", ["", "plain", 'a {{ event.data.x | default("\\"q\\" ü") }} b{{ subject.y }}']
)
def test_a_template_is_written_as_it_was(text: str) -> None:
    assert template_text(parse_template(text)) == text


def test_what_the_checks_pass_the_bundle_takes(tmp_path: Path) -> None:
    """The two look at the same policy in different ways; they must agree."""
    (tmp_path / "lost.yaml").write_text(TEXT)
    (policy,), problems = read_policies([tmp_path])
    assert [one for one in problems if one.severity == "error"] == []
    assert names(offered(applied((policy, "live")))) == ["lost"]
