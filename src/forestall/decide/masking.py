"""What a policy reads of a customer's data, and placeholders for the rest of it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from forestall.contracts.control import DecideSettings
from forestall.policy.language.cel import compile_expression
from forestall.policy.language.compile import CONDITION_VARIABLES
from forestall.policy.language.model import Policy

Path = tuple[str, ...]
"""A field, such as ``("event", "data", "order_id")`` or ``("subject", "plan")``."""


def read_by(sources: Iterable[str]) -> frozenset[Path]:
    """The fields that expressions read."""
    return frozenset(
        path for source in sources for path in compile_expression(source, CONDITION_VARIABLES).reads
    )


def keys(policy: Policy) -> Iterator[str]:
    """Every expression whose values only need to be told apart: ``by``, and what is ``distinct``."""
    for feature in policy.features.values():
        yield from (text for text in (feature.by,) if text is not None)
        if feature.kind == "distinct" and feature.value is not None:
            yield feature.value
    if policy.when.by is not None:
        yield policy.when.by


def sources(policy: Policy) -> Iterator[str]:
    """Every expression that takes part in deciding."""
    features = policy.features.values()
    matches = [step.match for step in policy.when.steps] + [one.match for one in features]
    texts = [match.where for match in matches]
    texts += [feature.value for feature in features] + [policy.condition]
    yield from (text for text in texts if text is not None)
    yield from keys(policy)


def reads(policy: Policy, settings: DecideSettings) -> frozenset[Path]:
    """Every field that takes part in deciding."""
    paths = read_by(sources(policy))
    respects = settings.quiet_hours is not None and policy.quiet_hours == "respect"
    return paths | {("subject", "timezone")} if respects else paths


def below(paths: Iterable[Path], root: Path) -> list[Path]:
    """What is read below ``root``; the empty path where all of it is."""
    found = []
    for path in paths:
        shared = min(len(path), len(root))
        if path[:shared] == root[:shared]:
            found.append(path[len(root) :])
    return found


def pruned(value: Any, paths: Sequence[Path]) -> Any:
    """Of nested data only what the paths lead to."""
    if () in paths:
        return value
    if not isinstance(value, dict):
        return value
    heads = {path[0] for path in paths}
    return {
        name: pruned(inner, [path[1:] for path in paths if path[0] == name])
        for name, inner in value.items()
        if name in heads
    }


class Mask:
    """Placeholders for values, the same for the same value throughout a case."""

    def __init__(
        self, sources: Sequence[str], keys: frozenset[Path], plain: frozenset[Path]
    ) -> None:
        self._sources, self._keys, self._plain = sources, keys, plain
        self._placeholders: dict[str, str] = {}
        self._numbers: dict[float, int] = {}

    def placeholder(self, text: str) -> str:
        """What stands for ``text``."""
        return self._placeholders.setdefault(text, f"v{len(self._placeholders) + 1}")

    def text(self, path: Path, text: str) -> str:
        """The text at a path: as it is where the policy names it or ``plain`` has the path."""
        named = any(f"{quote}{text}{quote}" in one for quote in "'\"" for one in self._sources)
        return text if named or self._stays(path) else self.placeholder(text)

    def value(self, path: Path, value: Any) -> Any:
        """A value at a path, with everything in it."""
        if isinstance(value, dict):
            return {name: self.value((*path, name), inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(path, item) for item in value]
        if isinstance(value, str):
            return value if path == ("subject", "timezone") else self.text(path, value)
        if isinstance(value, bool) or value is None or self._stays(path):
            return value
        if any(path[: len(key)] == key for key in self._keys):
            return self._numbers.setdefault(value, len(self._numbers) + 1)
        return value

    def _stays(self, path: Path) -> bool:
        return any(path[: len(one)] == one for one in self._plain)
