"""``forestall tone`` and ``forestall mask`` as a person or a script uses them."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from forestall.cli import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, given: str | bytes = "") -> Done:
    """What the command line answers."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    stdin = io.TextIOWrapper(io.BytesIO(given.encode() if isinstance(given, str) else given))
    argv = ["forestall", *arguments]
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "stdin", stdin),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def answers(done: Done) -> list[Any]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_mood_is_told_in_words_and_in_json() -> None:
    done = run("tone", "It fails again!", "I will call my lawyer.", "--failures", "3")
    assert done.returncode == 0, done.stderr
    first, *reasons = done.stdout.splitlines()
    assert first == "annoyed, vulnerable: legal; a person, at once"
    assert "  legal: “my lawyer”" in reasons
    assert "  failed 3 times" in reasons
    (found,) = answers(run("tone", "Where is the invoice?", "--waiting", "40s", "--json"))
    assert found == {
        "level": "calm",
        "vulnerable": [],
        "to_person": False,
        "why": ["waited 40 s"],
    }


def test_signs_alone_are_enough_to_ask() -> None:
    assert run("tone", "--failures", "4", "--repetitions", "4").stdout.startswith(
        "upset; no person"
    )


def test_moods_of_a_file_line_by_line(tmp_path: Path) -> None:
    lines = [
        {"text": "My father died last week."},
        {"words": ["Hello", "I am furious!!!"], "label": "very-upset"},
        {"text": "hi", "failures": 2, "repetitions": 1, "waiting": "90s"},
        {"waiting": 61},
    ]
    file = tmp_path / "said.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = answers(run("tone", "--batch", str(file)))
    assert [(one["level"], one["vulnerable"], one["to_person"]) for one in found] == [
        ("calm", ["bereavement"], True),
        ("very-upset", [], True),
        ("upset", [], False),
        ("annoyed", [], False),
    ]


@pytest.mark.parametrize("command", ["tone", "mask"])
@pytest.mark.parametrize("content", ["{", '"\\ud800', "[" * 100_000])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, command: str, content: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n" + content)
    done = run(command, "--batch", str(file))
    assert (done.returncode, done.stderr.startswith(f"{file}:2: ")) == (2, True), done.stderr[:300]
    assert "Traceback" not in done.stderr


def test_lines_come_from_the_standard_input_too() -> None:
    said = '{"text": "My father died last week."}\n'
    (mood,) = answers(run("tone", "--batch", "-", given=said))
    assert mood["vulnerable"] == ["bereavement"]
    (hidden,) = answers(run("mask", "--batch", "-", given='{"to": "ann@example.com"}'))
    assert hidden["hidden"] == {"to": "[email-1]"}


def test_a_standard_input_that_is_no_text_is_told() -> None:
    done = run("mask", "-", given=b"hi \xff")
    assert (done.returncode, done.stderr) == (2, "-: not UTF-8 text from byte 3 on\n")


@pytest.mark.parametrize("command", ["tone", "mask"])
def test_a_text_and_a_file_are_too_much(command: str) -> None:
    done = run(command, "hello", "--batch", "-")
    assert done.returncode == 2
    assert "not both" in done.stderr


def test_json_that_is_nested_too_deep_is_named(tmp_path: Path) -> None:
    file = tmp_path / "deep.jsonl"
    file.write_text("[" * 800 + "]" * 800)
    done = run("mask", "--batch", str(file))
    assert (done.returncode, done.stderr.startswith(f"{file}:1: ")) == (2, True), done.stderr[:300]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tone",), "say what the customer wrote"),
        (("tone", "x", "--waiting", "long"), "--waiting: 'long' is not a duration"),
        (("tone", "--batch", "/nowhere"), "/nowhere: No such file"),
        (("mask",), "give a text"),
        (("mask", "--batch", "/nowhere"), "/nowhere: No such file"),
    ],
)
def test_what_cannot_be_used_is_said(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_text_is_shown_as_a_model_would_see_it() -> None:
    assert run("mask", "I am anna@example.com").stdout == "I am [email-1]\n"
    assert run("mask", "-", given="call +49 30 1234567").stdout == "call [phone-1]\n"
    (found,) = answers(run("mask", "anna@example.com", "--json"))
    assert found == {
        "hidden": "[email-1]",
        "known": {"[email-1]": "anna@example.com"},
        "found": [{"kind": "email", "start": 0, "end": 16, "text": "anna@example.com"}],
    }


def test_json_of_a_file_is_masked_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"mail": "a@b.de", "password": "x"}\n["a@b.de", 4111111111111111]\n')
    assert answers(run("mask", "--batch", str(file))) == [
        {
            "hidden": {"mail": "[email-1]", "password": "[token-1]"},
            "known": {"[email-1]": "a@b.de", "[token-1]": "x"},
        },
        {
            "hidden": ["[email-1]", "[card-1]"],
            "known": {"[email-1]": "a@b.de", "[card-1]": "4111111111111111"},
        },
    ]


def test_the_settings_choose_the_finder(tmp_path: Path) -> None:
    pytest.importorskip("presidio_analyzer")
    config = tmp_path / "forestall.toml"
    config.write_text('[privacy]\nfind = "presidio"\n')
    done = run("mask", "My name is Anna Schmidt.", "--config", str(config))
    assert done.stdout == "My name is [person-1].\n", done.stderr
