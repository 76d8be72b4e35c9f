"""Language models by the name of their provider, through pydantic-ai: the only user of it.

A call is sent once, by the one way out, and cut off where it takes too long or says too much. What a
provider says about a failure is never told on, as it may repeat what it was given. Needs the extra
``agents``.
"""

import asyncio
import inspect
import logging
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import structlog

from forestall.channels.addresses import BlockedAddress
from forestall.channels.bridge import bridge
from forestall.channels.outbound import TooLarge
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import SECOND
from forestall.intervene.agents.asking import (
    Ask,
    Failure,
    LanguageModel,
    ModelFailed,
    Said,
    ToolCall,
    Turn,
    given_tokens,
)
from forestall.kernel.settings import LanguageModel as Section

_ADDRESSES = ("base_url", "azure_endpoint", "api_base")
"""What providers call the address of their interface."""

_OWN_WAY = ("bedrock", "huggingface", "sentence-transformers", "voyageai", "xai")
"""Providers whose client takes none of ours: refused before anything is asked of them."""

_BYTES_PER_TOKEN = 12
"""More than any text has; beyond so many an answer is longer than it was allowed to be."""

_BUSY = 429
_REFUSALS = range(400, 500)
_SLOW = (408, 504)
_LONGEST_WAIT = 3_600.0
_ABSURD = 1_000_000_000
"""More tokens no answer takes, whatever a provider counts."""

_log = structlog.get_logger(__name__)


class AgentsMissing(ForestallError):
    """``[language_models]`` names a model, and the package that speaks with it is not installed.

    Install ``forestall[agents]``, and for providers other than OpenAI the package that the message
    names.
    """

    code = "agents-missing"
    exit_code = 2


class UnusableModel(ForestallError):
    """``[language_models]`` names a model that cannot be used; see the message."""

    code = "unusable-model"
    exit_code = 2


def language_models(
    sections: Mapping[str, Section], client: httpx.AsyncClient
) -> dict[str, LanguageModel]:
    """The models of ``[language_models]`` by name; ``client`` is the one way out.

    One without a key, where its provider needs one, is left out with a warning: whoever would ask it
    falls back. Raises ``AgentsMissing`` and ``UnusableModel``.
    """
    found: dict[str, LanguageModel] = {}
    for name, section in sections.items():
        try:
            found[name] = _Model(name, section, client)
        except _NoKey:
            _log.warning(
                "a language model has no key, so agents answer without it",
                name=name,
                set=f"[language_models.{name}] key",
            )
    return found


class _NoKey(Exception):
    """The provider needs a key, and there is none."""


