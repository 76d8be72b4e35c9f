"""A page that decides itself, offline too: a real browser, and a whole server that hears of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECISIONS
from helping import MORE, Device, shows, told, track
from running import Server, running, until

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with cards, owner: shop}
spec:
  edge: true
  features: {tries: {count: payment.declined, over: 10m, by: event.data.order}}
  when: {event: payment.declined}
  if: features.tries >= 2 && event.data.order.startsWith('A')
  cooldown: 1h
  valid_for: 30m
  playbook: [{guide: {text: "Another card works for {{ event.data.order }}", channel: inapp}}]
"""
DECIDES = "() => Object.entries(localStorage).some(([name, kept]) => name.endsWith('edge') && JSON.parse(kept).length > 2)"
DECLINED = "() => forestall.track('Payment Declined', {order: 'A-7'})"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("edge"), {"declined.yaml": POLICY}, MORE) as server:
        yield server


def test_a_page_decides_offline_and_the_server_says_nothing_more(
    browser: Browser, server: Server
) -> None:
    public = server.run("edge", "key", "--config", str(server.config)).stdout.strip()
    device = Device(browser, server, f'edge: "{public}"')
    page = device.tab()
    track(page, "Cart Opened")
    page.wait_for_function(DECIDES)
    page.wait_for_function("() => window[Symbol.for('forestall.ui')]")

    device.context.set_offline(True)
    page.evaluate(DECLINED)
    page.evaluate(DECLINED)
    shows(page, "Another card works for A-7")
    device.context.set_offline(False)
    page.evaluate("() => forestall.flush()")

    (decided,) = told(server, "forestall.edge.decided")
    assert (decided["policy"], decided["outcome"], len(decided["matched"])) == (
        "declined",
        "intervene",
        1,
    )
    made = until(lambda: _decisions(server, 2))
    assert [(one["outcome"], one.get("reason")) for one in made] == [
        ("intervene", None),
        ("suppress", "cooldown"),
    ]
    shown = page.locator("forestall-help").get_by_text("Another card works")
    assert shown.count() == 1
    device.close()


def _decisions(server: Server, count: int) -> list[dict[str, Any]]:
    log = SqliteLog(server.data / "worker.db", read_only=True)
    try:
        batches = [json.loads(batch.payload) for batch in log.follow(DECISIONS)]
    finally:
        log.close()
    found = [entry[3] for batch in batches for entry in batch]
    return found if len(found) >= count else []
