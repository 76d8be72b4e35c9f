"""From a tree to the Python source of one function.

The source holds only names made here (``p0`` a variable, ``v0`` a loop's item, ``t0`` a temporary,
``k0`` a constant, ``w`` the steps left, ``f_size`` a function) and literals by ``repr``. It is
written twice: fast, where ``&&`` and ``||`` are Python's ``and`` and ``or``; and settled, run when
the fast one failed, where one operand can outweigh the error of another.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import macros, operators
from forestall.policy.language.cel.functions import (
    GLOBALS,
    MACROS,
    METHODS,
    OUT_OF_SCOPE,
    Function,
    Kind,
)
from forestall.policy.language.cel.syntax import (
    Call,
    ListNode,
    Literal,
    MapNode,
    Name,
    Node,
    Select,
    chain,
    problem,
)
from forestall.policy.language.cel.times import Duration, Timestamp
from forestall.policy.language.cel.values import WORK, Uint

Path = tuple[str, ...]
Code = tuple[str, Kind]


def _python_name(function: Function) -> str:
    return f"f_{function.name.replace('.', '_')}"


NAMESPACE: dict[str, Any] = {
    "__builtins__": {},
    "bool_": bool,
    "str_": str,
    "add": operators.add,
    "at_least": operators.at_least,
    "at_most": operators.at_most,
    "contains": operators.contains,
    "divide": operators.divide,
    "dyn": operators.dyn,
    "equal": operators.equal,
    "exists_one": macros.exists_one,
    "failures": macros.FAILURES,
    "greater": operators.greater,
    "has": operators.has,
    "index": operators.index,
    "inf": float("inf"),
    "less": operators.less,
    "make_map": operators.make_map,
    "matches_program": operators.matches_program,
    "measured": macros.measured,
    "modulo": operators.modulo,
    "multiply": operators.multiply,
    "negate": operators.negate,
    "no_overload": operators.no_overload,
    "quantify": macros.quantify,
    "select": macros.select,
    "settle": macros.settle,
    "subtract": operators.subtract,
    "transform": macros.transform,
    "truth": operators.truth,
    "worded": macros.worded,
    **{_python_name(function): function.run for function in (*GLOBALS.values(), *METHODS.values())},
}
"""All that translated source can reach."""

_ORDER = {
    "<": ("less", ">"),
    "<=": ("at_most", ">="),
    ">": ("greater", "<"),
    ">=": ("at_least", "<="),
}
_ARITHMETIC = {"-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}
_KIND: dict[type, Kind] = {
    type(None): "null", bool: "bool", int: "int", Uint: "uint", float: "double", str: "string",
    bytes: "bytes",
}  # fmt: skip
_EXACT = 2**53
"""Integers up to here are doubles exactly, so that Python compares them as CEL does."""


_FUNCTION = """\
def {name}({parameters}):
    {steps}
    try:
        return {code}
    {rescue}
