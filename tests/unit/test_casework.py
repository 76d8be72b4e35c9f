"""Queues are wired to the desks that the settings name."""

import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from flow.reaching import Vendor
from forestall.app.casework import casework, desks
from forestall.channels.helpdesk.mail import MailHelpdesk
from forestall.channels.helpdesk.port import InvalidHelpdesk
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.contracts.instants import SECOND
from forestall.intervene.queues import HelpdeskDesk
from forestall.kernel.clock import random_id
from forestall.kernel.settings import Link, Mail, Queue, RequestTracker, Settings
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Vault

pytestmark = pytest.mark.anyio

TRACKER = RequestTracker("https://rt.example.com", "1-2-t", "payments", customer="Customer")
MAIL = Mail(
    smtp="smtps://mail.example.com",
    imap="imaps://mail.example.com",
    user="desk",
    password="p",
    sender="desk@example.com",
    to="team@example.com",
    poll="0s",
)
SETTINGS = Settings(
    helpdesks={"rt": TRACKER, "mail": MAIL},
    queues={
        "payments": Queue(helpdesk="rt"),
        "team": Queue(helpdesk="mail"),
        "again": Queue(helpdesk="rt"),
        "crm": Queue(webhook="hook"),
    },
    links={"Shop": Link("https://shop.example")},
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_each_queue_gets_its_desk() -> None:
    hook = Vendor()
    async with httpx.AsyncClient(trust_env=False) as client:
        wired = desks(SETTINGS, {"hook": hook}, client)
    assert wired["crm"] is hook
    rt, mail = wired["payments"], wired["team"]
    assert isinstance(rt, HelpdeskDesk)
    assert isinstance(mail, HelpdeskDesk)
    assert isinstance(rt.helpdesk, RequestTrackerHelpdesk)
    assert isinstance(mail.helpdesk, MailHelpdesk)
    assert wired["again"] is rt
    assert (rt.name, rt.deduplication) == ("rt", "lookup")


async def test_a_helpdesk_that_cannot_work_is_told_at_once() -> None:
    wrong = msgspec.structs.replace(TRACKER, url="rt")
    settings = msgspec.structs.replace(SETTINGS, helpdesks={"rt": wrong, "mail": MAIL})
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(InvalidHelpdesk):
            desks(settings, {"hook": Vendor()}, client)


async def test_customers_of_other_tickets_are_looked_up_in_the_vault(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    vault = Vault(connection, load_keys(tmp_path, random_id, create=True), random_id)
    vault.lay()
    settings = msgspec.structs.replace(SETTINGS, data=tmp_path)
    async with AsyncExitStack() as stack:
        work = casework(settings, stack)
        assert work.identify("user-17") is None
        pseudonym = vault.assign("user", "user-17")
        assert work.identify("user-17") == pseudonym
    connection.close()


async def test_without_customers_in_a_helpdesk_nothing_is_opened(tmp_path: Path) -> None:
    plain = msgspec.structs.replace(TRACKER, customer=None)
    settings = msgspec.structs.replace(
        SETTINGS, data=tmp_path, helpdesks={"rt": plain, "mail": MAIL}
    )
    async with AsyncExitStack() as stack:
        work = casework(settings, stack)
        assert work.identify("user-17") is None
    assert work.polls == {"rt": 15 * SECOND, "mail": SECOND}
    assert (work.links, work.queues) == ({"Shop": "https://shop.example"}, SETTINGS.queues)
    assert list(tmp_path.iterdir()) == []


async def test_personal_fields_are_those_of_the_catalogue(tmp_path: Path) -> None:
    contract = {
        "x-owner": "shop",
        "x-retention": "30d",
        "x-origins": ["server"],
        "type": "object",
        "properties": {
            "order": {"type": "string"},
            "ip": {"type": "string", "x-privacy": "tokenise"},
            "card": {
                "type": "object",
                "properties": {"holder": {"type": "string", "x-privacy": "tokenise"}},
            },
        },
    }
    (tmp_path / "payment.declined.v1.json").write_bytes(msgspec.json.encode(contract))
    settings = msgspec.structs.replace(SETTINGS, contracts=tmp_path, helpdesks={})
    async with AsyncExitStack() as stack:
        personal = casework(settings, stack).personal
    assert personal["payment.declined"] == {"ip", "card"}
