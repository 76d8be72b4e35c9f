"""A folder of policies as one unit: what is read, what is told, and the way into a control record."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from forestall.cli.policy import app
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.control import PoliciesApplied
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.policy.bundle import (
    Bundle,
    applied,
    load_folder,
    policies_of,
    policy_files,
    read_policies,
)
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.check import Surroundings
from forestall.policy.language.parse import parse


def policy(name: str, event: str = "a.b", more: str = "") -> str:
    return (
        f"apiVersion: forestall/v1\nkind: Policy\nmetadata: {{name: {name}, owner: me}}\n"
        f"spec:\n  when: {{event: {event}}}\n  playbook: [{{escalate: {{queue: q}}}}]\n{more}"
    )


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_folder_is_read_to_its_depths_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        b_dot_yaml=policy("two"),
        a__x_dot_yml=policy("one") + "---\n" + policy("three"),
        _dot_git__c_dot_yaml="not: read",
        a__readme_dot_md="not: read",
    )
    assert [str(f.relative_to(tmp_path)) for f in policy_files(tmp_path)] == ["a/x.yml", "b.yaml"]
    bundle = load_folder(tmp_path)
    assert [one.name for one in bundle.policies] == ["one", "three", "two"]
    assert bundle.warnings == ()
    assert bundle.numbers == {}


def test_a_single_file_may_have_any_name(tmp_path: Path) -> None:
    write(tmp_path, policies_dot_txt=policy("one"))
    assert [p.name for p in load_folder(tmp_path / "policies.txt").policies] == ["one"]


def test_an_empty_folder_is_an_empty_bundle(tmp_path: Path) -> None:
    assert load_folder(tmp_path) == Bundle()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="nowhere: no such file or folder") as caught:
        load_folder(tmp_path / "nowhere")
    assert caught.value.exit_code == 2


def test_the_mistakes_of_all_files_are_told_together(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_dot_yaml=policy("one", more="  priorty: 5\n  if: features.x > 1\n"),
        b_dot_yaml=policy("one"),
        c_dot_yaml="a: [",
        d_dot_yaml=policy("four").replace(", owner: me", ""),
    )
    (tmp_path / "e.yaml").write_bytes(b"kind: Policy\nname: caf\xe9\n")
    with pytest.raises(InvalidFile) as caught:
        load_folder(tmp_path)
    found = [
        (Path(p.file).name, p.line, p.column, p.code, p.severity) for p in caught.value.problems
    ]
    assert found == [
        ("a.yaml", 7, 3, "unknown-key", "error"),
        ("a.yaml", 8, 7, "unknown-feature", "error"),
        ("b.yaml", 3, 18, "duplicate-name", "error"),
        ("c.yaml", 2, 1, "yaml", "error"),
        ("d.yaml", 3, 11, "no-owner", "warning"),
        ("e.yaml", 2, 10, "yaml", "error"),
    ]
    doubled = caught.value.problems[2]
    assert doubled.hint == f"the first is at {tmp_path / 'a.yaml'}:3:18"


def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(4_000_001)
    with pytest.raises(InvalidFile, match="has 4,000,001 bytes; split it"):
        load_folder(tmp_path)


def test_warnings_stop_nothing(tmp_path: Path) -> None:
    write(tmp_path, a_dot_yaml=policy("one").replace(", owner: me", ""))
    bundle = load_folder(tmp_path)
    assert [warning.code for warning in bundle.warnings] == ["no-owner"]
    policies, problems = read_policies([tmp_path, tmp_path / "a.yaml"])
    assert len(policies) == 1
    assert tuple(problems) == bundle.warnings


def test_the_hash_is_that_of_what_decides(tmp_path: Path) -> None:
    first = load_folder(write(tmp_path / "1", a_dot_yaml=policy("a"), b_dot_yaml=policy("b")))
    moved = load_folder(
        write(tmp_path / "2", c_dot_yaml="# moved\n" + policy("b") + "---\n" + policy("a"))
    )
    other = load_folder(
        write(tmp_path / "3", a_dot_yaml=policy("a", "a.c"), b_dot_yaml=policy("b"))
    )
    assert len(first.hash) == 64
    assert first.hash == moved.hash
    assert first.hash != other.hash
    assert first.hash != msgspec.structs.replace(first, numbers={"a.b": {"x": True}}).hash


def test_numbers_come_from_the_catalogue(tmp_path: Path) -> None:
    schema = {
        "x-owner": "me",
        "properties": {
            "amount": {"type": "number"},
            "n": {"type": "integer"},
            "lines": {"items": {"properties": {"price": {"type": ["number", "null"]}}}},
        },
    }
    write(tmp_path / "contracts", a_dot_b_dot_v1_dot_json=json.dumps(schema))
    write(tmp_path / "policies", a_dot_yaml=policy("one"))
    around = Surroundings(catalogue=load_catalogue(tmp_path / "contracts"))
    bundle = load_folder(tmp_path / "policies", around)
    assert bundle.numbers["a.b"] == {"amount": True, "lines": {"*": {"price": True}}}
    assert applied(bundle, 0, "x", "y").numbers == bundle.numbers


def test_into_a_control_record_and_back(tmp_path: Path) -> None:
    text = policy(
        "one", more="  features: {f: {count: a.b, over: 5m}}\n  if: features.f > 2\n"
    ) + "---\n" + policy("two")  # fmt: skip
    bundle = load_folder(write(tmp_path, a_dot_yaml=text))
    record = applied(bundle, 17, "ann", "first try")
    assert (record.received, record.by, record.why) == (17, "ann", "first try")
    assert [(p.name, p.version, p.mode, p.share) for p in record.policies] == [
        (one.name, version(one), "live", 1.0) for one in bundle.policies
    ]
    wire = msgspec.json.encode(record)
    again = policies_of(msgspec.json.decode(wire, type=PoliciesApplied))
    assert [canonical(one) for one in again] == [canonical(one) for one in parse(text, "f")]


# -- the command ---------------------------------------------------------------------------------


def lint(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["lint", *words])
    return result.exit_code, result.stdout


def test_lint_tells_warnings_and_errors(tmp_path: Path) -> None:
    write(tmp_path, a_dot_yaml=policy("one"))
    file = str(tmp_path / "a.yaml")
    assert lint(file) == (0, "policies checked: 1\n")
    write(tmp_path, b_dot_yaml=policy("two").replace(", owner: me", ""))
    assert lint(str(tmp_path)) == (
        0,
        f"{tmp_path}/b.yaml:3:11: warning: the policy has no `metadata.owner`: "
        "who answers for it? [no-owner]\npolicies checked: 2, 1 warning\n",
    )
    write(tmp_path, a_dot_yaml=policy("one", more="  priorty: 5\n"))
    assert lint(file) == (
        1,
        f"{file}:7:3: error: unknown key `priorty` in `spec` [unknown-key]\n"
        "    hint: did you mean `priority`?\n1 error\n",
    )
    code, output = lint(file, "--json")
    assert (code, json.loads(output)) == (
        1,
        [
            {
                "file": file,
                "line": 7,
                "column": 3,
                "code": "unknown-key",
                "message": "unknown key `priorty` in `spec`",
                "hint": "did you mean `priority`?",
                "severity": "error",
            }
        ],
    )


@pytest.mark.parametrize("command", ["lint", "test"])
def test_a_folder_without_policies_is_told(tmp_path: Path, command: str) -> None:
    write(tmp_path, a__b_dot_yaml=policy("one"), none__c_dot_txt="x")
    result = CliRunner().invoke(app, [command, str(tmp_path / "a"), str(tmp_path / "none")])
    assert isinstance(result.exception, UnreadableInput)
    assert result.exception.exit_code == 2
    assert str(result.exception) == (
        f"{tmp_path}/none: there is no policy (*.yaml, *.yml) in it; is it the right folder?"
    )


def test_lint_knows_the_deployment(tmp_path: Path) -> None:
    schema = {"x-owner": "me", "properties": {"amount": {"type": "number"}}}
    write(
        tmp_path,
        forestall_dot_toml="""
            [contracts]
            folder = "contracts"
            [webhooks.crm]
            url = "http://localhost"
            secret = "whsec_x"
            [queues.payments]
            webhook = "crm"
            """,
        contracts__payment_dot_declined_dot_v1_dot_json=json.dumps(schema),
        policies__a_dot_yaml=policy("one", "payment.decline"),
    )
    policies, config = str(tmp_path / "policies"), str(tmp_path / "forestall.toml")
    assert lint(policies)[0] == 0
    code, output = lint(policies, "--config", config)
    assert code == 1
    assert [line.split("[")[-1] for line in output.splitlines() if "error:" in line] == [
        "unknown-type]",
        "unknown-queue]",
    ]
