"""Front matter: the YAML between two lines of ``---`` at the top of a runbook, with its places."""

import datetime
import re
from typing import Any, NoReturn, get_args

import msgspec
import yaml

from forestall.contracts.errors import InvalidFile, Problem
from forestall.contracts.intervention import Form, Show
from forestall.contracts.languages import LANGUAGES

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ID = re.compile(r"[a-z0-9-]{1,63}")

LONGEST, DEEPEST = 100_000, 10
"""Characters of a front matter at most, and how deeply its values may be nested."""

LONGEST_SELECTOR = 200
"""Characters of the CSS selector of an element at most."""

_FENCE = re.compile(r"---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
_REQUIRED = ("id", "title", "version", "owner", "review_by")
_LISTS = ("fields", "products", "signals", "steps", "actions", "known")
_FORMS: tuple[str, ...] = get_args(Form)
KEYS = (
    "id",
    "kind",
    "title",
    "version",
    "owner",
    "review_by",
    "language",
    "message",
    "why",
    "show",
    *_LISTS,
    "imported",
)
"""Every key of a front matter."""


class Imported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an imported article comes from, and a hash of its title and text as they were written."""

    source: str
    hash: str


class Front:
    """The front matter of ``text``: ``values`` by key, and where each stands. Problems with it are
    collected in ``problems``; raises ``InvalidFile`` where there is none that can be read."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.places: dict[str, tuple[int, int]] = {}
        self.end = 0
        """The offset in ``text`` where the front matter has ended."""
        self._text, self._start = text, 0
        self.values = self._read()
        self._check()

    def trouble(
        self, place: tuple[int, int], code: str, message: str, hint: str | None = None
    ) -> None:
        """Note a mistake."""
        self.problems.append(Problem(self.path, *place, f"runbook-{code}", message, hint))

    def at(self, key: str) -> tuple[int, int]:
        """Line and column of the value of ``key`` (``signals.1``: the second of a list, ``show.as``:
        of a mapping)."""
        return self.places.get(key, self.places.get(key.split(".")[0], (1, 1)))

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts at ``key``; empty where there is none, or one with a mistake."""
        value = self.values.get(key) or ()
        return tuple(value) if _is_texts(value) else ()

    def show(self) -> Show | None:
        """How it is shown; none where it does not say, or says it with a mistake."""
        try:
            return msgspec.convert(self.values.get("show"), Show | None)
        except msgspec.ValidationError:
            return None

    def _read(self) -> dict[str, Any]:
        fence = _FENCE.match(self._text)
        if fence is None:
            self.trouble(
                (1, 1),
                "front-matter",
                "a runbook starts with front matter between two lines of ---",
                "write `---`, then lines such as `id: card-declined`, and `---` on a line of its own",
            )
            raise InvalidFile(self.problems)
        self.end = fence.end()
        self._start = max(fence.start(1), 0)
        node, values = self._parsed(fence[1] or "")
        if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
            self.trouble((2, 1), "front-matter", "the front matter is not a mapping of keys")
            raise InvalidFile(self.problems)
        for key, value in node.value:
            self._place(key, value)
        return values

    def _parsed(self, text: str) -> tuple[Any, Any]:
        if len(text) > LONGEST:
            self._unreadable((2, 1), f"the front matter is longer than {LONGEST:,} characters")
        try:
            self._bounded(text)
            loader = _LOADER(text)
            node = loader.get_single_node()
            return node, None if node is None else loader.construct_document(node)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = self._placed(mark) if mark else (2, 1)
            self._unreadable(place, str(getattr(error, "problem", None) or error).split("\n")[0])
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            self._unreadable((2, 1), f"a value cannot be read: {error}")

    def _bounded(self, text: str) -> None:
        """Refuse what is nested so deeply, or repeats itself, that reading it does harm."""
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                message = "write the value again; *names are not read here"
                self._unreadable(self._placed(event.start_mark), message)
            if depth > DEEPEST:
                message = "the front matter is nested too deeply"
                self._unreadable(self._placed(event.start_mark), message)

    def _unreadable(self, place: tuple[int, int], message: str) -> NoReturn:
        self.trouble(place, "yaml", message)
        raise InvalidFile(self.problems)

    def _place(self, key: yaml.Node, value: yaml.Node) -> None:
        name, place = str(key.value), self._placed(key.start_mark)
        if name not in KEYS:
            self.trouble(place, "key", f"unknown key {name!r}; known: {', '.join(KEYS)}")
        elif name in self.places:
            self.trouble(place, "key", f"{name!r} stands here twice")
        self.places[name] = self._placed(value.start_mark)
        if isinstance(value, yaml.SequenceNode):
            for number, item in enumerate(value.value):
                self.places[f"{name}.{number}"] = self._placed(item.start_mark)
        elif isinstance(value, yaml.MappingNode):
            for inner, item in value.value:
                self.places[f"{name}.{inner.value}"] = self._placed(item.start_mark)

    def _placed(self, mark: Any) -> tuple[int, int]:
        """Line and column in the file. YAML ends lines at marks that nothing else counts, such as
        U+0085, so those of ``mark`` itself may be wrong."""
        return place_in(self._text, self._start + mark.index)

    def _check(self) -> None:
        values = self.values
        for key in _REQUIRED:
            if values.get(key) is None:
                self.trouble(self.at(key), "missing", f"{key!r} is missing")
        name = values.get("id")
        if name is not None and not (isinstance(name, str) and ID.fullmatch(name)):
            self.trouble(self.at("id"), "id", f"{name!r} is not of the form [a-z0-9-]{{1,63}}")
        for key in ("title", "owner"):
            if values.get(key) is not None and not isinstance(values[key], str):
                self.trouble(self.at(key), "type", f"{key!r} is not text")
        version = values.get("version")
        if version is not None and (type(version) is not int or version < 1):
            self.trouble(self.at("version"), "type", "'version' is not a number from 1 on")
        review = values.get("review_by")
        if review is not None and type(review) is not datetime.date:
            self.trouble(self.at("review_by"), "type", "'review_by' is not a day like 2027-01-31")
        kind = values.get("kind")
        if kind is not None and kind not in ("runbook", "article"):
            self.trouble(self.at("kind"), "type", "'kind' is runbook or article")
        self._check_why()
        self._check_more()

    def _check_why(self) -> None:
        why = self.values.get("why")
        if why is not None and not (isinstance(why, str) and why.strip()):
            self.trouble(
                self.at("why"),
                "type",
                "'why' is not text",
                "why: Your bank declined a payment here a moment ago.",
            )

    def _check_more(self) -> None:
        language = self.values.get("language")
        if language is not None and not (isinstance(language, str) and language in LANGUAGES):
            hint = 'language: "no"' if language is False else None
            message = "'language' is not the two letters of a language, like en"
            self.trouble(self.at("language"), "type", message, hint)
        for key in _LISTS:
            value = self.values.get(key)
            if value is not None and not _is_texts(value):
                what = "field names" if key == "fields" else "texts"
                self.trouble(self.at(key), "type", f"{key!r} is not a list of {what}")
        if self.values.get("show") is not None:
            self._check_show(self.values["show"])
        imported = self.values.get("imported")
        if imported is not None:
            try:
                msgspec.convert(imported, Imported)
            except msgspec.ValidationError:
                message = "'imported' is not {source: ..., hash: ...}, as an import writes it"
                self.trouble(self.at("imported"), "type", message)

    def _check_show(self, show: Any) -> None:
        if not (isinstance(show, dict) and "as" in show and show.keys() <= {"as", "at"}):
            message = "'show' is not {as: ..., at: ...}"
            self.trouble(self.at("show"), "type", message, "show: {as: banner}")
            return
        if show["as"] not in _FORMS:
            message = f"'as' is one of {', '.join(_FORMS)}, not {show['as']!r}"
            self.trouble(self.at("show.as"), "type", message)
        at = show.get("at")
        fine = isinstance(at, str) and bool(at.strip()) and at.isprintable()
        if "at" in show and not (fine and len(str(at)) <= LONGEST_SELECTOR):
            message = f"'at' is not a CSS selector of at most {LONGEST_SELECTOR} characters"
            self.trouble(self.at("show.at"), "type", message, 'at: "[data-help=search]"')


def place_in(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of ``offset`` in ``text``, whose lines end with a newline."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(one, str) and bool(one.strip()) for one in value
    )
