"""What an agent may spend is checked before each call, and what was paid for is not paid for again."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from assisting import DECLARED, helping, made
from flow.test_agents import FINE, answered, fell
from forestall.contracts.instants import DAY
from forestall.intervene.jobs import Outcome
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Agents
from model_server import ModelServer, Reply, model_server, propose


@pytest.mark.parametrize(("steps", "calls"), [(1, 1), (3, 3)])
def test_the_steps_are_bounded(tmp_path: Path, steps: int, calls: int) -> None:
    declared = DECLARED.replace("steps: 4", f"steps: {steps}")
    outcome = answered(tmp_path, Reply(calls=[("payment", {})]), declared=declared, calls=calls)
    assert fell(outcome) == "budget"
    assert made == [("payment", {"payment": "p1"})]  # the same again is not looked up again


def test_the_tokens_are_bounded_before_anything_is_sent(tmp_path: Path) -> None:
    declared = DECLARED.replace("tokens: 20000", "tokens: 200")
    assert fell(answered(tmp_path, FINE, declared=declared, calls=0)) == "budget"


def test_the_tokens_are_counted_over_all_calls(tmp_path: Path) -> None:
    declared = DECLARED.replace("tokens: 20000", "tokens: 5000")
    big = Reply(calls=[("payment", {})], usage=(4_000, 900))
    outcome = answered(tmp_path, big, FINE, declared=declared, calls=1)
    assert fell(outcome) == "budget"
    assert outcome.inference is not None
    assert outcome.inference.tokens_in == 4_000


def test_the_money_is_bounded(tmp_path: Path) -> None:
    declared = DECLARED.replace("tokens: 20000", "tokens: 20000, money: 0.0001")
    assert fell(answered(tmp_path, FINE, declared=declared, calls=0)) == "budget"


def test_an_answer_may_be_no_longer_than_the_money_allows(tmp_path: Path) -> None:
    declared = DECLARED.replace("tokens: 20000", "tokens: 20000, money: 0.01")

    async def run(server: ModelServer) -> None:
        async with helping(tmp_path, server.url, declared) as shop:
            assert fell(await shop.do()) is None

    with model_server(FINE) as server:
        asyncio.run(run(server))
    request = server.requests[0]
    most = request.get("max_completion_tokens") or request["max_tokens"]
    assert 64 <= most < 1_000


@pytest.mark.parametrize("common", [Agents(tokens=130), Agents(money=0.0004)])
def test_all_agents_together_are_bounded_by_the_day(tmp_path: Path, common: Agents) -> None:
    common = msgspec.structs.replace(
        common,
        tokens=common.tokens and 4_000,
        money=common.money and 0.02,
    )
    dear = propose(message="Please try another card.")
    dear = Reply(calls=dear.calls, usage=(2_500, 1_600))

    async def run(server: ModelServer) -> list[str | None]:
        async with helping(tmp_path, server.url, agents=common) as shop:
            first = await shop.do(key="effect-1")
            second = await shop.do(key="effect-2")
            again = await shop.do(key="effect-1")
            spent = shop.orchestrator.ledger.spent(wall_clock() // DAY)
            assert (spent.calls, spent.tokens) == (1, 4_100)
            return [fell(first), fell(second), fell(again)]

    with model_server(dear) as server:
        assert asyncio.run(run(server)) == [None, "budget", None]
        assert len(server.requests) == 1


def test_the_same_key_again_is_answered_by_what_was_recorded(tmp_path: Path) -> None:
    async def run(server: ModelServer) -> tuple[Outcome, Outcome]:
        async with helping(tmp_path, server.url) as shop:
            first = await shop.do()
        async with helping(tmp_path, server.url) as shop:
            return first, await shop.do()

    with model_server(Reply(calls=[("payment", {})]), FINE, propose(message="Other.")) as server:
        first, again = asyncio.run(run(server))
        assert len(server.requests) == 2
    assert msgspec.json.encode(first) == msgspec.json.encode(again)
    assert made == []  # neither is the lookup made again


def test_a_failure_is_recorded_too(tmp_path: Path) -> None:
    async def run(server: ModelServer) -> None:
        async with helping(tmp_path, server.url) as shop:
            first, again = await shop.do(), await shop.do()
            assert msgspec.json.encode(first) == msgspec.json.encode(again)
            assert fell(again) == "rate-limited"

    with model_server(Reply(status=429), FINE) as server:
        asyncio.run(run(server))
        assert len(server.requests) == 1


def test_what_changed_in_between_is_not_answered_by_the_record_nor_paid_again(
    tmp_path: Path,
) -> None:
    async def run(server: ModelServer) -> None:
        async with helping(tmp_path, server.url) as shop:
            await shop.do()
        declared = DECLARED.replace("Be kind.", "Be brief.")
        async with helping(tmp_path, server.url, declared) as shop:
            assert fell(await shop.do()) == "cut-off"
            assert fell(await shop.do(key="effect-2")) is None

    with model_server(FINE) as server:
        asyncio.run(run(server))
        assert len(server.requests) == 2
