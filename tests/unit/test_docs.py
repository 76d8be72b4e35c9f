"""The documents are complete and true: everything is named, examples run, links lead somewhere.

An example that needs more than a folder of files (a server, the network) stands after a comment
``<!-- not run: WHY -->``. A file for the examples of a page is a fenced block right after a
paragraph that ends in its name: ``Save this as `policies/card.yaml`:``.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from commands import forestall
from documents import TUTORIAL, Example, examples_of, matches, transcript
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Reason
from forestall.decide.examine import examine
from forestall.kernel.settings import reading as settings
from forestall.policy.bundle import Bundle
from forestall.policy.language.parse import parse
from scripts import reference as made_reference

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "forestall"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.name != "LICENSE.md"
)
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))


EXAMPLES = [example for page in PAGES for example in examples_of(page)]


def of_language(*languages: str) -> list[Example]:
    return [one for one in EXAMPLES if one.language in languages and one.run]


@cache
def reference() -> str:
    return "\n".join(page.read_text() for page in REFERENCE)


@cache
def made_pages() -> dict[Path, str]:
    return made_reference.pages()


@cache
def in_code() -> frozenset[str]:
    """Every word that the reference sets in code, with the parts of what it sets together."""
    spans = re.findall(r"`+([^`]+)`+", reference())
    return frozenset(word for span in spans for word in re.split(r"[^\w.*-]+", span))


@pytest.mark.parametrize("page", made_pages(), ids=lambda page: page.name)
def test_the_reference_says_what_the_code_says(page: Path) -> None:
    assert page.read_text() == made_pages()[page], "run make docs"


@pytest.mark.parametrize(
    ("name", "command"), list(made_reference.commands()), ids=lambda one: str(one)[:30]
)
def test_every_command_argument_and_option_explains_itself(name: str, command: Any) -> None:
    assert command.help, f"{name} has no help text"
    for option in command.params:
        assert option.help, f"{name} {option.name} has no help text"


def setting_names(table: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(table):
        inner = [field.type, *get_args(field.type)]
        inner += [part for one in inner for part in get_args(one)]
        tables = [one for one in inner if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        if tables:
            yield from setting_names(tables[0], f"{prefix}{field.encode_name}.")
        else:
            yield prefix + field.encode_name


@pytest.mark.parametrize("name", list(setting_names(settings._File)))
def test_every_setting_is_documented(name: str) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    table, _, key = name.rpartition(".")
    headings = rf"^## `\[+{re.escape(table)}(\.NAME)?\]+`.*?(?=^## |\Z)"
    section = re.search(headings, page, re.DOTALL | re.MULTILINE)
    assert section, f"docs/reference/settings.md has no section for [{table}]"
    assert f"`{key}`" in section[0], f"docs/reference/settings.md: [{table}] lacks {key}"


def metrics() -> set[str]:
    pattern = re.compile(r'"(forestall_[a-z0-9_]+)"')
    return {name for path in SOURCE.rglob("*.py") for name in pattern.findall(path.read_text())}


@pytest.mark.parametrize("name", sorted(metrics()))
def test_every_metric_is_documented(name: str) -> None:
    assert re.search(rf"`{name}(_total)?(\{{[^`]*)?`", reference()), (
        f"name {name} in docs/reference"
    )


@pytest.mark.parametrize("name", load_catalogue().types)
def test_every_built_in_event_type_is_documented(name: str) -> None:
    assert name in in_code()


@pytest.mark.parametrize("name", get_args(Reason))
def test_every_reason_is_documented(name: str) -> None:
    assert name in in_code()


def refusals() -> set[str]:
    """Codes of refused requests and quarantined events, as they stand in the code."""
    pattern = re.compile(r'\bRefuse(?:d|\(\s*\d+,)\s*\(?\s*"([a-z][a-z0-9-]+)"')
    return {
        code
        for path in (SOURCE / "ingest").rglob("*.py")
        for code in pattern.findall(path.read_text())
    }


@pytest.mark.parametrize(
    "code", sorted({error.code for error in made_reference.errors()} | refusals())
)
def test_every_error_code_is_documented(code: str) -> None:
    assert code in in_code()


CODES = {"Problem": 3, "problem": 1, "fail": 1, "Refuse": 1, "Refused": 0}
"""Calls that name a code, and with which argument."""


def told() -> set[str]:
    """Codes of mistakes in people's files and of refused requests, wherever the code tells them."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        own = "knowledge-" if path.parts[-2:] == ("knowledge", "lint.py") else ""
        for call in ast.walk(ast.parse(path.read_text())):
            match call:
                case ast.Call(ast.Name(name) | ast.Attribute(attr=name), args) if len(
                    args
                ) > CODES.get(name, 99):
                    match args[CODES[name]]:
                        case ast.Constant(str(code)) if re.fullmatch(
                            r"[a-z0-9]+(-[a-z0-9]+)*", code
                        ):
                            found.add(own + code if name == "problem" else code)
    return found


