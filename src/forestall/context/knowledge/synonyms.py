"""Words that mean the same."""

from collections.abc import Mapping

Synonyms = Mapping[str, tuple[str, ...]]

NO_SYNONYMS: Synonyms = {}
"""No word has another."""
