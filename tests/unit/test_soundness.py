"""Playbooks that cannot be carried out as they stand: every reason, at its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.catalogue import load_catalogue
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.offers import Offer
from forestall.policy.language.parse import parse_located

HEAD = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x, owner: me}
spec:
  when: {event: payment.declined}
  playbook:
"""
DECLINED: dict[str, Any] = {
    "x-owner": "me",
    "type": "object",
    "properties": {
        "payment": {"type": "string"},
        "amount": {"type": "number"},
        "code": {"enum": ["expired", "stolen"]},
    },
    "required": ["payment", "code"],
}
OFFERS = Surroundings(
    runbooks=frozenset(["card-declined"]),
    queues=frozenset(["payments"]),
    channels=frozenset(["inapp"]),
    lookups={
        "billing": Offer(
            arguments=frozenset(["customer", "since"]),
            required=frozenset(["customer"]),
            fields=frozenset(["brand", "retryable"]),
        ),
        "anything": Offer(),
    },
    agents={"triage": Offer(arguments=frozenset(["text"]), fields=frozenset(["cause"]))},
    actions={
        "resend": Offer(
            arguments=frozenset(["to"]), fields=frozenset(["mail"]), risk="low", people=1
        ),
        "retry-charge": Offer(
            arguments=frozenset(["payment"]), required=frozenset(["payment"]), risk="high"
        ),
        "refund": Offer(arguments=frozenset(["payment"]), risk="medium", people=2),
    },
)
ASK = "- ask: {text: Well?, choices: {y: 'Yes', n: 'No'}, as: answer, for: 10m}"
LOOK = "- enrich: {from: billing, with: {customer: subject.customer}, fields: [brand]}"
RETRY = "{action: retry-charge, with: {payment: event.data.payment}, queue: payments}"
REFUND = "{action: refund, with: {payment: event.data.payment}, queue: payments}"
RESEND = "{action: resend, queue: payments}"
END = "- resolve: {}"


def told(*steps: str, around: Surroundings = OFFERS, head: str = HEAD) -> list[str]:
    """What is said about a playbook of these steps, from line 7 on."""
    text = head + "".join(f"    {line}\n" for step in steps for line in step.split("\n"))
    located, problems = parse_located(text, "f")
    assert problems == []
    return [
        f"{p.line}:{p.column} {'warning ' if p.severity == 'warning' else ''}{p.code}: {p.message}"
        + (f" | {p.hint}" if p.hint else "")
        for p in check(located[0], around)
    ]


SOUND = """\
- guide: {runbook: card-declined, channel: inapp}
- enrich: {from: billing, with: {customer: subject.customer}, fields: [brand, retryable]}
- branch:
    - if: fields.retryable == true
      do:
        - ask: {text: "Your {{ fields.brand }}, again?", choices: {y: 'Yes', n: 'No'}, as: answer, for: 10m}
        - approve: {for: 30m, on_failure: [{escalate: {queue: payments}}]}
        - remediate: {action: retry-charge, with: {payment: event.data.payment}, queue: payments}
        - branch:
            - if: fields.answer == 'y'
              do: [{resolve: {}}]
    - else:
        - infer: {agent: triage, with: {text: fields.brand}, fields: [cause]}
        - escalate: {queue: payments}
- await: {receipt: helped, for: 5m, then: next}
- approve: {for: 30m, people: 2}
- remediate:
    action: refund
    with: {payment: event.data.payment}
    on_failure: [{guide: {text: "{{ fields.brand }}", channel: inapp}}]
    undo: {action: resend, with: {to: fields.brand}}
- await: {event: payment.succeeded, for: 5m}"""


def test_a_sound_playbook_has_no_problems() -> None:
    assert told(SOUND) == []
    assert told(SOUND, around=ANYTHING) == []


def test_without_offers_any_name_may_be_called() -> None:
    step = "- remediate: {action: whatever, with: {what: '1'}, fields: [some], queue: q}"
    assert told(step, around=ANYTHING) == []
    assert told("- infer: {agent: whoever, fields: [x]}", around=ANYTHING) == []


