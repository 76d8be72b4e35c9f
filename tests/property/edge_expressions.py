"""Random conditions that a page can decide, and data for them."""

from typing import Any

from hypothesis import strategies as st

from property.edge_cases import as_sent
from property.holes import filled

TEXTS = st.sampled_from(["", "a", "b", "ab", "Abc", "1", "é", "😀b", "\ue000", "A b", "length"])
INTS = st.one_of(st.integers(-3, 5), st.sampled_from([2**31, 2**53, -(2**62), 2**63 - 1, -(2**63)]))
DOUBLES = st.sampled_from([0.0, 1.0, 1.5, -2.5, 3.0, 1e10, 0.1, 1e19, 1e-7, 1.5e-6, 1e300, 0.5])
SCALARS = st.one_of(st.none(), st.booleans(), INTS, DOUBLES, TEXTS)
FIELDS = st.sampled_from(["a", "b", "x", "length", "constructor", "__proto__", "1", "é"])
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(FIELDS, inner, max_size=3)
    ),
    max_leaves=8,
)
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "n": INTS,
    "d": DOUBLES,
    "s": TEXTS,
    "t": st.booleans(),
    "l": st.lists(SCALARS, max_size=4),
    "m": st.dictionaries(FIELDS, SCALARS, max_size=3),
}
OFTEN = st.fixed_dictionaries(KNOWN, optional={"x": DATA, "y": DATA})
BINDINGS = st.fixed_dictionaries(
    {
        "event": st.fixed_dictionaries({"data": OFTEN, "type": TEXTS}),
        "subject": OFTEN,
        "features": OFTEN,
    }
).map(as_sent)
DOUBLED = st.sampled_from(
    [None, None, {"event": {"data": {"n": True, "l": {"*": True}}}}, {"subject": {"*": True}}]
)
"""Which integers are doubles, as the catalogue says it of an event's data."""


def literal(value: Any) -> str:
    """A constant as it is written in a condition."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    text = str(value)
    return text.replace("e+", "e") if isinstance(value, float) else text


def _path(name: str) -> st.SearchStrategy[str]:
    roots = st.sampled_from(["event.data", "event.data", "subject", "features"])
    return roots.map(lambda root: f"{root}.{name}")


LEAVES: dict[str, st.SearchStrategy[str]] = {
    "bool": st.one_of(st.booleans().map(literal), _path("t"), _path("n").map("has({})".format)),
    "int": st.one_of(INTS.map(literal), _path("n")),
    "double": st.one_of(DOUBLES.map(literal), _path("d")),
    "string": st.one_of(TEXTS.map(literal), _path("s"), st.just("event.type")),
    "list": st.one_of(_path("l"), st.lists(SCALARS.map(literal), max_size=3).map(", ".join).map("[{}]".format)),
    "map": st.one_of(_path("m"), st.just("{'a': 1, 'b': [2.5]}"), st.just("{'__proto__': 1}")),
    "any": st.one_of(_path("x"), _path("y"), _path("gone"), SCALARS.map(literal)),
}  # fmt: skip
WORDS = {
    "LOGIC": ["&&", "||"],
    "CMP": ["==", "!=", "<", "<=", ">", ">="],
    "EQ": ["==", "!="],
    "ARITH": ["+", "-", "*", "/", "%"],
    "TEST": ["contains", "startsWith", "endsWith"],
    "FIELD": ["a", "b", "x", "length", "constructor", "__proto__"],
}
GROWN: dict[str, list[str]] = {
    "bool": [
        "({bool} LOGIC {bool})", "({bool} LOGIC {any} LOGIC {bool})", "!({bool})", "({any} EQ {any})",
        "({int} CMP {int})", "({int} CMP {double})", "({double} CMP {int})", "({any} CMP {any})",
        "({string} CMP {string})", "({any} in [{int}, 1, 'a'])", "('a' in {map})", "(1 in {list})",
        "(null in {any})", "{string}.TEST({string})", "{any}.TEST({any})", "({list} EQ {list})",
        "({map} EQ {map})", "({bool} CMP {bool})", "({bool} ? {bool} : {any})", "has(event.data.x.FIELD)",
        "has({map}.FIELD)", "({any} in {'a': 1, 'length': 2})",
    ],
    "int": ["({int} ARITH {int})", "-1", "size({string})", "{list}.size()", "size({any})",
            "({bool} ? {int} : {int})"],
    "double": ["({double} ARITH {double})", "-0.0", "({bool} ? {double} : {int})"],
    "string": ["({string} + {string})", "{string}.lowerAscii()", "({bool} ? {string} : {string})"],
    "list": ["({list} + {list})", "[{any}, {int}]", "[{double}, {map}]"],
    "map": ["{'a': {any}, 'x': {int}}", "{'a': {list}}"],
    "any": ["{list}[{int}]", "{list}[{double}]", "{map}[{string}]", "{any}[{any}]", "{map}.FIELD",
            "({any} ARITH {any})", "dyn({any})", "({bool} ? {int} : {string})"],
}  # fmt: skip


@st.composite
def expressions(draw: st.DrawFn, kind: str | None = None, depth: int = 3) -> str:
    """Source of a condition, usually of the wanted kind."""
    if kind is None or draw(st.integers(0, 11)) == 0:
        kind = draw(st.sampled_from(sorted(LEAVES)))
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(LEAVES[kind])

    pattern = draw(st.sampled_from(GROWN[kind]))
    return filled(draw, pattern, WORDS, lambda inner: expressions(inner, depth - 1))


TEMPLATES = st.lists(
    st.one_of(
        st.sampled_from(["Hello ", "é {x} ", "\n"]),
        st.builds(
            lambda path, otherwise: f"{{{{ {path}{otherwise} }}}}",
            st.one_of(*(_path(name) for name in [*KNOWN, "x"]), st.just("event.type")),
            st.sampled_from(["", ' | default("there")', '|default("")', ' | default("a\\"b\\u00e9")']),
        ),
    ),
    max_size=4,
).map("".join)  # fmt: skip
SHOWN = st.one_of(SCALARS, st.sampled_from([1e15, 1e16, 123456789012345678, "a\nb", " \u2028x ", "y" * 300, "😀" * 201]), DATA)  # fmt: skip
SAID = st.fixed_dictionaries(
    {
        "event": st.fixed_dictionaries(
            {"type": TEXTS, "data": st.dictionaries(st.sampled_from([*KNOWN, "x"]), SHOWN)}
        ),
        "traits": st.dictionaries(st.sampled_from([*KNOWN, "x"]), SHOWN),
        "features": st.dictionaries(st.sampled_from([*KNOWN, "x"]), SHOWN),
    }
).map(as_sent)
