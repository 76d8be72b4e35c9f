"""Policies as text: what they mean, and what is said about every mistake, word for word."""

import datetime
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.errors import InvalidFile
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND
from forestall.policy.language.model import (
    Await,
    Escalate,
    Feature,
    Guide,
    Match,
    Model,
    Policy,
    PolicyTest,
    Step,
    TestEvent,
    TestExpectation,
    When,
)
from forestall.policy.language.parse import parse, parse_located

HEAD = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x}
spec:
"""
OK = "  when: {event: a.b}\n"


def spec(*lines: str) -> str:
    return HEAD + "".join(f"  {line}\n" for line in lines)


def more(*lines: str) -> str:
    return spec("when: {event: a.b}", *lines)


# fmt: off
WRONG: list[tuple[str, str, list[str]]] = [
    ("nothing", "",
     ["1:1 no-policy: the file holds no policy"]),
    ("only a comment", "# nothing yet\n---\n",
     ["1:1 no-policy: the file holds no policy"]),
    ("a list", "- a\n",
     ["1:1 wrong-type: a policy must be a mapping, not a list"]),
    ("not YAML", "a: [1\n",
     ["2:1 yaml: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence | close the bracket that is opened on line 1, column 4"]),
    ("a quote that does not end", HEAD + "  title: 'x\n",
     ["6:1 yaml: not valid YAML: found unexpected end of stream while scanning a quoted scalar | close the quote that is opened on line 5, column 10"]),
    ("a colon in plain text", HEAD + "  title: a: b\n",
     ["5:11 yaml: not valid YAML: mapping values are not allowed in this context | put text with a colon or an odd first character in quotes, or mind the indentation"]),
    ("text that begins with @", HEAD + "  title: @me\n",
     ["5:10 yaml: not valid YAML: found character that cannot start any token while scanning for the next token | put text with a colon or an odd first character in quotes, or mind the indentation"]),
    ("a line too far in", HEAD + OK + "   priority: 1\n",
     ["6:4 yaml: not valid YAML: did not find expected key while parsing a block mapping | indent it like what begins on line 5, column 3"]),
    ("a tab at the start", HEAD + OK + "\tpriority: 1\n",
     ["6:1 yaml: not valid YAML: found character that cannot start any token while scanning for the next token | indent with spaces, not with tabs"]),
    ("a tab", "kind:\tPolicy\n\tname: x\n",
     ["2:1 yaml: not valid YAML: found a tab character that violates indentation while scanning a plain scalar | indent with spaces, not with tabs"]),
    ("a NUL", "kind: Pol\x00icy\n",
     ['1:10 yaml: the character U+0000 may not stand in a YAML file | write it as an escape in double quotes, such as "\\u0000"']),
    ("an alias", HEAD + OK + "  purpose: &p support\n  model: *p\n",
     ["6:12 yaml: anchors such as &p are not supported | write it out",
      "7:10 yaml: aliases such as *p are not supported | write it out"]),
    ("a merge key", HEAD + "  <<: {edge: true}\n" + OK,
     ["5:3 yaml: merge keys (<<) are not supported | write it out"]),
    ("a tag", HEAD + OK + "  priority: !!int '5'\n",
     ["6:13 yaml: the tag tag:yaml.org,2002:int is not supported | remove it"]),
    ("a key twice", HEAD + OK + "  priority: 1\n  priority: 2\n",
     ["7:3 duplicate-key: the key `priority` is written twice | the first is on line 6"]),
    ("a list as key", HEAD + OK + "  [a]: 1\n",
     ["6:3 yaml: a key must be plain text"]),
    ("nothing but a kind", "kind: Polizy\n",
     ["1:1 missing-key: the policy lacks `apiVersion`",
      "1:1 missing-key: the policy lacks `metadata`",
      "1:1 missing-key: the policy lacks `spec`",
      "1:7 bad-value: `kind` must be `Policy`, not `Polizy`"]),
    ("another version", HEAD.replace("v1", "v2") + OK,
     ["1:13 bad-value: `apiVersion` must be `forestall/v1`, not `forestall/v2`"]),
    ("unknown key at the top", HEAD + OK + "test: []\n",
     ["6:1 unknown-key: unknown key `test` | did you mean `tests`?"]),
    ("unknown key like no other", more("model: {name: m, threshold: 0.5, xyz: 1}"),
     ["6:36 unknown-key: unknown key `xyz` in `spec.model` | there are: name, threshold"]),
    ("unknown key in metadata", "apiVersion: forestall/v1\nkind: Policy\nmetadata: {nam: x}\nspec:\n" + OK,
     ["3:12 unknown-key: unknown key `nam` in `metadata` | did you mean `name`?"]),
    ("unknown key in spec", more("priorty: 5"),
     ["6:3 unknown-key: unknown key `priorty` in `spec` | did you mean `priority`?"]),
    ("a bad name", HEAD.replace("x}", "Card Declined}") + OK,
     ["3:18 bad-name: `Card Declined` is not a policy name: 1 to 63 of a-z, 0-9 and - | did you mean `card-declined`?"]),
    ("a name that is a number", HEAD.replace("x}", "12}") + OK,
     ["3:18 wrong-type: `metadata.name` must be text, not the number 12 | put it in quotes"]),
    ("two of one name", HEAD + OK + "---\n" + HEAD + OK,
     ["9:18 duplicate-name: another policy is called `x` already | the first is on line 3"]),
    ("a day that is none", HEAD.replace("x}", "x, review_by: soon}") + OK,
     ["3:32 bad-value: `metadata.review_by` must be a day such as 2027-01-31, not `soon`"]),
    ("labels that are numbers", HEAD.replace("x}", "x, labels: {a: 1}}") + OK,
     ["3:33 wrong-type: `metadata.labels.a` must be text, not the number 1 | put it in quotes"]),
    ("no when", spec("edge: false"),
     ["5:3 missing-key: `spec` lacks `when`"]),
    ("when is text", spec("when: a.b"),
     ["5:9 wrong-type: `spec.when` must be a mapping, not the text `a.b`"]),
    ("when is empty", spec("when:"),
     ["5:8 wrong-type: `spec.when` must be a mapping, not nothing"]),
    ("when with an unknown form", spec("when: {evnt: a.b}"),
     ["5:10 unknown-key: unknown key `evnt` in `spec.when` | did you mean `event`?"]),
    ("when with two forms", spec("when: {event: a.b, all: []}"),
     ["5:22 bad-pattern: `spec.when` has `event` and `all`; write only one"]),
    ("a type in capitals", spec("when: {event: Payment Declined}"),
     ["5:17 bad-event-type: `Payment Declined` is not an event type | did you mean `payment.declined`?"]),
    ("a type that is a number", spec("when: {event: 5}"),
     ["5:17 wrong-type: `spec.when.event` must be an event type or a list of them, not the number 5"]),
    ("no types", spec("when: {event: []}"),
     ["5:17 bad-value: `spec.when.event` names no event type"]),
    ("any type in a list", spec('when: {event: [a.b, "*"]}'),
     ['5:23 bad-event-type: `spec.when.event`: "*" stands alone, not in a list or a test | name the types, or write just "*"']),
    ("times on an event", spec("when: {event: a.b, times: 2}"),
     ["5:22 unknown-key: `when: {event: ...}` takes no `times` | write a sequence: `sequence: [{event: TYPE, times: N}]`"]),
    ("by on an event", spec("when: {event: a.b, by: event.id}"),
     ["5:22 unknown-key: `when: {event: ...}` takes no `by` | write a sequence of one step"]),
    ("an empty sequence", spec("when: {sequence: []}"),
     ["5:20 bad-pattern: `spec.when.sequence` has no steps"]),
    ("a sequence that is a mapping", spec("when: {sequence: {event: a.b}}"),
     ["5:20 wrong-type: `spec.when.sequence` must be a list, not a mapping"]),
    ("a step that is text", spec("when: {sequence: [a.b]}"),
     ["5:21 wrong-type: `spec.when.sequence[0]` must be a mapping, not the text `a.b`"]),
    ("a step without a type", spec("when: {sequence: [{times: 2}]}"),
     ["5:21 missing-key: `spec.when.sequence[0]` lacks `event` or `not`"]),
    ("a step both ways", spec("when: {sequence: [{event: a.b, not: c.d}]}"),
     ["5:34 bad-pattern: `spec.when.sequence[0]` has both `event` and `not`; write two steps"]),
    ("a negative start", spec("when: {sequence: [{not: a.b}, {event: c.d}]}"),
     ["5:21 bad-pattern: `spec.when.sequence` starts with a negative step; the first must be positive"]),
    ("negatives side by side", spec("when:", "  sequence:", "    - event: a.b", "    - not: c.d", "    - not: e.f", "    - event: a.b"),
     ["9:9 bad-pattern: `spec.when.sequence[2]` is the second negative step side by side | name both types in one step: `not: [a.b, c.d]`"]),
    ("a last negative without for", spec("when: {sequence: [{event: a.b}, {not: c.d}]}"),
     ["5:35 bad-pattern: `spec.when.sequence[1]` is negative and last, so it needs `for` | say how long to wait, such as `for: 30s`"]),
    ("for in the middle", spec("when: {sequence: [{event: a.b}, {not: c.d, for: 5s}, {event: a.b}]}"),
     ["5:46 bad-pattern: only the last step takes `for`"]),
    ("for on a positive", spec("when: {sequence: [{event: a.b, for: 5s}]}"),
     ["5:34 bad-pattern: a positive step takes no `for` | add a last step `{not: TYPE, for: DURATION}`"]),
    ("times on a negative", spec("when: {sequence: [{event: a.b}, {not: c.d, times: 2, for: 1s}]}"),
     ["5:46 bad-pattern: a negative step takes no `times`"]),
    ("times of zero", spec("when: {sequence: [{event: a.b, times: 0}]}"),
     ["5:41 bad-value: `spec.when.sequence[0].times` must lie between 1 and 32, not 0"]),
    ("too many steps", spec("when: {sequence: [{event: a.b, times: 20}, {event: c.d, times: 13}]}"),
     ["5:20 bad-pattern: `spec.when.sequence` has 33 positive steps, repetitions counted; at most 32 are allowed | count with a feature instead"]),
    ("where beside the steps", spec("when: {sequence: [{event: a.b}], where: 'true'}"),
     ["5:36 unknown-key: `where` belongs to a step, not beside the list | move it into the step"]),
    ("all without within", spec("when: {all: [{event: a.b}, {event: c.d}]}"),
     ["5:9 missing-key: `spec.when` lacks `within`"]),
    ("not in all", spec("when: {all: [{event: a.b}, {not: c.d}], within: 5m}"),
     ["5:30 missing-key: `spec.when.all[1]` lacks `event`",
      "5:31 unknown-key: a step of `all` takes no `not` | write a sequence"]),
    ("an empty all", spec("when: {all: [], within: 5m}"),
     ["5:15 bad-pattern: `spec.when.all` has no steps"]),
    ("a bad duration", spec("when: {sequence: [{event: a.b}], within: 5 minutes}"),
     ["5:44 bad-duration: `spec.when.within`: `5 minutes` is not a duration | write an integer and `ms`, `s`, `m`, `h` or `d`, such as `90s`"]),
    ("a duration without unit", more("cooldown: 30"),
     ["6:13 wrong-type: `spec.cooldown` must be a duration such as 30s, not the number 30 | write the unit, such as `30s`"]),
    ("a duration of ages", more("cooldown: 99999d"),
     ["6:13 bad-duration: `spec.cooldown`: `99999d` is longer than 36500d"]),
    ("a broken where", spec("when: {event: a.b, where: 'event.data.x >'}"),
     ["5:44 bad-expression: `spec.when.where`: expected a value, found the end of the condition"]),
    ("an unknown variable", spec("when: {event: a.b, where: features.x > 1}"),
     ["5:29 bad-expression: `spec.when.where`: there is no variable 'features' | there are: event, subject, now"]),
    ("a broken if in a block", more("if: |", "  features.x > 1 &&", "    featurs.y > 2"),
     ["8:7 bad-expression: `spec.if`: there is no variable 'featurs' | did you mean 'features'?"]),
    ("a broken if, folded", more("if: >-", "  features.x > 1 &&", "  featurs.y > 2"),
     ["8:5 bad-expression: `spec.if`: there is no variable 'featurs' | did you mean 'features'?"]),
    ("a broken if, escaped", more(r'if: "subject.a == \"\u00e9\" && evnt.x"'),
     ["6:35 bad-expression: `spec.if`: there is no variable 'evnt' | did you mean 'event'?"]),
    ("a broken if, quoted over lines", more("if: 'true &&", "  ''a'' == evnt.x'"),
     ["7:14 bad-expression: `spec.if`: there is no variable 'evnt' | did you mean 'event'?"]),
    ("if is a boolean", more("if: true"),
     ["6:7 wrong-type: `spec.if` must be text, not the boolean true | put it in quotes"]),
    ("an empty if", more("if: ''"),
     ["6:7 bad-value: `spec.if` is empty"]),
    ("a feature without a kind", more("features: {f: {over: 5m}}"),
     ["6:17 bad-feature: `spec.features.f` has no kind; write one of `count`, `sum`, `avg`, `min`, `max`, `distinct`, `first`, `last`, `p50`, `p90`, `p95`, `p99` or `since`"]),
    ("a feature with an unknown kind", more("features: {f: {cont: a.b, over: 5m}}"),
     ["6:18 unknown-key: unknown key `cont` in `spec.features.f` | did you mean `count`?"]),
    ("a feature with two kinds", more("features: {f: {count: a.b, since: a.b, over: 5m}}"),
     ["6:30 bad-feature: `spec.features.f` has both `count` and `since`; write one of `count`, `sum`, `avg`, `min`, `max`, `distinct`, `first`, `last`, `p50`, `p90`, `p95`, `p99` or `since`"]),
    ("a feature without over", more("features: {f: {count: a.b}}"),
     ["6:17 missing-key: `spec.features.f` lacks `over`"]),
    ("a sum without of", more("features: {f: {sum: event.data.x, over: 5m}}"),
     ["6:17 missing-key: `spec.features.f` lacks `of`"]),
    ("a count with of", more("features: {f: {count: a.b, of: c.d, over: 5m}}"),
     ["6:30 unknown-key: `count` takes no `of` | name the type as `count: TYPE`"]),
    ("features is a list", more("features: []"),
     ["6:13 wrong-type: `spec.features` must be a mapping, not a list"]),
    ("an unknown risk", more("risk: hihg"),
     ["6:9 bad-value: `spec.risk` must be `low`, `medium` or `high`, not `hihg` | did you mean `high`?"]),
    ("a priority too high", more("priority: 101"),
     ["6:13 bad-value: `spec.priority` must lie between 0 and 100, not 101"]),
    ("a priority with a fraction", more("priority: 5.5"),
     ["6:13 wrong-type: `spec.priority` must be a whole number, not the number 5.5"]),
    ("a holdout too large", more("holdout: 5"),
     ["6:12 bad-value: `spec.holdout` must lie between 0 and 1, not 5"]),
    ("a holdout that is text", more("holdout: five"),
     ["6:12 wrong-type: `spec.holdout` must be a number between 0 and 1, not the text `five`"]),
    ("a flag that is no", more("edge: no"),
     ["6:9 wrong-type: `spec.edge` must be `true` or `false`, not the text `no` | YAML 1.2 reads yes, no, on and off as text"]),
    ("an infinite threshold", more("model: {name: m, threshold: .inf}"),
     ["6:31 wrong-type: .inf is not a number that JSON and 64 bits can hold | put it in quotes if it is meant as text"]),
    ("a model without threshold", more("model: {name: m}"),
     ["6:10 missing-key: `spec.model` lacks `threshold`"]),
    ("an unknown budget class", more("budget_class: guide"),
     ["6:17 bad-value: `spec.budget_class` must be `guidance` or `transactional`, not `guide` | did you mean `guidance`?"]),
    ("a step of another kind", more("playbook:", "  - guid: {text: hi, channel: inapp}"),
     ["7:7 unknown-key: unknown key `guid` in `spec.playbook[0]` | did you mean `guide`?"]),
    ("two kinds in a step", more("playbook:", "  - {escalate: {queue: q}, guide: {text: hi, channel: inapp}}"),
     ["7:7 bad-playbook: `spec.playbook[0]` must have exactly one of `guide`, `ask`, `enrich`, `infer`, `plan`, `await`, `remediate`, `approve`, `branch`, `escalate` or `resolve`"]),
    ("a guide without words", more("playbook:", "  - guide: {channel: inapp}"),
     ["7:14 bad-playbook: `spec.playbook[0].guide` needs either `runbook` or `text`"]),
    ("a guide without channel", more("playbook:", "  - guide: {text: hi}"),
     ["7:14 missing-key: `spec.playbook[0].guide` lacks `channel`"]),
    ("an await without for", more("playbook:", "  - await: {event: a.b, then: done}"),
     ["7:14 endless-wait: `spec.playbook[0].await` waits without an end: it lacks `for`, and it may never come | say how long to wait, such as `for: 10m`",
      "7:33 bad-value: `spec.playbook[0].await.then` must be `resolved`, `helped` or `next`, not `done`"]),
    ("an escalate without queue", more("playbook:", "  - escalate: {}"),
     ["7:17 missing-key: `spec.playbook[0].escalate` lacks `queue`"]),
    ("a test without expect", HEAD + OK + "tests:\n  - {name: t, events: []}\n",
     ["7:5 missing-key: `tests[0]` lacks `expect`"]),
    ("a test event of any type", HEAD + OK + "tests:\n  - {name: t, expect: [], events: [{at: 0s, type: '*'}]}\n",
     ['7:51 bad-event-type: `tests[0].events[0].type`: "*" stands alone, not in a list or a test | name the types, or write just "*"']),
    ("a test event at a time", HEAD + OK + "tests:\n  - {name: t, expect: [], events: [{at: 12:30, type: a.b}]}\n",
     ["7:41 bad-duration: `tests[0].events[0].at`: `12:30` is not a duration | write an integer and `ms`, `s`, `m`, `h` or `d`, such as `90s`"]),
    ("an unknown reason", HEAD + OK + "tests:\n  - {name: t, events: [], expect: [{at: 0s, outcome: suppress, reason: cooldwn}]}\n",
     ["7:72 bad-value: `tests[0].expect[0].reason` must be `killed`, `opted_out`, `no_consent`, `in_conversation`, `cooldown`, `fatigue`, `budget`, `spacing`, `quiet_hours`, `low_confidence`, `policy_holdout`, `outranked` or `global_holdout`, not `cooldwn` | did you mean `cooldown`?"]),
    ("an unknown outcome", HEAD + OK + "tests:\n  - {name: t, events: [], expect: [{at: 0s, outcome: intervened}]}\n",
     ["7:54 bad-value: `tests[0].expect[0].outcome` must be `intervene`, `suppress` or `holdout`, not `intervened` | did you mean `intervene`?"]),
    ("a number too large", HEAD + OK + "tests:\n  - {name: t, expect: [], events: [{at: 0s, type: a.b, data: {n: 99999999999999999999}}]}\n",
     ["7:66 wrong-type: 99999999999999999999 is not a number that JSON and 64 bits can hold | put it in quotes if it is meant as text"]),
    ("too deep", HEAD + OK + "labels: " + "[" * 70 + "]" * 70 + "\n",
     ["6:72 too-deep: nested more than 64 levels deep"]),
]
# fmt: on


def told(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        parse(text, "f.yaml")
    assert {problem.file for problem in caught.value.problems} == {"f.yaml"}
    return [
        f"{p.line}:{p.column} {p.code}: {p.message}" + (f" | {p.hint}" if p.hint else "")
        for p in caught.value.problems
    ]


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in WRONG], ids=[c[0] for c in WRONG]
)
def test_a_mistake_is_told_where_it_is(text: str, expected: list[str]) -> None:
    assert told(text) == expected


def one(text: str) -> Policy:
    policies = parse(text, "f.yaml")
    assert len(policies) == 1
    return policies[0]


def test_the_least_policy_has_every_default() -> None:
    assert one(HEAD + OK) == Policy(
        name="x",
        title="x",
        owner="",
        when=When(kind="event", steps=(Step(match=Match(types=("a.b",))),)),
        playbook=(),
    )
    policy = one(HEAD + OK)
    assert (policy.purpose, policy.risk, policy.priority) == ("support", "low", 50)
    assert (policy.cooldown, policy.valid_for, policy.holdout) == (DAY, 2 * MINUTE, 0.0)
    assert (policy.budget_class, policy.edge) == ("guidance", False)
    assert (policy.in_conversation, policy.quiet_hours) == ("hold", "respect")


def test_every_construct_is_read() -> None:
    text = textwrap.dedent("""\
        apiVersion: forestall/v1
        kind: Policy
        metadata:
          name: card-declined-twice
          title: Help customers whose card is declined twice
          owner: payments-support
          labels: {product: checkout}
          review_by: 2027-01-31
        spec:
          features:
            spent: {sum: event.data.amount, of: [order.paid, order.renewed], over: 30d, by: event.data.shop}
            errors: {count: client.error, where: "event.data.code >= 500", over: 10m}
            seen: {since: "*"}
          when:
            sequence:
              - {event: payment.declined, times: 2}
              - {not: [payment.succeeded, order.paid], where: event.data.ok, for: 30s}
            within: 10m
            by: event.data.order_id
          if: "features.errors < 5 && subject.plan != 'internal'"
          purpose: billing
          risk: medium
          priority: 90
          cooldown: 12h
          valid_for: 90s
          budget_class: transactional
          in_conversation: allow
          quiet_hours: ignore
          model: {name: ticket-propensity, threshold: 1}
          holdout: 0.05
          edge: true
          playbook:
            - guide: {runbook: card-declined, channel: inapp}
            - await: {event: payment.succeeded, where: event.data.ok, for: 10m, then: helped}
            - guide: {text: "Shall we call?", channel: crm}
            - escalate: {queue: payments}
        tests:
          - name: two declines and silence
            events:
              - {at: 0s, type: payment.declined, data: {order_id: o1, n: [1, 2.5, null, true]}}
              - {at: 20s, type: payment.declined, id: e2, source: s, origin: browser, received: 25s, data: }
            until: 60s
            expect:
              - {at: 50s, outcome: intervene, reason: null, key: '"o1"'}
              - {at: 50s, outcome: suppress, reason: cooldown}
    """)
    assert one(text) == Policy(
        name="card-declined-twice",
        title="Help customers whose card is declined twice",
        owner="payments-support",
        labels={"product": "checkout"},
        review_by=datetime.date(2027, 1, 31),
        features={
            "errors": Feature(
                kind="count",
                match=Match(types=("client.error",), where="event.data.code >= 500"),
                over=10 * MINUTE,
            ),
            "seen": Feature(kind="since", match=Match(types=("*",))),
            "spent": Feature(
                kind="sum",
                match=Match(types=("order.paid", "order.renewed")),
                value="event.data.amount",
                over=30 * DAY,
                by="event.data.shop",
            ),
        },
        when=When(
            kind="sequence",
            steps=(
                Step(match=Match(types=("payment.declined",)), times=2),
                Step(
                    match=Match(types=("payment.succeeded", "order.paid"), where="event.data.ok"),
                    negative=True,
                    quiet_for=30 * SECOND,
                ),
            ),
            within=10 * MINUTE,
            by="event.data.order_id",
        ),
        condition="features.errors < 5 && subject.plan != 'internal'",
        purpose="billing",
        risk="medium",
        priority=90,
        cooldown=12 * HOUR,
        valid_for=90 * SECOND,
        budget_class="transactional",
        in_conversation="allow",
        quiet_hours="ignore",
        model=Model(name="ticket-propensity", threshold=1.0),
        holdout=0.05,
        edge=True,
        playbook=(
            Guide(channel="inapp", runbook="card-declined"),
            Await(
                match=Match(types=("payment.succeeded",), where="event.data.ok"),
                timeout=10 * MINUTE,
                then="helped",
            ),
            Guide(channel="crm", text="Shall we call?"),
            Escalate(queue="payments"),
        ),
        tests=(
            PolicyTest(
                name="two declines and silence",
                events=(
                    TestEvent(
                        at=0,
                        type="payment.declined",
                        data={"order_id": "o1", "n": [1, 2.5, None, True]},
                    ),
                    TestEvent(
                        at=20 * SECOND,
                        type="payment.declined",
                        id="e2",
                        source="s",
                        origin="browser",
                        received=25 * SECOND,
                    ),
                ),
                until=60 * SECOND,
                expect=(
                    TestExpectation(at=50 * SECOND, outcome="intervene", key='"o1"'),
                    TestExpectation(at=50 * SECOND, outcome="suppress", reason="cooldown"),
                ),
                line=38,
            ),
        ),
    )
    assert list(one(text).features) == ["errors", "seen", "spent"]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (
            "{all: [{event: a.b, where: event.data.x}, {event: c.d}], within: 5m, by: event.id}",
            When(
                kind="all",
                steps=(
                    Step(match=Match(types=("a.b",), where="event.data.x")),
                    Step(match=Match(types=("c.d",))),
                ),
                within=5 * MINUTE,
                by="event.id",
            ),
        ),
        (
            "{sequence: [{event: a.b}, {not: '*'}, {event: forestall.ticket.opened}]}",
            When(
                kind="sequence",
                steps=(
                    Step(match=Match(types=("a.b",))),
                    Step(match=Match(types=("*",)), negative=True),
                    Step(match=Match(types=("forestall.ticket.opened",))),
                ),
            ),
        ),
        (
            "{sequence: [{event: a.b, times: 32}], within: 0s}",
            When(kind="sequence", steps=(Step(match=Match(types=("a.b",)), times=32),), within=0),
        ),
        (
            "{event: [login, login, page_view.seen-2]}",
            When(kind="event", steps=(Step(match=Match(types=("login", "page_view.seen-2"))),)),
        ),
    ],
)
def test_patterns(when: str, expected: When) -> None:
    assert one(HEAD + f"  when: {when}\n").when == expected


@pytest.mark.parametrize(
    "kind", ["sum", "avg", "min", "max", "distinct", "first", "last", "p50", "p90", "p95", "p99"]
)
def test_features_with_a_value(kind: str) -> None:
    policy = one(more(f"features: {{f: {{{kind}: event.data.x, of: a.b, over: 250ms}}}}"))
    expected = Feature(kind=kind, match=Match(types=("a.b",)), value="event.data.x", over=250_000)  # type: ignore[arg-type]
    assert policy.features == {"f": expected}


@pytest.mark.parametrize(
    "feature", ["{since: a.b}", "{first: event.id, of: a.b}", "{last: event.id, of: a.b}"]
)
def test_features_that_remember_everything(feature: str) -> None:
    assert one(more(f"features: {{f: {feature}}}")).features["f"].over is None


def test_scalars_are_those_of_yaml_1_2() -> None:
    values = {
        "no": "no", "on": "on", "y": "y", "12:30": "12:30", "2024-01-01": "2024-01-01", "1_000": "1_000",
        "true": True, "False": False, "~": None, "null": None, "''": "", "0o17": 15, "0x1F": 31,
        "010": 10, "-7": -7, "+1": 1, "1e3": 1000.0, ".5": 0.5, "1.": 1.0, '"5"': "5", "!!str 5": "5",
        "-9223372036854775808": -(2**63),
    }  # fmt: skip
    data = "".join(f"        - {value}\n" for value in values)
    text = (
        HEAD + OK + "tests:\n- name: t\n  expect: []\n  events:\n"
        "  - at: 0s\n    type: a.b\n    data:\n      all:\n" + data
    )
    found: list[Any] = one(text).tests[0].events[0].data["all"]
    assert [(type(v), v) for v in found] == [(type(v), v) for v in values.values()]


def test_several_documents_in_one_file() -> None:
    text = HEAD + OK + "---\n" + HEAD.replace("x}", "y}") + OK + "---\n# nothing more\n"
    assert [policy.name for policy in parse(text, "f")] == ["x", "y"]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    text = "\ufeff" + (HEAD + OK).replace("\n", "\r\n")
    assert one(text) == one(HEAD + OK)
    assert told(text.replace("kind: Policy", "kind: P")) == [
        "2:7 bad-value: `kind` must be `Policy`, not `P`"
    ]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = spec(
        "when: {sequence: [{not: a.b}], witin: 5}",
        "if: 'features.x >'",
        "priority: high",
        "cooldown: 5 hours",
        "holdout: 7",
        "risk: hihg",
        "playbook: [{guide: {channel: inapp}}]",
        "modle: x",
    ) + "---\n" + HEAD.replace("Policy", "Polizei") + OK + "tests: 5\n"  # fmt: skip
    places = [line.split()[0] for line in told(text)]
    assert places == [
        "5:21", "5:21", "5:34", "6:20", "7:13", "8:13", "9:12", "10:9", "11:22", "12:3", "15:7", "16:18", "19:8",
    ]  # fmt: skip


def test_what_was_read_before_a_break_in_the_syntax_is_judged_too() -> None:
    assert [line.split()[0] for line in told(more("priorty: 5") + "---\na: [\n")] == ["6:3", "9:1"]


def test_the_size_of_a_file_is_bounded() -> None:
    assert told("#" * 1_000_001) == [
        "1:1 too-large: the file has 1,000,001 characters, more than 1,000,000 | split it into several files"
    ]


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_deep_nesting_is_refused_without_recursion(depth: int) -> None:
    assert told("[" * depth)[0].startswith("1:65 too-deep")
    assert told("- " * depth)[0].split()[1] in ("too-deep:", "yaml:")


def test_lone_surrogates_are_refused() -> None:
    assert told("kind: \ud800") == [
        "1:7 yaml: the character U+D800 may not stand in a YAML file | "
        'write it as an escape in double quotes, such as "\\u0000"'
    ]


def test_places_are_kept_for_later_judgement() -> None:
    located, problems = parse_located(more("playbook:", "  - escalate: {queue: q}"), "f")
    assert problems == []
    assert located[0].place("spec", "playbook", 0, "escalate", "queue") == (7, 25)
    assert located[0].key_place("spec", "playbook") == (6, 3)
    assert located[0].place("spec", "playbook", 1) == (1, 1)
    assert located[0].node("spec", 0) is None


PIECES = st.sampled_from(
    ["{", "}", "[", "]", ":", "- ", "\n", "  ", "null", "~", "5", "'", '"', "|", "> ", "&a ", "*a", "!!x ", "#",
     "\t", "a.b", "-1", "1e999", "true", "event", "not", "?", "%", "\x00", "\u2028", "<<", "when", "😀"]
)  # fmt: skip


@given(st.data())
def test_whatever_is_written_gives_policies_or_problems_with_a_place(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([case[1] for case in WRONG if len(case[1]) < 500]))
    for _ in range(data.draw(st.integers(0, 4))):
        start, end = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
        text = text[:start] + data.draw(PIECES) + text[min(end, start + 5) :]
    _, problems = parse_located(text, "f")
    lines = len(text.splitlines())
    assert all(1 <= problem.line <= lines + 1 and problem.column >= 1 for problem in problems)
