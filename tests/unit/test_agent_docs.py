"""The how-to about declaring an agent declares one that loads, in the settings that it shows."""

from pathlib import Path

from documents import ROOT, examples_of
from forestall.kernel.settings import load_settings
from forestall.policy.actions.folder import load_declarations
from forestall.policy.actions.model import Grant

PAGE = ROOT / "docs" / "how-to" / "declare-an-agent.md"
API = """
openapi: 3.1.0
servers: [{url: "https://pay.example.com/v1"}]
paths:
  /payments/{payment}:
    parameters: [{name: payment, in: path, required: true, schema: {type: string}}]
    get: {operationId: getPayment}
    post:
      operationId: resendReceipt
      requestBody:
        content: {application/json: {schema: {type: object, properties: {format: {type: string}}}}}
"""


def test_the_agent_of_the_page_loads(tmp_path: Path) -> None:
    found = list(examples_of(PAGE))
    settings = next(one.body for one in found if one.language == "toml")
    (tmp_path / "forestall.toml").write_text(settings)
    for one in found:
        if one.file is not None:
            (tmp_path / one.file).parent.mkdir(exist_ok=True)
            (tmp_path / one.file).write_text(one.body)
    (tmp_path / "actions" / "payments.openapi.yaml").write_text(API)
    read = load_settings(tmp_path / "forestall.toml")
    agent = load_declarations(tmp_path / "actions", read).agents["checkout-helper"]
    assert agent.model == "fast"
    assert agent.actions == (
        Grant(
            name="resend-receipt", arguments={"payment": "arguments.payment"}, chooses=("format",)
        ),
    )
    assert read.language_models["fast"].key is None  # the variable is not set here
    assert read.agents.money == 20.0
