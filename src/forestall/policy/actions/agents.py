"""Agents from YAML: a Python function, or instructions with all that is granted."""

from typing import Any, cast, get_args

from forestall.contracts.instants import SECOND
from forestall.contracts.nearest import did_you_mean
from forestall.policy.actions.model import (
    Agent,
    Budget,
    Fallback,
    Function,
    Grant,
    Promise,
    Risk,
    Topics,
)
from forestall.policy.actions.parts import (
    FIELD,
    LONGEST_TIMEOUT,
    expressions,
    input_schema,
    object_schema,
    pointers,
    timeout_of,
    way_of,
)
from forestall.policy.language.document import Mapping, Scalar
from forestall.policy.language.reader import Fields, describe, one_of

MOODS = ("failures", "repetitions", "waiting")
_BY_INSTRUCTIONS = (
    "purpose", "instructions", "model", "knowledge", "lookups", "actions", "promises", "risk",
    "mood", "confidence", "budget", "fallback",
)  # fmt: skip
AGENT = ("input", "output", "timeout", "python", *_BY_INSTRUCTIONS)
_SEES = ("arguments", "fields")
MOST_WORDS = 20_000
"""Characters of the longest instructions."""
_MOST_TOKENS = 10_000_000


def _called(name: str) -> str:
    return f"the agent `{name}`" if name else "the agent"


def read_agent(name: str, title: str, spec: Fields) -> Agent:
    """The agent that ``spec`` declares. Every mistake is noted in its source."""
    if "python" in spec:
        return _function(name, title, spec)
    if "instructions" not in spec and not spec.misspelt("instructions", "python"):
        message = f"{_called(name)} needs `instructions` or `python`"
        hint = "write what a language model is to do, or name a function that decides"
        spec.source.fail(spec.node.place, "missing-key", message, hint)
    if "purpose" not in spec and not spec.misspelt("purpose"):
        message = f"{_called(name)} lacks `purpose`"
        hint = "say in a sentence what it is for"
        spec.source.fail(spec.node.place, "missing-key", message, hint)
    if "timeout" in spec:
        spec.fail("timeout", "bad-value", "write the time in `budget`, as `time`")
    budget = _budget(spec)
    instructions, prompt = _instructions(spec)
    schema = _fields(spec)
    return Agent(
        name=name,
        title=title,
        input=input_schema(spec),
        output={field: f"/{field}" for field in (schema or {}).get("properties", {})},
        timeout=budget.time,
        purpose=spec.text("purpose", ""),
        instructions=instructions,
        prompt=prompt,
        model=spec.text("model", None),
        schema=schema,
        knowledge=_topics(spec),
        lookups=_grants(spec, "lookups", "lookup"),
        actions=_grants(spec, "actions", "action"),
        promises=_promises(spec),
        risk=cast("Risk", spec.choice("risk", Risk, "medium")),
        mood=_mood(spec),
        confidence=spec.fraction("confidence", 0.6),
        budget=budget,
        fallback=cast("Fallback", spec.choice("fallback", Fallback, "compose")),
    )


def _instructions(spec: Fields) -> tuple[str, str | None]:
    """The text, or none and the name of the prompt whose text it is."""
    entry = spec.node.entries.get("instructions")
    if entry is not None and isinstance(entry.value, Mapping):
        named = spec.fields("instructions")
        if named is None:
            return "", None
        named.allow(("prompt",), {})
        named.require("prompt")
        return "", named.text("prompt", None)
    text = spec.text("instructions", "")
    if len(text) > MOST_WORDS:
        message = f"`instructions` are longer than {MOST_WORDS:,} characters"
        spec.fail("instructions", "too-large", message)
    return text, None


def _function(name: str, title: str, spec: Fields) -> Agent:
    for key in _BY_INSTRUCTIONS:
        if key in spec:
            message = (
                f"`{key}` is for agents by instructions, and this one is a function (`python`)"
            )
            spec.fail(key, "bad-value", message)
    if "output" not in spec and not spec.misspelt("output"):
        spec.source.fail(spec.node.place, "missing-key", f"{_called(name)} lacks `output`")
    way = way_of(spec, ("arguments",))
    return Agent(
        name=name,
        title=title,
        input=input_schema(spec),
        output=pointers(spec),
        way=way if isinstance(way, Function) else Function(call=""),
        timeout=timeout_of(spec, 20 * SECOND),
    )


