"""``forestall knowledge lint`` and ``import``, as people and CI run them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from examples.shop import demo
from forestall.cli.knowledge import app
from forestall.contracts.errors import InvalidFile, UnreadableInput

SHOP = Path(demo.__file__).parent
HEAD = "---\nid: {id}\nkind: article\ntitle: About {id}\nversion: 1\nowner: us\nreview_by: {day}\n"


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def write(folder: Path, name: str = "a", more: str = "", day: str = "2027-01-31") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(HEAD.format(id=name, day=day) + f"{more}---\nText.\n")
    return path


def deployment(folder: Path) -> Path:
    """Settings with one policy, one contract of our own and one runbook folder."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "p.yaml").write_text(
        "apiVersion: forestall/v1\nkind: Policy\n"
        "metadata: {name: stuck, title: Stuck, owner: us}\n"
        "spec:\n  when: {event: forestall.ticket.opened}\n"
        "  playbook:\n    - guide: {runbook: book, channel: inapp}\n"
    )
    (folder / "contracts").mkdir()
    config = folder / "forestall.toml"
    config.write_text(
        '[policies]\nfolder = "policies"\n[contracts]\nfolder = "contracts"\n'
        '[runbooks]\nfolder = "runbooks"\n'
    )
    write(folder / "runbooks", "a", "signals: [stuck, forestall.ticket.opened]\n")
    return config


def test_the_shops_knowledge_is_sound() -> None:
    code, said = invoke("lint", "--config", SHOP / "forestall.toml", "--on", "2026-12-01")
    assert (code, said) == (0, "documents checked: 20\n")


def test_mistakes_are_told_with_exit_code_1(tmp_path: Path) -> None:
    write(tmp_path, day="2026-01-01")
    code, said = invoke("lint", tmp_path, "--on", "2026-01-02")
    assert code == 1
    assert said.splitlines()[0] == (
        f"{tmp_path}/a.md:7:12: error: its review was due yesterday: it is not used any more"
        " [knowledge-expired]"
    )
    assert said.splitlines()[-1] == "1 error"


def test_warnings_alone_are_exit_code_0(tmp_path: Path) -> None:
    write(tmp_path, day="2026-01-03")
    code, said = invoke("lint", tmp_path, "--on", "2026-01-02", "--json")
    assert code == 0
    (problem,) = json.loads(said)
    assert (problem["code"], problem["severity"]) == ("knowledge-expires", "warning")


def test_the_deployments_own_words_are_known(tmp_path: Path) -> None:
    config = deployment(tmp_path)
    assert invoke("lint", "--config", config, "--on", "2026-12-01")[0] == 0
    write(tmp_path / "runbooks", "b", "signals: [stick]\n")
    code, said = invoke("lint", "--config", config, "--on", "2026-12-01")
    assert code == 1
    assert "b.md:8:11: error: 'stick' is neither an event type nor a policy" in said
    assert "did you mean 'stuck'?" in said


def test_policies_that_show_an_expired_runbook_are_named(tmp_path: Path) -> None:
    config = deployment(tmp_path)
    path = write(tmp_path / "runbooks", "book")
    path.write_text(
        path.read_text().replace("kind: article\n", "").replace("Text", "## Customer\nHi")
    )
    _, said = invoke("lint", "--config", config, "--on", "2027-02-01")
    assert "a step that shows it fails: stuck" in said


def test_policies_with_mistakes_are_not_held_against_knowledge(tmp_path: Path) -> None:
    config = deployment(tmp_path)
    (tmp_path / "policies" / "q.yaml").write_text("kind: Nonsense\n")
    write(tmp_path / "runbooks", "b", "signals: [whatever]\n")
    assert invoke("lint", "--config", config, "--on", "2026-12-01")[0] == 0


def test_a_missing_folder_of_actions_is_told_and_the_rest_checked(tmp_path: Path) -> None:
    config = deployment(tmp_path)
    config.write_text(config.read_text() + '[actions]\nfolder = "gone"\n')
    write(tmp_path / "runbooks", "old", "actions: [any]\n", day="2020-01-01")
    code, said = invoke("lint", "--config", config, "--on", "2026-12-01", "--json")
    assert code == 1
    told = {one["code"]: one["severity"] for one in json.loads(said)}
    assert told == {"actions-folder": "warning", "knowledge-expired": "error"}