# -- steps that no way leads to --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ([END, "- escalate: {queue: payments}"], ["8:7 `escalate`"]),
        ([END, "- guide: {text: hi, channel: inapp}", END, END], ["8:7 `guide`"]),
        (["- branch:\n    - if: event.data.x\n      do: [{resolve: {}}]\n    - else: [{resolve: {}}]", END], ["11:7 `resolve`"]),
        (["- branch:\n    - if: event.data.x\n      do: [{resolve: {}}]", END], []),
        (["- branch:\n    - if: event.data.x\n      do: [{resolve: {}}, {resolve: {as: helped}}]", END], ["9:31 `resolve`"]),
        (["- await: {event: a.b, for: 5m, on_failure: stop}", END], ["8:7 `resolve`"]),
        (["- await: {event: a.b, for: 5m, on_failure: [{resolve: {}}]}", END], ["8:7 `resolve`"]),
        (["- await: {event: a.b, for: 5m, then: next, on_failure: stop}", END], []),
        (["- await: {event: a.b, for: 5m}", END], []),
        (["- await: {for: 5m}", END], []),
        (["- escalate: {queue: payments, on_failure: stop}", END], []),
        (["- guide: {text: hi, channel: inapp, on_failure: [{resolve: {}}, {resolve: {}}]}", END], ["7:69 `resolve`"]),
        ([END, "- branch:\n    - if: event.data.x\n      do: [{resolve: {}}, {resolve: {}}]", END], ["8:7 `branch`"]),
        (["- approve: {for: 5m}", END], []),
    ],
)  # fmt: skip
def test_steps_that_are_never_reached(steps: list[str], lines: list[str]) -> None:
    found = told(*steps)
    assert [one.partition(" unreachable-step: this ")[0] for one in found] == [
        line.split()[0] for line in lines
    ]
    for one, line in zip(found, lines, strict=True):
        kind = line.split()[1]
        assert (
            f"this {kind} is never reached: the playbook has ended before it | take it out" in one
        )


# -- fields ----------------------------------------------------------------------------------------

BRANCH = "- branch:\n    - if: event.data.x\n      do:\n        {}\n    - else:\n        {}"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["- branch: [{if: fields.answer == 'y', do: []}]"],
         "7:21 unfilled-field: no step fills `fields.answer`"),
        ([ASK, "- branch: [{if: fields.anser == 'y', do: []}]"],
         "8:21 unfilled-field: no step fills `fields.anser` | did you mean `answer`?"),
        (["- branch: [{if: fields.answer == 'y', do: []}]", ASK],
         "7:21 unfilled-field: `fields.answer` is read before a step fills it"),
        ([BRANCH.format(ASK, END.replace("resolve: {}", "guide: {text: hi, channel: inapp}")),
          "- branch: [{if: true && fields.answer == 'y', do: []}]"],
         "13:29 unfilled-field: `fields.answer` is not filled on every way that leads here"
         " | fill it before the ways part, or test `has(fields.answer)` first"),
        ([BRANCH.format(ASK, LOOK), '- guide: {text: "So {{ fields.brand }}", channel: inapp}'],
         "13:25 unfilled-field: `fields.brand` is not filled on every way that leads here"
         ' | fill it before the ways part, or write `{{ fields.brand | default("...") }}`'),
        (["- branch: [{if: event.data.x, do: [{ask: {text: hi, choices: {a: A, b: B}, as: it, for: 5m}}]}]",
          "- remediate: {action: resend, with: {to: fields.it}, queue: payments}"],
         "8:46 unfilled-field: `fields.it` is not filled on every way that leads here"
         " | fill it before the ways part, or test `has(fields.it)` first"),
        (["- remediate: {action: resend, fields: [mail], queue: payments, with: {to: fields.mail}}"],
         "7:79 unfilled-field: `fields.mail` is read before a step fills it"),
        (["- guide: {text: hi, channel: inapp, undo: {action: resend, with: {to: fields.mail}}}",
          "- remediate: {action: resend, fields: [mail], queue: payments}"],
         "7:75 unfilled-field: `fields.mail` is read before a step fills it"),
        (["- ask: {text: '{{ fields.answer }}', choices: {y: 'Yes', n: 'No'}, as: answer, for: 10m}"],
         "7:20 unfilled-field: `fields.answer` is read before a step fills it"),
    ],
)  # fmt: skip
def test_fields_that_are_read_before_they_are_filled(steps: list[str], expected: str) -> None:
    assert told(*steps) == [expected]


