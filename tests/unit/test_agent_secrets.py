"""Every secret of a deployment is known to whoever has to keep it."""

from pathlib import Path

from forestall.intervene.agents.secrets import secrets_of
from forestall.kernel.settings import Settings, load_settings

TOML = """
[server]
host = "127.0.0.1"
[[keys]]
name = "shop"
key = "canary-of-the-write-key"
origin = "server"
[tokens]
secret = "canary-of-the-tokens-with-32-bytes"
[credentials.payments]
value = "canary-of-the-provider"
hosts = ["pay.example"]
[webhooks.desk]
url = "https://desk.example/hook"
secret = "whsec_Y2FuYXJ5IG9mIHRoZSBkZXNrLCAyNCBieXRlcw=="
[language_models.fast]
model = "openai:gpt"
key = "canary-of-the-model"
[people.anna]
token = "canary-of-anna-0123456789"
roles = ["approver"]
[queues.payments]
webhook = "desk"
"""


def test_every_secret_is_found_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "forestall.toml"
    file.write_text(TOML)
    found = secrets_of(load_settings(file))
    assert sum("canary" in one or one.startswith("whsec_") for one in found) == 6
    assert not {"shop", "desk", "server", "approver", "openai:gpt", "pay.example"} & set(found)


def test_without_settings_there_is_none() -> None:
    assert secrets_of(Settings()) == ()