def test_broken_contracts_are_told(tmp_path: Path) -> None:
    config = deployment(tmp_path)
    (tmp_path / "contracts" / "x.v1.json").write_text("{")
    with pytest.raises(InvalidFile):
        invoke("lint", "--config", config)


@pytest.mark.parametrize(
    "arguments", [("lint", "nowhere"), ("lint", ".", "--on", "soon"), ("lint",), ("lint", "empty")]
)
def test_what_cannot_be_used_is_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableInput) as caught:
        invoke(*arguments)
    assert caught.value.exit_code == 2


def test_a_folder_without_documents_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"there is no document \(\*\.md\) in it"):
        invoke("lint", tmp_path)


ARTICLES = [
    {"id": 1, "title": "Sending back", "body": "<p>Free.</p>", "locale": "en-us", "draft": False},
    {"id": 2, "title": "Later", "body": "<p>x</p>", "locale": "en-us", "draft": True},
]


def zendesk(folder: Path, articles: object = ARTICLES) -> Path:
    path = folder / "articles.json"
    path.write_text(json.dumps({"articles": articles}))
    return path


def test_an_import_is_told_article_by_article(tmp_path: Path) -> None:
    source, out = zendesk(tmp_path), tmp_path / "out"
    options = ("--owner", "care", "--review-by", "2100-06-30", "--product", "returns")
    code, said = invoke("import", "zendesk", source, out, *options, "--json")
    assert code == 0
    assert [(one["what"], one["source"]) for one in json.loads(said)] == [
        ("new", "zendesk:1:en-us"),
        ("left out", "zendesk:2:en-us"),
    ]
    text = (out / "sending-back.md").read_text()
    assert "owner: care\nreview_by: 2100-06-30\nlanguage: en\nproducts:\n- returns\n" in text
    code, said = invoke("import", "zendesk", source, out, *options)
    assert (code, said.splitlines()[-1]) == (0, "1 left out, 1 unchanged")
    assert invoke("lint", out, "--on", "2026-12-01")[0] == 0


def test_what_needs_a_look_is_exit_code_1(tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke("import", "zendesk", zendesk(tmp_path), out)
    path = out / "sending-back.md"
    path.write_text(path.read_text().replace("Free.", "Free of charge."))
    changed = [{**ARTICLES[0], "body": "<p>Not free.</p>"}]
    code, said = invoke("import", "zendesk", zendesk(tmp_path, changed), out)
    assert code == 1
    assert "--force" in said
    code, said = invoke("import", "zendesk", zendesk(tmp_path, changed), out, "--force")
    assert (code, said.splitlines()[-1]) == (0, "1 updated")
    assert invoke("import", "zendesk", zendesk(tmp_path, []), out)[0] == 1


def test_ids_of_the_deployments_other_runbooks_are_taken(tmp_path: Path) -> None:
    config = deployment(tmp_path)
    write(tmp_path / "runbooks", "sending-back")
    out = tmp_path / "runbooks" / "help"
    code, said = invoke("import", "zendesk", zendesk(tmp_path), out, "--config", config)
    assert code == 0
    assert "the id sending-back is taken" in said
    assert (out / "sending-back-1-en.md").exists()
    code, said = invoke("import", "zendesk", zendesk(tmp_path), out, "--config", config)
    assert said.splitlines()[-1] == "1 left out, 1 unchanged"


def test_pages_are_imported_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "pages", tmp_path / "out"
    source.mkdir()
    (source / "fees.html").write_text("<html lang='en'><h1>Fees</h1><p>None.</p></html>")
    code, said = invoke("import", "html", source, out, "--dry-run")
    assert (code, said.splitlines()[-1]) == (0, "1 new (nothing is written)")
    assert not out.exists()
    invoke("import", "html", source, out)
    assert "None." in (out / "fees.md").read_text()


@pytest.mark.parametrize(
    "options", [("--review-by", "soon"), ("--owner", " "), ("--owner", "x", "--review-by", "")]
)
def test_options_that_cannot_be_used_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(UnreadableInput):
        invoke("import", "zendesk", zendesk(tmp_path), tmp_path / "out", *options)


def test_articles_that_would_never_be_used_are_not_imported(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UnreadableInput) as caught:
        invoke("import", "zendesk", zendesk(tmp_path), out, "--review-by", "2020-01-31")
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("--review-by 2020-01-31: this day is over")
    assert not out.exists()
