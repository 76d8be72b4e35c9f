"""Wires queues to their desks: webhooks and helpdesks, and what comes back of their cases."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

import httpx

from forestall.channels.base import Desk
from forestall.channels.helpdesk.mail import MailHelpdesk
from forestall.channels.helpdesk.port import Helpdesk
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.instants import SECOND, parse_duration
from forestall.intervene.gather import personal_fields
from forestall.intervene.queues import HelpdeskDesk
from forestall.intervene.tickets import Casework, Identify
from forestall.kernel.clock import random_id, wall_clock
from forestall.kernel.database.files import open_database
from forestall.kernel.settings import RequestTracker, Settings
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Vault


def desks(
    settings: Settings, webhooks: Mapping[str, Desk], client: httpx.AsyncClient
) -> dict[str, Desk]:
    """Who takes the cases of each queue. Raises ``InvalidHelpdesk``."""
    helpdesks = {name: HelpdeskDesk(one) for name, one in _helpdesks(settings, client).items()}
    return {
        name: helpdesks[queue.helpdesk] if queue.helpdesk else webhooks[queue.webhook or ""]
        for name, queue in settings.queues.items()
    }


def casework(settings: Settings, stack: AsyncExitStack) -> Casework:
    """What the settings say about cases; ``stack`` closes what is opened for it."""
    return Casework(
        queues=settings.queues,
        polls={
            name: max(SECOND, parse_duration(one.poll)) for name, one in settings.helpdesks.items()
        },
        personal=personal_fields(load_catalogue(settings.contracts)),
        links={name: link.url for name, link in settings.links.items()},
        identify=_identify(settings, stack),
    )


def _helpdesks(settings: Settings, client: httpx.AsyncClient) -> dict[str, Helpdesk]:
    return {
        name: RequestTrackerHelpdesk(name, one, client=client, now=wall_clock)
        if isinstance(one, RequestTracker)
        else MailHelpdesk(name, one, now=wall_clock)
        for name, one in settings.helpdesks.items()
    }


def _identify(settings: Settings, stack: AsyncExitStack) -> Identify:
    """Looks customers of other tickets up, where a helpdesk knows whose they are."""
    known = settings.helpdesks.values()
    if not any(isinstance(one, RequestTracker) and one.customer for one in known):
        return lambda _id: None
    connection = open_database(settings.data / "gateway.db", read_only=True)
    stack.callback(connection.close)
    vault = Vault(connection, load_keys(settings.data, random_id), random_id)

    def identify(customer: str) -> str | None:
        vault.begin()  # the gateway may have written since
        return vault.resolve("user", customer)

    return identify
