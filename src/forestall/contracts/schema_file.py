"""JSON files that people write, with the place of every value for messages about mistakes."""

import json
from typing import Any

import yaml

from forestall.contracts.errors import Problem
from forestall.contracts.shape import escape

MAX_DEPTH = 64

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Double(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class SchemaFile:
    """One file's text. ``value`` is its JSON value, or none when ``problems`` say why not."""

    def __init__(self, raw: bytes, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.value: Any = None
        self._places: dict[str, tuple[int, int]] | None = None
        self._text = ""
        try:
            self._text = raw.decode("utf-8-sig")
            self.value = json.loads(
                self._text, object_pairs_hook=_object, parse_constant=_not_a_number
            )
        except UnicodeDecodeError:
            self._at(1, 1, "json", "the file is not UTF-8 text")
        except json.JSONDecodeError as error:
            self._at(error.lineno, error.colno, "json", f"not valid JSON: {error.msg}")
        except _Double as error:
            line, column = self._second(error.key)
            self._at(line, column, "duplicate-key", f'the key "{error.key}" is written twice')
        except ValueError as error:
            self._at(1, 1, "json", f"not valid JSON: {error}")
        except RecursionError:
            self._at(1, 1, "json", f"nested more than {MAX_DEPTH} levels deep")
        if _deeper(self.value, MAX_DEPTH):
            self.value = None
            self._at(1, 1, "json", f"nested more than {MAX_DEPTH} levels deep")

    def fail(
        self, pointer: str, code: str, message: str, hint: str | None = None, *, warn: bool = False
    ) -> None:
        """Note a mistake at a JSON Pointer, or at the nearest place above it that exists."""
        line, column = self.place(pointer)
        severity = "warning" if warn else "error"
        self._at(line, column, code, message, hint, severity)

    def place(self, pointer: str) -> tuple[int, int]:
        """Line and column of what a JSON Pointer names (of its key, where it has one)."""
        if self._places is None:
            self._places = _places(self._text)
        while pointer not in self._places and pointer:
            pointer = pointer.rpartition("/")[0]
        return self._places.get(pointer, (1, 1))

    def _at(
        self,
        line: int,
        column: int,
        code: str,
        message: str,
        hint: str | None = None,
        severity: str = "error",
    ) -> None:
        self.problems.append(Problem(self.file, line, column, code, message, hint, severity))

    def _second(self, key: str) -> tuple[int, int]:
        """The place of a key that repeats within one object."""
        return _places(self._text, double=key).get("double", (1, 1))


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Double(key)
        found[key] = value
    return found


def _not_a_number(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _places(text: str, double: str | None = None) -> dict[str, tuple[int, int]]:
    """Every JSON Pointer with its place. JSON is YAML, whose nodes know theirs; where a YAML
    reader does not follow (surrogate escapes), there is nothing."""
    places: dict[str, tuple[int, int]] = {}
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError):
        return places
    todo: list[tuple[str, Any, Any]] = [("", root, root)]
    while todo:
        pointer, key, node = todo.pop()
        if key is None:
            continue
        places[pointer] = (key.start_mark.line + 1, key.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for name, value in node.value:
                if name.value == double and name.value in seen:
                    places["double"] = (name.start_mark.line + 1, name.start_mark.column + 1)
                seen.add(name.value)
                todo.append((f"{pointer}/{escape(name.value)}", name, value))
        elif isinstance(node, yaml.SequenceNode):
            todo += [(f"{pointer}/{index}", one, one) for index, one in enumerate(node.value)]
    return places