@pytest.mark.parametrize(
    "steps",
    [
        [BRANCH.format(ASK, END), "- branch: [{if: fields.answer == 'y', do: []}]"],
        [BRANCH.format(ASK, ASK), "- branch: [{if: fields.answer == 'y', do: []}]"],
        [BRANCH.format(ASK, LOOK), "- branch: [{if: has(fields.answer) && fields.answer == 'y', do: []}]"],
        [BRANCH.format(ASK, LOOK), "- branch: [{if: '[1].all(x, !has(fields.answer))', do: []}]"],
        [BRANCH.format(ASK, LOOK), "- guide: {text: '{{ fields.brand | default(\"card\") }}', channel: inapp}"],
        ["- enrich: {from: billing, with: {customer: '1'}, fields: [brand], on_failure: next}",
         "- branch: [{if: fields.brand == null, do: []}]"],
        ["- enrich: {from: billing, with: {customer: '1'}, fields: [brand], on_failure: [{escalate: {queue: payments}}]}",
         "- branch: [{if: fields.brand == null, do: []}]"],
        ["- remediate: {action: resend, fields: [mail], queue: payments, undo: {action: resend, with: {to: fields.mail}}}"],
        [LOOK, "- branch: [{if: 'size(fields) > 0', do: []}]"],
    ],
)  # fmt: skip
def test_fields_that_may_be_read(steps: list[str]) -> None:
    assert told(*steps) == []


def test_has_does_not_excuse_what_no_step_ever_fills() -> None:
    (found,) = told(ASK, "- branch: [{if: has(fields.anwser), do: []}]")
    assert found == "8:25 unfilled-field: no step fills `fields.anwser` | did you mean `answer`?"


def test_an_answer_is_compared_with_what_can_be_answered(tmp_path: Path) -> None:
    (tmp_path / "payment.declined.v1.json").write_text(json.dumps(DECLINED))
    around = Surroundings(catalogue=load_catalogue(tmp_path))
    assert told(ASK, "- branch: [{if: fields.answer == 'yes', do: []}]", around=around) == [
        "8:21 unknown-value: `fields.answer` is never 'yes' | it is one of 'y', 'n', null"
    ]
    assert told(ASK, "- branch: [{if: fields.answer > 5, do: []}]", around=around) == [
        "8:21 type-mismatch: `fields.answer` is null or string, and is compared with a number"
        " | write '5' in quotes"
    ]
    assert told(ASK, "- branch: [{if: fields.answer == null, do: []}]", around=around) == []


def test_what_a_runbook_reads_is_there() -> None:
    reads = {"card-declined": frozenset(["fields.brand", "features.n", "event.data.x"])}
    around = Surroundings(runbooks=frozenset(reads), runbook_reads=reads)
    guide = "- guide: {runbook: card-declined, channel: inapp}"
    head = HEAD.replace("  when:", "  features: {n: {count: payment.declined, over: 5m}}\n  when:")
    declared = "which this policy does not declare | give it a default there"
    filled = "which is not filled on every way that leads here | give it a default there"
    assert told(LOOK, guide, head=head, around=around) == []
    assert told(BRANCH.format(LOOK, ASK), guide, around=around) == [
        f"13:24 unfilled-field: the runbook `card-declined` reads `fields.brand`, {filled}",
        f"13:24 unknown-feature: the runbook `card-declined` reads `features.n`, {declared}",
    ]
    assert told(guide, around=ANYTHING) == []


