"""The app process: what it does beside carrying out."""

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forestall.app.effects import identifier, keep_watching, most_streams
from forestall.app.roles import allow_open_files
from forestall.kernel.clock import random_id
from forestall.kernel.settings import Settings
from forestall.privacy.keys import load_keys
from forestall.privacy.tokens import SubjectToken, TokenInvalid
from forestall.privacy.vault import Vault


@pytest.fixture
def files() -> Iterator[int]:
    """The hard limit of open files; both are put back as they were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_console_is_kept_up_to_date_although_nobody_looks() -> None:
    async def watched() -> int:
        stop, looks = asyncio.Event(), 0
        loop = asyncio.get_running_loop()

        def poll() -> None:
            nonlocal looks
            looks += 1
            loop.call_soon_threadsafe(stop.set)

        await asyncio.wait_for(keep_watching(poll, stop), 10)
        return looks

    assert asyncio.run(watched()) == 1


def test_whom_a_token_speaks_of_is_known_as_soon_as_the_gateway_knows(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as connection:
        vault = Vault(connection, load_keys(tmp_path, random_id, create=True), random_id)
        vault.lay()

        async def asked() -> None:
            async with AsyncExitStack() as stack:
                identify = identifier(Settings(data=tmp_path), stack)
                user = SubjectToken(subject_id="user-17", expires=1)
                visitor = SubjectToken(anonymous_id="v-1", expires=1)
                assert (identify(user), identify(visitor)) == (None, None)
                pseudonym = vault.assign("anonymous", "v-1")
                assert identify(visitor) == pseudonym
                vault.assign("user", "user-17", pseudonym)
                assert identify(user) == pseudonym
                with pytest.raises(TokenInvalid):
                    identify(visitor)

        asyncio.run(asked())


def test_a_process_may_open_as_many_files_as_the_system_lets_it(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, files), files))
    assert allow_open_files() == files
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (files, files)


def test_the_log_says_when_few_streams_fit(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_500, files))
    with capture_logs() as logs:
        assert most_streams() == 1_000
    (said,) = logs
    assert said["log_level"] == "warning"
    assert (said["streams"], said["open_files"]) == (1_000, 1_500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(11_000, files), files))
    with capture_logs() as logs:
        most_streams()
    assert bool(logs) == (files < 10_500)
