"""The steps of playbooks as text: what they mean, and what is said about every mistake."""

import pytest

from forestall.contracts.instants import HOUR, MINUTE, SECOND
from forestall.policy.language.model import (
    Approve,
    Arm,
    Ask,
    Await,
    Branch,
    Call,
    Enrich,
    Escalate,
    Guide,
    Infer,
    Match,
    Plan,
    PlaybookStep,
    Remediate,
    Resolve,
)
from forestall.policy.language.parse import parse, parse_located
from forestall.policy.language.steps import MAX_NESTED, MAX_STEPS, MAX_WAYS

HEAD = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x}
spec:
  when: {event: a.b}
"""


def read(playbook: str) -> tuple[PlaybookStep, ...]:
    """The steps of a playbook written as one line of YAML."""
    return parse(f"{HEAD}  playbook: {playbook}\n", "f")[0].playbook


def told(*lines: str) -> list[str]:
    """What is said about a policy with these lines in its ``spec``, from line 6 on."""
    text = HEAD + "".join(f"  {line}\n" for line in lines)
    return [
        f"{p.line}:{p.column} {p.code}: {p.message}" + (f" | {p.hint}" if p.hint else "")
        for p in sorted(parse_located(text, "f")[1])
    ]


# fmt: off
WRONG: list[tuple[str, str, list[str]]] = [
    ('playbook is a mapping', 'playbook: {guide: {text: hi, channel: inapp}}',
     ['6:13 wrong-type: `spec.playbook` must be a list, not a mapping']),
    ('a step is text', 'playbook: [resolve]',
     ['6:14 wrong-type: `spec.playbook[0]` must be a mapping, not the text `resolve`']),
    ('an empty step', 'playbook: [{}]',
     ['6:14 bad-playbook: `spec.playbook[0]` must have exactly one of `guide`, `ask`, `enrich`, `infer`, `plan`, `await`, `remediate`, `approve`, `branch`, `escalate` or `resolve`']),
    ('a misspelt step', 'playbook: [{remdiate: {action: a}}]',
     ['6:15 unknown-key: unknown key `remdiate` in `spec.playbook[0]` | did you mean `remediate`?']),
    ('a guide with for', 'playbook: [{guide: {text: hi, channel: inapp, for: 5m}}]',
     ['6:49 unknown-key: `for` belongs to steps that wait for somebody | write `timeout`']),
    ('a guide with runbook and text', 'playbook: [{guide: {text: hi, runbook: r, channel: inapp}}]',
     ['6:22 bad-playbook: `spec.playbook[0].guide` needs either `runbook` or `text`']),
    ('a guide of no time', 'playbook: [{guide: {text: hi, channel: inapp, timeout: 0s}}]',
     ['6:58 bad-duration: `spec.playbook[0].guide.timeout` is no time at all']),
    ('on_failure of another word', 'playbook: [{guide: {text: hi, channel: inapp, on_failure: halt}}]',
     ['6:61 bad-value: `spec.playbook[0].guide.on_failure` must be `next` or `stop`, not `halt`']),
    ('on_failure of no steps', 'playbook: [{guide: {text: hi, channel: inapp, on_failure: []}}]',
     ['6:61 bad-value: `spec.playbook[0].guide.on_failure` has no steps | write `next` or `stop`']),
    ('on_failure of one step without a list', 'playbook: [{guide: {text: hi, channel: inapp, on_failure: {resolve: {}}}}]',
     ['6:61 wrong-type: `spec.playbook[0].guide.on_failure` must be `next`, `stop` or a list of steps | write the step as `[{...}]`']),
    ('a wrong step inside on_failure', 'playbook: [{guide: {text: hi, channel: inapp, on_failure: [{escalate: {}}]}}]',
     ['6:73 missing-key: `spec.playbook[0].guide.on_failure[0].escalate` lacks `queue`']),
    ('an undo without action', "playbook: [{guide: {text: hi, channel: inapp, undo: {with: {a: '1'}}}}]",
     ['6:55 missing-key: `spec.playbook[0].guide.undo` lacks `action`']),
    ('an undo that is false but for a remediation', 'playbook: [{guide: {text: hi, channel: inapp, undo: false}}]',
     ['6:55 wrong-type: `spec.playbook[0].guide.undo` must be a mapping, not the boolean false']),
    ('an undo that is true', 'playbook: [{remediate: {action: a, undo: true, queue: q}}]',
     ['6:44 wrong-type: `spec.playbook[0].remediate.undo` must be a mapping, not the boolean true']),
    ('an ask without anything', 'playbook: [{ask: {}}]',
     ['6:20 endless-wait: `spec.playbook[0].ask` waits without an end: it lacks `for`, and nobody may ever answer | say how long to wait, such as `for: 10m`',
      '6:20 missing-key: `spec.playbook[0].ask` lacks `as`',
      '6:20 missing-key: `spec.playbook[0].ask` lacks `choices`',
      '6:20 missing-key: `spec.playbook[0].ask` lacks `text`']),
    ('an ask with timeout', 'playbook: [{ask: {text: hi, choices: {a: A, b: B}, as: x, timeout: 5m}}]',
     ['6:61 unknown-key: a step that waits for somebody takes `for`, not `timeout` | write `for`']),
    ('an ask with a runbook', 'playbook: [{ask: {runbook: r, choices: {a: A, b: B}, as: x, for: 5m}}]',
     ['6:20 missing-key: `spec.playbook[0].ask` lacks `text`',
      '6:21 unknown-key: a question takes no `runbook` | write its words under `text`']),
    ('an ask for half an hour', 'playbook: [{ask: {text: hi, choices: {a: A, b: B}, as: x, for: half}}]',
     ['6:66 bad-duration: `spec.playbook[0].ask.for`: `half` is not a duration | write an integer and `ms`, `s`, `m`, `h` or `d`, such as `90s`']),
    ('one answer', 'playbook: [{ask: {text: hi, choices: {a: A}, as: x, for: 5m}}]',
     ['6:40 bad-value: `spec.playbook[0].ask.choices` must have 2 to 8 answers, not 1']),
    ('nine answers', 'playbook: [{ask: {text: hi, choices: {a: A, b: A, c: A, d: A, e: A, f: A, g: A, h: A, i: A}, as: x, for: 5m}}]',
     ['6:40 bad-value: `spec.playbook[0].ask.choices` must have 2 to 8 answers, not 9']),
    ('a list of answers', 'playbook: [{ask: {text: hi, choices: [a, b], as: x, for: 5m}}]',
     ['6:40 wrong-type: `spec.playbook[0].ask.choices` must be a mapping, not a list']),
    ('an answer of another form', "playbook: [{ask: {text: hi, choices: {'Yes, do': A, b: B}, as: x, for: 5m}}]",
     ['6:41 bad-value: `Yes, do` is not the value of an answer: a-z, 0-9, - and _ | did you mean `yes-do`?']),
    ('an answer that says nothing', "playbook: [{ask: {text: hi, choices: {a: '', b: 5}, as: x, for: 5m}}]",
     ['6:44 bad-value: `spec.playbook[0].ask.choices.a` is empty',
      '6:51 wrong-type: `spec.playbook[0].ask.choices.b` must be text, not the number 5 | put it in quotes']),
    ('a long answer', 'playbook: [{ask: {text: hi, choices: {a: ' + 'A' * 201 + ', b: B}, as: x, for: 5m}}]',
     ['6:44 too-large: `spec.playbook[0].ask.choices.a` has more than 200 characters | it has to fit a button']),
    ('a field of another form', 'playbook: [{ask: {text: hi, choices: {a: A, b: B}, as: my-answer, for: 5m}}]',
     ['6:58 bad-value: `spec.playbook[0].ask.as`: `my-answer` is not the name of a field | use letters, digits and _, such as `card_brand`']),
    ('a long question', 'playbook: [{ask: {text: ' + 'A' * 8193 + ', choices: {a: A, b: B}, as: x, for: 5m}}]',
     ['6:27 too-large: `spec.playbook[0].ask.text` has more than 8,192 characters | customers read a few lines; shorten it']),
    ('an enrich without anything', 'playbook: [{enrich: {}}]',
     ['6:23 missing-key: `spec.playbook[0].enrich` lacks `fields`',
      '6:23 missing-key: `spec.playbook[0].enrich` lacks `from`']),
    ('an enrich with for', 'playbook: [{enrich: {from: crm, fields: [a], for: 5s}}]',
     ['6:48 unknown-key: `for` belongs to steps that wait for somebody | write `timeout`']),
    ('no fields', 'playbook: [{enrich: {from: crm, fields: []}}]',
     ['6:43 bad-value: `spec.playbook[0].enrich.fields` names no field']),
    ('fields that are no list', 'playbook: [{enrich: {from: crm, fields: a}}]',
     ['6:43 wrong-type: `spec.playbook[0].enrich.fields` must be a list, not the text `a`']),
    ('fields that are no names', 'playbook: [{enrich: {from: crm, fields: [a-b, 5, a, a, [b]]}}]',
     ['6:44 bad-value: `spec.playbook[0].enrich.fields[0]`: `a-b` is not the name of a field | use letters, digits and _, such as `card_brand`',
      '6:49 wrong-type: `spec.playbook[0].enrich.fields[1]` must be the name of a field, not the number 5',
      '6:55 bad-value: `spec.playbook[0].enrich.fields[3]`: `a` stands here twice',
      '6:58 wrong-type: `spec.playbook[0].enrich.fields[4]` must be the name of a field, not a list']),
    ('a wrong cache', 'playbook: [{enrich: {from: crm, fields: [a], cache: 5}}]',
     ['6:55 wrong-type: `spec.playbook[0].enrich.cache` must be a duration such as 30s, not the number 5 | write the unit, such as `5s`']),
    ('no time to look up', 'playbook: [{enrich: {from: crm, fields: [a], timeout: 0ms}}]',
     ['6:57 bad-duration: `spec.playbook[0].enrich.timeout` is no time at all']),
    ('an argument that is no expression', "playbook: [{enrich: {from: crm, fields: [a], with: {id: 'event.data.'}}}]",
     ["6:71 bad-expression: `spec.playbook[0].enrich.with.id`: expected a field name after '.', found the end of the condition"]),
    ('an argument that is a number', 'playbook: [{enrich: {from: crm, fields: [a], with: {id: 5}}}]',
     ['6:59 wrong-type: `spec.playbook[0].enrich.with.id` must be text, not the number 5 | put it in quotes']),
    ('an argument over services', 'playbook: [{enrich: {from: crm, fields: [a], with: {id: service.x}}}]',
     ["6:59 bad-expression: `spec.playbook[0].enrich.with.id`: there is no variable 'service' | there are: event, subject, now, features, fields"]),
    ('arguments that are a list', 'playbook: [{enrich: {from: crm, fields: [a], with: [id]}}]',
     ['6:54 wrong-type: `spec.playbook[0].enrich.with` must be a mapping, not a list']),
    ('a plan without agent and queue', 'playbook: [{plan: {channel: inapp}}]',
     ['6:21 missing-key: `spec.playbook[0].plan` lacks `agent`',
      '6:21 missing-key: `spec.playbook[0].plan` lacks `queue`']),
    ('a plan with an undo', 'playbook: [{plan: {agent: a, queue: q, undo: {action: b}}}]',
     ['6:42 unknown-key: a plan has no `undo`: each of its actions is undone as it declares | leave it out']),
    ('a plan with fields and for', 'playbook: [{plan: {agent: a, queue: q, fields: [x], for: 5m}}]',
     ['6:42 unknown-key: unknown key `fields` in `spec.playbook[0].plan` | there are: agent, with, channel, queue, timeout, approval, by, on_failure',
      '6:55 unknown-key: `for` belongs to steps that wait for somebody | write `timeout`']),
    ('a plan in no time', 'playbook: [{plan: {agent: a, queue: q, timeout: 0s, approval: 0s}}]',
     ['6:51 bad-duration: `spec.playbook[0].plan.timeout` is no time at all',
      '6:65 bad-duration: `spec.playbook[0].plan.approval` is no time at all']),
    ('an infer without agent', 'playbook: [{infer: {agnt: a, fields: [x]}}]',
     ['6:23 unknown-key: unknown key `agnt` in `spec.playbook[0].infer` | did you mean `agent`?']),
    ('an await of event and receipt', 'playbook: [{await: {event: a.b, receipt: helped, for: 5m}}]',
     ['6:35 bad-playbook: `spec.playbook[0].await` has both `event` and `receipt`; write two steps']),
    ('an await of an unknown receipt', 'playbook: [{await: {receipt: answered, for: 5m}}]',
     ['6:32 bad-value: `spec.playbook[0].await.receipt` must be `shown`, `dismissed` or `helped`, not `answered`']),
    ('an await with timeout', 'playbook: [{await: {event: a.b, timeout: 5m}}]',
     ['6:35 unknown-key: a step that waits for somebody takes `for`, not `timeout` | write `for`']),
    ('a wait for time without end', 'playbook: [{await: {}}]',
     ['6:22 endless-wait: `spec.playbook[0].await` waits without an end: it lacks `for`, and it may never come | say how long to wait, such as `for: 10m`']),
    ('a wait for time that goes somewhere', 'playbook: [{await: {for: 5m, then: next, on_failure: stop}}]',
     ['6:32 bad-playbook: `spec.playbook[0].await` waits for the time only, so `then` says nothing | name an `event` or a `receipt`, or leave it out',
      '6:44 bad-playbook: `spec.playbook[0].await` waits for the time only, so `on_failure` says nothing | name an `event` or a `receipt`, or leave it out']),
    ('a where without event', 'playbook: [{await: {receipt: helped, where: event.data.x, for: 5m}}]',
     ['6:40 bad-playbook: `spec.playbook[0].await` has a `where`, and no `event` that it could be about']),
    ('a where over fields', 'playbook: [{await: {event: a.b, where: fields.x == 1, for: 5m}}]',
     ["6:42 bad-expression: `spec.playbook[0].await.where`: there is no variable 'fields' | there are: event, subject, now"]),
    ('a misspelt event', "playbook: [{await: {evnt: a.b, where: 'true', for: 5m, then: next}}]",
     ['6:23 unknown-key: unknown key `evnt` in `spec.playbook[0].await` | did you mean `event`?']),
    ('a remediate without action', 'playbook: [{remediate: {queue: q}}]',
     ['6:26 missing-key: `spec.playbook[0].remediate` lacks `action`']),
    ('an approve without for', 'playbook: [{approve: {by: lead}}]',
     ['6:24 endless-wait: `spec.playbook[0].approve` waits without an end: it lacks `for`, and nobody may ever look at it | say how long to wait, such as `for: 10m`']),
    ('an approve by nobody', 'playbook: [{approve: {people: 0, for: 5m}}]',
     ['6:33 bad-value: `spec.playbook[0].approve.people` must lie between 1 and 5, not 0']),
    ('an approve by a crowd', 'playbook: [{approve: {people: 6, for: 5m}}]',
     ['6:33 bad-value: `spec.playbook[0].approve.people` must lie between 1 and 5, not 6']),
    ('an escalate with for', 'playbook: [{escalate: {queue: q, for: 5m}}]',
     ['6:36 unknown-key: `for` belongs to steps that wait for somebody | write `timeout`']),
    ('a resolve as something else', 'playbook: [{resolve: {as: escalated}}]',
     ['6:29 bad-value: `spec.playbook[0].resolve.as` must be `resolved` or `helped`, not `escalated`']),
    ('a resolve with then', 'playbook: [{resolve: {then: helped}}]',
     ['6:25 unknown-key: `resolve` takes `as`, not `then`']),
    ('a resolve without a mapping', 'playbook: [{resolve: helped}]',
     ['6:24 wrong-type: `spec.playbook[0].resolve` must be a mapping, not the text `helped`']),
    ('a branch that is a mapping', "playbook: [{branch: {if: 'true', do: []}}]",
     ['6:23 wrong-type: `spec.playbook[0].branch` must be a list, not a mapping']),
    ('a branch of nothing', 'playbook: [{branch: []}]',
     ['6:23 bad-playbook: `spec.playbook[0].branch` has no ways to go']),
    ('a branch with else only', 'playbook: [{branch: [{else: [{resolve: {}}]}]}]',
     ['6:23 bad-playbook: `spec.playbook[0].branch` has an `else`, and nothing to choose from | add a way with `if`, or write the steps without a branch']),
    ('an arm after else', "playbook: [{branch: [{if: 'true', do: []}, {else: []}, {if: 'true', do: []}]}]",
     ['6:58 bad-playbook: `spec.playbook[0].branch[2]` stands after the `else`, so it is never taken | the `else` on line 6 takes all; put it last']),
    ('two elses', "playbook: [{branch: [{if: 'true', do: []}, {else: []}, {else: []}]}]",
     ['6:58 bad-playbook: `spec.playbook[0].branch[2]` stands after the `else`, so it is never taken | the `else` on line 6 takes all; put it last']),
    ('an arm with else and if', "playbook: [{branch: [{if: 'true', do: []}, {else: [], if: 'true', do: []}]}]",
     ['6:57 bad-playbook: `spec.playbook[0].branch[1]` has both `else` and `if` | write `- if: CONDITION` with `do: [...]`, then `- else: [...]`',
      '6:69 bad-playbook: `spec.playbook[0].branch[1]` has both `else` and `do` | write `- if: CONDITION` with `do: [...]`, then `- else: [...]`']),
    ('an arm without do', "playbook: [{branch: [{if: 'true'}]}]",
     ['6:24 missing-key: `spec.playbook[0].branch[0]` lacks `do`']),
    ('an arm without if', 'playbook: [{branch: [{do: [{resolve: {}}]}]}]',
     ['6:24 missing-key: `spec.playbook[0].branch[0]` lacks `if`']),
    ('an arm with then', "playbook: [{branch: [{if: 'true', then: [{resolve: {}}]}]}]",
     ['6:24 missing-key: `spec.playbook[0].branch[0]` lacks `do`',
      '6:37 unknown-key: a way of a branch takes `do`, not `then` | write `do`']),
    ('an arm with a broken if', "playbook: [{branch: [{if: 'fields.x ==', do: []}]}]",
     ['6:41 bad-expression: `spec.playbook[0].branch[0].if`: expected a value, found the end of the condition']),
    ('an arm with features and services', "playbook: [{branch: [{if: 'features.f > 1 && service.s == 1', do: []}]}]",
     ["6:48 bad-expression: `spec.playbook[0].branch[0].if`: there is no variable 'service' | there are: event, subject, now, features, fields"]),
    ('a wrong step in an arm', "playbook: [{branch: [{if: 'true', do: [{guide: {text: hi}}]}]}]",
     ['6:50 missing-key: `spec.playbook[0].branch[0].do[0].guide` lacks `channel`']),
    ('a branch beside another step', 'playbook: [{branch: [], resolve: {}}]',
     ['6:14 bad-playbook: `spec.playbook[0]` must have exactly one of `guide`, `ask`, `enrich`, `infer`, `plan`, `await`, `remediate`, `approve`, `branch`, `escalate` or `resolve`']),
    ('an unknown way of running ones', 'running: stop',
     ['6:12 bad-value: `spec.running` must be `finish` or `cancel`, not `stop`']),
]
# fmt: on


@pytest.mark.parametrize(("line", "expected"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_mistake_is_told_where_it_is(line: str, expected: list[str]) -> None:
    assert told(line) == expected


def test_the_least_that_each_step_says() -> None:
    assert read("[{guide: {text: hi, channel: inapp}}]") == (Guide(text="hi", channel="inapp"),)
    assert read("[{ask: {text: 'Well?', choices: {y: Yes, n: 'No'}, as: answer, for: 10m}}]") == (
        Ask(text="Well?", choices={"y": "Yes", "n": "No"}, into="answer", timeout=10 * MINUTE),
    )
    assert read("[{enrich: {from: crm, fields: [plan]}}]") == (
        Enrich(source="crm", fields=("plan",), timeout=5 * SECOND),
    )
    assert read("[{infer: {agent: triage, fields: [cause]}}]") == (
        Infer(agent="triage", fields=("cause",), timeout=20 * SECOND),
    )
    assert read("[{plan: {agent: helper, queue: q}}]") == (
        Plan(
            agent="helper",
            queue="q",
            channel="inapp",
            arguments={},
            timeout=20 * SECOND,
            approval=30 * MINUTE,
            by="approver",
            on_failure="stop",
        ),
    )
    assert read("[{await: {event: a.b, for: 1h}}]") == (
        Await(match=Match(types=("a.b",)), timeout=HOUR, then="resolved"),
    )
    assert read("[{await: {receipt: shown, for: 1h}}]") == (Await(receipt="shown", timeout=HOUR),)
    assert read("[{await: {for: 1h}}]") == (Await(timeout=HOUR),)
    assert read("[{remediate: {action: retry}}]") == (
        Remediate(action="retry", timeout=30 * SECOND, on_failure="stop"),
    )
    assert read("[{approve: {for: 30m}}]") == (
        Approve(timeout=30 * MINUTE, by="approver", people=1, on_failure="stop"),
    )
    assert read("[{escalate: {queue: q}}]") == (Escalate(queue="q"),)
    assert read("[{resolve: {}}]") == (Resolve(then="resolved"),)
    assert read("[{branch: [{if: 'true', do: []}]}]") == (
        Branch(arms=(Arm(condition="true", steps=()),)),
    )


FULL = """
    - guide: {runbook: r, channel: crm, timeout: 30s, on_failure: stop, undo: {action: take-back}}
    - ask:
        text: "Try {{ event.data.amount }} again?"
        choices: {retry: "Yes, try again", no-way: "No", 3_days: "In three days"}
        as: answer
        for: 10m
        channel: chat
        on_failure: stop
        undo: {action: forget, with: {whom: subject.customer}}
    - enrich:
        from: billing-customer
        with: {customer: subject.customer, at: now}
        fields: [card_brand, retryable]
        cache: 5m
        timeout: 3s
        on_failure: [{resolve: {as: helped}}]
        undo: {action: forget, with: {brand: fields.card_brand}}
    - infer: {agent: triage, with: {n: features.n + 1}, fields: [cause], timeout: 9s, on_failure: stop}
    - plan:
        agent: helper
        with: {text: fields.cause, n: features.n}
        channel: crm
        queue: payments
        timeout: 15s
        approval: 10m
        by: lead
        on_failure: [{escalate: {queue: q}}]
    - await: {event: [c.d, e.f], where: event.data.x > 1, for: 1h, then: helped, on_failure: stop}
    - await: {receipt: helped, for: 5m, then: next, undo: {action: forget}}
    - branch:
        - if: fields.answer == 'retry'
          do:
            - approve: {by: lead, for: 30m, people: 2, why: a second charge, on_failure: [{escalate: {queue: q}}]}
            - remediate:
                action: retry-charge
                with: {payment: event.data.payment}
                fields: [receipt]
                timeout: 1m
                queue: payments
                undo: false
            - remediate: {action: tell, on_failure: next, undo: {action: untell}}
        - else:
            - escalate: {queue: payments, timeout: 1h, on_failure: stop, undo: {action: close}}
    - resolve: {as: helped}