# -- types and fields in expressions ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([f"- remediate: {RESEND[:-1]}, with: {{to: event.data.mail}}}}"],
         "7:63 unknown-field: `event.data.mail` is not a field of payment.declined"),
        ([f"- remediate: {RESEND[:-1]}, with: {{to: event.data.payment + 5}}}}"],
         "7:82 type-mismatch: `+` has no meaning for string and integer"
         " | write string(...) around what is not text"),
        ([f"- remediate: {RESEND[:-1]}, undo: {{action: resend, with: {{to: event.data.paymnt}}}}}}"],
         "7:86 unknown-field: `event.data.paymnt` is not a field of payment.declined"
         " | did you mean `payment`?"),
        (["- branch:\n    - if: event.data.amount > 5.0 && event.data.code == 'expird'\n      do: []"],
         "8:42 unknown-value: `event.data.code` is never 'expird' | did you mean `expired`?"),
        (["- branch: [{if: event.data.payment, do: []}]"],
         "7:21 type-mismatch: `event.data.payment` is string, not true or false"),
        (["- branch: [{if: event.data.amount > 5.0 && event.data.amount < 2.0, do: []}]"],
         "7:21 never-matches: this `if` never holds, so this way is never taken"
         " | `event.data.amount > 5.0` and `event.data.amount < 2.0` exclude each other"),
        (["- branch: [{if: features.f > 1, do: []}]"],
         "7:21 unknown-feature: the feature `f` is not declared under `features`"),
        (["- ask: {text: 'For {{ event.data.paymnt }}?', choices: {a: A, b: B}, as: x, for: 5m}"],
         "7:24 unknown-field: `event.data.paymnt` is not a field of payment.declined"
         " | did you mean `payment`?"),
        (["- branch:\n    - if: 'true'\n      do: [{guide: {text: 'Hi {{ event }}', channel: inapp}}]"],
         "9:35 bad-template: 'event' is not a field; write {{ event.data.order_id }} or"
         ' {{ subject.plan | default("your plan") }}'),
        (["- branch:\n    - if: 'true'\n      do: [{await: {event: payment.decline, for: 5m}}]"],
         "9:32 unknown-type: the catalogue has no event type `payment.decline`"
         " | did you mean `payment.declined`?"),
        (["- guide: {text: hi, channel: inapp, on_failure: [{await: {event: payment.declined, where: event.data.x, for: 5m}}]}"],
         "7:95 unknown-field: `event.data.x` is not a field of payment.declined"),
        (["- await: {event: payment.declined, where: event.data.code == 'expired' && event.data.code == 'stolen', for: 5m}"],
         "7:47 warning never-matches: this `where` never holds for an event of `payment.declined`,"
         " so it is awaited in vain | `event.data.code == 'expired'` and"
         " `event.data.code == 'stolen'` exclude each other"),
    ],
)  # fmt: skip
def test_expressions_and_texts_are_checked_as_others_are(
    steps: list[str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "payment.declined.v1.json").write_text(json.dumps(DECLINED))
    assert told(*steps, around=Surroundings(catalogue=load_catalogue(tmp_path))) == [expected]


def test_arguments_may_have_any_name() -> None:
    """``where``, ``if`` and ``sum`` mean something elsewhere."""
    step = "- enrich: {from: anything, with: {where: '5', if: '[1]', sum: \"'a'\", text: '1'}, fields: [a]}"
    assert told(step) == []


def test_a_feature_read_in_a_playbook_is_used() -> None:
    head = HEAD.replace("  when:", "  features: {n: {count: payment.declined, over: 5m}}\n  when:")
    unused = "5:14 warning unused-feature: the feature `n` is declared, but never used"
    assert told("- await: {for: 5m}", head=head) == [unused]
    assert told("- branch: [{if: features.n > 1, do: []}]", head=head) == []
    assert told(f"- remediate: {RESEND[:-1]}, with: {{to: features.n}}}}", head=head) == []
    assert told("- branch: [{if: 'true', do: [{escalate: {queue: payments}}]}]", head=head) == []


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("- enrich: {from: biling, fields: [brand]}",
         ["7:22 unknown-lookup: there is no lookup `biling` | did you mean `billing`?"]),
        ("- infer: {agent: poet, fields: [cause]}",
         ["7:22 unknown-agent: there is no agent `poet` | there is `triage`"]),
        ("- remediate: {action: refnd, queue: payments}",
         ["7:27 unknown-action: there is no action `refnd` | did you mean `refund`?"]),
        ("- guide: {text: hi, channel: inapp, undo: {action: unsay}}",
         ["7:56 unknown-action: there is no action `unsay` | there is `refund`, `resend`, `retry-charge`"]),
        ("- enrich: {from: billing, fields: [brand]}",
         ["7:22 missing-argument: the lookup `billing` needs `customer`"
          " | write it under `with`, as in `with: {customer: event.data.customer}`"]),
        ("- enrich: {from: billing, with: {custmer: '1', since: now}, fields: [brand]}",
         ["7:22 missing-argument: the lookup `billing` needs `customer`"
          " | write it under `with`, as in `with: {customer: event.data.customer}`",
          "7:38 unknown-argument: the lookup `billing` takes no `custmer` | did you mean `customer`?"]),
        ("- enrich: {from: billing, with: {customer: '1'}, fields: [brand, plan]}",
         ["7:70 unknown-field: the lookup `billing` gives no `plan`"]),
        ("- enrich: {from: anything, with: {what: '1'}, fields: [plan]}", []),
        ("- infer: {agent: triage, with: {tekst: '1'}, fields: [reason]}",
         ["7:37 unknown-argument: the agent `triage` takes no `tekst` | did you mean `text`?",
          "7:59 unknown-field: the agent `triage` gives no `reason`"]),
        ("- remediate: {action: resend, with: {from: '1'}, fields: [male], queue: payments}",
         ["7:42 unknown-argument: the action `resend` takes no `from`",
          "7:63 unknown-field: the action `resend` gives no `male` | did you mean `mail`?"]),
        ("- await: {for: 1m, undo: {action: resend, with: {frm: '1'}}}",
         ["7:54 unknown-argument: the action `resend` takes no `frm`"]),
        ("- branch: [{if: 'true', do: [{guide: {text: hi, channel: fax}}]}]",
         ["7:62 unknown-channel: there is no channel `fax` | there is `inapp`"]),
        ("- ask: {text: hi, choices: {a: A, b: B}, as: x, for: 5m, channel: fax}",
         ["7:71 unknown-channel: there is no channel `fax` | there is `inapp`"]),
        ("- guide: {text: hi, channel: inapp, on_failure: [{guide: {runbook: x, channel: inapp}}]}",
         ["7:72 unknown-runbook: there is no runbook `x` | there is `card-declined`"]),
        ("- branch: [{if: 'true', do: []}, {else: [{escalate: {queue: payment}}]}]",
         ["7:65 unknown-queue: there is no queue `payment` | did you mean `payments`?"]),
        ("- remediate: {action: resend, queue: payment}",
         ["7:42 unknown-queue: there is no queue `payment` | did you mean `payments`?"]),
    ],
)  # fmt: skip
def test_names(step: str, expected: list[str]) -> None:
    assert told(step) == expected


