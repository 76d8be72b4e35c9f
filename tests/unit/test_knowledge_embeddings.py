import importlib.util
import logging
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from forestall.context.knowledge.embeddings import (
    BATCH,
    Embeddings,
    EmbeddingsMissing,
    Meanings,
    load_embeddings,
)

LOADS = """
import logging, socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("the network was touched")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
before = list(logging.getLogger().handlers), logging.getLogger().level
from forestall.context.knowledge.embeddings import Meanings, load_embeddings
assert "wordllama" not in sys.modules
near = Meanings(load_embeddings(), ["the parcel is late", "a cake"]).near("delivery of a package")
assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
print(near[0] > near[1])
"""


class Letters:
    """Cuts texts into letters, a row each."""

    def no_padding(self) -> None: ...

    def no_truncation(self) -> None: ...

    def encode_batch(self, texts: list[str], **_: Any) -> list[SimpleNamespace]:
        return [SimpleNamespace(ids=[ord(one) - ord("a") for one in text]) for text in texts]


@pytest.fixture
def letters() -> Embeddings:
    return Embeddings(np.eye(4, dtype=np.float32), Letters())


def test_a_text_is_nearest_to_itself(letters: Embeddings) -> None:
    near = Meanings(letters, ["ab", "bc", "cd"]).near("bc")
    assert near[1] == pytest.approx(1)
    assert near.argmax() == 1


def test_what_has_no_piece_in_common_is_not_near(letters: Embeddings) -> None:
    assert Meanings(letters, ["ab"]).near("cd")[0] == 0


def test_a_text_without_a_piece_is_near_to_nothing(letters: Embeddings) -> None:
    meanings = Meanings(letters, ["", "ab"])
    assert meanings.near("").tolist() == [0, 0]
    assert meanings.near("ab")[0] == 0


def test_a_rare_piece_tells_more_than_a_common_one(letters: Embeddings) -> None:
    near = Meanings(letters, ["ab", "ac", "ad"]).near("ab")
    assert near[0] > near[1] == near[2]
    assert near[1] < 0.5


def test_a_piece_that_repeats_tells_less_than_proportionally(letters: Embeddings) -> None:
    meanings = Meanings(letters, ["ab"])
    assert meanings.near("ab")[0] > meanings.near("aaaab")[0] > 0.8


def test_pieces_beyond_the_table_are_its_last_row(letters: Embeddings) -> None:
    ((rows, times),) = letters.pieces(["zd"])
    assert rows.tolist() == [3]
    assert times.tolist() == [2]


def test_many_texts_are_cut_in_their_order(letters: Embeddings) -> None:
    texts = [number % 2 * "b" + "a" for number in range(3 * BATCH + 1)]
    assert [len(rows) for rows, _ in letters.pieces(texts)] == [len(text) for text in texts]


def test_a_library_without_texts_has_nothing_near(letters: Embeddings) -> None:
    assert Meanings(letters, []).near("ab").shape == (0,)


def test_the_packages_own_vectors_load_without_network_or_logging() -> None:
    pytest.importorskip("wordllama")
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_vectors_know_what_customers_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wordllama")

    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    texts = ["how to close your account", "delivery takes three days", "paying with a card"]
    near = Meanings(load_embeddings(), texts).near("when will my parcel arrive")
    assert near.argmax() == 1


def test_a_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddingsMissing, match=r"forestall\[embeddings\]") as caught:
        load_embeddings.__wrapped__()
    assert caught.value.code == "embeddings-missing"
    assert caught.value.exit_code == 2


def test_a_package_without_its_vectors_is_told_and_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wordllama = pytest.importorskip("wordllama")

    def missing(**options: Any) -> None:
        assert options["disable_download"] is True
        raise FileNotFoundError("weights")

    monkeypatch.setattr(wordllama.WordLlama, "load", missing)
    level = logging.getLogger().level
    with pytest.raises(EmbeddingsMissing, match="without its vectors"):
        load_embeddings.__wrapped__()
    assert logging.getLogger().level == level
    assert list(tmp_path.iterdir()) == []
