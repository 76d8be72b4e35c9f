"""Plays customers whose payments fail, day by day, into a server whose log time follows the events.

Three in ten of them write to support on the next day if nobody helps. Of those who are helped it is
one in ten; but where the message asks them to call, nine in ten. They go on where the log ends. In
the folder of a ``forestall.toml``: ``python -m examples.shop.customers --days 3 --each 40``.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec

from examples.shop.player import DemoFailed, play
from forestall.contracts.control import PoliciesApplied
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND, format_time
from forestall.kernel.settings import load_settings
from forestall.log.streams import DECIDED, DECISIONS, SIGNALS, read_decisions
from forestall.measure.reading import Folder

FIRST_DAY = int(datetime(2025, 3, 3, tzinfo=UTC).timestamp()) * SECOND
ALONE, HELPED, SENT_AWAY = 0.3, 0.1, 0.9
"""The chance of a ticket: without help, with it, and where it asks them to call."""

PATIENCE = 60.0


class Failure(msgspec.Struct, frozen=True):
    """A payment of ``customer`` that failed at ``at``; ``id`` is the event's."""

    id: str
    customer: str
    at: int

    def event(self) -> dict[str, Any]:
        """What the payment service says."""
        return _event(self.id, "payment.failed", self.customer, self.at, session=self.customer)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play so many days; 0 when all went well, 1 when not."""
    parser = argparse.ArgumentParser(prog="customers", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("forestall.toml"))
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--each", type=int, default=40, help="customers a day")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
        key = next((one.key for one in settings.keys if one.origin == "server"), "")
        url = settings.server.url
        with (
            closing(Folder(settings.data)) as folder,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            tickets = live(client, folder, key, options.days, options.each)
    except (DemoFailed, ForestallError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    print(f"{options.days * options.each:,} customers, {tickets:,} tickets")
    return 0


def live(client: httpx.Client, folder: Folder, key: str, days: int, each: int) -> int:
    """Live through ``days`` with ``each`` customers a day, and one without; how many wrote to us."""
    first = max(FIRST_DAY, folder.now // DAY * DAY + DAY)
    tickets: list[dict[str, Any]] = []
    written = 0
    for day in range(first, first + (days + 1) * DAY, DAY):
        chance = Random(day)  # noqa: S311
        failures = list(_failures(day, each, chance)) if day < first + days * DAY else []
        events = [*tickets, *(one.event() for one in failures)]
        play(client, key, sorted(events, key=lambda one: str(one["time"])), lambda _: None)
        written += len(tickets)
        told = _told(folder, failures)
        tickets = [
            _event(
                f"ticket-{one.id}",
                "forestall.ticket.opened",
                one.customer,
                one.at + DAY - HOUR,
                ticket=one.id,
                channel="chat",
            )
            for one in failures
            if one.id.endswith("-1") and chance.random() < _likely(told.get(one.id, ""))
        ]
    return written


def _failures(day: int, each: int, chance: Random) -> Iterator[Failure]:
    """Each customer's payment fails once between eight and noon; half try again 20 minutes later."""
    for number in range(each):
        customer = f"{format_time(day)[:10]}-{number}"
        at = day + 8 * HOUR + chance.randrange(4 * HOUR)
        yield Failure(f"{customer}-1", customer, at)
        if chance.random() < 0.5:
            yield Failure(f"{customer}-2", customer, at + 20 * MINUTE)


def _told(folder: Folder, failures: Sequence[Failure]) -> dict[str, str]:
    """The policy that answered each failure, once all is decided; those that none did are left out."""
    until = time.monotonic() + PATIENCE
    while folder.decisions.cursor(DECIDED) < folder.signals.last(SIGNALS):
        if time.monotonic() > until:
            raise DemoFailed(f"after {PATIENCE:.0f} s there was still something undecided")
        time.sleep(0.1)
    said = {
        policy.version: bytes(policy.canonical).decode()
        for record in folder.controls()
        if isinstance(record, PoliciesApplied)
        for policy in record.policies
    }
    ids = {one.id for one in failures}
    return {
        entry.decision.matched[-1]: said[entry.decision.version]
        for batch in folder.decisions.follow(DECISIONS)
        for entry in read_decisions(batch)
        if entry.decision.mode != "shadow"
        and entry.decision.outcome == "intervene"
        and entry.decision.matched[-1] in ids
    }


def _likely(told: str) -> float:
    if not told:
        return ALONE
    return SENT_AWAY if "call us" in told else HELPED


def _event(id_: str, type_: str, customer: str, at: int, **data: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "customers",
        "type": type_,
        "subject": customer,
        "time": format_time(at),
        "data": data,
    }


if __name__ == "__main__":
    raise SystemExit(main())
