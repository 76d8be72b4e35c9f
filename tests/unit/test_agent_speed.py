"""A whole answer without a model: mood, masks, search, composer, guard and plan, in little time."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from containment.world import DECLARATIONS, HELP, SETTINGS, arguments, bench
from forestall.context.knowledge.index import Library
from forestall.context.knowledge.passages import Passage
from forestall.intervene.agents.ledger import Ledger
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.intervene.jobs import Job, Outcome

DOCUMENTS = 10_000
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]
LIMIT = 0.05
"""Seconds of processor time."""

ANGRY = (
    "This is the third time! My payment failed AGAIN and nobody helps. Write to ada@example.com or"
    " call +49 171 1234567. I have used card 4111 1111 1111 1111. Do you answer at all? Hello?"
    " The page shows nothing. I am not amused. What now? My payment failed, what can I do?"
)


@pytest.fixture(scope="module")
def library() -> Library:
    """Ten thousand articles of made-up words, and what our shop knows."""
    chance = np.random.default_rng(7)
    known = [
        Passage(
            cite=f"book-{number}@1#s",
            runbook=f"book-{number}",
            version=1,
            section="s",
            kind="article",
            title=" ".join(chance.choice(WORDS, 4)),
            text=" ".join(chance.choice(WORDS, 60)),
        )
        for number in range(DOCUMENTS)
    ]
    return Library([*known, HELP])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "agents.db")
    yield opened
    opened.close()


def made_up(count: int) -> list[str]:
    """Questions that one of the articles answers, or none does."""
    chance = np.random.default_rng(8)
    return [" ".join(chance.choice(WORDS, 12)) for _ in range(count)]


NOWHERE = " ".join(
    f"Zebras {number} quantise saxophones with turquoise umbrellas?" for number in range(12)
)


@pytest.mark.parametrize(
    ("texts", "signals"),
    [
        ([*made_up(10), *[f"{ANGRY} {number}" for number in range(11)]], ("payment.failed",)),
        ([*made_up(10), *[f"{ANGRY} {number}" for number in range(11)]], ()),
        ([f"{NOWHERE} {number}?" for number in range(21)], ()),
    ],
    ids=["signal", "words", "nothing"],
)
def test_a_whole_answer_takes_less_than_fifty_milliseconds(
    library: Library, ledger: Ledger, texts: list[str], signals: tuple[str, ...]
) -> None:
    made = Orchestrator(
        SETTINGS, bench(None), ledger, models={}, clock=lambda: 1_000_000, search=library
    )

    async def run() -> list[tuple[Outcome, float]]:
        found = []
        for number, text in enumerate(texts):
            given = {**arguments(None), "text": text}
            job = Job(kind="plan", name="helper", arguments=given, signals=signals)
            began = time.process_time()
            outcome = await made.answer(DECLARATIONS, job, f"k-{number}")
            found.append((outcome, time.process_time() - began))
        return found

    answers = asyncio.run(run())
    for outcome, _ in answers:
        assert outcome.inference is not None
        if outcome.plan is not None:
            assert outcome.inference.by == "composer"
            assert "ada@example.com" not in msgspec.json.encode(outcome).decode()
        else:
            assert outcome.reason == "nothing-found"
    assert any(outcome.plan is not None for outcome, _ in answers) == (texts[0] in made_up(1))
    took = sorted(seconds for _, seconds in answers)
    assert took[len(took) // 2] < LIMIT