# -- people ----------------------------------------------------------------------------------------

HIGH = "the action `retry-charge` is of high risk"
BEFORE = " | write `- approve: {for: 30m, people: 1}` before it"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([f"- remediate: {RETRY}"],
         [f"7:27 needs-approval: {HIGH}, and no `approve` stands right before it{BEFORE}"]),
        (["- approve: {for: 5m}", "- guide: {text: hi, channel: inapp}", f"- remediate: {RETRY}"],
         [f"9:27 needs-approval: {HIGH}, and no `approve` stands right before it{BEFORE}"]),
        (["- approve: {for: 5m}", f"- branch: [{{if: 'true', do: [{{remediate: {RETRY}}}]}}]"],
         [f"8:55 needs-approval: {HIGH}, and no `approve` stands right before it{BEFORE}"]),
        (["- branch: [{if: event.data.x, do: [{approve: {for: 5m}}]}]", f"- remediate: {RETRY}"],
         [f"8:27 needs-approval: {HIGH}, and no `approve` stands right before it{BEFORE}"]),
        (["- approve: {for: 5m, on_failure: next}", f"- remediate: {RETRY}"],
         [f"8:27 needs-approval: {HIGH}, and follows also when nobody approves"
          " | write `on_failure: stop` or other steps into the `approve`"]),
        ([f"- remediate: {REFUND}"],
         ["7:27 needs-approval: the action `refund` asks for 2 people, and no `approve` stands"
          " right before it | write `- approve: {for: 30m, people: 2}` before it"]),
        (["- approve: {for: 5m}", f"- remediate: {REFUND}"],
         ["8:27 needs-approval: the action `refund` asks for 2 people to approve it"
          " | write `people: 2` into the `approve` before it"]),
        (["- approve: {for: 5m, people: 3}", f"- remediate: {REFUND}"], []),
        (["- approve: {for: 5m}", f"- remediate: {RETRY}"], []),
        (["- approve: {for: 5m, on_failure: [{resolve: {}}]}", f"- remediate: {RETRY}"], []),
        (["- branch: [{if: 'true', do: [{approve: {for: 5m}}]}, {else: [{approve: {for: 5m}}]}]",
          f"- remediate: {RETRY}"], []),
        ([f"- remediate: {RESEND}"], []),
        (["- remediate: {action: resend, queue: payments, undo: {action: refund}}"],
         ["7:67 needs-approval: the action `refund` needs approval, and nobody is asked about an"
          " undo | undo with an action of less risk"]),
        (["- guide: {text: hi, channel: inapp, undo: {action: resend}}"], []),
    ],
)  # fmt: skip
def test_dangerous_actions_need_people(steps: list[str], expected: list[str]) -> None:
    assert told(*steps) == expected


