"""The servers that helpdesks are tested against, as fixtures: each starts once a session."""

from collections.abc import Iterator

import pytest

from ports.mail_server import Dovecot, Office, Post, dovecot
from scripts.request_tracker import Server, request_tracker


@pytest.fixture(scope="session")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Request Tracker."""
    with request_tracker(tmp_path_factory.mktemp("rt")) as server:
        yield server


@pytest.fixture(scope="session")
def imap() -> Iterator[Dovecot]:
    """An IMAP server."""
    with dovecot() as server:
        yield server


@pytest.fixture
def post(imap: Dovecot) -> Iterator[tuple[Post, Office]]:
    """An SMTP server that delivers into it, with what it does told to ``Post``."""
    post = Post(imap)
    office = Office(post)
    office.start()
    try:
        yield post, office
    finally:
        office.stop()
