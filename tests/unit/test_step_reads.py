"""What the steps of a playbook read."""

import pytest

from forestall.policy.language.parse import parse
from forestall.policy.language.step_reads import step_reads

HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x}\nspec:\n  when: {event: a.b}\n"


@pytest.mark.parametrize(
    ("step", "paths"),
    [
        ("{guide: {text: 'Hi', channel: inapp}}", set()),
        ("{guide: {text: '{{ subject.plan }} {{ fields.x }}', channel: inapp}}",
         {"subject.plan", "fields.x"}),
        ("{guide: {text: '{{ broken', channel: inapp}}", set()),
        ("{guide: {runbook: r, channel: inapp, undo: {action: u, with: {a: event.data.page}}}}",
         {"event.data.page"}),
        ("{ask: {text: '{{ event.data.n }}?', choices: {a: A, b: B}, as: x, for: 5m}}",
         {"event.data.n"}),
        ("{enrich: {from: crm, with: {id: subject.id, at: now}, fields: [a]}}", {"subject.id", "now"}),
        ("{infer: {agent: t, with: {t: features.n + size(event.data.t)}, fields: [a]}}",
         {"features.n", "event.data.t"}),
        ("{remediate: {action: a, with: {b: fields.x}, undo: {action: u, with: {c: event.id}}}}",
         {"fields.x", "event.id"}),
        ("{remediate: {action: a, undo: false}}", set()),
        ("{await: {event: a, where: event.data.paid, for: 5m}}", {"event.data.paid"}),
        ("{await: {receipt: helped, for: 5m}}", set()),
        ("{approve: {for: 5m, on_failure: [{guide: {text: '{{ event.type }}', channel: c}}]}}",
         {"event.type"}),
        ("{branch: [{if: event.data.x, do: [{branch: [{if: fields.y, do: []}]}]},"
         " {else: [{escalate: {queue: q, undo: {action: u, with: {z: subject.z}}}}]}]}",
         {"event.data.x", "fields.y", "subject.z"}),
    ],
)  # fmt: skip
def test_what_a_step_reads(step: str, paths: set[str]) -> None:
    (policy,) = parse(f"{HEAD}  playbook: [{step}]\n", "f")
    assert {".".join(path) for path in step_reads(policy)} == paths


def test_what_decides_is_not_among_it() -> None:
    text = HEAD.replace("a.b}", "a.b, where: event.data.x}") + "  if: subject.y\n"
    assert step_reads(parse(text, "f")[0]) == frozenset()
