"""``forestall knowledge search``: words, batches and mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from forestall.cli.knowledge_search import search
from forestall.contracts.errors import ForestallError, InvalidFile, UnreadableInput

app = typer.Typer()
app.command("search")(search)

SETTINGS = """
[runbooks]
folder = "help"
[knowledge]
synonyms = "words.txt"
"""
ARTICLE = """---
id: {id}
title: {title}
version: {version}
owner: help
kind: article
language: {language}
products: [{product}]
review_by: {day}
---
## {heading}
{text}
"""


def write(folder: Path, name: str, **more: Any) -> None:
    known = {
        "version": 1,
        "language": "en",
        "product": "shop",
        "day": "2030-01-01",
        "heading": "Help",
        "text": "Words.",
    }
    (folder / f"{name}.md").write_text(ARTICLE.format(id=name, **{**known, **more}))


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "forestall.toml").write_text(SETTINGS)
    (tmp_path / "words.txt").write_text("crate, parcel\n")
    help_pages = tmp_path / "help"
    help_pages.mkdir()
    write(help_pages, "parcels", title="Late parcels", version=4, heading="Waiting")
    write(help_pages, "cards", title="Declined cards", product="checkout", text="long " * 200)
    write(help_pages, "karten", title="Abgelehnte Karten", language="de", product="checkout")
    write(help_pages, "old", title="Parcels of last year", day="2020-01-01")
    return tmp_path


def run(*arguments: str, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, list(arguments), input=given)
    if isinstance(result.exception, ForestallError):
        raise result.exception
    return result


def cites(*arguments: str) -> list[str]:
    found = json.loads(run(*arguments, "--json").stdout)
    return [one["cite"] for one in found["results"]]


@pytest.mark.usefixtures("deployment")
class TestWords:
    def test_people_see_title_citation_and_the_beginning(self) -> None:
        result = run("declined", "card")
        assert result.exit_code == 0
        first, second = result.stdout.splitlines()
        assert first.startswith("1. Declined cards: Help  [cards@1#help]")
        assert second.strip().startswith("long long")
        assert second.endswith("long ...")

    def test_json_has_all_of_a_passage(self) -> None:
        found = json.loads(run("late parcel", "--json").stdout)
        assert found["query"] == "late parcel"
        (one,) = found["results"]
        assert one["cite"] == "parcels@4#waiting"
        assert (one["runbook"], one["version"], one["products"]) == ("parcels", 4, ["shop"])
        assert one["score"] > 0

    def test_nothing_found_is_no(self) -> None:
        result = run("vegan pizza")
        assert result.exit_code == 1
        assert "nothing" in result.stdout
        result = run("vegan pizza", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["results"] == []

    def test_products_and_languages_are_filters(self) -> None:
        assert cites("declined card", "--product", "checkout") == ["cards@1#help"]
        assert cites("declined card", "--product", "shop") == []
        assert cites("Karte", "--language", "de") == ["karten@1#help"]
        assert cites("card", "--language", "de") == []

    def test_a_product_and_a_language_that_no_document_has_are_told(self) -> None:
        result = run("parcel", "--product", "chekout", "--language", "klingon")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.splitlines() == [
            "no document is about the product 'chekout'; there is checkout, shop",
            "no document is in the language 'klingon'; there is de, en",
        ]
        assert run("declined", "--product", "Checkout", "--language", "en-GB").exit_code == 0

    def test_the_folder_of_actions_need_not_be_there(self, deployment: Path) -> None:
        settings = SETTINGS + '[actions]\nfolder = "gone"\n'
        (deployment / "forestall.toml").write_text(settings)
        assert cites("late parcel") == ["parcels@4#waiting"]

    def test_the_limit_holds(self) -> None:
        assert len(cites("help")) == 2
        assert len(cites("help", "--limit", "1")) == 1

    def test_expired_knowledge_is_not_found(self) -> None:
        assert cites("parcel") == ["parcels@4#waiting"]
        assert sorted(cites("parcel", "--on", "2019-05-01")) == ["old@1#help", "parcels@4#waiting"]
        assert cites("parcel", "--on", "2031-01-01") == []

    def test_the_synonyms_of_the_settings_count(self) -> None:
        assert cites("crate") == ["parcels@4#waiting"]

    def test_operators_are_words(self) -> None:
        assert cites('title:"declined" AND (card*)')[0] == "cards@1#help"

    def test_another_folder_may_be_searched(self, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        write(other, "pizza", title="Vegan pizza")
        assert cites("vegan pizza", "--folder", str(other)) == ["pizza@1#help"]


@pytest.mark.usefixtures("deployment")
class TestBatches:
    def test_each_line_is_answered_with_a_line(self, tmp_path: Path) -> None:
        batch = tmp_path / "queries.jsonl"
        batch.write_text(
            '{"query": "late parcel"}\n\n'
            '{"query": "vegan pizza"}\n'
            '{"query": "help", "products": ["checkout"], "language": "de", "limit": 1}\n'
        )
        result = run("--batch", str(batch))
        assert result.exit_code == 0
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert [one["query"] for one in found] == ["late parcel", "vegan pizza", "help"]
        assert [[two["cite"] for two in one["results"]] for one in found] == [
            ["parcels@4#waiting"],
            [],
            ["karten@1#help"],
        ]

    def test_options_hold_for_lines_that_say_nothing_else(self) -> None:
        given = '{"query": "help"}\n{"query": "help", "limit": 2}\n'
        result = run("--batch", "-", "--limit", "1", given=given)
        assert [len(json.loads(line)["results"]) for line in result.stdout.splitlines()] == [1, 2]

    def test_lines_of_what_nobody_knows_are_told_once_and_the_others_answered(self) -> None:
        line = '{"query": "parcel", "products": ["%s"]}\n'
        given = line % "shp" + line % "shop" + line % "shp"
        result = run("--batch", "-", given=given)
        assert result.exit_code == 0
        found = [len(json.loads(one)["results"]) for one in result.stdout.splitlines()]
        assert found == [0, 1, 0]
        assert result.stderr == "no document is about the product 'shp'; there is checkout, shop\n"

    def test_a_line_may_have_an_id_which_its_answer_has_too(self) -> None:
        result = run("--batch", "-", given='{"id": "q7", "query": "help"}\n{"query": "help"}')
        first, second = (json.loads(line) for line in result.stdout.splitlines())
        assert first["id"] == "q7"
        assert "id" not in second

    def test_a_batch_that_finds_nothing_is_no(self) -> None:
        assert run("--batch", "-", given='{"query": "vegan pizza"}').exit_code == 1
        assert run("--batch", "-", given="").exit_code == 1

    def test_every_bad_line_is_told_with_its_place(self) -> None:
        given = '{"query": 1}\n{"query": "x"}\n{\n{"query": "x", "limit": 0}\n{"quer": "x"}\n'
        with pytest.raises(UnreadableInput) as caught:
            run("--batch", "-", given=given)
        places = [line.split(":")[:2] for line in str(caught.value).splitlines()]
        assert places == [["-", "1"], ["-", "3"], ["-", "4"], ["-", "5"]]

    def test_a_very_long_line_is_refused(self) -> None:
        with pytest.raises(UnreadableInput, match="longer than"):
            run("--batch", "-", given=json.dumps({"query": "x" * 200_000}))


@pytest.mark.usefixtures("deployment")
class TestMistakes:
    def test_words_or_a_batch_are_needed_and_not_both(self) -> None:
        with pytest.raises(UnreadableInput, match="say what"):
            run()
        with pytest.raises(UnreadableInput, match="not both"):
            run("card", "--batch", "-")

    def test_a_folder_that_is_not_there_is_told(self) -> None:
        with pytest.raises(UnreadableInput, match="no such folder"):
            run("card", "--folder", "missing")

    def test_a_batch_that_is_not_there_is_told(self) -> None:
        with pytest.raises(UnreadableInput, match=r"missing\.jsonl"):
            run("--batch", "missing.jsonl")

    def test_a_folder_is_needed(self, tmp_path: Path) -> None:
        (tmp_path / "forestall.toml").write_text("")
        with pytest.raises(UnreadableInput, match="--folder"):
            run("card")

    def test_mistakes_in_the_synonyms_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "words.txt").write_text("crate\n")
        with pytest.raises(InvalidFile, match=r"words\.txt:1:1"):
            run("card")

    def test_control_characters_of_a_document_do_not_reach_the_terminal(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "help", "odd", title="Odd parcels", text="red \x1b[31mwords\x07")
        result = run("odd parcel")
        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout
