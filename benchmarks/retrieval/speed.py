"""How long a search takes among 10,000 passages, and what building them costs."""

import asyncio
import gc
import itertools
import random
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.figures import Figure
from benchmarks.retrieval.collections import Collection
from forestall.context.knowledge.embeddings import Embeddings
from forestall.context.knowledge.index import Library
from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.synonyms import usual

PASSAGES = 10_000
SEARCHES = 3_000
TICK = 0.001
"""Seconds that the event loop sleeps between two looks at the clock."""

PRODUCTS: tuple[tuple[str, ...], ...] = (("shop",), ("app",), ("shop", "app"), ())


def measure(collections: Sequence[Collection], embeddings: Embeddings | None) -> list[Figure]:
    """One run: the time of a search, by the clock and of the processor, and of building."""
    how = "words alone" if embeddings is None else "words and meaning"
    passages = _passages(collections)
    built, stall, library = asyncio.run(_built(passages, embeddings))
    questions = [pair.question for one in collections for pair in one.pairs]
    walls, processor = [], []
    for number, question in enumerate(itertools.islice(itertools.cycle(questions), SEARCHES)):
        products = PRODUCTS[number % len(PRODUCTS)]
        clock, own = time.perf_counter(), time.thread_time()
        library.search(question, products=products, language="en")
        processor.append(1000 * (time.thread_time() - own))
        walls.append(1000 * (time.perf_counter() - clock))
    return [
        Figure(f"a search, {how}: median", _percentile(walls, 50), "ms", id="A2"),
        Figure(f"a search, {how}: 99th percentile", _percentile(walls, 99), "ms", "A2", at_most=5),
        Figure(
            f"a search, {how}: 99th percentile, processor time",
            _percentile(processor, 99),
            "ms",
            id="A2",
            at_most=5,
        ),
        Figure(f"building {PASSAGES:,} passages, {how}", built, "s", id="A2"),
        Figure(f"the event loop's longest pause while building, {how}", stall, "ms", id="A2"),
    ]


def _passages(collections: Sequence[Collection]) -> list[Passage]:
    """Passages as long as sections of help articles, of the collections' own sentences."""
    chance = random.Random(7)
    sentences = [
        sentence
        for one in collections
        for pair in one.pairs
        for sentence in pair.answer.split(". ")
        if 20 < len(sentence) < 300
    ]
    return [
        Passage(
            cite=f"article-{number}@1#help",
            runbook=f"article-{number}",
            version=1,
            section="help",
            title=chance.choice(sentences)[:60],
            text=". ".join(chance.choices(sentences, k=chance.randint(2, 10))),
            products=chance.choice(PRODUCTS),
        )
        for number in range(PASSAGES)
    ]


async def _built(
    passages: list[Passage], embeddings: Embeddings | None
) -> tuple[float, float, Library]:
    """Build in a thread, as the app does; the seconds, and the loop's longest pause (ms)."""
    stall, began = 0.0, time.perf_counter()
    gc.collect()
    building = asyncio.create_task(
        asyncio.to_thread(Library, passages, synonyms=usual(), embeddings=embeddings)
    )
    while not building.done():
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        stall = max(stall, time.perf_counter() - before - TICK)
    return time.perf_counter() - began, 1000 * stall, building.result()


def _percentile(values: list[float], of_hundred: int) -> float:
    return float(np.percentile(values, of_hundred))
