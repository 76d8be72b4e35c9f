"""Agents are joined to the workshop and to what is known; knowledge that cannot be read changes nothing."""

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest

from assisting import AGENT, DESK
from forestall.app.agents import join_agents
from forestall.channels.outbound import outbound
from forestall.context.knowledge.stock import Stock
from forestall.contracts.errors import InvalidFile
from forestall.intervene.actions.load import load_workshop
from forestall.intervene.agents.ledger import LEDGER_FILE
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Knowledge, Settings

RUNBOOK = """---
id: card-declined
title: Card declined
version: 1
owner: payments
review_by: 2090-01-01
---
## Customer

Your card was declined. {words}
"""


def folders(folder: Path) -> dict[str, Any]:
    for name in ("actions", "runbooks"):
        (folder / name).mkdir()
    (folder / "actions" / "all.yaml").write_text(AGENT.replace("  model: fast\n", "") + DESK)
    (folder / "runbooks" / "card.md").write_text(RUNBOOK.format(words="Try another one."))
    return {
        "data": folder / "data",
        "actions": folder / "actions",
        "runbooks": folder / "runbooks",
    }


def found(answers: Any) -> list[str]:
    assert isinstance(answers, Orchestrator)
    assert answers.search is not None
    return [passage.text for passage in answers.search.search("card was declined")]


def test_what_is_known_is_searched_and_what_is_broken_changes_nothing(tmp_path: Path) -> None:
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("card, plastic\n")
    settings = Settings(**folders(tmp_path), knowledge=Knowledge(synonyms=str(synonyms)))
    stock = Stock(settings.runbooks)
    day = datetime.date(2026, 5, 1)

    async def run() -> None:
        async with (
            outbound(settings.outbound) as client,
            load_workshop(settings, client=client, clock=wall_clock) as workshop,
        ):
            async with join_agents(settings, workshop, client) as know:
                assert isinstance(workshop.answers, Orchestrator)
                assert workshop.answers.search is None
                stock.look(day)
                know(stock)
                assert found(workshop.answers) == ["Your card was declined. Try another one."]
                text = RUNBOOK.format(words="Ask your bank.")
                (tmp_path / "runbooks" / "card.md").write_text(text)
                assert stock.look(day)
                synonyms.write_text("alone\n")
                know(stock)
                assert found(workshop.answers) == ["Your card was declined. Try another one."]
                synonyms.write_text("")
                know(stock)
                assert found(workshop.answers) == ["Your card was declined. Ask your bank."]
            assert workshop.answers is None

    asyncio.run(run())


def test_synonyms_with_mistakes_are_told_at_the_start(tmp_path: Path) -> None:
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("alone\n")
    settings = Settings(**folders(tmp_path), knowledge=Knowledge(synonyms=str(synonyms)))

    async def run() -> None:
        async with (
            outbound(settings.outbound) as client,
            load_workshop(settings, client=client, clock=wall_clock) as workshop,
            join_agents(settings, workshop, client),
        ):
            pass

    with pytest.raises(InvalidFile):
        asyncio.run(run())


def test_without_actions_there_are_no_agents(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")

    async def run() -> None:
        async with (
            outbound(settings.outbound) as client,
            load_workshop(settings, client=client, clock=wall_clock) as workshop,
            join_agents(settings, workshop, client) as know,
        ):
            know(Stock(None))
            assert workshop.answers is None

    asyncio.run(run())
    assert not (settings.data / LEDGER_FILE).exists()
