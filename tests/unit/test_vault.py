"""The vault: sealed under the right key, forgotten for good."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from forestall.kernel.clock import random_id
from forestall.kernel.database.files import open_database
from forestall.privacy.keys import Box, Keys, VaultLocked, load_keys, load_secret
from forestall.privacy.vault import Identity, Person, Recent, Vault


def vault(path: Path, keys: Keys | None = None) -> tuple[Vault, sqlite3.Connection]:
    connection = open_database(path / "v.db")
    found = Vault(connection, keys or Keys(b"m" * 32), random_id)
    found.lay()
    return found, connection


@contextmanager
def opened(path: Path) -> Iterator[tuple[Vault, sqlite3.Connection]]:
    own, connection = vault(path)
    yield own, connection
    connection.close()


def test_an_id_resolves_to_the_pseudonym_it_was_given(tmp_path: Path) -> None:
    own, connection = vault(tmp_path)
    pseudonym = own.assign("user", "ada")
    assert own.resolve("user", "ada") == pseudonym
    assert own.resolve("anonymous", "ada") is None
    assert own.resolve("user", "bob") is None
    assert len(pseudonym) == 32
    assert own.assign("anonymous", "x", pseudonym) == pseudonym
    assert own.owned(pseudonym)
    assert not own.owned(own.assign("anonymous", "y"))
    connection.close()


def test_reveal_says_ids_and_the_newest_traits(tmp_path: Path) -> None:
    own, connection = vault(tmp_path)
    pseudonym = own.assign("user", "ada")
    own.assign("anonymous", "a1", pseudonym)
    own.keep(pseudonym, {"name": "Ada", "kind": "user", "id": 7})
    own.keep(pseudonym, {"name": "Ada L."})
    person = own.reveal(pseudonym)
    assert person is not None
    assert set(person.ids) == {Identity("user", "ada"), Identity("anonymous", "a1")}
    assert person.traits == {"name": "Ada L.", "kind": "user", "id": 7}
    assert own.reveal("nobody") is None
    connection.close()


def test_joining_moves_traits_and_remembers_formers(tmp_path: Path) -> None:
    own, connection = vault(tmp_path)
    user = own.assign("user", "ada")
    own.keep(user, {"name": "Ada"})
    devices = [own.assign("anonymous", name) for name in ("a1", "a2")]
    own.keep(devices[0], {"name": "A.", "phone": "1"})
    for name, device in zip(("a1", "a2"), devices, strict=True):
        own.assign("anonymous", name, user)
        own.join(device, user)
    assert sorted(own.formers(user)) == sorted(devices)
    person = own.reveal(user)
    assert person is not None
    assert person.traits == {"name": "Ada", "phone": "1"}
    assert len(person.ids) == 3
    assert own.reveal(devices[0]) is None
    connection.close()


def test_forgetting_leaves_nothing_even_in_the_file(tmp_path: Path) -> None:
    own, connection = vault(tmp_path)
    pseudonym = own.assign("user", "ada")
    device = own.assign("anonymous", "a1")
    own.assign("anonymous", "a1", pseudonym)
    own.join(device, pseudonym)
    own.keep(pseudonym, {"name": "Ada"})
    (wrapped,) = connection.execute("SELECT wrapped FROM people").fetchone()
    assert own.forget(pseudonym)
    assert not own.forget(pseudonym)
    assert own.resolve("user", "ada") is own.resolve("anonymous", "a1") is None
    assert own.reveal(pseudonym) is None
    assert own.formers(pseudonym) == ()
    assert own.assign("user", "ada") != pseudonym
    connection.close()
    assert wrapped not in (tmp_path / "v.db").read_bytes()


def test_nothing_is_readable_in_the_file(tmp_path: Path) -> None:
    own, connection = vault(tmp_path)
    own.keep(own.assign("user", "ada-lovelace"), {"nickname": "countess"})
    connection.close()
    content = (tmp_path / "v.db").read_bytes()
    for word in (b"ada-lovelace", b"countess", b"nickname"):
        assert word not in content


def test_another_master_key_is_refused_at_once(tmp_path: Path) -> None:
    vault(tmp_path)[1].close()
    with pytest.raises(VaultLocked, match=r"another master\.key"):
        vault(tmp_path, Keys(b"n" * 32))


def test_a_value_moved_to_another_person_does_not_open(tmp_path: Path) -> None:
    own, connection = vault(tmp_path)
    ada, bob = own.assign("user", "ada"), own.assign("user", "bob")
    connection.execute("DELETE FROM personal WHERE pseudonym = ?", (bob,))
    connection.execute("UPDATE personal SET pseudonym = ? WHERE pseudonym = ?", (bob, ada))
    with pytest.raises(VaultLocked):
        own.reveal(bob)
    connection.close()


def test_a_box_opens_only_with_its_key_and_context() -> None:
    sealed = Box(b"k" * 32).seal(b"plain", b"context", random_id)
    assert Box(b"k" * 32).open(sealed, b"context") == b"plain"
    assert sealed != Box(b"k" * 32).seal(b"plain", b"context", random_id)
    for key, context, text in (
        (b"l", b"context", sealed),
        (b"k", b"other", sealed),
        (b"k", b"context", sealed[:-1]),
        (b"k", b"context", b""),
    ):
        with pytest.raises(VaultLocked):
            Box(key * 32).open(text, context)


def test_tokens_of_equal_values_agree_and_need_the_key() -> None:
    keys = Keys(b"m" * 32)
    assert keys.token("a@b.c") == keys.token("a@b.c") != keys.token("a@b.d")
    assert keys.token({"a": 1, "b": 2}) == keys.token({"b": 2, "a": 1})
    assert keys.token("1") != keys.token(1)
    assert Keys(b"n" * 32).token("a@b.c") != keys.token("a@b.c")
    assert keys.handle("user", "x") != keys.handle("anonymous", "x")


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(VaultLocked, match="No such file"):
        load_keys(folder, random_id)
    first = load_keys(folder, random_id, create=True)
    assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["master.key"]
    assert load_keys(folder, random_id, create=True).token(1) == first.token(1)
    (folder / "master.key").chmod(0o640)
    with pytest.raises(VaultLocked, match="chmod 600"):
        load_keys(folder, random_id)


@pytest.mark.parametrize("text", ["", "xyz", "00", "ff" * 33])
def test_a_damaged_key_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(VaultLocked, match="64 hex digits"):
        load_secret(path, random_id)


def test_what_is_remembered_follows_every_change(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, _):
        own.begin()
        assert own.resolve("user", "ada") is None
        ada = own.assign("user", "ada")
        visitor = own.assign("anonymous", "a1")
        assert (own.resolve("user", "ada"), own.formers(ada)) == (ada, ())
        assert own.resolve("anonymous", "a2") is None
        own.assign("anonymous", "a2", visitor)
        own.assign("anonymous", "a1", ada)
        own.join(visitor, ada)
        assert own.resolve("anonymous", "a1") == ada
        assert own.resolve("anonymous", "a2") is None
        assert own.formers(ada) == (visitor,)
        own.forget(ada)
        assert own.resolve("user", "ada") is own.resolve("anonymous", "a1") is None
        assert own.formers(ada) == ()


def test_what_was_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, connection):
        connection.execute("BEGIN IMMEDIATE")
        own.begin()
        lost = own.assign("user", "ada")
        connection.execute("ROLLBACK")
        own.forgo()
        own.begin()
        assert own.resolve("user", "ada") is None
        assert own.reveal(lost) is None


def test_what_another_connection_erased_is_forgotten_here_too(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, _):
        own.begin()
        ada, bob = own.assign("user", "ada"), own.assign("user", "bob")
        with opened(tmp_path) as (other, _):
            assert other.forget(ada)
            new = other.assign("user", "ada")
        own.begin()
        assert (own.resolve("user", "ada"), own.resolve("user", "bob")) == (new, bob)


def test_pseudonyms_made_together_lie_together_and_differ(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, _):
        own.begin()
        together = {own.assign("user", str(number)) for number in range(50)}
        own.begin()
        later = own.assign("user", "later")
    assert len(together) == 50
    assert len({pseudonym[:8] for pseudonym in together}) == 1
    assert len({pseudonym[8:] for pseudonym in together}) == 50
    assert {len(pseudonym) for pseudonym in together} == {32} == {len(later)}
    assert later[:8] not in {pseudonym[:8] for pseudonym in together}


def test_what_is_gathered_is_known_at_once_and_written_in_the_end(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, _):
        own.begin()
        rows = own._db.execute
        with own.gathering():
            made = {str(n): own.assign("user", str(n)) for n in range(30)}
            visitor = own.assign("anonymous", "v")
            assert rows("SELECT count(*) FROM identities").fetchone() == (0,)
            assert {name: own.resolve("user", name) for name in made} == made
        assert rows("SELECT count(*) FROM identities").fetchone() == (31,)
        own.forgo()
        assert {name: own.resolve("user", name) for name in made} == made
        for name, pseudonym in made.items():
            assert own.reveal(pseudonym) == Person((Identity("user", name),), {})
        assert own.resolve("anonymous", "v") == visitor


def test_whoever_asks_for_more_sees_what_is_gathered(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, _):
        own.begin()
        with own.gathering():
            user, visitor = own.assign("user", "u"), own.assign("anonymous", "v")
            own.keep(visitor, {"name": "Vi"})
            own.keep(user, {"name": "Una"})
            assert own.owned(user)
            assert not own.owned(visitor)
            assert own.reveal(visitor) == Person((Identity("anonymous", "v"),), {"name": "Vi"})
            own.join(visitor, user)
            assert own.formers(user) == (visitor,)
            gone = own.assign("user", "gone")
            assert own.forget(gone)
            again = own.assign("user", "gone")
            assert again != gone
        assert own.resolve("user", "gone") == again
        assert own.reveal(gone) is None
        assert own.reveal(again) == Person((Identity("user", "gone"),), {})


def test_after_an_error_nothing_gathered_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as (own, _):
        own.begin()
        with suppress(ZeroDivisionError), own.gathering():
            own.assign("user", "u")
            raise ZeroDivisionError
        own.forgo()
        assert own.resolve("user", "u") is None
        with own.gathering():
            pass
        assert own.resolve("user", "u") is None


def test_only_what_was_asked_for_lately_is_remembered() -> None:
    recent = Recent(2)
    for number in range(3):
        recent.put(number, str(number))
    assert [recent[number] for number in range(3)] == ["0", "1", "2"]
    recent.put(3, "3")
    assert recent[0] is None or recent[1] is None
    recent.drop(3)
    assert recent[3] is None
    recent.clear()
    assert recent[2] is None
