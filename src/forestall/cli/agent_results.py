"""Evaluations kept in a file of JSON lines, oldest first; nothing in it is ever changed."""

from pathlib import Path

import msgspec

from forestall.contracts.errors import UnreadableInput
from forestall.intervene.agents.evaluation import Evaluation

SUFFIX = ".results.jsonl"


def beside(cases: Path) -> Path:
    """Where the results of ``cases``, a file or a folder, are kept unless another place is named."""
    return cases / f"agent{SUFFIX}" if cases.is_dir() else cases.with_suffix(SUFFIX)


def read_results(path: Path) -> list[Evaluation]:
    """What is kept in ``path``; nothing where there is no such file. Raises ``UnreadableInput``."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(msgspec.json.decode(line, type=Evaluation))
        except msgspec.DecodeError as error:
            raise UnreadableInput(f"{path}:{number}: not an evaluation: {error}") from None
    return found


def keep(path: Path, now: Evaluation, kept: list[Evaluation]) -> bool:
    """Append ``now``, unless the newest of its version and model says the same.

    Whether it was appended. Raises ``UnreadableInput``.
    """
    same = [one for one in kept if _kind(one) == _kind(now)]
    if same and msgspec.structs.replace(same[-1], at=now.at) == now:
        return False
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(now) + b"\n")
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be written: {error.strerror}") from None
    return True


def _kind(one: Evaluation) -> tuple[str, str, str | None]:
    return one.agent, one.version, one.model