class _Model:
    """See ``LanguageModel``."""

    def __init__(self, name: str, section: Section, client: httpx.AsyncClient) -> None:
        self._name, self._section, self._client = name, section, client
        self._rests_until = 0.0
        self._model(_Trouble())

    async def ask(self, ask: Ask) -> Said:
        """See ``LanguageModel.ask``."""
        trouble, now = _Trouble(), asyncio.get_running_loop().time
        if now() < self._rests_until:
            wait = int((self._rests_until - now()) * SECOND)
            raise ModelFailed("rate-limited", "not asked, as it is too soon", retry_after=wait)
        try:
            async with asyncio.timeout(ask.seconds):
                return await self._answered(ask, trouble)
        except ModelFailed:
            raise
        except TimeoutError:
            failed = _failed("timeout", ask, trouble, "no answer in time")
        except Exception as error:  # noqa: BLE001
            failed = _failure(error, ask, trouble)
        if failed.retry_after is not None:
            self._rests_until = now() + failed.retry_after / SECOND
        raise failed  # here, so that it does not carry the provider's words along

    async def _answered(self, ask: Ask, trouble: "_Trouble") -> Said:
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.tools import ToolDefinition

        tools = [
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=tool.parameters,
                strict=False,
            )
            for tool in ask.tools
        ]
        opened = model_request_stream(
            self._model(trouble),
            _messages(ask),
            model_settings={"max_tokens": ask.tokens, "timeout": ask.seconds, "max_retries": 0},
            model_request_parameters=ModelRequestParameters(function_tools=tools),
            instrument=False,
        )
        async with opened as stream:
            async for event in stream:
                trouble.said += _length(event)
                if trouble.said > ask.tokens * _BYTES_PER_TOKEN:
                    raise _failed("too-long", ask, trouble, "the answer does not end")
            response = stream.get()
        return _said(response, ask, trouble)

    def _model(self, trouble: "_Trouble") -> Any:
        """The model with its client, anew for each call: so each knows what broke for it alone."""
        try:
            from pydantic_ai.exceptions import UserError
            from pydantic_ai.models import infer_model
        except ImportError:
            raise AgentsMissing("[language_models] needs forestall[agents]") from None
        for name in ("openai", "anthropic", "httpx2", "httpcore2", "google_genai", "pydantic_ai"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        where = f"[language_models.{self._name}] model = {self._section.model!r}"
        if (provider := self._section.model.partition(":")[0]) in _OWN_WAY:
            raise UnusableModel(f"{where}: {_leaves(provider)}")
        try:
            return infer_model(
                self._named(), provider_factory=lambda name: self._provider(name, trouble)
            )
        except ImportError as error:
            raise AgentsMissing(f"{where}: {_line(error)}") from None
        except (UserError, ValueError) as error:
            raise UnusableModel(f"{where}: {_line(error)}") from None

    def _named(self) -> str:
        """The model's name; whatever speaks OpenAI's interface elsewhere speaks its chat completions,
        and few speak more."""
        provider, _, name = self._section.model.partition(":")
        elsewhere = provider == "openai" and self._section.url is not None
        return f"openai-chat:{name}" if elsewhere else self._section.model

    def _provider(self, name: str, trouble: "_Trouble") -> Any:
        from pydantic_ai.providers import infer_provider_class

        kind = infer_provider_class(name)
        takes = inspect.signature(kind.__init__).parameters
        if "http_client" not in takes:
            raise UnusableModel(f"[language_models.{self._name}]: {_leaves(name)}")
        given: dict[str, Any] = {"http_client": self._leaving(takes["http_client"], trouble)}
        if "api_key" in takes:
            given["api_key"] = self._key()
        if self._section.url is not None:
            address = next((word for word in _ADDRESSES if word in takes), None)
            if address is None:
                message = f"the provider {name!r} takes no `url`"
                raise UnusableModel(f"[language_models.{self._name}]: {message}")
            given[address] = self._section.url
        return kind(**given)

    def _key(self) -> str:
        """The key; for an address of one's own, something in its place where it needs none. Never
        one that only the environment knows, as that may be for somebody else. Raises ``_NoKey``."""
        if self._section.key is None and self._section.url is None:
            raise _NoKey
        return self._section.key or "unset"

    def _leaving(self, parameter: inspect.Parameter, trouble: "_Trouble") -> Any:
        """The one way out, as the provider's own client wants it."""
        if str(parameter.annotation).startswith("httpx.AsyncClient"):
            return self._client
        import httpx2

        return httpx2.AsyncClient(
            transport=bridge(self._client, trouble.failed),
            timeout=httpx2.Timeout(None),
            trust_env=False,
            follow_redirects=False,
        )


def _leaves(provider: str) -> str:
    return f"the provider {provider!r} would not leave by the one way out; use another"


class _Trouble:
    """How far a call came: how many bytes it said, and what broke the network first."""

    def __init__(self) -> None:
        self.said = 0
        self.failure: httpx.HTTPError | None = None

    def failed(self, error: httpx.HTTPError) -> None:
        """Note what the network did."""
        self.failure = self.failure or error


def _messages(ask: Ask) -> list[Any]:
    from pydantic_ai.messages import ModelRequest, SystemPromptPart

    first = ModelRequest(parts=[SystemPromptPart(content=ask.system)])
    return [first, *(_message(turn) for turn in ask.turns)]


def _message(turn: Turn) -> Any:
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )

    if turn.role == "user":
        return ModelRequest(parts=[UserPromptPart(content=turn.text)])
    if turn.role == "tool":
        part = ToolReturnPart(tool_name=turn.name, content=turn.text, tool_call_id=turn.call)
        return ModelRequest(parts=[part])
    said: list[Any] = [TextPart(content=turn.text)] if turn.text else []
    said += [
        ToolCallPart(tool_name=call.name, args=call.arguments, tool_call_id=call.id)
        for call in turn.calls
    ]
    return ModelResponse(parts=said)