def test_a_policy_of_high_risk_has_its_approval() -> None:
    head = HEAD.replace("  when:", "  risk: high\n  when:")
    assert told(f"- remediate: {RETRY}", head=head) == []
    assert len(told(f"- remediate: {REFUND}", head=head)) == 1
    assert len(told("- await: {for: 1m}", f"- remediate: {RETRY}", head=head)) == 1


def test_somebody_can_approve() -> None:
    around = Surroundings(roles={"approver": 1, "lead": 2})
    assert (
        told("- approve: {for: 5m}", "- approve: {for: 5m, by: lead, people: 2}", around=around)
        == []
    )
    assert told("- approve: {for: 5m, by: leed}", around=around) == [
        "7:30 unknown-role: nobody has the role `leed` | there is `approver`, `lead`"
    ]
    assert told("- approve: {for: 5m, people: 2}", around=around) == [
        "7:16 unknown-role: 2 `approver` are to approve, and there is only 1"
        " | ask fewer, or give more people the role"
    ]
    assert told("- approve: {for: 5m, by: leed}", around=ANYTHING) == []


@pytest.mark.parametrize(
    ("when", "trusted"),
    [
        ("{event: page.clicked}", False),
        ("{event: [page.clicked, payment.declined]}", True),
        ("{event: payment.declined}", True),
        ("{event: '*'}", True),
        ("{sequence: [{event: page.clicked}, {event: payment.declined}]}", True),
        ("{sequence: [{event: page.clicked}, {not: payment.declined, for: 5s}]}", False),
        ("{all: [{event: page.clicked}, {event: page.viewed}], within: 5m}", False),
    ],
)
def test_nothing_is_mended_because_a_browser_says_so(
    when: str, trusted: bool, tmp_path: Path
) -> None:
    page = {"x-owner": "me", "x-origins": ["browser"], "type": "object"}
    for name, schema in {
        "payment.declined": DECLINED,
        "page.clicked": page,
        "page.viewed": page,
    }.items():
        (tmp_path / f"{name}.v1.json").write_text(json.dumps(schema))
    around = Surroundings(catalogue=load_catalogue(tmp_path))
    head = HEAD.replace("{event: payment.declined}", when)
    found = told(
        f"- branch: [{{if: 'true', do: [{{remediate: {RESEND}}}]}}]", head=head, around=around
    )
    expected = (
        "7:46 untrusted-trigger: whatever sets this policy off comes from browsers, so anybody"
        " could have `resend` carried out | let the pattern wait for an event that a server sends too"
    )
    assert found == ([] if trusted else [expected])
    assert told("- guide: {text: hi, channel: inapp}", head=head, around=around) == []


def test_somebody_takes_over_when_a_remediation_fails() -> None:
    message = "needs-queue: who takes over when `resend` fails? This stops, and has no `queue`"
    hint = "name a `queue`, or say what follows in `on_failure`"
    assert told("- remediate: {action: resend}") == [f"7:18 {message} | {hint}"]
    assert told(
        "- branch: [{if: 'true', do: [{remediate: {action: resend, on_failure: stop}}]}]"
    ) == [f"7:46 {message} | {hint}"]
    assert told("- remediate: {action: resend, on_failure: next}") == []
    assert told("- remediate: {action: resend, on_failure: [{escalate: {queue: payments}}]}") == []


def test_a_receipt_is_awaited_after_something_was_said() -> None:
    wait = "- await: {receipt: helped, for: 5m}"
    assert told(wait, "- guide: {text: hi, channel: inapp}") == [
        "7:24 warning never-matches: nothing was said that could be helped,"
        " so it is awaited in vain | put a `guide` or an `ask` before it"
    ]
    assert told("- guide: {text: hi, channel: inapp}", wait) == []
    assert (
        told("- branch: [{if: event.data.x, do: [{guide: {text: hi, channel: inapp}}]}]", wait)
        == []
    )


def test_what_could_not_be_read_is_not_judged() -> None:
    text = HEAD + (
        "    - ask: {text: hi, choices: {a: A, b: B}, as: my answer, for: 5m}\n"
        "    - branch: [{if: fields.answer == 'a', do: []}]\n"
        "    - remediate: {action: refnd}\n"
    )
    located, problems = parse_located(text, "f")
    assert [p.code for p in problems] == ["bad-value"]
    assert [p.code for p in check(located[0], OFFERS)] == ["unknown-action"]
