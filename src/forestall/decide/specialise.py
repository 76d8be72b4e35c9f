"""From a plan to one Python function that takes the events of its type, with nothing left to look
up: it decodes data if something reads it, asks each condition where it stands, adds to each window
and calls for a pattern only where the event can move it. Pure.

The source holds only names made here and what the condition language gives for its expressions;
everything that is a value comes in by name. Plans of one shape have the same source, compiled once.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, TypedDict

import msgspec

from forestall.context import core
from forestall.context.features import NUMERIC
from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import decode_data
from forestall.decide.edge import hearing
from forestall.decide.occasion import Occasion, binding, with_doubles
from forestall.decide.patterns import PatternUse, single
from forestall.decide.plan import ALWAYS, Ask, FeatureUse, Plan, Take, key_text, text_key
from forestall.policy.language.cel import NAMESPACE, WORK, Inline, Timestamp, inline_expression
from forestall.policy.language.compile import event_expression

_VARIABLES: Final = {"event.data": "data", "event": "event", "subject": "traits", "now": "clock"}
_LONG: Final = 4_000
"""Text as long as this may hold an integer with more digits than Python reads."""

_ASKS: Final = 256
"""With more ``if`` than this the engine asks them itself, so that the source stays short."""

_NOTHING: Final[dict[str, Any]] = {}
_INDENT: Final = "    "
_FAULT: Final = [
    "if held is not True and held is not False:",
    "    engine._count_error()",
    "    held = False",
]


def specialise(plan: Plan) -> Take:
    """The function that takes the events of ``plan``'s type."""
    writer = _Writer(plan)
    body = writer.body()
    body = [*writer.start("\n".join(body)), *body]
    inner = ["def take(engine, subject, record, time, t):", *_indented(body)]
    written = plan.asks if len(plan.asks) <= _ASKS else ()
    asks = [line for index, ask in enumerate(written) for line in writer.ask(index, ask)]
    answers = "".join(f"ask{index}, " for index, _ in enumerate(written))
    inner = [*asks, f"asks = ({answers})", *inner]
    source = [f"def make({', '.join(writer.values)}):", *_indented([*inner, "return take"]), ""]
    take: Take = _compiled("\n".join(source))(*writer.values.values())
    return take if plan.told is None else hearing(take, plan.told)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Callable[..., Any]:
    namespace = dict(_NAMESPACE)
    exec(compile(source, "<plan>", "exec"), namespace)  # noqa: S102
    make: Callable[..., Any] = namespace["make"]
    return make


def _indented(lines: Iterable[str]) -> list[str]:
    return [_INDENT + line for line in lines]


def _under(conditions: Iterable[str], lines: list[str]) -> list[str]:
    """The lines where all the conditions hold."""
    joined = " and ".join(condition for condition in conditions if condition != "True")
    return [f"if {joined}:", *_indented(lines)] if joined else lines


