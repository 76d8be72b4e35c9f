"""The conversation with a model: it is asked, looks things up, and in the end proposes or fills."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from forestall.context.knowledge.passages import Passage
from forestall.contracts.inference import Turned
from forestall.intervene.agents.asking import Ask, ModelFailed, ToolCall, Turn
from forestall.intervene.agents.guard import Proposal, Proposed
from forestall.intervene.agents.looking import Looks, NotGranted
from forestall.intervene.agents.paying import Purse
from forestall.intervene.agents.prompt import (
    FILL,
    LONGEST_MESSAGE,
    LONGEST_REASON,
    MOST_ACTIONS,
    MOST_EVIDENCE,
    PROPOSE,
    answer,
    fill_tool,
    first,
    lookup_tool,
    propose_tool,
    system,
)
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Agent
from forestall.policy.actions.schema import Arguments
from forestall.privacy.masking import Masks

_MOST_CALLS = 8
"""More calls than these in one answer are nonsense."""

_Said = TypeVar("_Said")
_Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Reason = Annotated[str, msgspec.Meta(max_length=LONGEST_REASON)]


class Filled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields as a model fills them."""

    fields: dict[str, Any]
    confidence: _Confidence


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action: str
    arguments: dict[str, Any] = {}


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal as a model writes it."""

    confidence: _Confidence
    message: Annotated[str, msgspec.Meta(max_length=LONGEST_MESSAGE)] | None = None
    runbook: str | None = None
    actions: Annotated[list[_Item], msgspec.Meta(max_length=MOST_ACTIONS)] | None = None
    hand_over: _Reason | None = None
    rationale: _Reason | None = None
    evidence: Annotated[list[str], msgspec.Meta(max_length=MOST_EVIDENCE)] | None = None

    @property
    def proposal(self) -> Proposal:
        return Proposal(
            message=(self.message or "").strip(),
            runbook=self.runbook or None,
            actions=tuple(Proposed(one.action, one.arguments) for one in self.actions or ()),
            hand_over=(self.hand_over or "").strip() or None,
            rationale=(self.rationale or "").strip(),
            evidence=tuple(dict.fromkeys(self.evidence or ())),
            confidence=self.confidence,
        )


class Conversation:
    """One conversation. ``arguments`` are masked by ``masks``, which also masks what is looked up;
    ``refused`` is what was wanted and not granted."""

    def __init__(
        self,
        agent: Agent,
        declarations: Declarations,
        kind: Literal["infer", "plan"],
        *,
        arguments: Any,
        passages: tuple[Passage, ...],
        mood: str,
        masks: Masks,
        looks: Looks,
        purse: Purse,
    ) -> None:
        self._agent, self._declarations = agent, declarations
        self._masks, self._looks, self._purse = masks, looks, purse
        self._lookups = {
            grant.name: (declarations.lookups[grant.name], grant) for grant in agent.lookups
        }
        self._finish: Literal["propose", "fill"] = PROPOSE if kind == "plan" else FILL
        last = (
            propose_tool(agent, declarations.actions, passages)
            if kind == "plan"
            else fill_tool(agent)
        )
        offered = [lookup_tool(lookup, grant) for lookup, grant in self._lookups.values()]
        self._tools = (*offered, last)
        self._system = system(agent, self._finish)
        self._turns = [first(arguments, passages, mood)]
        self._fields = Arguments(agent.schema or {"type": "object"})
        self.refused: list[Turned] = []

    async def run(self) -> Proposal | Filled:
        """What the model comes to, checked for its form only. Raises ``ModelFailed``, ``CutOff``."""
        mended = False
        while True:
            ask = Ask(system=self._system, turns=tuple(self._turns), tools=self._tools)
            said = await self._purse.ask(ask)
            if len(said.calls) > _MOST_CALLS:
                raise ModelFailed("nonsense", "too many calls at once")
            self._turns.append(Turn(role="model", text=said.text, calls=said.calls))
            wrong = None if said.calls else f"Answer by calling `{self._finish}`."
            for call in said.calls:
                if call.name != self._finish:
                    self._answer(call, await self._looked(call))
                    continue
                taken = self._taken(call)
                if not isinstance(taken, str):
                    return taken
                wrong = taken
                self._answer(call, {"error": wrong})
            if not said.calls and wrong is not None:
                self._turns.append(Turn(role="user", text=wrong))
            if wrong is not None and mended:
                raise ModelFailed("nonsense", wrong)
            mended = mended or wrong is not None

    def _answer(self, call: ToolCall, value: Any) -> None:
        self._turns.append(answer(call.id, call.name, self._masks.hide(value)))

    def _taken(self, call: ToolCall) -> Proposal | Filled | str:
        """What a model proposes or fills, or what is wrong with its form."""
        if self._finish == PROPOSE:
            written = _decoded(call.arguments, _Written)
            if isinstance(written, str):
                return written
            made = written.proposal
            empty = not (made.message or made.runbook or made.actions or made.hand_over)
            return (
                "The proposal does nothing: give a message, actions or hand_over."
                if empty
                else made
            )
        filled = _decoded(call.arguments, Filled)
        if isinstance(filled, str):
            return filled
        return self._fields.wrong(filled.fields) or filled

    async def _looked(self, call: ToolCall) -> dict[str, Any]:
        known = self._lookups.get(call.name)
        if known is None:
            self.refused.append(Turned(self._named(call.name), "it is not granted as a tool"))
            return {"error": "there is no such tool"}
        chosen = _decoded(call.arguments or "{}", dict[str, Any])
        if isinstance(chosen, str):
            return {"error": chosen}
        try:
            return await self._looks.look(*known, chosen)
        except NotGranted as error:
            self.refused.append(Turned(f"lookup {call.name}", str(error)))
            return {"error": str(error)}

    def _named(self, name: str) -> str:
        """What was wanted, by its name only where that is one of ours."""
        kinds: dict[str, Mapping[str, Any]] = {
            "action": self._declarations.actions,
            "lookup": self._declarations.lookups,
        }
        return next((f"{kind} {name}" for kind, ours in kinds.items() if name in ours), "tool")


def _decoded(text: str, kind: type[_Said]) -> _Said | str:
    """What stands in ``text``, or what is wrong with it, without its values."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        return f"The arguments do not fit: {str(error)[:200]}"
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return "The arguments are no JSON."
