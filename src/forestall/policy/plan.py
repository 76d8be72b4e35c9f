"""What applying a folder would change: its contents against what the registry keeps. Pure.

``compare`` says of everything what becomes of it, in words about its meaning; ``apply`` and
``drift`` are built on it. ``sources`` reads the folder.
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from forestall.contracts.errors import InvalidFile, Problem
from forestall.policy.language.canonical import from_canonical
from forestall.policy.language.changes import changes, when_words
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import parse
from forestall.policy.lifecycle import Kind, Risk, Set, State

What = Literal["new", "changed", "restated", "waiting", "unchanged", "gone"]
"""What becomes of something: it is not known yet; another version is known; only what changes no
decision differs (title, owner, day of review, tests); it is known, but a draft; it is known and
validated; it is known, and not in the folder."""

UNWRITTEN = "the registry does not have its text yet"

MOST_WORDS = 40
"""Sentences at most about one change of something that is no policy."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of a folder. ``version`` is the hash of ``content`` (see ``lifecycle.Artifact``);
    ``source`` is what people wrote in ``file``, and ``problems`` what is wrong with it."""

    kind: Kind
    name: str
    version: str
    content: bytes
    source: str
    file: str
    title: str = ""
    owner: str = ""
    review_by: str | None = None
    risk: Risk = "low"
    problems: tuple[Problem, ...] = ()

    @property
    def policy(self) -> Policy | None:
        """The policy, of one."""
        return policy_in(self.source, self.content) if self.kind == "policy" else None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One version that the registry keeps; ``state`` is none where it has none in the set.
    ``source`` is empty where it only knows the content."""

    kind: Kind
    name: str
    version: str
    content: bytes
    source: str
    state: State | None

    @property
    def policy(self) -> Policy | None:
        """The policy, of one."""
        return policy_in(self.source, self.content) if self.kind == "policy" else None


