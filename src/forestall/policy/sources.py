"""A folder under change control: which files are what, and what stands in them.

Where the folder has a folder ``policies``, the policies are there, and else everywhere but in the
other folders named here. Agents are declared below ``actions``; ``prompts`` holds Markdown and plain
text; ``thresholds.yaml`` has thresholds by policy; models are ``*.model.json``.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from forestall.contracts.errors import ForestallError, Problem, UnreadableInput
from forestall.policy.actions.folder import DOCUMENT
from forestall.policy.actions.model import Agent
from forestall.policy.actions.prompts import FOLDER as PROMPTS
from forestall.policy.actions.prompts import SUFFIXES, beside, prompt_name
from forestall.policy.actions.read import Located, problems_of, read_declarations
from forestall.policy.bundle import jointly
from forestall.policy.edge_checks import refused
from forestall.policy.language.asked import models_in
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.check import ANYTHING, Surroundings, check
from forestall.policy.language.document import Mapping, Scalar, Source
from forestall.policy.language.parse import Located as LocatedPolicy
from forestall.policy.language.parse import parse_located
from forestall.policy.language.reader import Fields
from forestall.policy.plan import Item, content_of, hashed

Kind = Literal["policy", "agent", "prompt", "threshold", "model"]

MOST_FILES: Final = 2_000
MOST_BYTES: Final = 8_000_000
"""How much is taken at once, in files and in bytes of all of them together."""

THRESHOLDS: Final = "thresholds.yaml"
_MODEL = ".model.json"
_PARTS: Final = ("policies", "actions", PROMPTS, "contracts", "runbooks")
_YAML = (".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MARK = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)

ReadModel = Callable[[bytes], tuple[str, bytes]]
"""From a model file to the model's name and canonical content; raises ``ForestallError``."""


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: what is in it, its path within the folder, and its text."""

    kind: Kind
    path: str
    text: str


class Contents(msgspec.Struct, frozen=True):
    """What stands in files. ``problems`` are of what could not be read, which is not there, and of
    things together; what is wrong with one thing by itself is told there."""

    items: tuple[Item, ...]
    problems: tuple[Problem, ...]


def read_folder(folder: Path) -> list[Written]:
    """The files below ``folder`` that matter, by path; hidden ones are left out.

    Raises ``UnreadableInput`` where there is no such folder, where a file is no UTF-8 text, and
    where it is too much.
    """
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: {'not a' if folder.exists() else 'no such'} folder")
    found: list[Written] = []
    size = 0
    for path, kind in _files(folder):
        one = _read(path, kind, path.relative_to(folder).as_posix())
        found.append(one)
        size += len(one.text.encode())
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise UnreadableInput(
                f"{folder}: more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes; apply a"
                " smaller folder"
            )
    return found


def read_actions(actions: Path) -> list[Written]:
    """The files of a deployment's folder of actions and of the prompts beside it, as they would
    stand in a folder under change control. Raises ``UnreadableInput``."""
    found = []
    for top, folder in (("actions", actions), (PROMPTS, beside(actions))):
        for path in sorted(folder.rglob("*")):
            below = path.relative_to(folder)
            kind = _kind((top, *below.parts), path, whole=False)
            hidden = any(part.startswith(".") for part in below.parts)
            if kind in ("agent", "prompt") and path.is_file() and not hidden:
                found.append(_read(path, kind, f"{top}/{below.as_posix()}"))
    return found


def _read(path: Path, kind: Kind, name: str) -> Written:
    try:
        return Written(kind, name, path.read_bytes().decode())
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableInput(f"{path}: not UTF-8 text") from None


def _files(folder: Path) -> Iterator[tuple[Path, Kind]]:
    whole = not (folder / "policies").is_dir()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or not path.is_file():
            continue
        kind = _kind(parts, path, whole)
        if kind is not None:
            yield path, kind


def _kind(parts: tuple[str, ...], path: Path, whole: bool) -> Kind | None:
    top = parts[0] if len(parts) > 1 and parts[0] in _PARTS else ""
    if path.name.endswith(_MODEL):
        return "model"
    if top == PROMPTS:
        return "prompt" if path.suffix in SUFFIXES else None
    if path.suffix not in _YAML:
        return None
    if path.name == THRESHOLDS and len(parts) == 1:
        return "threshold"
    if top == "actions":
        return None if path.stem.endswith(DOCUMENT) else "agent"
    return "policy" if top == "policies" or (whole and not top) else None


JudgeAgent = Callable[[Located], tuple[Problem, ...]]
"""What is wrong with an agent in a deployment."""


def _sound(_: Located) -> tuple[Problem, ...]:
    return ()


def contents(
    written: Sequence[Written],
    read_model: ReadModel,
    around: Surroundings = ANYTHING,
    judge: JudgeAgent = _sound,
) -> Contents:
    """What stands in ``written``, judged against ``around`` and the models in it; agents by
    ``judge``."""
    models = models_in(one.text.encode() for one in written if one.kind == "model")
    if models:
        around = msgspec.structs.replace(around, models={**(around.models or {}), **models})
    items: list[Item] = []
    problems: list[Problem] = []
    policies = {one.path: one.text for one in written if one.kind == "policy"}
    items += _policies(policies, around, problems)
    for one in written:
        match one.kind:
            case "agent":
                items += _agents(one, problems, judge)
            case "prompt":
                items += _prompt(one, problems)
            case "threshold":
                items += _thresholds(one, problems)
            case "model":
                items += _model(one, read_model, problems)
    return Contents(tuple(_once(items, problems)), tuple(sorted(problems)))


def _once(items: list[Item], problems: list[Problem]) -> Iterator[Item]:
    """Each name of a kind once; who comes second is a problem."""
    seen: dict[tuple[str, str], Item] = {}
    for item in items:
        first = seen.setdefault((item.kind, item.name), item)
        if first is item:
            yield item
        elif item.kind != "policy":
            message = f"another {item.kind} is called `{item.name}` already"
            hint = f"the first is in {first.file}"
            problems.append(Problem(item.file, 1, 1, "duplicate-name", message, hint))


def _policies(
    texts: dict[str, str], around: Surroundings, problems: list[Problem]
) -> Iterator[Item]:
    located: list[LocatedPolicy] = []
    sound: list[LocatedPolicy] = []
    for file, text in texts.items():
        found, wrong = parse_located(text, file)
        located += found
        sound += [] if wrong else found
        problems += wrong
    problems += jointly(located, sound)
    for one in sound:
        policy, file = one.policy, one.source.file
        yield Item(
            kind="policy",
            name=policy.name,
            version=version(policy),
            content=canonical(policy),
            source=part_at(texts[file], one.document.place.line),
            file=file,
            title=policy.title,
            owner=policy.owner,
            review_by=None if policy.review_by is None else policy.review_by.isoformat(),
            risk=policy.risk,
            problems=tuple(sorted([*check(one, around), *refused(one, around)])),
        )


def part_at(text: str, line: int) -> str:
    """The YAML document of ``text`` of which ``line`` (from 1) is a line, without its ``---``."""
    starts = sorted({0, *(found.start() for found in _MARK.finditer(text))})
    ends = [*starts[1:], len(text)]
    for start, end in zip(starts, ends, strict=True):
        part = text[start:end]
        if line <= text[:end].count("\n") + (not part.endswith("\n")):
            return part.removeprefix("---").strip() + "\n"
    return text


def _agents(one: Written, problems: list[Problem], judge: JudgeAgent) -> Iterator[Item]:
    located, source = read_declarations(one.text, one.path)
    found = problems_of(source)
    problems += found
    if found:
        return
    for declared in located:
        agent = declared.declaration
        if isinstance(agent, Agent):
            yield _item(
                "agent",
                agent.name,
                agent.meaning,
                one,
                risk=agent.risk if agent.actions else "low",
                problems=judge(declared),
                source=part_at(one.text, declared.document.node.place.line),
                title=agent.title,
                owner=agent.owner,
                review_by=None if agent.review_by is None else agent.review_by.isoformat(),
            )


def _prompt(one: Written, problems: list[Problem]) -> Iterator[Item]:
    name = _prompt_name(one)
    if _NAME.fullmatch(name):
        yield _item("prompt", name, {"text": one.text}, one)
    else:
        message = f"`{name[:80]}` is not a prompt's name: letters, digits, _, . and - only"
        problems.append(Problem(one.path, 1, 1, "bad-name", message))


def _prompt_name(one: Written) -> str:
    return prompt_name(Path(*Path(one.path).parts[1:]))


def prompts_in(written: Sequence[Written]) -> dict[str, str]:
    """The texts of the prompts in ``written``, by name."""
    return {_prompt_name(one): one.text for one in written if one.kind == "prompt"}


def _thresholds(one: Written, problems: list[Problem]) -> Iterator[Item]:
    source = Source(one.text, one.path)
    for root in source.documents:
        if isinstance(root, Mapping):
            fields = Fields(source, root, "")
            for name in root.entries:
                yield _item(
                    "threshold",
                    name,
                    fields.fraction(name, 0.0),
                    one,
                    source=f"{name}: {fields.fraction(name, 0.0)}\n",
                )
        elif not (isinstance(root, Scalar) and root.value is None):
            source.fail(root.place, "wrong-type", "thresholds are a mapping from policy to number")
    problems += dict.fromkeys(source.problems)


def _model(one: Written, read_model: ReadModel, problems: list[Problem]) -> Iterator[Item]:
    try:
        name, content = read_model(one.text.encode())
    except ForestallError as error:
        problems.append(Problem(one.path, 1, 1, error.code, str(error)))
        return
    yield Item(
        kind="model",
        name=name,
        version=hashed(content),
        content=content,
        source=one.text,
        file=one.path,
    )


def _item(kind: Kind, name: str, value: Any, one: Written, source: str = "", **more: Any) -> Item:
    content = content_of(value)
    return Item(
        kind=kind,
        name=name,
        version=hashed(content),
        content=content,
        source=source or one.text,
        file=one.path,
        **more,
    )
