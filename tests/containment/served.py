"""The obedient model behind a real HTTP server."""

import asyncio
from collections.abc import Callable
from typing import Any

from containment.obedient import Obedient
from forestall.intervene.agents.asking import Ask, Tool, Turn
from model_server import Reply

ROLES = {"user": "user", "assistant": "model", "tool": "tool"}


def obeying(model: Obedient) -> Callable[[dict[str, Any]], Reply]:
    """What ``tests/model_server.py`` answers by ``model``."""

    def reply(request: dict[str, Any]) -> Reply:
        said = asyncio.run(model.ask(_asked(request)))
        return Reply(
            text=said.text,
            calls=[(call.name, call.arguments) for call in said.calls],
            usage=(said.tokens_in, said.tokens_out),
        )

    return reply


def _asked(request: dict[str, Any]) -> Ask:
    turns = tuple(
        Turn(role=ROLES[one["role"]], text=one.get("content") or "")  # type: ignore[arg-type]
        for one in request["messages"]
        if one["role"] in ROLES
    )
    frames = (one["content"] for one in request["messages"] if one["role"] not in ROLES)
    tools = tuple(
        Tool(one["function"]["name"], "", one["function"].get("parameters", {}))
        for one in request.get("tools", ())
    )
    return Ask(system="\n".join(frames), turns=turns, tools=tools)