class _Writer:
    """Writes the lines for one plan. ``values`` holds, by name, what they need of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.values: dict[str, Any] = {}
        self.numbers: dict[int, int] = {}
        self.event = "event" if plan.reads.event else '{"data": data}'
        self.now = "clock" if plan.reads.now else "None"
        ordered = all(use.program.pattern.ordered for use in plan.patterns)
        self.serial = "0" if ordered else "serial"

    def named(self, name: str, value: Any) -> str:
        """``name``, under which the function finds ``value``."""
        self.values[name] = value
        return name

    def number(self, slot: int) -> int:
        """A number for a slot that is the same in every plan of this shape."""
        return self.numbers.setdefault(slot, len(self.numbers) + 1)

    def start(self, body: str) -> list[str]:
        """What the body needs before it, and only that."""
        plan, lines = self.plan, []
        if plan.effect is not None:
            effect = self.named("effect", plan.effect)
            lines.append(f"engine._obey(subject, record, time, {effect}, {self.doubles()})")
        if "serial" in body:
            lines.append("subject.serial = serial = subject.serial + 1")
        if "traits" in body:
            lines.append("ledger = subject.ledger")
            lines.append("traits = nothing if ledger is None else ledger.traits")
        if "data" in body or plan.reads.event:
            lines += self.data()
        if plan.reads.event:
            lines.append("event = binding(record, time, data)")
        if plan.reads.now:
            lines.append("clock = Timestamp(t * 1000)")
        if "features" in body:
            lines.append("features = subject.features")
        if plan.patterns:
            lines += ["patterns = subject.patterns", "candidates = now = None"]
        return lines

    def data(self) -> list[str]:
        """Decode the data; what nothing looks at is only skipped."""
        if not (self.plan.reads.data or self.plan.reads.event):
            return ["data = UNSET"]
        unread = ["data = decode_data(raw)"]
        lines = [
            "try:",
            "    data = decode(raw)",
            "except unreadable:",
            *_indented(unread),
        ]
        if self.plan.fields is None:
            lines += ["if data is None:", "    data = {}"]
        else:
            self.values["decode"] = _decoder(self.plan.fields)
            short = f"if len(raw) < {_LONG}:"
            lines = [short, *_indented(lines), "else:", *_indented(unread)]
        lines.insert(0, "raw = record.data")
        if self.plan.doubles:
            lines.append(f"data = with_doubles(data, {self.doubles()})")
        return lines

    def doubles(self) -> str:
        """The name of the tree of doubles."""
        return self.named("doubles", self.plan.doubles)

    def body(self) -> list[str]:
        """Conditions, keys and values, then features, then patterns."""
        plan, lines = self.plan, list[str]()
        for index, where in enumerate(plan.wheres, 1):
            lines += self.where(f"is{index}", *where)
        for index, key in enumerate(plan.keys, 1):
            lines += [*self.expression(f"key{index}", *key)[0], f"key{index} = key_of(key{index})"]
        for index, value in enumerate(plan.values, 1):
            lines += self.expression(f"value{index}", *value)[0]
        for feature in plan.features:
            lines += self.feature(feature)
        for number, pattern in enumerate(plan.patterns, 1):
            lines += self.pattern(number, pattern)
        return [*lines, "return candidates" if plan.patterns else "return None"]

    def expression(self, name: str, source: str, function: Any) -> tuple[list[str], bool]:
        """Set ``name`` to what an expression gives, none where it errors. Also whether that is sure
        to be a bool where it does not."""
        call = f"value_of({self.named(f'{name}_of', function)}, {self.event}, traits, {self.now})"
        found = _inline(source, f"{name}_")
        if found is None:
            return [f"{name} = {call}"], False
        self.values.update(found.constants)
        if not found.logic:
            del self.values[f"{name}_of"]
            call = "None"
        work = [f"    w = [{WORK}]"] if found.works else []
        lines = ["try:", *work, f"    {name} = {found.code}", "except failures:"]
        return [*lines, f"    {name} = {call}"], found.boolean and not found.logic

    def where(self, name: str, source: str, function: Any) -> list[str]:
        """Set ``name`` to what a condition says, none, counted, where it errors or is no bool."""
        lines, sure = self.expression(name, source, function)
        if sure:
            return [*lines, "    engine._count_error()"]
        test = f"if {name} is not True and {name} is not False:"
        return [*lines, test, f"    {name} = engine._count_error()"]

    def feature(self, use: FeatureUse) -> list[str]:
        """Add to a feature's window."""
        number = self.number(use.place.slot)
        add = self.named(f"add{number}", use.place.add_key if use.key else use.place.add)
        value = f"value{use.value}" if use.value else "None"
        given = f"key{use.key}, {value}, t, serial" if use.key else f"{value}, t"
        conditions = [_truth(use.where), _usable(use.feature.kind, value) if use.value else "True"]
        conditions.append(f"key{use.key} is not None" if use.key else "True")
        lines = [f"dropped = {add}(features, {given})", "if dropped:"]
        return _under(conditions, [*lines, "    engine._count_dropped(dropped)"])

    def pattern(self, number: int, use: PatternUse) -> list[str]:
        """Step a pattern if the event can move it: begin a match, or touch one under way."""
        ordered = use.program.pattern.ordered
        begin = [_truth(where) for step, where in use.positives if step == 0 or not ordered]
        forbid = [where for _, where in use.gaps]
        forbid += [] if use.trailing is None else [use.trailing]
        touch = [_truth(where) for _, where in use.positives]
        touch += [_truth(where) + " is not False" if where else "True" for where in forbid]
        slot = self.named(f"slot{self.number(use.slot)}", use.slot)
        moved = _any(begin)
        if not set(touch) <= set(begin):
            under_way = f"{slot} in patterns"
            under_way += "" if "True" in touch else f" and ({_any(touch)})"
            moved = f"({moved} or {under_way})" if begin else under_way
        wheres = sorted({where for _, where in (*use.positives, *use.gaps)} | set(forbid))
        name = self.named(f"use{number}", _with_places(use, wheres))
        truths = "".join(f"{_truth(where)}, " for where in wheres)
        doubles = self.doubles()
        whole = "UNSET" if self.plan.fields is not None else "data"
        lines = [
            "if now is None:",
            "    candidates = []",
            f"    now = Occasion(record, time, t, {self.serial}, known_of(subject), {doubles}, {whole}, subject, asks)",
        ]
        if use.advance is single and not use.key:
            end = f"candidates.append(engine._candidate({name}, None, (now.ref(),), now))"
            if self.asked_here(use):
                held = self.judged(use.ask, self.plan.asks[use.ask])
                other = ["else:", *_indented([*lines, f"held = engine._holds({name}, now)"])]
                lines = [
                    "if engine.unmet is None:",
                    *_indented(held),
                    *other,
                    *_under(["held"], [*lines, end]),
                ]
                return _under([moved], lines)
            if use.program.condition is not None:
                lines.append(f"if engine._holds({name}, now):")
                end = f"    {end}"
            return _under([moved], [*lines, end])
        if not use.key:
            return _under([moved], [*lines, f"engine._step({name}, ({truths}), now, candidates)"])
        key = f"key{use.key}"
        step = f"engine._step_of_key({name}, {key}, ({truths}), now, candidates)"
        return _under([moved, f"{key} is not None"], [*lines, step])

    def asked_here(self, use: PatternUse) -> bool:
        """Whether an ``if`` is judged where its pattern stands, without an ``Occasion``: it is asked
        by this pattern alone, and looks at no event."""
        plan = self.plan
        ask = plan.asks[use.ask]
        alone = sum(other.ask == use.ask for other in plan.patterns) == 1
        plain = ask.source is not None and not (ask.reads.event or ask.reads.data)
        return alone and plain and len(plan.asks) <= _ASKS

    def ask(self, index: int, ask: Ask) -> list[str]:
        """The function that says whether an ``if`` holds."""
        if ask.source is None or any(
            use.ask == index and use.advance is single and not use.key and self.asked_here(use)
            for use in self.plan.patterns
        ):
            return [f"ask{index} = None"]
        lines = ["features, t, traits = now.subject.features, now.at, now.traits"]
        lines += ["data = now.data()"] if ask.reads.data or ask.reads.event else []
        lines += ["event = now.event()"] if ask.reads.event else []
        lines += [*self.judged(index, ask), "return held"]
        return [f"def ask{index}(engine, now):", *_indented(lines)]

    def judged(self, index: int, ask: Ask) -> list[str]:
        """Set ``held`` to whether an ``if`` holds."""
        if ask.source is None:
            raise ValueError("an if without its source")
        looks = ask.reads.event or ask.reads.data
        event = "event" if ask.reads.event else '{"data": data}' if looks else "None"
        clock = "clock" if ask.reads.now else "None"
        lines = ["clock = Timestamp(t * 1000)"] if ask.reads.now else []
        variables, values = dict(_VARIABLES), list[str]()
        for place, read in enumerate(ask.features):
            name, number = f"feature{place}", self.number(read.place.slot)
            if read.feature.by is None:
                value = f"{self.named(f'read{number}', read.place.read)}(features, t)"
            else:
                by = self.named(f"by{number}", event_expression(read.feature.by))
                key = f"key_of(value_of({by}, {event}, traits, {clock}))"
                value = f"{self.named(f'read{number}', read.place.read_key)}(features, {key}, t)"
            if ask.source.count(read.name) > 1:
                lines.append(f"{name} = {value}")
                value = name
            variables[f"features.{read.name}"] = value
            values.append(f"{read.name!r}: {value}")
        variables |= {"features": "values", "service": "services"}
        condition = self.named(f"condition{index}", ask.condition)
        values_now = "{" + ", ".join(values) + "}"
        again = f"engine._judge_again({condition}, {event}, traits, {clock}, {values_now})"
        found = inline_expression(ask.source, variables, f"ask{index}_")
        if found is None:
            return [*lines, f"held = {again}"]
        self.values.update(found.constants)
        lines += [f"values = {values_now}"] if "values" in found.code else []
        lines += ["services = engine._force.now.services"] if "services" in found.code else []
        work = [f"    w = [{WORK}]"] if found.works else []
        lines += ["try:", *work, f"    held = {found.code}", "except failures:"]
        return [*lines, f"    held = {again}", *([] if found.boolean else _FAULT)]


