"""A language model is asked over real HTTP: what it says arrives, and whatever it does has a word."""

import asyncio
import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.channels.outbound import outbound
from forestall.contracts.instants import SECOND
from forestall.intervene.agents.asking import (
    Ask,
    ModelFailed,
    Said,
    Tool,
    ToolCall,
    Turn,
    given_tokens,
)
from forestall.intervene.agents.provider import (
    AgentsMissing,
    UnusableModel,
    language_models,
)
from forestall.kernel.settings import LanguageModel, Outbound, load_settings
from model_server import KEY, Reply, model_server, propose

TOOL = Tool(
    "propose",
    "Say what is to be done",
    {"type": "object", "properties": {"message": {"type": "string"}}},
)
ASK = Ask(
    system="You help.",
    turns=(Turn(role="user", text="It is broken."),),
    tools=(TOOL,),
    tokens=300,
    seconds=60.0,
)


async def asked(url: str, ask: Ask = ASK, *, key: str | None = KEY, **limits: Any) -> Said:
    """One answer of the model at ``url``."""
    section = LanguageModel(model="openai-chat:scripted", url=url, key=key)
    settings = Outbound(allow=("127.0.0.1",), **limits)
    async with outbound(settings) as client:
        return await language_models({"fast": section}, client)["fast"].ask(ask)


def failure(*script: Any, ask: Ask = ASK, key: str | None = KEY, **limits: Any) -> ModelFailed:
    """How a call of a server with this script fails; it is called once."""
    with model_server(*script) as server:
        with pytest.raises(ModelFailed) as caught:
            asyncio.run(asked(server.url, ask, key=key, **limits))
        assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__context__)
    return caught.value


def test_text_arrives_with_what_it_took() -> None:
    with model_server(Reply(text="Good day, how are you?")) as server:
        said = asyncio.run(asked(server.url))
    assert said == Said(text="Good day, how are you?", tokens_in=100, tokens_out=20)
    request = server.requests[0]
    assert request["stream"] is True
    assert [one["role"] for one in request["messages"]] == ["system", "user"]
    assert request["tools"][0]["function"]["name"] == "propose"
    assert 300 in (request.get("max_completion_tokens"), request.get("max_tokens"))


@pytest.mark.parametrize("provider", ["openai", "ollama", "litellm", "vllm", "heroku", "alibaba"])
def test_any_provider_is_had_by_its_name(provider: str) -> None:
    async def ask(url: str) -> Said:
        section = LanguageModel(model=f"{provider}:scripted", url=url, key=KEY)
        async with outbound(Outbound(allow=("127.0.0.1",))) as client:
            return await language_models({"fast": section}, client)["fast"].ask(ASK)

    with model_server(Reply(text="Hm.")) as server:
        assert asyncio.run(ask(server.url)).text == "Hm."
    assert server.requests[0]["model"] == "scripted"


def test_a_provider_whose_package_is_missing_names_it() -> None:
    async def load() -> None:
        async with outbound(Outbound()) as client:
            language_models({"fast": LanguageModel(model="groq:x", key="k")}, client)

    if importlib.util.find_spec("groq") is None:
        with pytest.raises(AgentsMissing, match="groq"):
            asyncio.run(load())
    else:
        asyncio.run(load())


@pytest.mark.parametrize(
    ("provider", "package"), [("anthropic", "anthropic"), ("google", "google.genai")]
)
def test_other_providers_leave_by_the_one_way_out_or_name_what_to_install(
    provider: str, package: str
) -> None:
    """Which of the two depends on what is installed; both say that nothing leaves otherwise."""

    async def ask() -> None:
        section = LanguageModel(model=f"{provider}:x", url="http://127.0.0.1:9/", key=KEY)
        async with outbound(Outbound()) as client:
            await language_models({"fast": section}, client)["fast"].ask(ASK)

    try:
        importlib.import_module(package)
    except ImportError:
        with pytest.raises(AgentsMissing, match=rf"pydantic-ai-slim\[{provider}\]"):
            asyncio.run(ask())
    else:
        with pytest.raises(ModelFailed) as caught:
            asyncio.run(ask())
        assert (caught.value.reason, caught.value.detail) == ("unreachable", "blocked-address")


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai.models", None)

    async def load() -> None:
        async with outbound(Outbound()) as client:
            language_models({"fast": LanguageModel(model="openai:x", key="k")}, client)

    with pytest.raises(AgentsMissing, match=r"forestall\[agents\]"):
        asyncio.run(load())


