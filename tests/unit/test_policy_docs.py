"""What the documents say about policies and contracts is true, and nothing is left out."""

import json
import re
from pathlib import Path

import pytest

from forestall.contracts.catalogue import load_catalogue, read_contract
from forestall.contracts.control import DecideSettings
from forestall.decide.examine import examine
from forestall.policy.bundle import Bundle
from forestall.policy.language.check import check
from forestall.policy.language.parse import parse_located

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
POLICIES = [
    (f"{page.relative_to(ROOT)}#{number}", block)
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
    if "kind: Policy" in block
]
LANGUAGE = (ROOT / "docs/reference/policy-language.md").read_text()
CONTRACTS = (ROOT / "docs/reference/contracts.md").read_text()


@pytest.mark.parametrize(("name", "text"), POLICIES, ids=[name for name, _ in POLICIES])
def test_every_policy_in_the_documents_is_sound_and_its_tests_pass(name: str, text: str) -> None:
    located, problems = parse_located(text, name)
    assert problems == []
    for one in located:
        assert [p for p in check(one) if p.severity == "error"] == []
        bundle = Bundle(policies=(one.policy,))
        for result in examine(bundle, one.policy, DecideSettings()):
            assert result.differences == (), result.case.name


def test_there_are_policies_in_the_reference() -> None:
    assert sum(name.startswith("docs/reference/policy-language.md") for name, _ in POLICIES) >= 6


def test_every_contract_in_the_documents_is_sound() -> None:
    blocks = re.findall(r"```json\n(.*?)```", CONTRACTS, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        contract, problems = read_contract(block.encode(), "a.b.v1.json")
        assert problems == []
        assert contract is not None
        assert contract.owner == json.loads(block)["x-owner"]


def test_every_built_in_type_is_documented() -> None:
    assert [name for name in load_catalogue().types if f"`{name}`" not in CONTRACTS] == []


@pytest.mark.parametrize(
    ("page", "files"),
    [
        (LANGUAGE, ["policy/language/*.py", "policy/bundle.py"]),
        (CONTRACTS, ["contracts/catalogue.py", "contracts/schema_file.py"]),
    ],
    ids=["policies", "contracts"],
)
def test_every_code_of_a_problem_is_documented(page: str, files: list[str]) -> None:
    sources = [path for name in files for path in (ROOT / "src/forestall").glob(name)]
    codes = {
        code
        for path in sources
        for code in re.findall(r'"([a-z]+(?:-[a-z]+)+|yaml|json)"', path.read_text())
        if not code.startswith("x-")
    }
    assert len(codes) > 8
    assert sorted(code for code in codes if f"`{code}`" not in page) == []
