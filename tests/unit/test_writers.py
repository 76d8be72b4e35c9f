"""Who may send, by whatever way a key is shown."""

import base64
from pathlib import Path

import pytest

from forestall.ingest.letter import Sender
from forestall.ingest.writers import Writers, credential, internal_key
from forestall.kernel.clock import random_id
from forestall.kernel.settings import WriteKey
from forestall.privacy.keys import VaultLocked


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"authorization": basic("key:")}, {}, "key"),
        ({"authorization": basic("key:password")}, {}, "key"),
        ({"authorization": basic("key")}, {}, "key"),
        ({"authorization": "bearer key "}, {}, "key"),
        ({"x-write-key": "key"}, {}, "key"),
        ({}, {"writeKey": "key"}, "key"),
        ({"x-write-key": "key"}, {"writeKey": "other"}, "key"),
        ({"authorization": "Digest x", "x-write-key": "key"}, {}, "key"),
        ({"authorization": "Basic ?"}, {"writeKey": "key"}, None),
        ({"authorization": "Basic /w=="}, {}, None),
        ({"authorization": "Basic é"}, {}, None),
        ({}, {}, None),
    ],
)
def test_ways_to_show_a_key(
    headers: dict[str, str], query: dict[str, str], found: str | None
) -> None:
    assert credential(headers, query) == found


def test_a_key_says_whose_it_is_and_of_which_origin() -> None:
    writers = Writers(
        [WriteKey("web", "k1", "browser"), WriteKey("shop", "k2", "server")], "internal"
    )
    assert writers.find("k1") == Sender("web", "browser")
    assert writers.find("k2") == Sender("shop", "server")
    assert writers.find("internal") == Sender("forestall", "server", internal=True)
    for wrong in (None, "", "k", "k11", "\udcff"):
        assert writers.find(wrong) is None


def test_an_empty_key_in_the_settings_lets_nobody_in() -> None:
    writers = Writers([WriteKey("oops", "", "server")], "internal")
    assert writers.find("") is writers.find(None) is None


def test_the_internal_key_is_made_once(tmp_path: Path) -> None:
    with pytest.raises(VaultLocked):
        internal_key(tmp_path, random_id)
    key = internal_key(tmp_path, random_id, create=True)
    assert internal_key(tmp_path, random_id) == key
    assert len(key) == 64
