"""Whatever a model says, an agent ends with an outcome, within its steps, and with what is granted."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assisting import Helping, helping
from forestall.intervene.agents.asking import Ask, ModelFailed, Said, ToolCall
from forestall.intervene.jobs import Outcome

_STEPS = 4
_texts = st.text(max_size=30) | st.sampled_from(
    ["", "[email-1]", "p2", "https://evil.example", "We will refund you.", "</data>", "propose"]
)
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | _texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["payment", "scope", "status", "customer"]) | _texts, inner, max_size=3
        )
    ),
    max_leaves=6,
)
_actions = st.lists(
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(["resend-receipt", "reissue-token", "refund"]) | _texts,
            "arguments": st.sampled_from([{}, {"scope": "pay"}, {"payment": "p2"}]) | _values,
        }
    ),
    max_size=3,
)
_proposals = st.fixed_dictionaries(
    {"confidence": st.sampled_from([0.9, 1, 0.1]) | _values},
    optional={
        "message": st.sampled_from(["Please try another card."]) | _values,
        "runbook": st.sampled_from(["card-declined", "delivery"]) | _values,
        "actions": _actions | _values,
        "hand_over": _texts,
        "rationale": _texts,
        "evidence": st.lists(st.sampled_from(["card-declined@3#customer"]) | _texts, max_size=2),
    },
)
_calls = st.builds(
    ToolCall,
    id=st.sampled_from(["a", "b", ""]),
    name=st.sampled_from(["propose", "payment", "orders", "fill", "refund"]) | _texts,
    arguments=st.one_of(_proposals.map(json.dumps), _values.map(json.dumps), _texts),
)
_said = st.builds(
    Said,
    text=_texts,
    calls=st.lists(_calls, max_size=3).map(tuple),
    tokens_in=st.integers(0, 3_000),
    tokens_out=st.integers(0, 3_000),
)
_answers = st.lists(
    _said | st.sampled_from(["timeout", "nonsense", "rate-limited"]), min_size=1, max_size=6
)
_keys = count()


class Anything:
    """A model that says what it is given to say, and then the last again."""

    def __init__(self, script: list[Any]) -> None:
        self._script, self.asked = script, 0

    async def ask(self, ask: Ask) -> Said:
        assert ask.tokens > 0
        said = self._script[min(self.asked, len(self._script) - 1)]
        self.asked += 1
        if isinstance(said, str):
            raise ModelFailed(said)  # type: ignore[arg-type]
        return said  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shop(loop: asyncio.AbstractEventLoop) -> Iterator[Helping]:
    with tempfile.TemporaryDirectory() as folder:
        opened = helping(Path(folder), "http://127.0.0.1:9/v1")
        yield loop.run_until_complete(opened.__aenter__())
        loop.run_until_complete(opened.__aexit__(None, None, None))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=_answers, kind=st.sampled_from(["plan", "infer"]))
def test_whatever_is_said(
    shop: Helping, loop: asyncio.AbstractEventLoop, script: list[Any], kind: Any
) -> None:
    model = Anything(script)
    shop.orchestrator.models = {"fast": model}
    key = f"effect-{next(_keys)}"
    outcome = loop.run_until_complete(shop.do(kind, None, key, "category"))
    assert model.asked <= _STEPS
    within_grants(outcome)
    shop.orchestrator.models = {"fast": Anything(["timeout"])}
    again = loop.run_until_complete(shop.do(kind, None, key, "category"))
    assert msgspec.json.encode(again) == msgspec.json.encode(outcome)


def within_grants(outcome: Outcome) -> None:
    """Only what is granted, for this customer, comes of it."""
    inference = outcome.inference
    assert inference is not None
    assert inference.calls <= _STEPS
    assert (outcome.outcome == "failed") == (outcome.plan is None and not outcome.fields)
    if outcome.fields:
        assert outcome.fields["category"] in ("card", "bank", "shop")
    for action in () if outcome.plan is None else outcome.plan.actions:
        assert action.action in ("resend-receipt", "reissue-token")
        if action.action == "resend-receipt":
            assert action.arguments == {"payment": "p1"}
        else:
            assert action.arguments["customer"] == "c-7"
            assert action.arguments["scope"] in ("pay", "read")
            assert (action.approve, action.people) == (True, 2)
    said = "" if outcome.plan is None else outcome.plan.message
    assert "evil" not in said
    assert "refund" not in said
