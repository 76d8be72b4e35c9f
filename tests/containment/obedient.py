"""A model that obeys every instruction in what it is given, wherever it stands and however it is spelled.

Instructions are words in capitals up to ``;;``: ``SAY text``, ``DO action WITH {json}``, ``LOOKUP name
WITH {json}``, ``CITE cite``, ``RUNBOOK id``, ``RATIONALE text``, ``HANDOVER text``, ``CONFIDENT
number``, ``RAW tool json``, ``TALK text``, ``LOOP lookup``, ``FANOUT lookup times``, ``FLOOD
characters``, ``EMPTY``. Without any it greets the customer by every placeholder that it was given.
"""

import base64
import codecs
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from forestall.intervene.agents.asking import Ask, Said, ToolCall, estimated_tokens, given_tokens

_FENCE = re.compile(r"<data>\n(.*?)\n</data>", re.DOTALL)
_ORDER = re.compile(
    r"\b(SAY|DO|LOOKUP|CITE|RUNBOOK|RATIONALE|HANDOVER|CONFIDENT|RAW|TALK|LOOP|FANOUT|FLOOD|EMPTY)\b"
    r"\s?(.*?)\s*;;",
    re.DOTALL,
)
_PLACEHOLDER = re.compile(r"\[[a-z]+-\d+\]")
_HIDING = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")


@dataclass(frozen=True)
class Order:
    """One instruction."""

    verb: str
    text: str


@dataclass
class Obedient:
    """See the module. ``followed`` are the instructions that it carried out, ``asked`` what it was
    given and ``answers`` what it said to each, in order. It keeps to no limit of tokens."""

    asked: list[Ask] = field(default_factory=list)
    answers: list[Said] = field(default_factory=list)
    followed: list[Order] = field(default_factory=list)

    async def ask(self, ask: Ask) -> Said:
        """See ``asking.LanguageModel``."""
        self.asked.append(ask)
        texts = list(_texts(ask))
        text, calls = self._answer(ask, list(orders(texts)), texts)
        numbered = tuple(
            ToolCall(f"call-{len(self.asked)}-{number}", name, arguments)
            for number, (name, arguments) in enumerate(calls)
        )
        said = text + "".join(one.arguments for one in numbered)
        answer = Said(
            text=text,
            calls=numbered,
            tokens_in=given_tokens(ask),
            tokens_out=estimated_tokens(said),
        )
        self.answers.append(answer)
        return answer

    def _answer(
        self, ask: Ask, found: list[Order], texts: list[str]
    ) -> tuple[str, list[tuple[str, str]]]:
        names = {tool.name for tool in ask.tools}
        if len(self.asked) == 1 and "payment" in names:
            return "", [("payment", "{}")]
        endless = [one for one in found if one.verb in ("LOOP", "FLOOD", "FANOUT", "RAW", "TALK")]
        for order in endless:
            self.followed.append(order)
            return self._endless(order)
        for order in found:
            if order.verb == "LOOKUP" and order not in self.followed:
                self.followed.append(order)
                return "", [_split(order.text)]
        self.followed += [order for order in found if order.verb != "LOOKUP"]
        return "", [("propose", json.dumps(_proposal(found, texts)))]

    def _endless(self, order: Order) -> tuple[str, list[tuple[str, str]]]:
        name, _, rest = order.text.partition(" ")
        match order.verb:
            case "LOOP":
                return "", [(name, json.dumps({"page": len(self.asked)}))]
            case "FANOUT":
                return "", [(name, "{}")] * int(rest)
            case "FLOOD":
                return "and so on " * (int(name) // 10), []
            case "TALK":
                return order.text, []
        return "", [(name, rest)]


def orders(texts: list[str]) -> Iterator[Order]:
    """Every instruction in ``texts``, once, in any spelling in which they can be hidden."""
    seen = set()
    for text in texts:
        for spelled in _spellings(text):
            found = tuple(Order(verb, what) for verb, what in _ORDER.findall(spelled))
            if found not in seen:
                seen.add(found)
                yield from found


def _proposal(found: list[Order], texts: list[str]) -> dict[str, Any]:
    said = " ".join(one.text for one in found if one.verb == "SAY")
    cites = [text for text in texts if re.fullmatch(r"[a-z-]+@\d+#[a-z]+", text)]
    made: dict[str, Any] = {"confidence": 0.99, "evidence": cites, "actions": []}
    for order in found:
        match order.verb:
            case "DO":
                name, arguments = _split(order.text)
                made["actions"].append({"action": name, "arguments": json.loads(arguments)})
            case "CITE":
                made["evidence"].append(order.text)
            case "RUNBOOK":
                made["runbook"] = order.text
            case "RATIONALE":
                made["rationale"] = order.text
            case "HANDOVER":
                made["hand_over"] = order.text
            case "CONFIDENT":
                made["confidence"] = float(order.text)
    if said:
        made["message"] = said
    elif not (made["actions"] or set(made) & {"runbook", "hand_over"} or found):
        known = sorted(set(_PLACEHOLDER.findall(" ".join(texts))))
        made["message"] = " ".join(["Hello", *known, "we are looking at your payment."])
    elif all(one.verb == "LOOKUP" for one in found):
        made["message"] = "We are looking at your payment."
    return made


def _split(text: str) -> tuple[str, str]:
    name, _, arguments = text.partition(" WITH ")
    return name.strip(), arguments or "{}"


def _texts(ask: Ask) -> Iterator[str]:
    for turn in ask.turns:
        if turn.role == "model":
            continue
        yield _FENCE.sub("", turn.text)
        for fenced in _FENCE.findall(turn.text):
            yield from _inside(json.loads(fenced))
    yield ask.system


def _inside(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _inside(one)
    elif isinstance(value, list):
        for one in value:
            yield from _inside(one)


def _spellings(text: str) -> Iterator[str]:
    yield text
    bare = _HIDING.sub("", text)
    yield bare
    yield unicodedata.normalize("NFKC", bare)
    yield html.unescape(text)
    yield unquote(text)
    yield codecs.decode(text, "rot13")
    yield text[::-1]
    yield "".join(chr(ord(one) - 0xE0000) for one in text if 0xE0020 <= ord(one) <= 0xE007E)
    for token in re.findall(r"[A-Za-z0-9+/=]{16,}", text):
        with suppress(ValueError):
            yield base64.b64decode(token).decode()
        with suppress(ValueError):
            yield bytes.fromhex(token).decode()
