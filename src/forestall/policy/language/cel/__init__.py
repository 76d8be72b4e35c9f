"""The condition language: CEL, translated once into Python.

``syntax`` reads source into a small tree; ``translate`` turns the tree into Python source under
a namespace without builtins; ``operators``, ``strings``, ``times`` and ``macros`` are all that source
may call; ``expression`` puts them together. Values are plain: None, bool, int, float, str, bytes,
list, dict, and ``Uint``, ``Timestamp``, ``Duration`` and ``CelType`` for what Python lacks.
"""

from forestall.policy.language.cel.expression import (
    Comparison,
    Expression,
    batch,
    comparisons,
    compile_expression,
    conjuncts,
    to_json,
)
from forestall.policy.language.cel.syntax import InvalidExpression, conjunct_texts
from forestall.policy.language.cel.times import Duration, Timestamp
from forestall.policy.language.cel.translate import Path
from forestall.policy.language.cel.values import CelType, Uint

__all__ = [
    "CelType",
    "Comparison",
    "Duration",
    "Expression",
    "InvalidExpression",
    "Path",
    "Timestamp",
    "Uint",
    "batch",
    "comparisons",
    "compile_expression",
    "conjunct_texts",
    "conjuncts",
    "to_json",
]
