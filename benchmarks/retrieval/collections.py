"""The collections: lists of frequently asked questions whose answers people wrote.

Each question is asked in its own words; what is searched are the answers, without the questions,
so that nothing is found by being asked for word by word.
"""

import gzip
import html
import io
import json
import lzma
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from forestall.context.knowledge.passages import Passage


class Pair(msgspec.Struct, frozen=True):
    """A question, and the answer that it has."""

    question: str
    answer: str


class Collection(msgspec.Struct, frozen=True):
    """Questions and answers on one subject in one language (two letters), with their licence."""

    name: str
    language: str
    licence: str
    pairs: tuple[Pair, ...]

    def passages(self) -> list[Passage]:
        """The answers as passages, each cited by its number: ``answer@1#17``."""
        return [
            Passage(
                cite=f"answer@1#{number}",
                runbook="answer",
                version=1,
                section=str(number),
                title="",
                text=pair.answer,
                language=self.language,
            )
            for number, pair in enumerate(self.pairs)
        ]


def for_choosing(folder: Path) -> list[Collection]:
    """Those on which boosts and limits were chosen; their figures are not reported as results."""
    return [
        _collection("Debian FAQ", "en", "GPL-2+", _debian_faq(folder, "debian-faq", "en")),
        _collection("Debian FAQ", "de", "GPL-2+", _debian_faq(folder, "debian-faq-de", "de")),
        _collection("R FAQ", "en", "GPL-2+", _r_faq(folder)),
    ]


def for_results(folder: Path) -> list[Collection]:
    """Those whose figures are reported. Nothing was chosen by them."""
    return [
        _collection("Perl FAQ", "en", "Artistic or GPL-1+", _perl_faq(folder)),
        _collection("construction FAQ", "en", "CC-BY-4.0", _construction(folder, "faq-en.json")),
        _collection("construction FAQ", "sv", "CC-BY-4.0", _construction(folder, "faq.json")),
    ]


def _collection(name: str, language: str, licence: str, pairs: Iterator[Pair]) -> Collection:
    """Without answers that are too short to say anything, and without twins."""
    kept: dict[str, Pair] = {}
    for pair in pairs:
        if len(pair.answer) >= 40 and pair.question:
            kept.setdefault(pair.answer, pair)
    return Collection(name, language, licence, tuple(kept.values()))


def _construction(folder: Path, name: str) -> Iterator[Pair]:
    (wheel,) = folder.glob("zaragoza_construction_faq-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = json.loads(archive.read(f"zaragoza_construction_faq/data/{name}"))
    for entry in found["questions"]:
        yield Pair(_one_line(entry["q"]), _one_line(entry["a"]))


def _perl_faq(folder: Path) -> Iterator[Pair]:
    files = _files(folder, "perl-doc", re.compile(r".*/pod/perlfaq[1-9]\.pod").fullmatch)
    for _, content in sorted(files.items()):
        for part in re.split(r"^=head2 ", content.decode(), flags=re.MULTILINE)[1:]:
            question, _, rest = part.partition("\n")
            answer = re.split(r"^=head1 ", rest, flags=re.MULTILINE)[0]
            answer = re.sub(r"^=\w+.*$", " ", answer, flags=re.MULTILINE)
            yield Pair(_pod(question), _pod(answer))


def _debian_faq(folder: Path, package: str, language: str) -> Iterator[Pair]:
    path = f"./usr/share/doc/debian/FAQ/debian-faq.{language}.txt.gz"
    text = gzip.decompress(_files(folder, package, path.__eq__)[path]).decode()
    heading = re.compile(r"^\d+\.\d+\.\s(.+(?:\n[^\s\d].*)*)\n\n", re.MULTILINE)
    found = list(heading.finditer(text))
    for this, after in zip(found, [*found[1:], None], strict=True):
        answer = text[this.end() : after.start() if after else len(text)]
        yield Pair(_one_line(this[1]), _one_line(answer))


def _r_faq(folder: Path) -> Iterator[Pair]:
    path = "./usr/share/R/doc/manual/R-FAQ.html"
    page = _files(folder, "r-doc-html", path.__eq__)[path].decode()
    for part in re.split(r"<h[34] class=\"(?:sub)?section\">[\d.]+ ", page)[1:]:
        question, _, rest = part.partition("</h")
        answer = re.split(r"<hr|<h2|<div class=\"header", rest.partition(">")[2])[0]
        yield Pair(_plain(question), _plain(answer))


def _plain(page: str) -> str:
    return _one_line(html.unescape(re.sub(r"<[^>]+>", " ", page)))


def _pod(text: str) -> str:
    text = re.sub(r"X<[^>]*>", "", text)
    text = re.sub(r"E<(lt|gt|amp|quot)>", r"&\1;", text)
    for _ in range(3):
        text = re.sub(r"[BCFILS]<+ ?([^<>]*?) ?>+", r"\1", text)
    return _one_line(html.unescape(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _files(folder: Path, package: str, wanted: Callable[[str], object]) -> Mapping[str, bytes]:
    """The wanted files of a Debian package: an ``ar`` archive with a tar archive in it."""
    (path,) = folder.glob(f"{package}_*.deb")
    content, place = path.read_bytes(), 8
    while not content[place:].startswith(b"data.tar.xz"):
        place += 60 + (int(content[place + 48 : place + 58]) + 1) // 2 * 2
    data = lzma.decompress(content[place + 60 :][: int(content[place + 48 : place + 58])])
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            taken = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if taken is not None:
                found[member.name] = taken.read()
    return found