def _fields(spec: Fields) -> dict[str, Any] | None:
    """The schema of the fields that it fills, with a name for each."""
    schema = object_schema(spec, "output")
    fields = spec.fields("output")
    if schema is None or fields is None:
        return None
    named = fields.fields("properties")
    if named is None or not named.node.entries:
        message = "`output` names no field: write each under `properties`"
        fields.source.fail(fields.node.place, "bad-schema", message)
        return None
    for field, entry in named.node.entries.items():
        if not FIELD.fullmatch(field):
            message = f"`{field[:80]}` is no name of a field: letters, digits and _"
            fields.source.fail(entry.place, "bad-name", message)
    return schema


def _topics(spec: Fields) -> Topics | None:
    fields = spec.fields("knowledge")
    if fields is None:
        return None
    fields.allow(("products", "passages"), {})
    return Topics(
        products=_words(fields, "products"),
        passages=fields.whole("passages", 4, 1, 20),
    )


def _grants(spec: Fields, key: str, kind: str) -> tuple[Grant, ...]:
    found: dict[str, Grant] = {}
    for fields in spec.each(key):
        fields.allow((kind, "with", "chooses"), {})
        fields.require(kind)
        name = fields.text(kind, "")
        grant = Grant(
            name=name,
            arguments=expressions(fields, _SEES) or {},
            chooses=_words(fields, "chooses"),
        )
        if name in found:
            fields.fail(kind, "duplicate-name", f"the {kind} `{name}` is granted already")
        elif name:
            found[name] = grant
    return tuple(found.values())


def _promises(spec: Fields) -> tuple[Promise, ...]:
    words = get_args(Promise)
    found = _words(spec, "promises")
    for node in spec.items("promises"):
        word = node.value if isinstance(node, Scalar) else None
        if isinstance(word, str) and word not in words:
            message = f"`promises` are of {one_of(words)}, not `{word[:40]}`"
            spec.source.fail(node.place, "bad-value", message, did_you_mean(word, words))
    return cast("tuple[Promise, ...]", found)


def _mood(spec: Fields) -> dict[str, str]:
    fields = spec.fields("mood")
    if fields is None:
        return {}
    fields.allow(MOODS, {})
    return {
        name: fields.expression(name, ("arguments",)) or "0"
        for name in fields.node.entries
        if name in MOODS
    }


def _budget(spec: Fields) -> Budget:
    fields = spec.fields("budget")
    if fields is None:
        return Budget()
    fields.allow(("steps", "time", "tokens", "money"), {})
    usual = Budget()
    time = fields.duration("time", usual.time)
    if not 0 < time <= LONGEST_TIMEOUT:
        fields.fail("time", "bad-duration", f"`{fields.at('time')}` must lie between 1ms and 5m")
    return Budget(
        steps=fields.whole("steps", usual.steps, 1, 20),
        time=time,
        tokens=fields.whole("tokens", usual.tokens, 100, _MOST_TOKENS),
        money=_money(fields),
    )


def _money(fields: Fields) -> float | None:
    entry = fields.node.entries.get("money")
    if entry is None:
        return None
    value = entry.value.value if isinstance(entry.value, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        message = f"`{fields.at('money')}` must be an amount above 0, not {describe(entry.value)}"
        fields.fail("money", "bad-value", message)
        return None
    return float(value)


def _words(fields: Fields, key: str) -> tuple[str, ...]:
    """The texts of a list, each once."""
    found: list[str] = []
    for node in fields.items(key):
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, str) or not value.strip():
            shown = describe(node) if not isinstance(node, Mapping) else "a mapping"
            message = f"`{fields.at(key)}` lists words, and {shown} is none"
            fields.source.fail(node.place, "wrong-type", message)
        elif value in found:
            message = f"`{fields.at(key)}` has `{value[:80]}` twice"
            fields.source.fail(node.place, "duplicate-name", message)
        else:
            found.append(value)
    return tuple(found)
