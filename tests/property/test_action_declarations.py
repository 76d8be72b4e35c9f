"""Whatever stands in a declaration, reading it tells problems with places and never breaks."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.errors import InvalidFile
from forestall.intervene.actions.answers import fields_of
from forestall.intervene.actions.credentials import Credentials
from forestall.kernel.settings import Credential, Settings
from forestall.policy.actions.folder import load_declarations, offers
from forestall.policy.actions.openapi import Document, UnusableDocument
from forestall.policy.actions.read import read_declarations

SHOP = Path(__file__).parents[2] / "examples" / "shop" / "actions"
TEXTS = [path.read_text() for path in sorted(SHOP.glob("*.yaml")) if "openapi" not in path.name]
WORDS = [
    *sorted({word for text in TEXTS for word in text.split()}),
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "''",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(WORDS)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def damaged(text: str, chance: Any) -> str:
    """The text with a few of its words replaced, doubled or taken out."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        words = lines[at].split(" ")
        where = chance.randrange(len(words))
        words[where : where + chance.randint(0, 2)] = chance.choices(WORDS, k=chance.randint(0, 2))
        lines[at] = " ".join(words)
    return "\n".join(lines)


def has_places(text: str, problems: Any) -> None:
    lines = text.count("\n") + 2
    for problem in problems:
        assert 1 <= problem.line <= lines, problem
        assert problem.column >= 1
        assert problem.code
        assert problem.message


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
def test_damaged_declarations_are_told_with_places(text: str, chance: Any) -> None:
    broken = damaged(text, chance)
    _, source = read_declarations(broken, "x.yaml")
    has_places(broken, source.problems)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
def test_a_damaged_folder_loads_or_tells(text: str, chance: Any) -> None:
    broken = damaged(text, chance)
    users = ("payment", "tokens", "receipts", "retry-charge", "reissue-token", "resend-receipt")
    credential = Credential("x" * 20, ("127.0.0.1",), users)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file in SHOP.iterdir():
            kept = file.read_text()
            (folder / file.name).write_text(broken if kept == text else kept)
        try:
            declared = load_declarations(folder, Settings(credentials={"payments": credential}))
        except InvalidFile as error:
            has_places(broken + "\n" * 120, error.problems)
        else:
            assert all(one.risk and one.verify.lookup for one in declared.actions.values())
            assert len(offers(declared)) == 3


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["Lookup", "Agent", "Action"]), TREES)
def test_any_tree_is_read_or_told(kind: str, spec: Any) -> None:
    document = {"apiVersion": "forestall/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    text = yaml.safe_dump(document)
    found, source = read_declarations(text, "x.yaml")
    has_places(text, source.problems)
    assert found or source.problems
    if kind == "Action":
        assert source.problems, "nothing made of chance has risk, dry run and verification"


@settings(max_examples=150, deadline=None)
@given(TREES, TREES, TREES)
def test_any_operation_is_usable_or_not(operation: Any, components: Any, servers: Any) -> None:
    raw = operation if isinstance(operation, dict) else {"parameters": operation}
    paths = {"/x/{y}": {"post": {"requestBody": components, **raw, "operationId": "x"}}}
    document = Document("x", {"paths": paths, "components": components, "servers": servers})
    assert document.names == {"x"}
    try:
        found = document.operation("x")
    except UnusableDocument:
        return
    assert found.method == "POST"


@given(TREES, st.lists(st.sampled_from(["", "a", "0", "~0", "~1", "-1", "٣"]), max_size=4))
def test_any_pointer_into_anything_is_a_value_or_null(body: Any, parts: list[str]) -> None:
    pointer = "".join(f"/{part}" for part in parts)
    found = fields_of(body, {"x": pointer})
    assert set(found) == {"x"}
    if not parts:
        assert found["x"] == body


@given(st.text(min_size=6, max_size=20), TREES, st.integers(0, 10))
def test_a_secret_is_hidden_wherever_it_stands(secret: str, tree: Any, at: int) -> None:
    credentials = Credentials({"c": Credential(secret)})
    holder = {"deep": [tree, {"x": f"{'y' * at}{secret}{'z' * at}", secret: (secret, 1)}]}
    hidden = credentials.hide(holder)
    assert secret not in "\x00".join(texts(hidden))


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*map(str, value), *(text for one in value.values() for text in texts(one))]
    if isinstance(value, list | tuple):
        return [text for one in value for text in texts(one)]
    return []
