"""Articles beside runbooks in a deployment: no policy shows them, and both are reviewed."""

from pathlib import Path

import pytest

from forestall.app.standing import reviews
from forestall.contracts.errors import InvalidFile
from forestall.kernel.settings import Settings, load_settings
from forestall.policy.deployment import load_bundle, surroundings

POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {{name: helping, title: Helping, owner: us}}
spec:
  when: {{event: forestall.ticket.opened}}
  playbook:
    - guide: {{runbook: {runbook}, channel: inapp}}
"""
HEAD = "---\nid: {id}\ntitle: T\nversion: 1\nowner: us\nreview_by: {day}\n{more}---\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "runbooks" / "help").mkdir(parents=True)
    (tmp_path / "policies").mkdir()
    (tmp_path / "runbooks" / "book.md").write_text(
        HEAD.format(id="book", day="2020-01-31", more="fields: [subject.plan]\n")
        + "## Customer\nOn your {{ subject.plan }} plan.\n"
    )
    (tmp_path / "runbooks" / "help" / "page.md").write_text(
        HEAD.format(id="page", day="2020-01-30", more="kind: article\n") + "Text {{ subject.x }}.\n"
    )
    config = tmp_path / "forestall.toml"
    config.write_text('[policies]\nfolder = "policies"\n[runbooks]\nfolder = "runbooks"\n')
    return load_settings(config)


def guide(settings: Settings, runbook: str) -> Path:
    assert settings.policies is not None
    (settings.policies / "p.yaml").write_text(POLICY.format(runbook=runbook))
    return settings.policies


def test_policies_may_show_runbooks_and_no_articles(settings: Settings) -> None:
    around = surroundings(settings)
    assert around.runbooks == frozenset({"book"})
    assert around.runbook_reads == {"book": frozenset({"subject.plan"})}


def test_a_policy_that_shows_an_article_does_not_load(settings: Settings) -> None:
    assert [one.name for one in load_bundle(guide(settings, "book"), settings).policies] == [
        "helping"
    ]
    with pytest.raises(InvalidFile, match=r"p\.yaml:7:\d+: error: .*runbook"):
        load_bundle(guide(settings, "page"), settings)


def test_articles_are_due_for_review_as_runbooks_are(settings: Settings) -> None:
    guide(settings, "book")
    found = [(one.kind, one.name, str(one.review_by)) for one in reviews(settings)]
    assert sorted(found) == [("article", "page", "2020-01-30"), ("runbook", "book", "2020-01-31")]