"""
_RAISE = """except failures as failure:
        raise worded(failure) from None"""
_AGAIN = """except failures:
        pass
    return settled({parameters})"""


class Translation(msgspec.Struct, frozen=True):
    """Python source that defines ``evaluate``, the constants it needs besides ``NAMESPACE``, and
    the offset of the first mention of each path it reads."""

    code: str
    constants: dict[str, Any]
    places: dict[Path, int]


class Inline(msgspec.Struct, frozen=True):
    """A condition as one Python expression for other generated source, with ``NAMESPACE`` and
    ``constants`` in reach. It gives the value, or raises one of ``macros.FAILURES``.

    ``boolean`` says that the value is a bool. With ``works`` the expression needs ``w``, a new
    ``[WORK]``. With ``logic`` a failure is not the last word: another operand may outweigh it.
    """

    code: str
    boolean: bool
    works: bool
    logic: bool
    constants: dict[str, Any]


def inline(source: str, node: Node, variables: Mapping[str, str], prefix: str) -> Inline | None:
    """The tree of ``source`` over ``variables``, given with their Python names; constants have the
    ``prefix``. None where it loops: that needs a function of its own."""
    translator = _Translator(source, variables, prefix)
    code, kind = translator.emit(node)
    if translator.loops:
        return None
    boolean = kind == "bool"
    return Inline(code, boolean, translator.works, translator.logic, translator.constants)


def translate(source: str, node: Node, variables: Sequence[str]) -> Translation:
    """The tree of ``source`` as Python. Raises ``InvalidExpression``."""
    translator = _Translator(source, {name: f"p{i}" for i, name in enumerate(variables)})
    code = translator.function(node, settled=False)
    if translator.logic:
        code += translator.function(node, settled=True)
    return Translation(code, translator.constants, translator.places)


class _Translator:
    def __init__(self, source: str, variables: Mapping[str, str], prefix: str = "k") -> None:
        self.source = source
        self.variables = variables
        self.prefix = prefix
        self.constants: dict[str, Any] = {}
        self.places: dict[Path, int] = {}
        self.logic = self.loops = self.works = self.settled = False
        self.temporaries = 0
        self.locals: list[tuple[str, str]] = []

    def function(self, node: Node, settled: bool) -> str:
        """The source of ``def evaluate``; with ``settled``, of ``def settled``."""
        self.settled, self.works, self.temporaries = settled, False, 0
        code, kind = self.emit(node)
        if self.loops and kind in ("dyn", "list", "map"):
            code = self.call("measured", code, works=True)
        parameters = ", ".join(self.variables.values())
        rescue = _AGAIN.format(parameters=parameters) if self.logic and not settled else _RAISE
        return _FUNCTION.format(
            name="settled" if settled else "evaluate",
            parameters=parameters,
            steps=f"w = [{WORK}]" if self.works else "pass",
            code=code,
            rescue=rescue,
        )

    def fail(self, node: Node, message: str, hint: str | None = None) -> NoReturn:
        raise problem(self.source, node.at, message, hint)

    def call(self, name: str, *args: str, works: bool = False) -> str:
        self.works = self.works or works
        return f"{name}({', '.join(('w', *args) if works else args)})"

    def temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries}"

    def constant(self, value: Any) -> str:
        name = f"{self.prefix}{len(self.constants)}"
        self.constants[name] = value
        return name

    # Each of these gives Python source and the CEL type it is known to have.

    def emit(self, node: Node) -> Code:
        match node:
            case Literal():
                return self.literal(node.value), _KIND[node.value.__class__]
            case Name() | Select():
                return self.path(node)
            case ListNode():
                return f"[{', '.join(self.emit(item)[0] for item in node.items)}]", "list"
            case MapNode():
                parts = (self.emit(part)[0] for entry in node.entries for part in entry)
                return self.call("make_map", *parts), "map"
            case Call():
                return self.operation(node)
        raise TypeError(node)

    def literal(self, value: Any) -> str:
        return self.constant(value) if value.__class__ is Uint else f"({value!r})"

    def boolean(self, node: Node) -> str:
        code, kind = self.emit(node)
        return code if kind == "bool" else f"truth({code})"

    def path(self, node: Node) -> Code:
        base, fields = chain(node)
        if not isinstance(base, Name):
            return self.fields(*self.emit(base), fields)
        code, kind, used, path = self.variable(base, fields)
        self.read(base, path)
        return self.fields(code, kind, fields[used:])

    def fields(self, code: str, kind: Kind, fields: Sequence[str]) -> Code:
        for field in fields:
            code = f"{code}[{field!r}]" if kind in ("dyn", "map") else f"index({code}, {field!r})"
            kind = "dyn"
        return code, kind

    def read(self, base: Node, path: Path | None) -> None:
        if path:
            self.places.setdefault(path, base.at)

    def variable(self, base: Name, fields: Sequence[str]) -> tuple[str, Kind, int, Path | None]:
        """Code and type of a name, how many of the fields after it belong to the name itself (a
        variable may be called ``a.b``), and the path read."""
        if not base.root:
            for name, code in reversed(self.locals):
                if name == base.name:
                    return code, "dyn", 0, None
        for used in range(len(fields), -1, -1):
            name = ".".join((base.name, *fields[:used]))
            if name in self.variables:
                return self.variables[name], "dyn", used, (name, *fields[used:])
            if name in operators.TYPES:
                return self.constant(operators.TYPES[name]), "type", used, None
        known = [*self.variables, *(name for name, _ in self.locals)]
        hint = _nearest(base.name, known) or f"there are: {', '.join(known) or 'none'}"
        raise problem(self.source, base.at, f"there is no variable {base.name!r}", hint)

    def operation(self, node: Call) -> Code:
        name, args = node.function, node.args
        if node.target is not None:
            return self.method(node, node.target)
        if name[0].isidentifier() and name != "in":
            return self.global_call(node)
        if name in ("&&", "||"):
            return self.junction(name, args), "bool"
        if name == "?:":
            condition = self.boolean(args[0])
            (chosen, kind), (other, other_kind) = self.emit(args[1]), self.emit(args[2])
            return f"({chosen} if {condition} else {other})", kind if kind == other_kind else "dyn"
        if name == "!_":
            return f"(not {self.boolean(args[0])})", "bool"
        if name in ("==", "!="):
            return self.equality(name, *args), "bool"
        if name in _ORDER:
            return self.order(name, *args), "bool"
        if name == "in" and isinstance(args[1], ListNode) and _plain_constants(args[1]):
            return (
                f"({self.emit(args[0])[0]} in {self.constant(_plain_constants(args[1]))})",
                "bool",
            )
        if name == "[]" and isinstance(args[1], Literal) and args[1].value.__class__ is str:
            return self.fields(*self.emit(args[0]), [args[1].value])
        return self.plain_operation(node)

    def plain_operation(self, node: Call) -> Code:
        name, args = node.function, node.args
        codes = [self.emit(arg) for arg in args]
        texts = [code for code, _ in codes]
        kind = codes[0][1] if len({kind for _, kind in codes}) == 1 else "dyn"
        numeric: Kind = kind if kind in ("int", "uint", "double") else "dyn"
        if name == "in":
            return self.call("contains", *texts, works=True), "bool"
        if name == "[]":
            return self.call("index", *texts), "dyn"
        if name == "-_":
            return self.call("negate", *texts), numeric
        if name == "+":
            kind = kind if kind in ("string", "bytes", "list", "duration") else numeric
            return self.call("add", *texts, works=True), kind
        return self.call(_ARITHMETIC[name], *texts), numeric

    def junction(self, name: str, args: Iterable[Node]) -> str:
        self.logic = True
        if not self.settled:
            joint = " and " if name == "&&" else " or "
            return f"({joint.join(self.boolean(arg) for arg in args)})"
        return self.call("settle", str(name == "||"), *(f"lambda: {self.emit(a)[0]}" for a in args))

    def equality(self, name: str, left: Node, right: Node) -> str:
        if isinstance(left, Literal):
            left, right = right, left
        (code, kind), (other, other_kind) = self.emit(left), self.emit(right)
        constant = right.value if isinstance(right, Literal) else ()
        literal = constant.__class__
        if literal in (int, float) and kind == "dyn" and constant in (0, 1):
            held = self.temporary()
            test = f"({held} := {code}) == {other} and {held} is not {bool(constant)}"
            return f"({test})" if name == "==" else f"(not ({test}))"
        if literal in (bool, type(None)) and kind == "dyn":
            return f"({code} {'is' if name == '==' else 'is not'} {other})"
        alike = kind == other_kind and kind in ("int", "string", "timestamp", "duration", "bool")
        if (
            alike
            or literal is str
            or (literal in (int, float) and kind in ("dyn", "int", "double"))
        ):
            return f"({code} {name} {other})"
        test = self.call("equal", code, other, works=True)
        return test if name == "==" else f"(not {test})"

    def order(self, name: str, left: Node, right: Node) -> str:
        function, mirrored = _ORDER[name]
        if isinstance(left, Literal):
            left, right, name = right, left, mirrored
            function = _ORDER[name][0]
        (code, kind), (other, other_kind) = self.emit(left), self.emit(right)
        if "timestamp" in (kind, other_kind) or "duration" in (kind, other_kind):
            return f"({code} {name} {other})"
        if kind == other_kind and kind in ("int", "string"):
            return f"({code} {name} {other})"
        if isinstance(right, Literal):
            value = right.value
            if value.__class__ is str:
                return f"({code} {name} {other})"
            if value.__class__ in (int, float) and abs(value) <= _EXACT:
                if kind in ("int", "double"):
                    return f"({code} {name} {other})"
                held = self.temporary()
                test = f"({held} := {code}).__class__ is not bool_"
                return f"({held} {name} {other} if {test} else no_overload())"
        return self.call(function, code, other)

    # Functions, methods and loops.

    def global_call(self, node: Call) -> Code:
        name, args = node.function, node.args
        if name == "dyn" and len(args) == 1:
            code, kind = self.emit(args[0])
            return code if kind == "dyn" else self.call("dyn", code), "dyn"
        if name == "has":
            return self.has(node)
        function = GLOBALS.get(name)
        if function is None:
            self.unknown(node, name, (*GLOBALS, "has", "dyn"), METHODS)
        return self.apply(node, function, args)

    def has(self, node: Call) -> Code:
        if len(node.args) != 1 or not isinstance(node.args[0], Select):
            self.fail(node, "has() takes one field", "write has(event.data.field)")
        base, fields = chain(node.args[0])
        field = fields.pop()
        if isinstance(base, Name):
            code, kind, used, path = self.variable(base, fields)
            self.read(base, (*path, field) if path else None)
        else:
            (code, kind), used = self.emit(base), 0
        operand = self.fields(code, kind, fields[used:])[0]
        return self.call("has", operand, repr(field)), "bool"

    def method(self, node: Call, target: Node) -> Code:
        name = node.function
        if isinstance(target, Name) and f"{target.name}.{name}" in GLOBALS:
            return self.apply(node, GLOBALS[f"{target.name}.{name}"], node.args)
        if name in MACROS:
            return self.loop(node, target)
        function = METHODS.get(name)
        if function is None:
            self.unknown(node, name, (*METHODS, *MACROS), GLOBALS)
        return self.apply(node, function, (target, *node.args))

    def unknown(self, node: Call, name: str, here: Iterable[str], there: Iterable[str]) -> NoReturn:
        hint = OUT_OF_SCOPE.get(name)
        if hint is None and name in there:
            hint = f"write x.{name}(...)" if there is METHODS else f"write {name}(x)"
        self.fail(node, f"there is no function {name!r}", hint or _nearest(name, here))

    def apply(self, node: Call, function: Function, args: Sequence[Node]) -> Code:
        if not function.least <= len(args) <= function.most:
            own = len(args) - len(node.args)
            least, most = function.least - own, function.most - own
            wanted = str(least) if least == most else f"{least} or {most}"
            plural = "" if wanted == "1" else "s"
            message = f"{function.name}() takes {wanted} argument{plural}, not {len(node.args)}"
            self.fail(node, message)
        last = args[-1]
        if isinstance(last, Literal) and last.value.__class__ is str:
            folded = self.folded(node, function, args, last)
            if folded:
                return folded
        codes = [self.emit(arg)[0] for arg in args]
        return self.call(_python_name(function), *codes, works=function.works), function.kind

    def folded(
        self, node: Call, function: Function, args: Sequence[Node], constant: Literal
    ) -> Code | None:
        """Patterns, times and durations written as constants are read now; of a constant that is
        the beginning or the end of a text Python itself is asked."""
        if function.name in ("startsWith", "endsWith"):
            held, code = self.temporary(), self.emit(args[0])[0]
            test = f"({held} := {code}).__class__ is str_"
            asked = f"{held}.{function.name.lower()}({constant.value!r})"
            return f"({asked} if {test} else no_overload())", "bool"
        try:
            if function.name == "matches":
                program = self.constant(operators.regex(constant.value))
                code = self.call("matches_program", self.emit(args[0])[0], program, works=True)
                return code, "bool"
            if function.name in ("timestamp", "duration"):
                value: Timestamp | Duration = function.run(constant.value)
                return self.constant(value), function.kind
        except ExpressionError as error:
            self.fail(constant if function.name == "matches" else node, str(error))
        return None

    def loop(self, node: Call, target: Node) -> Code:
        name, args = node.function, node.args
        if len(args) not in ((2, 3) if name == "map" else (2,)):
            self.fail(node, f"{name}() takes a name and a condition, not {len(args)} arguments")
        item = args[0]
        if not isinstance(item, Name) or item.root:
            self.fail(item, f"the first argument of {name}() is the name of an item, such as x")
        self.loops = True
        items = self.emit(target)[0]
        variable = f"v{len(self.locals)}"
        self.locals.append((item.name, variable))
        bodies = [f"lambda {variable}: {self.emit(arg)[0]}" for arg in args[1:]]
        costs = [str(1 + arg.size) for arg in args[1:]]
        self.locals.pop()
        if name in ("all", "exists"):
            decisive = str(name == "exists")
            return self.call("quantify", decisive, costs[0], items, bodies[0], works=True), "bool"
        if name == "exists_one":
            return self.call("exists_one", costs[0], items, bodies[0], works=True), "bool"
        if name == "filter" or len(bodies) == 2:
            items = self.call("select", costs[0], items, bodies[0], works=True)
        if name == "map":
            items = self.call("transform", costs[-1], items, bodies[-1], works=True)
        return items, "list"


def _plain_constants(node: ListNode) -> tuple[Any, ...]:
    """The items, if all are constants that Python finds in a tuple exactly as CEL does; or none."""
    items = [item.value for item in node.items if isinstance(item, Literal)]
    plain = len(items) == len(node.items) and all(
        item.__class__ is str or (item.__class__ in (int, float) and item not in (0, 1))
        for item in items
    )
    return tuple(items) if plain else ()


def _nearest(name: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else None