def test_calls_arrive_as_they_were_made() -> None:
    with model_server(
        Reply(text="So:", calls=[("look", {"id": 1}), ("propose", "{no json")])
    ) as it:
        said = asyncio.run(asked(it.url))
    assert said.text == "So:"
    assert said.calls == (
        ToolCall("call_0", "look", '{"id": 1}'),
        ToolCall("call_1", "propose", "{no json"),
    )


def test_a_whole_conversation_is_given() -> None:
    call = ToolCall("call_0", "look", '{"id": 1}')
    turns = (
        Turn(role="user", text="Broken."),
        Turn(role="model", text="I look.", calls=(call,)),
        Turn(role="tool", text='{"status": "declined"}', call="call_0", name="look"),
    )
    ask = Ask(system="You help.", turns=turns, tools=(TOOL,), tokens=300)
    with model_server(propose(message="Hi")) as server:
        asyncio.run(asked(server.url, ask))
    messages = server.requests[0]["messages"]
    assert [one["role"] for one in messages] == ["system", "user", "assistant", "tool"]
    look = messages[2]["tool_calls"][0]["function"]
    assert (look["name"], json.loads(look["arguments"])) == ("look", {"id": 1})
    assert messages[3]["tool_call_id"] == "call_0"
    assert messages[3]["content"] == '{"status": "declined"}'


def test_tokens_are_estimated_where_the_provider_tells_none() -> None:
    with model_server(Reply(text="x" * 300, usage=None)) as server:
        said = asyncio.run(asked(server.url))
    assert said.estimated
    assert said.tokens_in == given_tokens(ASK) > 0
    assert 90 <= said.tokens_out <= 110


def test_absurd_counts_are_bounded() -> None:
    with model_server(Reply(text="Hm.", usage=(10**30, 10**30))) as server:
        said = asyncio.run(asked(server.url))
    assert (said.tokens_in, said.tokens_out) == (10**9, 10**9)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (500, "unreachable"),
        (503, "unreachable"),
        (504, "timeout"),
        (400, "refused"),
        (401, "refused"),
        (403, "refused"),
        (404, "refused"),
    ],
)
def test_a_status_has_its_reason_and_is_not_tried_again(status: int, reason: str) -> None:
    failed = failure(Reply(status=status, body=f'{{"error": "{KEY}"}}'.encode()))
    assert failed.reason == reason
    assert failed.detail == f"status {status}"
    assert failed.tokens_in == failed.tokens_out == 0


@pytest.mark.parametrize(
    ("header", "wait"), [("7", 7 * SECOND), ("0.5", SECOND // 2), ("soon", None), ("9e9", None)]
)
def test_a_rate_limit_says_when_to_come_again(header: str, wait: int | None) -> None:
    failed = failure(Reply(status=429, headers={"retry-after": header}))
    assert (failed.reason, failed.retry_after) == ("rate-limited", wait)


def test_nobody_comes_again_before_that() -> None:
    section = LanguageModel(model="openai-chat:scripted", key=KEY)

    async def ask_twice(url: str) -> list[ModelFailed]:
        own = msgspec.structs.replace(section, url=url)
        async with outbound(Outbound(allow=("127.0.0.1",))) as client:
            model = language_models({"fast": own}, client)["fast"]
            failed = []
            for _ in range(2):
                with pytest.raises(ModelFailed) as caught:
                    await model.ask(ASK)
                failed.append(caught.value)
            return failed

    with model_server(Reply(status=429, headers={"retry-after": "60"})) as server:
        first, second = asyncio.run(ask_twice(server.url))
        assert len(server.requests) == 1
    assert first.reason == second.reason == "rate-limited"
    assert 50 * SECOND < (second.retry_after or 0) <= 60 * SECOND


def test_a_wrong_key_is_a_refusal() -> None:
    assert failure(Reply(text="never"), key="sk-wrong").reason == "refused"


def test_a_server_that_hangs_is_a_timeout() -> None:
    ask = Ask(system="s", turns=ASK.turns, tokens=300, seconds=1.5)
    failed = failure(Reply(hold=True), ask=ask)
    assert failed.reason == "timeout"
    assert failed.tokens_in > 0


def test_the_way_out_ends_it_too() -> None:
    assert failure(Reply(hold=True), timeout="1500ms").reason == "timeout"


def test_a_slow_drip_is_cut_off() -> None:
    ask = Ask(system="s", turns=ASK.turns, tokens=300, seconds=2.0)
    failed = failure(Reply(text="word " * 2_000, pause=0.05), ask=ask)
    assert failed.reason == "timeout"
    assert failed.tokens_out > 0


def test_a_connection_that_breaks_off_is_told_apart() -> None:
    failed = failure(Reply(text="word " * 100, cut=5))
    assert failed.reason == "unreachable"
    assert failed.tokens_in > 0


def test_text_without_end_is_cut_off() -> None:
    assert failure(Reply(endless=True)).reason == "too-long"


def test_text_beyond_what_may_come_in_is_cut_off() -> None:
    ask = Ask(system="s", turns=ASK.turns, tokens=1_000_000, seconds=10.0)
    assert failure(Reply(endless=True), ask=ask, max_bytes=50_000).reason == "too-long"


def test_an_answer_without_room_is_too_long() -> None:
    assert failure(Reply(text="cut in the mid", finish="length")).reason == "too-long"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html><body>Sign in</body></html>", kind="text/html"),
        Reply(body=b"data: {not json\n\n", kind="text/event-stream"),
        Reply(body=b"data: [1, 2]\n\ndata: [DONE]\n\n", kind="text/event-stream"),
        Reply(body=b"data: {}\n\ndata: [DONE]\n\n", kind="text/event-stream"),
        Reply(body=b"", kind="text/event-stream"),
        Reply(text=""),
        Reply(text="half a \ud800 character"),
        Reply(calls=[("half a \ud800 name", {})]),
    ],
)
def test_what_is_no_answer_is_nonsense(reply: Reply) -> None:
    assert failure(reply).reason in ("nonsense", "unreachable")