def _truth(where: int) -> str:
    return "True" if where == ALWAYS else f"is{where}"


def _any(truths: Sequence[str]) -> str:
    if "True" in truths:
        return "True"
    unique = list(dict.fromkeys(truths))
    return unique[0] if len(unique) == 1 else f"({' or '.join(unique)})"


def _with_places(use: PatternUse, wheres: list[int]) -> PatternUse:
    """``use`` with its conditions' places among ``wheres`` instead of among the plan's."""
    return msgspec.structs.replace(
        use,
        positives=tuple((step, wheres.index(where)) for step, where in use.positives),
        gaps=tuple((gap, wheres.index(where)) for gap, where in use.gaps),
        trailing=None if use.trailing is None else wheres.index(use.trailing),
    )


def _usable(kind: str, value: str) -> str:
    """``features.usable`` as source."""
    cls = f"{value}.__class__"
    if kind in NUMERIC:
        return f"({cls} is int or {cls} is float and {value} - {value} == 0)"
    if kind == "distinct":
        return f"{value} is not None and {cls} is not list and {cls} is not dict"
    return f"{value} is not None"


@lru_cache(maxsize=1024)
def _decoder(fields: tuple[str, ...]) -> Callable[[Any], Any]:
    """What decodes these fields of an object, and nothing where it is no object."""
    named: Any = TypedDict("Data", dict.fromkeys(fields, Any), total=False)  # type: ignore[misc]
    decode: Callable[[Any], Any] = msgspec.json.Decoder(named).decode
    return decode