class Checked(msgspec.Struct, frozen=True):
    """How a version stood its check: ``problems`` are what failed, in words. ``errors``, ``passed``
    and ``failed`` are numbers, of mistakes and of tests."""

    errors: int
    passed: int
    failed: int
    problems: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.errors or self.failed)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one thing. ``version`` is that of the folder, empty for what is gone;
    ``before`` the one it is compared with, empty for what is new; ``state`` the state of
    ``version``, or of ``before`` for what is gone. ``words`` are about its meaning, ``besides``
    about what can change no decision. ``source`` is a hash of what people wrote."""

    kind: Kind
    name: str
    what: What
    version: str = ""
    before: str = ""
    state: str = ""
    words: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    source: str = ""
    checked: Checked | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that applying a folder would do, and what it is decided on.

    ``prune`` retires what is gone. ``figures`` is what a backtest of the changed policies says
    (``decide.trial.Figures`` as JSON data), none where there was none, and ``unbacked`` why.
    """

    set: Set
    prune: bool
    lines: tuple[Line, ...]
    figures: dict[str, Any] | None = None
    unbacked: str = ""

    @property
    def hash(self) -> str:
        """Lower-case hex SHA-256 of everything in it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    @property
    def to_do(self) -> tuple[Line, ...]:
        """The lines of which applying changes something."""
        return tuple(line for line in self.lines if self.does(line))

    def does(self, line: Line) -> bool:
        """Whether applying does something about ``line``."""
        return self.prune if line.what == "gone" else line.what != "unchanged"


def content_of(value: Any) -> bytes:
    """Canonical JSON of anything but a policy."""
    return msgspec.json.encode(value, order="sorted")


def hashed(content: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(content).hexdigest()


def policy_in(source: str, content: bytes) -> Policy:
    """A policy as people wrote it, or by its canonical form where that is not known (empty) or is
    no longer how one is written."""
    try:
        return parse(source, "registry")[0] if source else from_canonical(content)
    except InvalidFile:
        return from_canonical(content)


def compare(items: Sequence[Item], kept: Iterable[Kept]) -> tuple[Line, ...]:
    """What becomes of everything, by kind and name. ``kept`` are in the order they were put.

    A kind of which there is nothing in the folder is left alone, but for policies.
    """
    known: dict[tuple[Kind, str], list[Kept]] = {}
    for one in kept:
        known.setdefault((one.kind, one.name), []).append(one)
    there = {(item.kind, item.name): item for item in items}
    kinds = {"policy", *(item.kind for item in items)}
    lines = [_line(item, known.get(key, ())) for key, item in there.items()]
    for key, versions in known.items():
        standing = [one for one in versions if one.state not in (None, "retired")]
        if key not in there and key[0] in kinds and standing:
            last = _reference(standing)
            lines.append(
                Line(
                    kind=key[0],
                    name=key[1],
                    what="gone",
                    before=last.version,
                    state=last.state or "",
                )
            )
    return tuple(sorted(lines, key=lambda line: (line.kind, line.name)))


def _reference(versions: Sequence[Kept]) -> Kept:
    """The version that a new one is compared with: the live one, or the newest."""
    return next((one for one in versions if one.state == "live"), versions[-1])


def _line(item: Item, versions: Sequence[Kept]) -> Line:
    line = Line(
        kind=item.kind,
        name=item.name,
        what="new",
        version=item.version,
        source=hashed(item.source.encode()),
    )
    same = next((one for one in versions if one.version == item.version), None)
    standing = [one for one in versions if one.state not in (None, "retired")]
    if same is not None and same.state not in (None, "retired"):
        besides = differences(same, item)[1] if same.source else (UNWRITTEN,)
        what: What = "restated" if besides else "waiting" if same.state == "draft" else "unchanged"
        state = same.state or ""
        return msgspec.structs.replace(
            line, what=what, before=same.version, state=state, besides=besides
        )
    if not standing:
        words = _introduced(item)
        return msgspec.structs.replace(line, words=words, state=same.state or "" if same else "")
    before = _reference(standing)
    words, besides = differences(before, item)
    return msgspec.structs.replace(
        line, what="changed", before=before.version, words=words, besides=besides
    )


def _introduced(item: Item) -> tuple[str, ...]:
    policy = item.policy
    if policy is not None:
        return (f"when {when_words(policy.when)}",)
    if item.kind == "threshold":
        return (f"it is {item.content.decode()}",)
    return (item.title,) if item.title and item.title != item.name else ()


# -- in words --------------------------------------------------------------------------------------


def differences(old: Kept | Item, new: Kept | Item) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What differs in meaning, and what besides."""
    before, after = old.policy, new.policy
    if before is not None and after is not None:
        found = changes([before], [after])
        return (found[0].words, found[0].besides) if found else ((), ())
    if old.content == new.content:
        return (), ()
    values = [msgspec.json.decode(one.content) for one in (old, new)]
    words = _texts(*values) if new.kind == "prompt" else _values("", *values)
    listed = [*words]
    if len(listed) > MOST_WORDS:
        listed[MOST_WORDS:] = [f"and {len(listed) - MOST_WORDS} more"]
    return tuple(listed) or ("written differently, with the same meaning",), ()


def _texts(old: Any, new: Any) -> Iterator[str]:
    before, after = (str(one.get("text", "")).splitlines() for one in (old, new))
    for line in difflib.unified_diff(before, after, lineterm="", n=0):
        if line[:1] in "+-" and line[:3] not in ("+++", "---"):
            sign, text = line[0], line[1:].strip()
            yield f"{'now says' if sign == '+' else 'no longer says'}: {text[:200]}"


def _values(path: str, old: Any, new: Any) -> Iterator[str]:
    """Words about JSON values that differ, by path; lists of named things are matched by name."""
    old, new = _named(old), _named(new)
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            below = f"{path}.{key}" if path else str(key)
            if key not in old:
                yield f"`{below}` is new{_short(new[key])}"
            elif key not in new:
                yield f"`{below}` is gone{_short(old[key])}"
            else:
                yield from _values(below, old[key], new[key])
        return
    named = f"`{path}`" if path else "it"
    told = [_short(one).removeprefix(": ") for one in (old, new)]
    if all(told):
        yield f"{named} is {told[1]} instead of {told[0]}"
    else:
        yield f"{named} differs"


def _named(value: Any) -> Any:
    """A list of objects with names as an object."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        names = [one.get("name") for one in value]
        if all(isinstance(name, str) for name in names) and len({*names}) == len(names):
            return dict(zip(names, value, strict=True))
    return value


def _short(value: Any) -> str:
    """``: VALUE`` where that is short enough to be read."""
    text = msgspec.json.encode(value).decode()
    return f": {text}" if len(text) <= 80 else ""