def _length(event: Any) -> int:
    """How many bytes an event of the stream adds to the answer."""
    part = getattr(event, "part", None) if event.event_kind == "part_start" else None
    delta = getattr(event, "delta", None)
    texts = [
        getattr(one, word, None)
        for one in (part, delta)
        for word in ("content", "args", "content_delta", "args_delta")
    ]
    return sum(len(text.encode()) for text in texts if isinstance(text, str))


def _said(response: Any, ask: Ask, trouble: _Trouble) -> Said:
    from pydantic_ai.messages import TextPart, ToolCallPart

    if response.finish_reason == "length":
        raise _failed("too-long", ask, trouble, "the answer does not end within its tokens")
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = tuple(
        ToolCall(id=part.tool_call_id, name=part.tool_name, arguments=_given(part))
        for part in response.parts
        if isinstance(part, ToolCallPart)
    )
    if response.state != "complete" and response.finish_reason is None:
        raise _failed("unreachable", ask, trouble, "the answer broke off")
    if not text and not calls:
        raise _failed("nonsense", ask, trouble, "the answer is empty")
    usage = response.usage
    told = usage.input_tokens > 0 and usage.output_tokens > 0
    said = Said(
        text=text,
        calls=calls,
        tokens_in=min(usage.input_tokens, _ABSURD) if told else given_tokens(ask),
        tokens_out=min(usage.output_tokens, _ABSURD) if told else trouble.said // 3 + 1,
        estimated=not told,
    )
    msgspec.json.encode(said)  # raises for what is no text, which then is nonsense
    return said


def _given(part: Any) -> str:
    """The arguments of a call, as they came where they came as text."""
    return part.args if isinstance(part.args, str) else str(part.args_as_json_str())


def _failed(reason: Failure, ask: Ask, trouble: _Trouble, detail: str) -> ModelFailed:
    """A failure after the request was sent: what it took is not told, so it is estimated."""
    return ModelFailed(
        reason,
        detail,
        tokens_in=given_tokens(ask),
        tokens_out=trouble.said // 3 + (trouble.said > 0),
    )


def _failure(error: Exception, ask: Ask, trouble: _Trouble) -> ModelFailed:
    """Whatever the provider's client raises, said in our words."""
    from pydantic_ai.exceptions import ModelHTTPError, ModelTimeoutError

    broken = trouble.failure
    if isinstance(broken, TooLarge):
        return _failed("too-long", ask, trouble, "the answer does not end")
    if isinstance(broken, httpx.ConnectError | httpx.ConnectTimeout):
        kind = "blocked-address" if isinstance(broken, BlockedAddress) else type(broken).__name__
        return ModelFailed("unreachable", kind)
    if isinstance(broken, httpx.TimeoutException) or isinstance(error, ModelTimeoutError):
        return _failed("timeout", ask, trouble, "no answer in time")
    if broken is not None:
        return _failed("unreachable", ask, trouble, type(broken).__name__)
    if isinstance(error, ModelHTTPError):
        return _answered_with(error)
    return _failed("nonsense", ask, trouble, type(error).__name__)


def _answered_with(error: Any) -> ModelFailed:
    """What a status says; nothing is charged for these."""
    status = int(error.status_code)
    detail = f"status {status}"
    if status == _BUSY:
        return ModelFailed("rate-limited", detail, retry_after=_wait(error.headers))
    if status in _SLOW:
        return ModelFailed("timeout", detail)
    return ModelFailed("refused" if status in _REFUSALS else "unreachable", detail)


def _wait(headers: Mapping[str, str] | None) -> int | None:
    """``Retry-After`` in microseconds, where it is a number of seconds."""
    try:
        seconds = float((headers or {}).get("retry-after", ""))
    except ValueError:
        return None
    return int(seconds * SECOND) if 0 <= seconds <= _LONGEST_WAIT else None


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
