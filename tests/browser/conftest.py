"""What tests of messages on pages begin with: a browser, and a whole server of the shop."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from helping import MORE, POLICIES, chromium
from running import Server, running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that says ``CARD`` at a declined payment, and ``WORDS`` at a slow search."""
    with running(tmp_path_factory.mktemp("shop"), POLICIES, MORE) as server:
        yield server
