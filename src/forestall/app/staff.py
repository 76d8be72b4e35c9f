"""The people of a deployment, and what they may do with what the app process carries out."""

from collections.abc import Callable

from forestall.console.api import Office
from forestall.intervene.approving import Approving
from forestall.intervene.authority import People
from forestall.intervene.commanding import Commanding
from forestall.intervene.guarded import Guarded
from forestall.intervene.jobs import Job, Workshop
from forestall.intervene.receipts import Signer
from forestall.intervene.records import Records
from forestall.intervene.reviews import Reviewing
from forestall.intervene.store import Store
from forestall.kernel.clock import Clock, random_id, wall_clock
from forestall.kernel.settings import Settings


def _nobody(_action: str) -> int:
    return 0


class Staff:
    """Makes an ``office`` for the store that ``open_interventions`` opens: pass it ``approvals``,
    ``paused`` and ``workshop``, which does what needs people's approval only with it.

    ``demands`` says how many people an action itself asks for, 0 where none. Raises
    ``VaultLocked`` where the key of receipts is exposed or damaged.
    """

    office: Office

    def __init__(
        self,
        settings: Settings,
        *,
        log_time: Clock,
        workshop: Workshop | None = None,
        demands: Callable[[str], int] = _nobody,
    ) -> None:
        self._people = People(settings.people)
        self._signer = Signer(settings.data, random_id) if settings.people else None
        self._log_time, self._plain, self._demands = log_time, workshop, demands
        self.workshop = None if workshop is None else Guarded(workshop, self._allows)

    def _allows(self, job: Job, key: str) -> bool:
        return self.office.approving.allows(job, key)

    def approvals(self, store: Store) -> Approving:
        """Who asks people, for ``store``; from here on there is an ``office``."""
        approving = Approving(
            store,
            people=self._people,
            signer=self._signer,
            workshop=self._plain,
            log_time=self._log_time,
            clock=wall_clock,
            ids=random_id,
            demands=self._demands,
        )
        commanding = Commanding(store, log_time=self._log_time, clock=wall_clock, ids=random_id)
        reviewing = Reviewing(store, clock=wall_clock)
        records = Records(store.database)
        self.office = Office(self._people, approving, commanding, reviewing, records)
        return approving

    def paused(self, _store: Store) -> Callable[[str, str], str | None]:
        """Which pause stops a policy for a subject; after ``approvals``."""
        return self.office.commanding.paused