"""


def test_everything_that_steps_can_say() -> None:
    policy = parse(f"{HEAD}  running: cancel\n  risk: high\n  playbook:{FULL}", "f")[0]
    assert (policy.running, policy.risk) == ("cancel", "high")
    forget = Call(action="forget")
    assert policy.playbook == (
        Guide(
            runbook="r",
            channel="crm",
            timeout=30 * SECOND,
            on_failure="stop",
            undo=Call(action="take-back"),
        ),
        Ask(
            text="Try {{ event.data.amount }} again?",
            choices={"retry": "Yes, try again", "no-way": "No", "3_days": "In three days"},
            into="answer",
            timeout=10 * MINUTE,
            channel="chat",
            on_failure="stop",
            undo=Call(action="forget", arguments={"whom": "subject.customer"}),
        ),
        Enrich(
            source="billing-customer",
            arguments={"at": "now", "customer": "subject.customer"},
            fields=("card_brand", "retryable"),
            cache=5 * MINUTE,
            timeout=3 * SECOND,
            on_failure=(Resolve(then="helped"),),
            undo=Call(action="forget", arguments={"brand": "fields.card_brand"}),
        ),
        Infer(
            agent="triage",
            arguments={"n": "features.n + 1"},
            fields=("cause",),
            timeout=9 * SECOND,
            on_failure="stop",
        ),
        Plan(
            agent="helper",
            arguments={"n": "features.n", "text": "fields.cause"},
            channel="crm",
            queue="payments",
            timeout=15 * SECOND,
            approval=10 * MINUTE,
            by="lead",
            on_failure=(Escalate(queue="q"),),
        ),
        Await(
            match=Match(types=("c.d", "e.f"), where="event.data.x > 1"),
            timeout=HOUR,
            then="helped",
            on_failure="stop",
        ),
        Await(receipt="helped", timeout=5 * MINUTE, then="next", undo=forget),
        Branch(
            arms=(
                Arm(
                    condition="fields.answer == 'retry'",
                    steps=(
                        Approve(
                            by="lead",
                            timeout=30 * MINUTE,
                            people=2,
                            why="a second charge",
                            on_failure=(Escalate(queue="q"),),
                        ),
                        Remediate(
                            action="retry-charge",
                            arguments={"payment": "event.data.payment"},
                            fields=("receipt",),
                            timeout=MINUTE,
                            queue="payments",
                            undo=False,
                        ),
                        Remediate(action="tell", on_failure="next", undo=Call(action="untell")),
                    ),
                ),
                Arm(
                    condition=None,
                    steps=(
                        Escalate(
                            queue="payments",
                            timeout=HOUR,
                            on_failure="stop",
                            undo=Call(action="close"),
                        ),
                    ),
                ),
            )
        ),
        Resolve(then="helped"),
    )


def test_answers_keep_their_order_and_arguments_have_none() -> None:
    (ask,) = read("[{ask: {text: hi, choices: {z: Z, a: A}, as: x, for: 5m}}]")
    assert isinstance(ask, Ask)
    assert list(ask.choices) == ["z", "a"]
    one = read("[{enrich: {from: crm, fields: [a], with: {y: '1', x: '2'}}}]")
    other = read("[{enrich: {from: crm, fields: [a], with: {x: '2', y: '1'}}}]")
    assert repr(one) == repr(other)


def test_the_bounds_of_answers_and_names() -> None:
    eight = ", ".join(f"a{n}: A" for n in range(8))
    longest = "f" * 63
    (ask,) = read(f"[{{ask: {{text: hi, choices: {{{eight}}}, as: {longest}, for: 5m}}}}]")
    assert isinstance(ask, Ask)
    assert len(ask.choices) == 8
    line = f"playbook: [{{ask: {{text: hi, choices: {{a: A, b: B}}, as: {longest}f, for: 5m}}}}]"
    assert [one.split(": ")[0] for one in told(line)] == ["6:58 bad-value"]


def test_a_playbook_has_at_most_64_steps() -> None:
    step = "{resolve: {}}"
    assert len(read(f"[{', '.join([step] * MAX_STEPS)}]")) == MAX_STEPS
    lines = ["playbook:", *["  - resolve: {}"] * (MAX_STEPS + 40)]
    assert told(*lines) == [
        f"{7 + MAX_STEPS}:7 too-large: a playbook has at most 64 steps, nested ones counted"
        " | split the policy in two"
    ]


def test_nested_steps_count_too_and_the_surplus_is_told_once() -> None:
    arm = f"{{if: 'true', do: [{', '.join(['{resolve: {}}'] * 30)}]}}"
    (found,) = told(f"playbook: [{{branch: [{arm}, {arm}, {arm}]}}, {{resolve: {{}}}}]")
    assert "too-large: a playbook has at most 64 steps" in found


def test_ways_and_arguments_are_limited() -> None:
    way = "{if: 'true', do: []}"
    assert len(read(f"[{{branch: [{', '.join([way] * MAX_WAYS)}]}}]")) == 1
    assert told(f"playbook: [{{branch: [{', '.join([way] * 20_000)}]}}]") == [
        "6:23 too-large: `spec.playbook[0].branch` has 20000 ways; at most 16 are allowed"
        " | branch again in the `else`"
    ]
    given = ", ".join(f"a{number}: '1'" for number in range(20_000))
    assert told(f"playbook: [{{enrich: {{from: crm, fields: [x], with: {{{given}}}}}}}]") == [
        "6:54 too-large: `spec.playbook[0].enrich.with` has 20000 arguments; at most 64 are allowed"
    ]


def test_fields_of_a_step_are_as_many_as_its_report_can_tell() -> None:
    def look(count: int) -> str:
        names = ", ".join(f"f{number}" for number in range(count))
        return f"playbook: [{{enrich: {{from: crm, fields: [{names}]}}}}]"

    assert told(look(64)) == []
    assert told(look(65)) == [
        "6:43 too-large: `spec.playbook[0].enrich.fields` names 65 fields; at most 64 are allowed"
        " | take the step apart"
    ]


def nested(lists: int) -> str:
    """Branches in branches, ``lists`` lists of steps deep."""
    step = "{resolve: {}}"
    for _ in range(lists - 1):
        step = f"{{branch: [{{if: 'true', do: [{step}]}}]}}"
    return f"[{step}]"


def test_steps_are_nested_at_most_five_lists_deep() -> None:
    assert read(nested(MAX_NESTED))
    (found,) = told(f"playbook: {nested(MAX_NESTED + 1)}")
    assert "too-deep" in found
    assert "is nested more than 5 lists of steps deep | split the policy in two" in found


def test_failures_are_nested_as_branches_are() -> None:
    step = "{escalate: {queue: q}}"
    for _ in range(MAX_NESTED):
        step = f"{{guide: {{text: hi, channel: inapp, on_failure: [{step}]}}}}"
    (found,) = told(f"playbook: [{step}]")
    assert "too-deep" in found


def test_a_mistake_deep_inside_has_its_own_line() -> None:
    lines = FULL.replace("for: 30m", "for: 30").replace("untell", "").splitlines()
    assert told("playbook:", *(line[2:] for line in lines[1:])) == [
        "39:40 wrong-type: `spec.playbook[7].branch[0].do[0].approve.for` must be a duration such"
        " as 30s, not the number 30 | write the unit, such as `30s`",
        "47:74 wrong-type: `spec.playbook[7].branch[0].do[2].remediate.undo.action` must be text,"
        " not nothing",
    ]
