"""A real MCP server for tests: a desk that issues tokens, over stdio or streamable HTTP.

``python mcp_desk.py STATE`` speaks stdio, ``python mcp_desk.py STATE PORT`` HTTP on loopback. What was
done stands in the file STATE, a line for each call.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

STATE = Path(sys.argv[1])
server = MCPServer("desk")


def did(tool: str, **more: Any) -> None:
    with STATE.open("a") as file:
        file.write(
            json.dumps({"tool": tool, "secret": os.environ.get("DESK_TOKEN"), **more}) + "\n"
        )


@server.tool()
def token_state(customer: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in STATE.read_text().splitlines()] if STATE.exists() else []
    mine = [one for one in lines if one["tool"] == "reissue" and one["customer"] == customer]
    revoked = any(one["tool"] == "revoke" and one["customer"] == customer for one in lines)
    return {"customer": customer, "valid": bool(mine) and not revoked}


@server.tool()
def reissue(customer: str, key: str, ctx: Context, mode: str = "well") -> dict[str, Any]:
    if mode == "refuse":
        raise ValueError(f"no token for this customer, said {os.environ.get('DESK_TOKEN')}")
    if mode == "hang":
        did("reissue-hang", customer=customer)
        time.sleep(120)
    if mode == "die":
        did("reissue-die", customer=customer)
        os._exit(1)
    meta = ctx.request_context.meta
    sent = dict(meta) if isinstance(meta, dict) else meta and meta.model_dump()
    done = "reissue-lie" if mode == "lie" else "reissue"
    did(done, customer=customer, key=key, meta=sent)
    return {"customer": customer, "token": f"t-{key}", "echo": os.environ.get("DESK_TOKEN")}


@server.tool()
def revoke(customer: str) -> dict[str, Any]:
    did("revoke", customer=customer)
    return {"customer": customer}


@server.tool()
def shout(text: str) -> str:
    sys.stderr.write(f"canary on standard error {os.environ.get('DESK_TOKEN')}\n")
    sys.stderr.flush()
    return text


if __name__ == "__main__":
    if len(sys.argv) > 2:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run("stdio")
