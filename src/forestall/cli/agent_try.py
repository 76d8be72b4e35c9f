"""``forestall agent try``: what an agent would do, without doing it."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, echo_json, plain
from forestall.contracts.errors import UnreadableInput
from forestall.kernel.clock import wall_clock

if TYPE_CHECKING:
    from forestall.intervene.agents.cases import Asks, Spoken
    from forestall.intervene.agents.evaluation import Answer
    from forestall.intervene.agents.trial import Stage
    from forestall.intervene.jobs import Outcome

_KEYS = ("id", "arguments", "policy", "signal", "lookups", "model", "fields")


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of a batch: ``arguments`` of the agent, and what else a case may give. ``fields``
    has it fill fields in place of a plan; ``id`` is given back."""

    arguments: dict[str, Any]
    id: Any = None
    policy: str | None = None
    signal: str | None = None
    lookups: dict[str, dict[str, Any]] = {}
    model: list[Any] = []
    fields: bool = False


def try_(
    agent: Annotated[str, typer.Argument(help="The name of an agent.")],
    given: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="JSON", help="The arguments as a JSON object; @FILE reads them."
        ),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="A file of inputs, a JSON object a line; prints a line for each."),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="The policy that asks.")] = None,
    signal: Annotated[
        str | None, typer.Option(help="The type of the event that started it.")
    ] = None,
    fields: Annotated[
        bool, typer.Option("--fields", help="Have it fill fields, as `infer` does, and not plan.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model of [language_models], or `none` for the composer; the agent's own if left out."
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Really ask lookups that the input has no answer for.")
    ] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what an agent would say and do, its evidence, and what was refused; nothing is done.

    A line of a batch is the arguments, or an object with `arguments` and, if you like, `id`,
    `policy`, `signal`, `lookups` (recorded answers by lookup), `model` (recorded answers of a model)
    and `fields`. Exit code 1 where there is no answer, 2 where an input cannot be used.
    """
    from forestall.cli import agent_stage

    if (given is None) == (batch is None):
        raise UnreadableInput("give either --input or --batch")
    lines = [_text(given)] if given is not None else _lines(batch or Path())
    settings = agent_stage.settings_of(config, secrets=False)
    known = agent_stage.declared_by_instructions(agent_stage.declared(settings), agent)
    asked = agent_stage.model_of(settings, known, model)
    if asked is not None or live:
        settings = agent_stage.settings_of(config, secrets=True)
    worst = 0

    async def run() -> None:
        nonlocal worst
        staged = agent_stage.staged(
            settings, agent, asked, clock=wall_clock, live=live, demanded=model is not None
        )
        async with staged as stage:
            for number, line in enumerate(lines, start=1):
                shown, code = await _tried(
                    stage, agent, line, number, policy=policy, signal=signal, fields=fields
                )
                worst = max(worst, code)
                if as_json or batch is not None:
                    echo_json(shown)
                else:
                    typer.echo("\n".join(text(shown)))

    asyncio.run(run())
    if worst:
        raise typer.Exit(worst)


def _text(given: str) -> bytes:
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{given[1:]}: {error.strerror}") from None


def _lines(batch: Path) -> list[bytes]:
    try:
        content = sys.stdin.buffer.read() if str(batch) == "-" else batch.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{batch}: {error.strerror}") from None
    return [line for line in content.splitlines() if line.strip()]


async def _tried(
    stage: "Stage",
    agent: str,
    line: bytes,
    number: int,
    *,
    policy: str | None,
    signal: str | None,
    fields: bool,
) -> tuple[dict[str, Any], int]:
    """What came of one input, and the exit code that it stands for."""
    from forestall.intervene.actions.answers import BadArguments
    from forestall.intervene.agents.cases import Given
    from forestall.intervene.agents.trial import tried

    asks: Asks = "plan"
    try:
        one = _input(line)
        asks = "fields" if one.fields or fields else "plan"
        outcome, answer = await tried(
            stage,
            agent,
            Given(
                arguments=one.arguments,
                policy=one.policy or policy,
                signal=one.signal or signal,
            ),
            f"try-{number}",
            asks=asks,
            lookups=one.lookups,
            spoken=_spoken(one.model),
        )
    except BadArguments as error:
        return _unusable(agent, "bad-arguments", error), 2
    except msgspec.MsgspecError as error:
        return _unusable(agent, "unreadable-input", error), 2
    shown = {**({} if one.id is None else {"id": one.id}), **_shown(agent, asks, outcome, answer)}
    return shown, 0 if outcome.outcome == "done" else 1


def _unusable(agent: str, code: str, error: Exception) -> dict[str, Any]:
    return {"agent": agent, "error": {"code": code, "message": str(error)}}


def _input(line: bytes) -> Input:
    value = msgspec.json.decode(line, type=dict[str, Any])
    whole = isinstance(value.get("arguments"), dict) and set(value) <= set(_KEYS)
    return msgspec.convert(value if whole else {"arguments": value}, Input)


def _spoken(written: list[Any]) -> "list[Spoken]":
    from forestall.intervene.agents.cases import Spoken

    return msgspec.convert(written, list[Spoken])


def _shown(agent: str, asks: str, outcome: "Outcome", answer: "Answer") -> dict[str, Any]:
    """Everything that came of it, with every key there whatever it holds."""
    inference = _whole(outcome.inference)
    return {
        "agent": agent,
        "asks": asks,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "action": answer.action if asks == "plan" else None,
        "plan": _whole(outcome.plan),
        "text": answer.text,
        "fields": answer.fields,
        "evidence": [] if inference is None else inference["evidence"],
        "refused": [] if inference is None else inference["refused"],
        "inference": inference,
    }


def _whole(value: Any) -> Any:
    """JSON data with defaults, which ``omit_defaults`` would leave out."""
    if isinstance(value, msgspec.Struct):
        return {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [_whole(one) for one in value]
    return value


# -- text ------------------------------------------------------------------------------------------


def text(shown: dict[str, Any]) -> Iterator[str]:
    """What an agent would do, line by line."""
    if "error" in shown:
        yield f"{shown['error']['code']}: {plain(shown['error']['message'])}"
        return
    plan, inference = shown["plan"], shown["inference"] or {}
    if shown["outcome"] != "done":
        detail = f": {plain(shown['detail'])}" if shown["detail"] else ""
        yield f"no answer ({shown['reason']}){detail}"
    if plan is not None and plan["hand_over"] is not None:
        yield f"hand over to a person: {plain(plan['hand_over'])}"
    for action in [] if plan is None else plan["actions"]:
        approve = f", {action['people']} to approve" if action["approve"] else ""
        yield f"do: {action['action']} {_json(action['arguments'])}{approve}"
    if shown["text"]:
        yield f"say: {shown['text']}"
    if shown["fields"] is not None:
        yield f"fields: {_json(shown['fields'])}"
    if plan is not None and plan["rationale"]:
        yield f"why: {plain(plan['rationale'])}"
    if shown["evidence"]:
        yield f"evidence: {', '.join(shown['evidence'])}"
    for turned in shown["refused"]:
        yield f"refused: {plain(turned['what'])}: {plain(turned['why'])}"
    by = inference.get("by")
    fallback = f", as {inference['fallback']}" if inference.get("fallback") else ""
    tone = f"; the customer seems {inference['tone']}" if inference.get("tone") else ""
    yield f"by {by}{fallback}{tone}"
    if inference.get("calls"):
        yield (
            f"calls {inference['calls']}, tokens {inference['tokens_in']} in and"
            f" {inference['tokens_out']} out, cost {inference['cost']:.4f}"
        )


def _json(value: Any) -> str:
    return plain(msgspec.json.encode(value).decode())
