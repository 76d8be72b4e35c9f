"""The words between us and a language model: what it is asked, what it said, and how it failed."""

from typing import Any, ClassVar, Literal, Protocol

import msgspec

from forestall.contracts.errors import ForestallError

Failure = Literal[
    "timeout", "unreachable", "rate-limited", "refused", "nonsense", "too-long", "budget"
]
"""Why a model gave no answer: it took too long; it cannot be reached, or broke off; it has no room
now; it does not serve us (the key, the request); what it said is no answer; its answer did not end
within the tokens it had; there was nothing left to spend."""


class Tool(msgspec.Struct, frozen=True):
    """Something that a model may call. ``parameters`` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolCall(msgspec.Struct, frozen=True):
    """A call that a model made. ``arguments`` is JSON text as it came: anything may stand there."""

    id: str
    name: str
    arguments: str


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of the conversation: what we gave (``user``), what the model said (``model``, with its
    calls), or the answer (``tool``) to the call whose id and name are ``call`` and ``name``."""

    role: Literal["user", "model", "tool"]
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    call: str = ""
    name: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model. ``tokens`` bounds what it may answer, ``seconds`` how long it may take."""

    system: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tokens: int = 2_000
    seconds: float = 15.0


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model answered, and what that took. ``estimated``: the provider did not tell the tokens,
    so they are counted from the texts."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False


class ModelFailed(ForestallError):
    """A language model gave no answer; an agent then does what its ``fallback`` says.

    ``retry_after`` is in microseconds, where the provider named a time. ``tokens_in`` and
    ``tokens_out`` are what the call took all the same, as far as it is known.
    """

    code: ClassVar[str] = "model-failed"

    def __init__(
        self,
        reason: Failure,
        detail: str = "",
        *,
        retry_after: int | None = None,
        tokens_in: int = 0,
        tokens_out: int = 0,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Failure = reason
        self.detail = detail
        self.retry_after = retry_after
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out


class LanguageModel(Protocol):
    """A language model."""

    async def ask(self, ask: Ask) -> Said:
        """One answer; asked once, never again by itself. Raises ``ModelFailed``, and nothing else for
        what the other side does."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: three bytes each, which is more than most models need."""
    return (len(text.encode()) + 2) // 3


def given_tokens(ask: Ask) -> int:
    """About how many tokens a model is given."""
    turns = sum(
        estimated_tokens(turn.text) + sum(estimated_tokens(call.arguments) for call in turn.calls)
        for turn in ask.turns
    )
    tools = sum(estimated_tokens(f"{tool.description}{tool.parameters}") for tool in ask.tools)
    return estimated_tokens(ask.system) + turns + tools
