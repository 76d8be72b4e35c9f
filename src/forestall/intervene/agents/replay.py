"""An agent's answer made again from what was recorded: nobody is asked, and nothing is paid for.

The orchestrator that answers live does it, over the declarations and the knowledge of now. The ledger
gives it the model's answers and those of lookups, byte for byte, and the record says which actions
could be tried. So the same comes out, unless something has changed since: then it is told what.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from forestall.channels.base import Deduplication
from forestall.context.knowledge.passages import Search
from forestall.contracts.errors import ForestallError
from forestall.contracts.inference import Inference
from forestall.intervene.actions.answers import BadArguments
from forestall.intervene.agents.asking import Ask, Failure, LanguageModel, ModelFailed, Said
from forestall.intervene.agents.ledger import LEDGER_FILE, Call, CutOff, Ledger
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.intervene.effect_store import Effect, decode_job
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.telling import tellable_plan
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations

_TRYING = "trying it ended with "


class NotRecorded(ForestallError):
    """Something would be asked that was not asked when the answer was made: the declaration, the
    knowledge or the settings have changed since."""

    code = "not-recorded"


class Difference(msgspec.Struct, frozen=True):
    """What differs, as a path such as ``plan.message``, as it was ``recorded`` and as it is now."""

    what: str
    recorded: Any = None
    now: Any = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer, made again. ``why`` says why it could not be."""

    step: int
    agent: str
    same: bool
    why: str | None = None
    differences: tuple[Difference, ...] = ()


class Replaying(msgspec.Struct, frozen=True, kw_only=True):
    """What answers are made again with: settings and declarations of now, the data folder with the
    ledger, and the knowledge of the day of the answer. ``clock`` is any time."""

    settings: Settings
    declarations: Declarations
    data: Path
    clock: Clock
    search: Search | None = None


async def replay(around: Replaying, effect: Effect) -> Replayed | None:
    """The answer of ``effect``, made again; none where it is no answer of an agent that is declared
    by instructions, or not over."""
    recorded = None if effect.result is None else msgspec.json.decode(effect.result, type=Outcome)
    if effect.kind not in ("infer", "plan") or recorded is None or recorded.inference is None:
        return None
    if recorded.inference.by == "function":
        return None
    step, agent = effect.step, effect.channel
    try:
        now = await _again(around, effect, recorded.inference)
    except (NotRecorded, BadArguments) as error:
        changed = _version(around, recorded)
        return Replayed(step=step, agent=agent, same=False, why=str(error), differences=changed)
    found = tuple(_differences("", _told(recorded), _told(now)))
    return Replayed(step=step, agent=agent, same=not found, differences=found)


async def _again(around: Replaying, effect: Effect, inference: Inference) -> Outcome:
    job, settings = decode_job(effect), around.settings
    agent = around.declarations.agents.get(job.name)
    if agent is None or agent.way is not None:
        raise NotRecorded(f"no agent {job.name!r} is declared by instructions any more")
    models: dict[str, LanguageModel] = {}
    unasked = inference.fallback in ("nothing-found", "refused") and inference.prompt is None
    if agent.model is not None and inference.fallback != "no-model" and not unasked:
        if agent.model not in settings.language_models:
            raise NotRecorded(f"the settings have no [language_models.{agent.model}]")
        models[agent.model] = _Silent()
    ledger = _Recorded(around.data / LEDGER_FILE, inference)
    try:
        orchestrator = Orchestrator(
            settings,
            _Remembered(inference),
            ledger,
            models=models,
            clock=around.clock,
            search=around.search,
        )
        return await orchestrator.answer(around.declarations, job, effect.key)
    finally:
        ledger.close()


class _Silent:
    """A language model that is never asked."""

    async def ask(self, ask: Ask) -> Said:  # noqa: ARG002
        raise NotRecorded("a model would be asked something that is not recorded")


class _Recorded(Ledger):
    """What is noted at ``path``, where anything is. Nothing is added; and where no call was sent the
    way ends as ``inference`` says it did."""

    def __init__(self, path: Path, inference: Inference) -> None:
        self._inference = inference
        self._noted = Ledger(path, read_only=True) if path.exists() else None

    def close(self) -> None:
        if self._noted is not None:
            self._noted.close()

    def call(self, key: str, number: int) -> Call | None:
        return None if self._noted is None else self._noted.call(key, number)

    def recall(self, key: str, number: int, prompt: str) -> Said | None:
        call, ended = self.call(key, number), self._inference.fallback
        if call is None and number > self._inference.calls and ended in get_args(Failure):
            raise ModelFailed(ended)  # type: ignore[arg-type]
        other = call is not None and call.prompt != prompt
        if call is not None and (
            call.ended in ("begun", "cut-off") or (other and ended == "cut-off")
        ):
            raise CutOff
        if call is None or other or self._noted is None:
            raise NotRecorded(
                "the model would be given something else now than when it answered: the"
                " declaration, the knowledge, a lookup or the settings have changed"
            )
        return self._noted.recall(key, number, prompt)

    def begin(self, call: Call) -> None:
        raise NotRecorded(f"call {call.number} of the model is not recorded")

    def found(self, key: str, asked: str) -> Any | None:
        return None if self._noted is None else self._noted.found(key, asked)

    def keep(self, key: str, asked: str, found: Any, now: int) -> None:
        """Nothing is added."""


class _Remembered:
    """A workshop that asks nobody: actions can be tried as far as ``inference`` tells."""

    def __init__(self, inference: Inference) -> None:
        self._failed = {
            turned.what.removeprefix("action "): turned.why.removeprefix(_TRYING)
            for turned in inference.refused
            if turned.why.startswith(_TRYING)
        }

    def deduplication(self, job: Job) -> Deduplication:  # noqa: ARG002
        return "dedupes"

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:  # noqa: ARG002
        if job.kind != "action" or not dry:
            raise NotRecorded(f"what the lookup {job.name!r} answered is not recorded")
        reason = self._failed.get(job.name)
        return Outcome(outcome="done" if reason is None else "failed", reason=reason)

    async def find(self, job: Job, key: str) -> Outcome | None:  # noqa: ARG002
        return None


def _told(outcome: Outcome) -> dict[str, Any]:
    """What counts of an outcome, as JSON data."""
    plan = None if outcome.plan is None else tellable_plan(outcome.plan)
    told = msgspec.structs.replace(outcome, plan=plan, detail="", evidence={})
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    return built


def _differences(path: str, recorded: Any, now: Any) -> Iterator[Difference]:
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for name in sorted({*recorded, *now}):
            inner = f"{path}.{name}" if path else name
            yield from _differences(inner, recorded.get(name), now.get(name))
    elif msgspec.json.encode(recorded) != msgspec.json.encode(now):
        yield Difference(path, recorded, now)


def _version(around: Replaying, recorded: Outcome) -> tuple[Difference, ...]:
    """Whether the declaration is another by now."""
    from forestall.intervene.agents.prompt import version

    inference = recorded.inference
    agent = None if inference is None else around.declarations.agents.get(inference.agent)
    if inference is None or agent is None or version(agent) == inference.version:
        return ()
    return (Difference("inference.version", inference.version, version(agent)),)
