"""A deployment's settings and folders as what its policies may name."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forestall.contracts.errors import InvalidFile
from forestall.kernel.settings import Settings, load_settings
from forestall.policy.deployment import load_bundle, read_deployment, surroundings
from forestall.policy.language.check import ANYTHING

POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x, owner: me}
spec:
  when: {event: a.b}
  playbook:
    - approve: {for: 5m, by: lead, people: 2}
    - escalate: {queue: payments}
"""
SETTINGS = """
[people.ann]
token = "ann-has-a-token-of-her-own"
roles = ["lead", "approver"]
[people.ben]
token = "ben-has-a-token-of-his-own"
roles = ["lead"]
[queues.payments]
webhook = "help"
[webhooks.help]
url = "https://help.example/cases"
secret = "${HELP_SECRET}"
"""


def deployed(folder: Path, settings: str) -> list[str]:
    """The mistakes of ``POLICY`` in a deployment with these settings."""
    (folder / "x.yaml").write_text(POLICY)
    (folder / "forestall.toml").write_text(settings)
    try:
        load_bundle(folder, load_settings(folder / "forestall.toml", secrets=False))
    except InvalidFile as error:
        return [f"{p.line}:{p.column} {p.code}: {p.message}" for p in error.problems]
    return []


def test_people_and_queues_are_there(tmp_path: Path) -> None:
    assert deployed(tmp_path, SETTINGS) == []
    found = surroundings(load_settings(tmp_path / "forestall.toml", secrets=False))
    assert found.roles == {"lead": 2, "approver": 1}
    assert found.queues == frozenset(["payments"])
    assert (found.lookups, found.agents, found.actions) == (None, None, None)


def test_people_and_queues_are_missing(tmp_path: Path) -> None:
    settings = SETTINGS.replace('roles = ["lead"]', 'roles = ["viewer"]')
    assert deployed(tmp_path, settings.replace("queues.payments", "queues.payment")) == [
        "7:30 unknown-role: 2 `lead` are to approve, and there is only 1",
        "8:25 unknown-queue: there is no queue `payments`",
    ]


def test_what_the_settings_do_not_tell_is_not_judged(tmp_path: Path) -> None:
    assert deployed(tmp_path, "") == []
    (tmp_path / "x.yaml").write_text(POLICY)
    assert load_bundle(tmp_path / "x.yaml", Settings()).policies[0].name == "x"
    assert surroundings(Settings()) is ANYTHING


@pytest.mark.parametrize("kind", ["lookup", "agent", "action"])
def test_a_folder_of_actions_tells_what_there_is(tmp_path: Path, kind: str) -> None:
    step = {
        "lookup": "enrich: {from: crm, fields: [a]}",
        "agent": "infer: {agent: crm, fields: [a]}",
        "action": "remediate: {action: crm, queue: payments}",
    }[kind]
    (tmp_path / "actions").mkdir()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "x.yaml").write_text(
        POLICY.replace("approve: {for: 5m, by: lead, people: 2}", step)
    )
    (tmp_path / "forestall.toml").write_text('[actions]\nfolder = "actions"\n' + SETTINGS)
    settings = load_settings(tmp_path / "forestall.toml", secrets=False)
    with pytest.raises(InvalidFile) as caught:
        load_bundle(tmp_path / "policies", settings)
    assert [one.code for one in caught.value.problems] == [f"unknown-{kind}"]


def test_what_runbooks_read_is_known(tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "r.md").write_text(
        "---\nid: r\ntitle: R\nversion: 1\nowner: me\nreview_by: 2030-01-01\n"
        "fields: [fields.brand, subject.plan]\n---\n## Customer\n"
        'Your {{ fields.brand }} on {{ subject.plan | default("your plan") }}.\n'
    )
    (tmp_path / "forestall.toml").write_text('[runbooks]\nfolder = "runbooks"\n')
    found = surroundings(load_settings(tmp_path / "forestall.toml", secrets=False))
    assert found.runbooks == frozenset(["r"])
    assert found.runbook_reads == {"r": {"fields.brand"}}
    assert found.articles == frozenset()


def test_articles_are_known_apart_from_runbooks(tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "a.md").write_text(
        "---\nid: a\ntitle: A\nversion: 1\nowner: me\nkind: article\nproducts: [shop]\n"
        "review_by: 2030-01-01\n---\n## Waiting\nWords.\n"
    )
    (tmp_path / "forestall.toml").write_text('[runbooks]\nfolder = "runbooks"\n')
    found = surroundings(load_settings(tmp_path / "forestall.toml", secrets=False))
    assert (found.runbooks, found.articles) == (frozenset(), frozenset(["a"]))


def test_a_switch_that_names_no_policy_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(POLICY.replace("name: x", "name: card-declined"))
    settings = SETTINGS + '[policies]\nfolder = "."\n[switches]\noff = ["card-declned", "{}"]\n'
    config = tmp_path / "forestall.toml"
    config.write_text(settings.replace("{}", "card-declined"))
    with capture_logs() as lines:
        read_deployment(config)
    assert [(line["log_level"], line["policy"], line["did_you_mean"]) for line in lines] == [
        ("warning", "card-declned", "card-declined")
    ]
