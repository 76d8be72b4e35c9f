"""JSON Schemas of arguments: checked when read, ready to validate."""

from typing import Any

import jsonschema_rs

from forestall.contracts.shape import DIALECT, UnusableSchema, escape


class Arguments:
    """Validates arguments against a schema. Raises ``UnusableSchema`` for one that is none."""

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
            self._validator = jsonschema_rs.Draft202012Validator(
                schema,
                mask="the value",
                retriever=_nothing_remote,
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except jsonschema_rs.ValidationError as error:
            pointer = "".join(f"/{escape(str(part))}" for part in error.instance_path)
            message = f"not a usable JSON Schema 2020-12: {error.message}"
            raise UnusableSchema(pointer, message) from None
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            raise UnusableSchema("", f"the schema cannot be used: {error}") from None

    def wrong(self, arguments: Any) -> str | None:
        """What is wrong with ``arguments``, without their values; none if they fit."""
        for error in self._validator.iter_errors(arguments):
            where = "".join(f".{part}" for part in error.instance_path)
            return f"arguments{where}: {error.message}"
        return None


def _nothing_remote(uri: str) -> Any:
    raise ValueError(f"{uri} lies outside the file")
