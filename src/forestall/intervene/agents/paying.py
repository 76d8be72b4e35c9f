"""One call of a model after the other, each paid for once and within what there is to spend."""

from collections.abc import Callable

import msgspec

from forestall.contracts.instants import DAY
from forestall.intervene.agents.asking import Ask, LanguageModel, ModelFailed, Said, given_tokens
from forestall.intervene.agents.ledger import Call, CutOff, Ledger
from forestall.intervene.agents.prompt import prompt_hash
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Agents
from forestall.kernel.settings import LanguageModel as Section
from forestall.policy.actions.model import Budget

FEWEST = 64
"""With fewer tokens left than these there is no use in asking."""

MOST = 4_000
"""No single answer needs more tokens."""

_MILLION = 1_000_000


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one answer took. ``latency`` is in microseconds; ``prompt`` is the hash of all
    that was given, by the last call."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    latency: int = 0
    prompt: str | None = None


class Purse:
    """Pays for the calls of one answer, under the effect's ``key``.

    ``clock`` is wall time; ``left`` says how many seconds there are.
    """

    def __init__(
        self,
        key: str,
        agent: str,
        budget: Budget,
        *,
        section: Section,
        model: LanguageModel,
        ledger: Ledger,
        common: Agents,
        clock: Clock,
        left: Callable[[], float],
    ) -> None:
        self._key, self._agent, self._budget = key, agent, budget
        self._section, self._model = section, model
        self._ledger, self._common = ledger, common
        self._clock, self._left = clock, left
        self.bill = Bill()

    async def ask(self, ask: Ask) -> Said:
        """One answer: the one that was noted before, or a new one, for which ``tokens`` and
        ``seconds`` are set to what is left. Raises ``ModelFailed`` and ``CutOff``."""
        number, prompt = self.bill.calls + 1, prompt_hash(self._section.model, ask)
        try:
            said = self._ledger.recall(self._key, number, prompt)
            if said is None:
                said = await self._paid(number, prompt, ask)
        except (ModelFailed, CutOff):
            self._count(number, prompt)
            raise
        self._count(number, prompt)
        return said

    async def _paid(self, number: int, prompt: str, ask: Ask) -> Said:
        if number > self._budget.steps:
            raise ModelFailed("budget", "all steps are taken")
        given = given_tokens(ask)
        tokens, now = self._room(given), self._clock()
        seconds = self._left()
        if seconds <= 0:
            raise ModelFailed("timeout", "there was no time left to ask")
        self._ledger.begin(
            Call(
                key=self._key,
                number=number,
                prompt=prompt,
                agent=self._agent,
                model=self._section.model,
                at=now,
                ended="begun",
                tokens_in=given,
                tokens_out=tokens,
                cost=self._price(given, tokens),
            )
        )
        try:
            within = msgspec.structs.replace(ask, tokens=tokens, seconds=seconds)
            said = await self._model.ask(within)
        except ModelFailed as error:
            cost = self._price(error.tokens_in, error.tokens_out)
            self._ledger.failed(self._key, number, error, cost, self._since(now))
            raise
        cost = self._price(said.tokens_in, said.tokens_out)
        self._ledger.said(self._key, number, said, cost, self._since(now))
        return said

    def _room(self, given: int) -> int:
        """How many tokens the answer may have, of all that still bounds it. Raises ``ModelFailed``."""
        bill, budget, common = self.bill, self._budget, self._common
        tokens = [MOST, budget.tokens - bill.tokens_in - bill.tokens_out - given]
        money = [] if budget.money is None else [budget.money - bill.cost]
        if common.tokens or common.money:
            today = self._ledger.spent(self._clock() // DAY)
            tokens += [common.tokens - today.tokens - given] if common.tokens else []
            money += [common.money - today.cost] if common.money else []
        for amount in money:
            left = amount - self._price(given, 0)
            if left <= 0:
                tokens.append(0)
            elif self._section.output > 0:
                tokens.append(int(left * _MILLION / self._section.output))
        room = min(tokens)
        if room < FEWEST:
            raise ModelFailed("budget", "what may be spent is spent")
        return room

    def _since(self, then: int) -> int:
        return max(0, self._clock() - then)

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        section = self._section
        return (tokens_in * section.input + tokens_out * section.output) / _MILLION

    def _count(self, number: int, prompt: str) -> None:
        """Take the call onto the bill, as the ledger has it; one that was not sent is on none."""
        call = self._ledger.call(self._key, number)
        if call is None:
            return
        bill = self.bill
        self.bill = Bill(
            calls=number,
            tokens_in=bill.tokens_in + call.tokens_in,
            tokens_out=bill.tokens_out + call.tokens_out,
            cost=bill.cost + call.cost,
            latency=bill.latency + call.latency,
            prompt=prompt,
        )