def test_nobody_listening_is_unreachable() -> None:
    with model_server() as server:
        url = server.url
    with pytest.raises(ModelFailed) as caught:
        asyncio.run(asked(url))
    assert (caught.value.reason, caught.value.tokens_in) == ("unreachable", 0)


def test_addresses_inside_are_not_asked() -> None:
    section = LanguageModel(model="openai-chat:scripted", url="http://127.0.0.1:9/v1", key=KEY)

    async def ask() -> None:
        async with outbound(Outbound()) as client:
            await language_models({"fast": section}, client)["fast"].ask(ASK)

    with pytest.raises(ModelFailed, match="blocked-address"):
        asyncio.run(ask())


def test_a_model_without_a_key_is_left_out_whatever_the_environment_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-somebody-else")

    async def names() -> list[str]:
        section = LanguageModel(model="openai:gpt-4.1-mini")
        async with outbound(Outbound()) as client:
            return list(language_models({"fast": section}, client))

    assert asyncio.run(names()) == []


def test_an_address_of_ones_own_needs_no_key_and_is_sent_none_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-somebody-else")
    section = LanguageModel(model="openai-chat:scripted")

    async def ask(url: str) -> Said:
        own = msgspec.structs.replace(section, url=url)
        async with outbound(Outbound(allow=("127.0.0.1",))) as client:
            return await language_models({"fast": own}, client)["fast"].ask(ASK)

    with model_server(Reply(text="Hm."), key=None) as server:
        assert asyncio.run(ask(server.url)).text == "Hm."
    assert "somebody-else" not in repr(server.headers)


@pytest.mark.parametrize(
    ("written", "key"), [("env:NOT_SET", None), ("env:IS_SET", KEY), ("k", "k")]
)
def test_the_settings_take_a_key_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, key: str | None
) -> None:
    monkeypatch.setenv("IS_SET", KEY)
    text = f'[language_models.fast]\nmodel = "openai:x"\nkey = "{written}"\n'
    (tmp_path / "forestall.toml").write_text(text)
    assert load_settings(tmp_path / "forestall.toml").language_models["fast"].key == key


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nobody:x", "nobody"),
        ("huggingface:x", "one way out"),
        ("bedrock:x", "one way out"),
        ("xai:x", "one way out"),
    ],
)
def test_a_model_that_cannot_be_had_is_told_at_the_start(model: str, message: str) -> None:
    async def load() -> None:
        async with outbound(Outbound()) as client:
            language_models({"fast": LanguageModel(model=model, key="k")}, client)

    with pytest.raises((AgentsMissing, UnusableModel), match=message):
        asyncio.run(load())


def test_telemetry_of_the_vendor_stays_home_and_the_key_out_of_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), model_server(Reply(text="ok")) as server:
        asyncio.run(asked(server.url))
    assert not [name for name in server.headers[0] if name.startswith("x-stainless")]
    assert server.headers[0]["user-agent"] == "forestall"
    assert KEY not in caplog.text
    assert "It is broken" not in caplog.text


def test_the_settings_do_not_show_the_key() -> None:
    assert KEY not in repr(LanguageModel(model="openai:x", key=KEY))


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, forestall.intervene.agents.provider, forestall.intervene.agents.orchestrate\n"
        "heavy = {'pydantic_ai', 'openai', 'wordllama', 'spacy', 'httpx2', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
