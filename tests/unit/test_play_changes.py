"""Playbooks in words, and their changes: each step, and what is inside of it."""

from typing import Any

import pytest

from forestall.policy.language.model import PlaybookStep
from forestall.policy.language.parse import parse
from forestall.policy.language.play_changes import play_changes, play_words

HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x}\nspec:\n  when: {event: a.b}\n"


def steps(text: str) -> tuple[PlaybookStep, ...]:
    return parse(f"{HEAD}  playbook: [{text}]\n", "f")[0].playbook


def changed(old: str, new: str) -> list[str]:
    return list(play_changes(steps(old), steps(new)))


ASK = "ask: {text: Well?, choices: {y: 'Yes', n: 'No'}, as: answer, for: 10m"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{guide: {text: Hi, channel: inapp}}", "guide by inapp with 'Hi'"),
        ("{guide: {runbook: r, channel: crm, timeout: 90s, on_failure: stop}}",
         "guide by crm with runbook r within 90s, if it fails stop"),
        (f"{{{ASK}}}}}", "ask by inapp 'Well?' (y 'Yes', n 'No') for 10m, as answer"),
        ("{enrich: {from: crm, fields: [a], cache: 5m}}", "look a up in crm within 5s, kept for 5m"),
        ("{enrich: {from: crm, with: {id: subject.id, at: now}, fields: [a, b, c]}}",
         "look a, b and c up in crm with at = `now`, id = `subject.id` within 5s"),
        ("{infer: {agent: triage, fields: [cause], timeout: 1m}}",
         "have triage infer cause within 1m"),
        ("{plan: {agent: helper, queue: q}}",
         "have helper plan within 20s, tell it by inapp, approved by approver within 30m where needed, q takes over"),
        ("{plan: {agent: helper, with: {text: event.id}, channel: crm, queue: q, timeout: 5s, approval: 1h, by: lead, on_failure: next}}",
         "have helper plan with text = `event.id` within 5s, tell it by crm, approved by lead within 1h where needed, q takes over, if it fails next"),
        ("{await: {event: [a, b], where: event.data.x > 1, for: 1h, then: next}}",
         "await `a` or `b` where `event.data.x > 1` for 1h, then next"),
        ("{await: {receipt: helped, for: 5m, on_failure: stop}}",
         "await `helped` for 5m, then resolved, if it fails stop"),
        ("{await: {for: 5m}}", "wait 5m"),
        ("{remediate: {action: retry, with: {id: event.id}, fields: [receipt], queue: q, undo: false}}",
         "remediate by retry with id = `event.id` within 30s, filling receipt, q takes over, never undone"),
        ("{remediate: {action: retry, on_failure: next, undo: {action: back, with: {id: event.id}}}}",
         "remediate by retry within 30s, if it fails next, undone by back with id = `event.id`"),
        ("{remediate: {action: retry, on_failure: [{escalate: {queue: q}}, {resolve: {}}]}}",
         "remediate by retry within 30s, if it fails (escalate to q, then end as resolved)"),
        ("{approve: {for: 30m, people: 2, by: lead, why: a charge}}",
         "wait 30m for 2 lead to approve, because 'a charge'"),
        ("{escalate: {queue: q, timeout: 1h}}", "escalate to q within 1h"),
        ("{resolve: {as: helped}}", "end as helped"),
        ("{branch: [{if: event.data.x, do: []}, {if: event.data.y, do: [{resolve: {}}, {await: {for: 5s}}]}, {else: [{escalate: {queue: q}}]}]}",
         "branch: if `event.data.x` (nothing); if `event.data.y` (end as resolved, then wait 5s);"
         " else (escalate to q)"),
    ],
)  # fmt: skip
def test_a_step_in_words(step: str, words: str) -> None:
    (read,) = steps(step)
    assert play_words(read) == words


