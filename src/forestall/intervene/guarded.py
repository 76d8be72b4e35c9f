"""The last check before an action: what needs people's approval is refused without exactly it."""

from collections.abc import Callable

from forestall.channels.base import Deduplication
from forestall.intervene.jobs import Job, Outcome, Workshop


class Guarded:
    """A workshop that does a job only where ``allows`` says so of the job and its key."""

    def __init__(self, workshop: Workshop, allows: Callable[[Job, str], bool]) -> None:
        self._workshop, self._allows = workshop, allows

    def deduplication(self, job: Job) -> Deduplication:
        """As the workshop says."""
        return self._workshop.deduplication(job)

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        """As the workshop does; or ``failed`` with the reason ``needs-approval``."""
        if not dry and not self._allows(job, key):
            return Outcome(
                outcome="failed",
                reason="needs-approval",
                detail=f"{job.name}: nobody approved exactly this",
            )
        return await self._workshop.perform(job, key, dry=dry)

    async def find(self, job: Job, key: str) -> Outcome | None:
        """As the workshop says."""
        return await self._workshop.find(job, key)
