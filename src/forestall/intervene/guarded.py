"""The last check before an action: what needs people's approval is refused without exactly it."""

from collections.abc import Callable
from typing import Protocol

from forestall.channels.base import Deduplication
from forestall.intervene.jobs import Job, Outcome, Workshop
from forestall.intervene.store import Store


class Granted(Protocol):
    """Who knows what was approved."""

    def granted(self, approval: str, job: Job, intervention: str, step: int, version: str) -> bool:
        """Whether exactly this job was approved for this step of an intervention."""


class Guarded:
    """A workshop that does an action only where ``approvals`` has granted it, if its policy asks
    for that or the action ``demands`` people itself. Which step of which intervention it is for is
    read from the effect with the job's key; where there is none, it is refused."""

    def __init__(
        self,
        workshop: Workshop,
        store: Store,
        approvals: Granted,
        demands: Callable[[str], int],
    ) -> None:
        self._workshop, self._store = workshop, store
        self._approvals, self._demands = approvals, demands

    def deduplication(self, job: Job) -> Deduplication:
        """As the workshop says."""
        return self._workshop.deduplication(job)

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        """As the workshop does; or ``failed`` with the reason ``needs-approval``."""
        if not dry and not self._allowed(job, key):
            return Outcome(
                outcome="failed",
                reason="needs-approval",
                detail=f"{job.name}: nobody approved exactly this",
            )
        return await self._workshop.perform(job, key, dry=dry)

    async def find(self, job: Job, key: str) -> Outcome | None:
        """As the workshop says."""
        return await self._workshop.find(job, key)

    def _allowed(self, job: Job, key: str) -> bool:
        if job.kind != "action" or (job.approval is None and self._demands(job.name) < 1):
            return True
        effect = self._store.effects.get(key)
        state = None if effect is None else self._store.state(effect.intervention)
        if job.approval is None or effect is None or state is None:
            return False
        return self._approvals.granted(
            job.approval, job, effect.intervention, effect.step, state.version
        )