BRANCH = "{branch: [{if: event.data.x > 1 && event.data.y, do: [%s]}, {else: [%s]}]}"
FAILING = "{remediate: {action: %s, on_failure: [%s]}}"
Q, R = "{escalate: {queue: q}}", "{escalate: {queue: r}}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (Q, R, ["playbook step 1 is escalate to r instead of escalate to q"]),
        (Q, f"{Q}, {R}", ["a new playbook step 2: escalate to r"]),
        (f"{R}, {Q}", Q, ["playbook step 1 is gone: escalate to r"]),
        (BRANCH % (Q, R), BRANCH % (Q, Q),
         ["playbook step 1, way 2, step 1 is escalate to q instead of escalate to r"]),
        (BRANCH % (Q, R), (BRANCH % (Q, R)).replace("> 1", "> 5"),
         ["playbook step 1, way 1: `if` requires `event.data.x > 5` instead of `event.data.x > 1`"]),
        (BRANCH % (Q, R), (BRANCH % (Q, R)).replace("else:", "if: fields.a == 1, do:"),
         ["playbook step 1, way 2: `if` is new: `fields.a == 1`"]),
        (BRANCH % (Q, R), f"{{branch: [{{if: event.data.x > 1 && event.data.y, do: [{Q}]}}]}}",
         ["playbook step 1, way 2 is gone: else (escalate to r)"]),
        (BRANCH % (BRANCH % (Q, Q), R), BRANCH % (BRANCH % (Q, R), R),
         ["playbook step 1, way 1, step 1, way 2, step 1 is escalate to r instead of escalate to q"]),
        (BRANCH % (Q, R), Q,
         ["playbook step 1 is escalate to q instead of branch: if `event.data.x > 1 && event.data.y`"
          " (escalate to q); else (escalate to r)"]),
        (FAILING % ("a", Q), FAILING % ("a", f"{Q}, {R}"),
         ["a new playbook step 1, if it fails, step 2: escalate to r"]),
        (FAILING % ("a", Q), FAILING % ("b", R),
         ["playbook step 1, if it fails, step 1 is escalate to r instead of escalate to q",
          "playbook step 1 is remediate by b within 30s, if it fails (escalate to r)"
          " instead of remediate by a within 30s, if it fails (escalate to r)"]),
        ("{remediate: {action: a, queue: q}}", FAILING % ("a", Q),
         ["playbook step 1 is remediate by a within 30s, if it fails (escalate to q)"
          " instead of remediate by a within 30s, q takes over"]),
        (f"{{{ASK}}}}}", f"{{{ASK.replace('Yes', 'Yes!')}}}}}",
         ["playbook step 1 is ask by inapp 'Well?' (y 'Yes!', n 'No') for 10m, as answer"
          " instead of ask by inapp 'Well?' (y 'Yes', n 'No') for 10m, as answer"]),
        ("{resolve: {}}", "{resolve: {as: helped}}",
         ["playbook step 1 is end as helped instead of end as resolved"]),
    ],
)  # fmt: skip
def test_a_change_in_words(old: str, new: str, words: list[str]) -> None:
    assert changed(old, new) == words
    assert changed(old, old) == changed(new, new) == []


def test_whatever_a_step_can_say_is_told() -> None:
    """Each of these differs from the first, and so do its words."""
    variants: list[Any] = [
        "{enrich: {from: crm, fields: [a]}}",
        "{enrich: {from: erp, fields: [a]}}",
        "{enrich: {from: crm, fields: [b]}}",
        "{enrich: {from: crm, fields: [a], with: {x: '1'}}}",
        "{enrich: {from: crm, fields: [a], cache: 1m}}",
        "{enrich: {from: crm, fields: [a], timeout: 1m}}",
        "{enrich: {from: crm, fields: [a], on_failure: stop}}",
        "{enrich: {from: crm, fields: [a], undo: {action: u}}}",
    ]
    words = [play_words(steps(one)[0]) for one in variants]
    assert len(set(words)) == len(words)