@pytest.mark.parametrize("code", sorted(told()))
def test_every_code_of_a_mistake_is_documented(code: str) -> None:
    assert code in in_code()


@pytest.mark.parametrize("example", of_language("yaml"), ids=str)
def test_policies_in_documents_parse_and_pass_their_tests(example: Example) -> None:
    if "kind: Policy" in example.body:
        policies = tuple(parse(example.body, str(example)))
        assert policies
        for policy in policies:
            for examined in examine(Bundle(policies=policies), policy, DecideSettings()):
                assert examined.passed, f"{examined.case.name}: {examined.differences}"


@pytest.mark.parametrize("example", of_language("toml"), ids=str)
def test_settings_in_documents_are_sound(example: Example) -> None:
    assert "${" not in example.body, "a secret is written env:NAME or file:PATH"
    msgspec.toml.decode(example.body, type=settings._File)


@pytest.mark.parametrize("example", of_language("json"), ids=str)
def test_json_in_documents_is_sound(example: Example) -> None:
    msgspec.json.decode(example.body)


@pytest.mark.parametrize("example", of_language("python"), ids=str)
def test_python_in_documents_runs(example: Example) -> None:
    exec(compile(example.body, str(example), "exec"), {"__name__": "example"})  # noqa: S102


def shells() -> list[Path]:
    pages = {one.page for one in of_language("console") if "$ forestall " in one.body}
    return sorted(page for page in pages if TUTORIAL not in page.read_text())


@pytest.mark.parametrize("page", shells(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_documents_do_what_they_show(page: Path, tmp_path: Path) -> None:
    for example in examples_of(page):
        if example.file is not None:
            target = tmp_path / example.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(example.body + "\n")
        elif example.language == "console" and example.run:
            for command, shown in transcript(example.body):
                if not command.startswith("forestall "):
                    continue
                words = shlex.split(command)[1:]
                answer = forestall(tmp_path, *words, COLUMNS="100", NO_COLOR="1")
                said = answer.stdout + answer.stderr
                right = matches(shown, said) and (shown.strip() or answer.returncode == 0)
                assert right, f"{example}: $ {command}\n{said}"
                assert "Traceback" not in said


def test_a_transcript_is_compared_line_by_line() -> None:
    assert matches("one\n...\nfour", "one\ntwo\nthree\nfour")
    assert matches("in … s", "in 1.2 s")
    assert not matches("one\ntwo", "one\nthree")
    assert not matches("one", "one\ntwo")


def links() -> list[tuple[Path, str]]:
    pattern = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
    found = []
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        found += [(page, next(filter(None, one))) for one in pattern.findall(prose)]
    return [(page, link) for page, link in found if not link.startswith(("http:", "https:"))]


@pytest.mark.parametrize(("page", "link"), links(), ids=str)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = page if not path else (page.parent / path).resolve()
    assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
    if anchor:
        text = target.read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {
            re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings
        } | set(re.findall(r'<a id="([^"]+)">', text))
        assert anchor in anchors, f"{page.relative_to(ROOT)} links to {link}"


def test_every_page_can_be_found_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in PAGES:
        inside = page.is_relative_to(ROOT / "docs") and page.name != "index.md"
        if inside:
            assert str(page.relative_to(ROOT / "docs")) in index, f"docs/index.md lacks {page.name}"


def test_the_pins_cover_what_the_project_asks_for() -> None:
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    pins = (ROOT / "constraints" / "dev.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", pins, re.MULTILINE))
    for requirement in wanted:
        name = re.split(r"[\[<>=!;~ ]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is not pinned; run make lock"
    assert not re.search(r"https?://|--index-url|--find-links", pins)
