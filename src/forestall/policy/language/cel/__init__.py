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
    inline_expression,
    to_json,
)
from forestall.policy.language.cel.syntax import InvalidExpression, conjunct_texts
from forestall.policy.language.cel.times import Duration, Timestamp
from forestall.policy.language.cel.translate import NAMESPACE, Inline, Path
from forestall.policy.language.cel.values import WORK, CelType, Uint

__all__ = [
    "NAMESPACE",
    "WORK",
    "CelType",
    "Comparison",
    "Duration",
    "Expression",
    "Inline",
    "InvalidExpression",
    "Path",
    "Timestamp",
    "Uint",
    "batch",
    "comparisons",
    "compile_expression",
    "conjunct_texts",
    "conjuncts",
    "inline_expression",
    "to_json",
]
