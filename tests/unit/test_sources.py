"""Folders under change control: which files are what, and what stands in them."""

from pathlib import Path

import pytest

from forestall.contracts.errors import UnreadableInput
from forestall.measure.model import InvalidModel
from forestall.policy.language.canonical import version
from forestall.policy.language.check import Surroundings
from forestall.policy.language.parse import parse
from forestall.policy.sources import MOST_BYTES, Contents, contents, part_at, read_folder

HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: NAME, owner: us}\n"
SPEC = "spec:\n  when: {event: a.b}\n  playbook: [{guide: {text: Hello, channel: inapp}}]\n"
AGENT = """apiVersion: forestall/v1
kind: Agent
metadata: {name: sorter, title: Sort, owner: care, review_by: 2027-01-31}
spec:
  input: {type: object}
  output: {topic: /topic}
  python: {call: "shop.agents:sort"}
"""
LOOKUP = AGENT.replace("kind: Agent", "kind: Lookup").replace("sorter", "payment")


def policy(name: str) -> str:
    return HEAD.replace("NAME", name) + SPEC


def read_model(raw: bytes) -> tuple[str, bytes]:
    if b"wrong" in raw:
        raise InvalidModel("not a model: it is wrong")
    return "risk", raw


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(folder: Path) -> Contents:
    return contents(read_folder(folder), read_model)


def test_a_folder_with_everything(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "policies/a.yaml": policy("a"),
            "policies/deep/b.yml": policy("b"),
            "policies/.hidden.yaml": "nonsense",
            "actions/agents.yaml": AGENT + "---\n" + LOOKUP,
            "actions/pay.openapi.yaml": "openapi: 3.1.0",
            "prompts/reply.md": "Be kind.",
            "prompts/refunds/short.txt": "Be brief.",
            "prompts/picture.png": "x",
            "thresholds.yaml": "a: 0.4\nb: 1\n",
            "models/risk.model.json": '{"name":"risk"}',
            "contracts/a.b.v1.json": "{}",
            "runbooks/x.md": "---",
            "compose.yaml": "services: {}",
            ".git/x.yaml": "nonsense",
        },
    )
    got = found(tmp_path)
    assert got.problems == ()
    assert sorted((one.kind, one.name) for one in got.items) == [
        ("agent", "sorter"),
        ("model", "risk"),
        ("policy", "a"),
        ("policy", "b"),
        ("prompt", "refunds.short"),
        ("prompt", "reply"),
        ("threshold", "a"),
        ("threshold", "b"),
    ]
    by = {(one.kind, one.name): one for one in got.items}
    agent, threshold = by["agent", "sorter"], by["threshold", "a"]
    assert (agent.title, agent.owner, agent.review_by) == ("Sort", "care", "2027-01-31")
    assert "Lookup" not in agent.source
    assert threshold.content == b"0.4"
    assert by["model", "risk"].content == b'{"name":"risk"}'
    assert by["prompt", "reply"].content == b'{"text":"Be kind."}'
    assert by["policy", "b"].file == "policies/deep/b.yml"


def test_a_folder_of_policies_alone(tmp_path: Path) -> None:
    write(tmp_path, {"x.yaml": policy("x"), "sub/y.yaml": policy("y"), "actions/a.yaml": AGENT})
    assert [(one.kind, one.name) for one in found(tmp_path).items] == [
        ("policy", "y"),
        ("policy", "x"),
        ("agent", "sorter"),
    ]


def test_each_policy_has_the_text_of_its_own_document(tmp_path: Path) -> None:
    text = f"# first\n{policy('a')}---\n# second\n{policy('b')}--- # third\n{policy('c')}"
    write(tmp_path, {"all.yaml": text})
    for one in found(tmp_path).items:
        (alone,) = parse(one.source, "f")
        assert (alone.name, version(alone)) == (one.name, one.version)
    assert [one.source.splitlines()[0] for one in found(tmp_path).items] == [
        "# first",
        "# second",
        "# third",
    ]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("---\na: 1\nb: 2", 1, "a: 1\nb: 2\n"),
        ("---\na: 1\nb: 2", 3, "a: 1\nb: 2\n"),
        ("a: 1\n---\nb: 2", 1, "a: 1\n"),
        ("a: 1\n---\nb: 2", 3, "b: 2\n"),
        ("a: 1\n---\nb: |\n ---\n---\n", 4, "b: |\n ---\n"),
    ],
)
def test_the_part_of_a_text_around_a_line(text: str, line: int, part: str) -> None:
    assert part_at(text, line) == part


def test_mistakes_are_told_by_the_path_in_the_folder(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "policies/a.yaml": policy("a").replace("when", "wen"),
            "policies/b.yaml": policy("b"),
            "actions/x.yaml": AGENT.replace("output", "outpud"),
            "prompts/my prompt.md": "x",
            "thresholds.yaml": "a: 2\n",
            "m.model.json": "wrong",
        },
    )
    got = found(tmp_path)
    assert [(one.kind, one.name) for one in got.items] == [("policy", "b"), ("threshold", "a")]
    assert {(one.file, one.code) for one in got.problems if one.severity == "error"} == {
        ("policies/a.yaml", "unknown-key"),
        ("actions/x.yaml", "unknown-key"),
        ("prompts/my prompt.md", "bad-name"),
        ("thresholds.yaml", "bad-value"),
        ("m.model.json", "invalid-model"),
    }


def test_policies_are_held_against_the_surroundings(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": policy("a").replace("inapp", "pigeon")})
    around = Surroundings(channels=frozenset(["inapp"]))
    got = contents(read_folder(tmp_path), read_model, around)
    assert got.problems == ()
    (one,) = got.items
    assert [(problem.file, problem.line, problem.code) for problem in one.problems] == [
        ("a.yaml", 6, "unknown-channel")
    ]


def test_a_name_is_given_once_for_each_kind(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "actions/a.yaml": AGENT,
            "actions/b.yaml": AGENT,
            "policies/a.yaml": policy("a"),
            "policies/b.yaml": policy("a"),
            "policies/c.yaml": policy("sorter"),
        },
    )
    got = found(tmp_path)
    doubles = [one for one in got.problems if one.code == "duplicate-name"]
    assert [one.file for one in doubles] == ["actions/b.yaml", "policies/b.yaml"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("- 1\n", "wrong-type"), ("a: high\n", "wrong-type"), ("a: -1\n", "bad-value"), ("", None)],
)
def test_thresholds_are_a_mapping_to_numbers(tmp_path: Path, text: str, code: str | None) -> None:
    write(tmp_path, {"policies/a.yaml": policy("a"), "thresholds.yaml": text})
    assert [one.code for one in found(tmp_path).problems] == ([code] if code else [])


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="no such folder"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UnreadableInput, match="not a folder"):
        read_folder(tmp_path / "file")
    (tmp_path / "file").unlink()
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    with pytest.raises(UnreadableInput, match="not UTF-8 text"):
        read_folder(tmp_path)


def test_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(UnreadableInput, match="apply a smaller folder"):
        read_folder(tmp_path)
