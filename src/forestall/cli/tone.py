"""``forestall tone`` and ``forestall mask``: what is made of a customer's words before a model is."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import AsJson, echo_json
from forestall.context.tone import Mood, Signs
from forestall.context.tone import mood as mood_of
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import SECOND, parse_duration

_LONGEST_LINE = 1_000_000
"""Bytes of a line of ``--batch``."""

Batch = Annotated[
    Path | None,
    typer.Option(
        "--batch", metavar="FILE", help="Lines of JSON instead, one answer each; - for stdin."
    ),
]


def _seconds(waited: float | str) -> int:
    """Seconds, from as many or from a duration. Raises ``ValueError``."""
    if isinstance(waited, str) and not waited.isdecimal():
        return parse_duration(waited) // SECOND
    return int(waited)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``forestall tone --batch``: the ``words`` of a customer, oldest first, or one
    ``text``; ``waiting`` is seconds, or a duration such as ``40s``. Other fields are left alone."""

    text: str | None = None
    words: tuple[str, ...] = ()
    failures: Annotated[int, msgspec.Meta(ge=0)] = 0
    repetitions: Annotated[int, msgspec.Meta(ge=0)] = 0
    waiting: Annotated[float, msgspec.Meta(ge=0)] | str = 0

    @property
    def mood(self) -> Mood:
        """The mood that the line tells. Raises ``ValueError`` for what is no duration."""
        texts = self.words if self.text is None else (*self.words, self.text)
        signs = Signs(
            repetitions=self.repetitions, failures=self.failures, waiting=_seconds(self.waiting)
        )
        return mood_of(texts, signs)


def tone(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="What the customer wrote, oldest first."),
    ] = None,
    failures: Annotated[int, typer.Option(min=0, help="How often something failed.")] = 0,
    repetitions: Annotated[
        int, typer.Option(min=0, help="How often they tried the same again.")
    ] = 0,
    waiting: Annotated[
        str, typer.Option(metavar="DURATION", help="How long they have waited, such as 40s.")
    ] = "0s",
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Say how upset a customer seems, and whether a person should take over at once.

    Lines of --batch are {"text": ...} or {"words": [...]}, with "failures", "repetitions" and
    "waiting" where known.
    """
    if batch is not None and texts:
        raise UnreadableInput("give either texts or --batch FILE, not both")
    if batch is not None:
        for number, line in _lines(batch, Said):
            try:
                echo_json(_shown(line.mood))
            except ValueError as error:
                raise UnreadableInput(f"{batch}:{number}: {error}") from None
        return
    try:
        seconds = _seconds(waiting)
    except ValueError as error:
        raise UnreadableInput(f"--waiting: {error}") from None
    signs = Signs(repetitions=repetitions, failures=failures, waiting=seconds)
    if not texts and signs == Signs():
        raise UnreadableInput('say what the customer wrote: forestall tone "It fails again!"')
    found = mood_of(texts or (), signs)
    if as_json:
        echo_json(_shown(found))
        return
    kinds = f", vulnerable: {', '.join(found.vulnerable)}" if found.vulnerable else ""
    typer.echo(
        f"{found.level}{kinds}; {'a person, at once' if found.to_person else 'no person yet'}"
    )
    for reason in found.why:
        typer.echo(f"  {reason}")


def _shown(found: Mood) -> dict[str, Any]:
    return {
        "level": found.level,
        "vulnerable": found.vulnerable,
        "to_person": found.to_person,
        "why": found.why,
    }


def mask(
    text: Annotated[
        str | None, typer.Argument(help="A text, or - for the standard input.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Show a text as a model would see it: placeholders for what is personal.

    With --json what is hidden is named, with its kind and place. Lines of --batch are any JSON.
    """
    from forestall.privacy.masking import Masks, finder

    if batch is not None and text is not None:
        raise UnreadableInput("give either a text or --batch FILE, not both")
    find = finder(settings_for(config).privacy.find)
    if batch is not None:
        for number, value in _lines(batch, Any):
            masks = Masks(find)
            try:
                echo_json({"hidden": masks.hide(value), "known": masks.known})
            except RecursionError:
                raise UnreadableInput(f"{batch}:{number}: nested too deep") from None
        return
    if text is None:
        raise UnreadableInput("give a text, or - to read the standard input")
    given = _standard_input() if text == "-" else text
    masks = Masks(find)
    hidden = masks.hide(given)
    if as_json:
        found = [
            {
                "kind": one.kind,
                "start": one.start,
                "end": one.end,
                "text": given[one.start : one.end],
            }
            for one in find(given)
        ]
        echo_json({"hidden": hidden, "known": masks.known, "found": found})
    else:
        typer.echo(hidden)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"-: not UTF-8 text from byte {error.start} on") from None


def _lines(batch: Path, kind: Any) -> Iterator[tuple[int, Any]]:
    """The lines of ``batch`` with their numbers. Raises ``UnreadableInput``."""
    decoder = msgspec.json.Decoder(kind)
    try:
        with nullcontext(sys.stdin.buffer) if str(batch) == "-" else batch.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 1):
                if len(line) > _LONGEST_LINE:
                    raise UnreadableInput(f"{batch}:{number}: longer than {_LONGEST_LINE} bytes")
                if line.strip():
                    yield number, _decoded(decoder, batch, number, line)
    except OSError as error:
        raise UnreadableInput(f"{batch}: {error.strerror}") from None


def _decoded(decoder: Any, batch: Path, number: int, line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableInput(f"{batch}:{number}: {error}") from None