@lru_cache(maxsize=8192)
def _inline(source: str, prefix: str) -> Inline | None:
    return inline_expression(source, _VARIABLES, prefix)


def _known_of(subject: Any) -> dict[str, Any]:
    ledger = subject.ledger
    return _NOTHING if ledger is None else ledger.traits


def _value_of(function: Any, event: Any, traits: Any, clock: Any) -> Any:
    try:
        return function(event, traits, clock)
    except ExpressionError:
        return None


def _key_of(value: Any) -> str | None:
    if value.__class__ is str:
        return text_key(value)
    try:
        return key_text(value)
    except (ExpressionError, RecursionError):
        return None


_NAMESPACE: Final[dict[str, Any]] = {
    **NAMESPACE,
    "Occasion": Occasion,
    "Timestamp": Timestamp,
    "UNSET": msgspec.UNSET,
    "binding": binding,
    "decode": msgspec.json.Decoder().decode,
    "decode_data": decode_data,
    "dict": dict,
    "float": float,
    "int": int,
    "key_of": _key_of if core.Remembered is None else core.Remembered(_key_of, 65_536).of,
    "len": len,
    "list": list,
    "known_of": _known_of,
    "nothing": _NOTHING,
    "unreadable": (msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    "value_of": _value_of,
    "with_doubles": with_doubles,
}
