"""The way of an agent's answer: the customer's mood, the model, the checks, and what else follows.

In order: an upset or vulnerable customer goes to a person; the inputs are masked and passages found;
the model is asked step by step, within its budget; what it proposes is checked and tried; and where
it does not answer, or its answer is not taken, the agent's ``fallback`` follows.
"""

from collections.abc import Mapping

from forestall.context.knowledge.passages import Search
from forestall.context.knowledge.runbooks import Runbooks
from forestall.intervene.agents.asking import LanguageModel
from forestall.intervene.agents.ledger import Ledger
from forestall.intervene.jobs import Job, Outcome, Workshop
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations


class Orchestrator:
    """Answers for agents that are declared by instructions.

    ``workshop`` makes the lookups and tries the actions, ``models`` are those of
    ``[language_models]`` by name, ``clock`` is wall time, ``search`` finds passages (none: there is
    no knowledge), ``runbooks`` are those whose words a plan may use.
    """

    def __init__(
        self,
        settings: Settings,
        workshop: Workshop,
        ledger: Ledger,
        *,
        models: Mapping[str, LanguageModel],
        clock: Clock,
        search: Search | None = None,
        runbooks: Runbooks | None = None,
    ) -> None:
        self._settings, self._workshop, self._ledger = settings, workshop, ledger
        self._models, self._clock = models, clock
        self.use(search, runbooks or {})

    def use(self, search: Search | None, runbooks: Runbooks) -> None:
        """From now on search and use these; answers under way end as they began."""
        self._search, self._runbooks = search, runbooks

    async def answer(self, declarations: Declarations, job: Job, key: str) -> Outcome:
        """Do the ``infer`` or ``plan`` job ``job`` of an agent in ``declarations``.

        The same ``key`` again uses the recorded answers of the model. The outcome is ``done`` with
        ``fields`` or ``plan``, or ``failed``; either way its ``inference`` says how it came about.
        Raises ``BadArguments`` for arguments that the agent does not take.
        """
        raise NotImplementedError
