"""The pages about the Python client: their examples run against a server, and nothing is missing."""

from pathlib import Path
from typing import Any, get_args

import pytest

from documents import examples_of
from forestall.client import AsyncClient, Client, Counts, Options
from forestall.client.options import TroubleCode
from hostile import hostile
from serving import SECRET

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "python-client.md").read_text()
PAGE = DOCS / "how-to" / "send-events-from-python.md"
HOST = "https://events.example.com"


def test_the_examples_of_the_page_run_and_send_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORESTALL_BACKEND_KEY", "k")
    monkeypatch.setenv("FORESTALL_TOKEN_SECRET", SECRET)
    names: dict[str, Any] = {"__name__": "example"}
    with hostile() as server:
        server.quarantine = lambda event: event["type"] == "page.viewed"
        for example in examples_of(PAGE):
            if example.language == "python":
                body = example.body.replace(HOST, server.base)
                exec(compile(body, str(example), "exec"), names)  # noqa: S102
        names["client"].track("customer-42", "Seen", {"x": object()})
        names["client"].close()
        types = [event["type"] for event in server.taken]
    types.remove("export.started")
    assert types == [
        "forestall.identify",
        "payment.declined",
        "forestall.ticket.opened",
        "forestall.identify",
        "forestall.consent.granted",
    ]
    assert names["token"].count(".") == 2
    assert capsys.readouterr().out.startswith("cannot-send None")


@pytest.mark.parametrize("name", [*Options.__struct_fields__, *Counts.__struct_fields__])
def test_every_option_and_count_is_documented(name: str) -> None:
    assert f"`{name}`" in REFERENCE


@pytest.mark.parametrize("name", get_args(TroubleCode))
def test_every_trouble_is_documented(name: str) -> None:
    assert f"| `{name}` |" in REFERENCE


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_public_method_is_documented(client: type) -> None:
    for name in dir(client):
        if not name.startswith("_"):
            assert f"`{name}" in REFERENCE, name


def test_the_defaults_that_are_documented_are_the_defaults() -> None:
    rows = [line.split("|") for line in REFERENCE.replace(",", "").splitlines() if "|" in line]
    for name in Options.__struct_fields__:
        default = getattr(Options(), name)
        text = f'"{default}"' if isinstance(default, str) else str(default).removesuffix(".0")
        (said,) = [row[2] for row in rows if f"`{name}`" in row[1]]
        assert text in said, name
