"""The benchmark of retrieval: reading collections, judging rankings, writing tables."""

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.figures import Figure, summarise
from benchmarks.machine import Machine
from benchmarks.retrieval.__main__ import Retrieval, markdown
from benchmarks.retrieval.asking import ask
from benchmarks.retrieval.collections import Collection, Pair, for_choosing, for_results
from benchmarks.retrieval.scores import difference, quality
from forestall.context.knowledge.embeddings import load_embeddings

ENOUGH = "It takes forty characters for an answer to be kept. "


def package(path: Path, files: Mapping[str, bytes]) -> None:
    """A Debian package, as ``ar`` and ``tar`` make it."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    data = lzma.compress(inner.getvalue())
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data)]
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members:
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))


def debian_faq(title: str) -> bytes:
    text = (
        f"1. Contents\n\n2. {title}\n\n2.1. What is\n    this?\n\n    {ENOUGH}\n\n"
        f"2.2. And\xa0what is that?\n\n    That is long. {ENOUGH}\n"
    ).replace("\n    this?", " this?")
    return gzip.compress(text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, language in (("debian-faq", "en"), ("debian-faq-de", "de")):
        path = f"./usr/share/doc/debian/FAQ/debian-faq.{language}.txt.gz"
        package(tmp_path / f"{name}_1_all.deb", {path: debian_faq("Basics")})
    page = (
        '<h3 class="section">2.1 What is <acronym>R</acronym>?</h3>\n'
        f"<p>A language. {ENOUGH}</p><hr>menu"
        f'<h4 class="subsection">2.1.1 Why &amp; how?</h4><p>So. {ENOUGH}</p><h2>3 More</h2>'
    )
    package(
        tmp_path / "r-doc-html_1_all.deb", {"./usr/share/R/doc/manual/R-FAQ.html": page.encode()}
    )
    pod = (
        "=head1 NAME\n\nperlfaq1\n\n=head2 What is C<x E<lt> y>?\nX<x, less than y>\n\n"
        f"It B<compares>. {ENOUGH}\n\n=over 4\n\n=head1 AUTHOR\n\nSomebody\n"
    )
    package(tmp_path / "perl-doc_1_all.deb", {"./usr/share/perl/5/pod/perlfaq1.pod": pod.encode()})
    questions = [
        {"q": "How high?", "a": f"Four  metres. {ENOUGH}"},
        {"q": "How short?", "a": "Too short."},
        {"q": "How high again?", "a": f"Four metres. {ENOUGH}"},
    ]
    with zipfile.ZipFile(tmp_path / "zaragoza_construction_faq-1-py3-none-any.whl", "w") as wheel:
        for name in ("faq.json", "faq-en.json"):
            wheel.writestr(
                f"zaragoza_construction_faq/data/{name}", json.dumps({"questions": questions})
            )
    return tmp_path


def test_the_collections_for_choosing_are_read(folder: Path) -> None:
    english, german, r_faq = for_choosing(folder)
    assert english.language == "en"
    assert german.language == "de"
    assert english.pairs == german.pairs
    assert [pair.question for pair in english.pairs] == ["What is this?", "And what is that?"]
    assert english.pairs[1].answer.startswith("That is long.")
    assert [pair.question for pair in r_faq.pairs] == ["What is R ?", "Why & how?"]
    assert [pair.answer.split(".")[0] for pair in r_faq.pairs] == ["A language", "So"]
    assert "menu" not in r_faq.pairs[0].answer


def test_the_collections_for_results_are_read(folder: Path) -> None:
    perl, construction, swedish = for_results(folder)
    assert perl.pairs == (Pair("What is x < y?", f"It compares. {ENOUGH.strip()}"),)
    assert construction.pairs == (Pair("How high?", f"Four metres. {ENOUGH.strip()}"),)
    assert (swedish.language, swedish.pairs) == ("sv", construction.pairs)


def test_answers_are_searched_without_their_questions() -> None:
    collection = Collection("x", "en", "none", (Pair("Why so?", "Because of this."),))
    (passage,) = collection.passages()
    assert (passage.cite, passage.title, passage.text) == ("answer@1#0", "", "Because of this.")
    assert "Why" not in repr(passage)


def test_recall_and_reciprocal_ranks_are_means_over_questions() -> None:
    found = quality([1, 2, 5, 10, None])
    assert found.recall_1.mean == pytest.approx(0.2)
    assert found.recall_5.mean == pytest.approx(0.6)
    assert found.mrr.mean == pytest.approx((1 + 1 / 2 + 1 / 5 + 1 / 10) / 5)


def test_an_interval_holds_its_mean_and_narrows_with_questions() -> None:
    few, many = quality([1, None] * 10), quality([1, None] * 500)
    assert few.recall_1.low < few.recall_1.mean == 0.5 < few.recall_1.high
    assert many.recall_1.high - many.recall_1.low < few.recall_1.high - few.recall_1.low
    assert many.recall_1.low == pytest.approx(0.469, abs=0.003)
    assert many.recall_1.high == pytest.approx(0.531, abs=0.003)


def test_an_interval_is_the_same_each_time() -> None:
    assert quality([1, 3, None, 7]) == quality([1, 3, None, 7])


def test_a_difference_is_taken_question_by_question() -> None:
    same = difference([1, None, 4], [1, None, 4])
    assert (same.recall_1.low, same.recall_1.mean, same.recall_1.high) == (0, 0, 0)
    better = difference([1, 1, 1], [2, 2, 2])
    assert (better.recall_1.low, better.mrr.mean) == (1, 0.5)


def test_a_difference_is_of_the_same_questions() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        difference([1, 2], [1])


def test_a_library_is_asked_and_the_tables_tell() -> None:
    pytest.importorskip("wordllama")
    cakes = Collection(
        "cakes",
        "en",
        "none",
        (
            Pair("How long is a cake in the oven?", "A cake stays in the oven for an hour."),
            Pair("Which flour is best?", "Take wheat flour, finely ground."),
        ),
    )
    boats = Collection("boats", "en", "none", (Pair("Where is the anchor?", "At the bow."),))
    bateaux = Collection("bateaux", "fr", "none", (Pair("Quelle ancre ?", "Une ancre en acier."),))
    findings = [ask(one, [cakes, boats, bateaux], load_embeddings()) for one in (cakes, bateaux)]
    assert findings[0].words.recall_1.mean == 1
    assert findings[0].fused is not None
    assert (findings[0].unanswered, findings[0].foreign, findings[0].refused) == (0, 1, 1)
    assert (findings[1].fused, findings[1].foreign) == (None, 0)
    machine = Machine("cpu", 2, 4.0, "6", "CPython", "3")
    speed = summarise("retrieval", [[Figure("a search", 6.0, "ms", at_most=5)]])
    table = markdown(Retrieval(machine, 1, findings, speed))
    assert "| cakes, en | 2 | words (BM25) | 1.000 (1.000 to 1.000) |" in table
    assert "| cakes, en | 2 | gained by fusion | +0.000" in table
    assert "| bateaux, fr | 1 | words, and" not in table
    assert "| cakes, en | 0.0% of 2 | 1 | 100.0% |" in table
    assert "| a search | 6 ms (6 to 6) | at most 5 | **no** |" in table
