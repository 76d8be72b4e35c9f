"""The one workload of all benchmarks: a software company's events and 20 policies on them.

15 event types, about 450 bytes an event as a CloudEvents line, 100,000 subjects drawn by Zipf's
law (rank k has weight 1/k), 60 events a second of log time. 1 event in 200 is a duplicate, 1 in
100 comes out of order, 1 in 1,000 too late and 1 in 1,000 claims a time to come. Of the
subjects' ten minutes one in 50 goes badly; then failures are frequent.

The same count, seed and version always give the same events, and fewer are a prefix of more.
Events are made in blocks that need nothing of each other; the first are kept in ``.cache/bench``.
"""

import itertools
import os
from bisect import bisect
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import msgspec

from forestall.contracts.event import CloudEvent, Record
from forestall.contracts.instants import HOUR, MINUTE, SECOND, format_time
from forestall.log.streams import signals
from forestall.policy.bundle import Bundle, load_folder

VERSION = 1
"""Raised when the events change, so that a kept file of older ones is not taken."""

EVENTS = 1_000_000
SUBJECTS = 100_000
BLOCK = 50_000
"""Events made together; also the rows of a Parquet row group."""

KEPT_BLOCKS = 20
"""Blocks of a seed that are kept on disk: the first million events."""

RATE = 60
"""Events a second of log time."""

BEGIN = 1_772_438_400 * SECOND
"""2026-03-02T08:00:00Z, a Monday."""

DUPLICATES = 0.005
OUT_OF_ORDER = 0.01
TOO_LATE = 0.001
FUTURE = 0.001

POLICIES = Path(__file__).parent / "policies"
CACHE = Path(__file__).parents[1] / ".cache" / "bench"

_LOCALES = ("en-GB", "en-US", "de-DE", "fr-FR", "es-ES", "ja-JP", "pt-BR", "sv-SE")
_PLANS = ("free", "free", "free", "starter", "starter", "team", "team", "enterprise")
_AGENTS = (
    "Firefox/148.0 (Linux x86_64)",
    "Safari/605.1 (Macintosh)",
    "Chrome/145.0 (Windows NT 10)",
    "acme-python/4.11 (CPython)",
)
_PATHS = (
    "/boards/overview", "/boards/2417/cards", "/documents/recent", "/documents/81734/edit",
    "/reports/weekly", "/reports/funnel/by-country", "/settings/members", "/settings/billing",
    "/inbox", "/calendar/2026/03", "/search", "/home", "/help/import-your-data",
    "/help/keyboard-shortcuts", "/help/permissions-and-roles", "/automations/list",
    "/automations/77/log",
)  # fmt: skip
_ENDPOINTS = (
    "GET /v2/boards", "GET /v2/boards/{id}/cards", "POST /v2/cards", "PATCH /v2/cards/{id}",
    "GET /v2/documents/{id}", "PUT /v2/documents/{id}", "GET /v2/reports/{id}", "POST /v2/exports",
    "GET /v2/members", "POST /v2/webhooks", "GET /v2/search", "POST /v2/attachments",
)  # fmt: skip
_WORDS = (
    "invoice", "quarterly report", "api key", "share a board", "merge contacts", "gantt",
    "time zone", "recurring task", "csv import", "audit log", "sso", "webhook retries",
)  # fmt: skip
_FEATURES = ("card-move", "mention", "filter", "bulk-edit", "template", "timeline", "automation")
_FORMATS = ("csv", "xlsx", "pdf", "json")
_INTEGRATIONS = ("slack", "github", "salesforce", "hubspot", "jira", "zapier")
_STEPS = ("welcome", "invite", "import", "connect", "first-board")

Draw = Callable[[], float]


def _page_viewed(u: Draw, rank: int, _: int) -> str:
    page = int(u() * u() * 17)
    return (
        f'"path":"{_PATHS[page]}","title":"Page {page}","ms":{80 + int(u() * 900)},'
        f'"referrer":"https://app.acme.example{_PATHS[rank % 17]}"'
    )


def _request_completed(u: Draw, rank: int, _: int) -> str:
    return (
        f'"endpoint":"{_ENDPOINTS[int(u() * u() * 12)]}","status":{200 if u() < 0.9 else 201},'
        f'"ms":{20.0 + 240.0 * u() * u():.3f},"bytes":{int(u() * 90_000)},"region":"eu-{rank % 3}",'
        f'"request":"{int(u() * 0x1_0000_0000_0000):012x}"'
    )


def _request_failed(u: Draw, rank: int, _: int) -> str:
    status = (500, 503, 504, 429, 429, 404, 409, 422)[int(u() * 8)]
    return (
        f'"endpoint":"{_ENDPOINTS[int(u() * u() * 12)]}","status":{status},'
        f'"ms":{20.0 + 4000.0 * u() * u():.3f},"message":"the upstream answered {status}",'
        f'"region":"eu-{rank % 3}","request":"{int(u() * 0x1_0000_0000_0000):012x}"'
    )


def _feature_used(u: Draw, rank: int, _: int) -> str:
    return (
        f'"feature":"{_FEATURES[int(u() * 7)]}","variant":"{"ab"[rank & 1]}","items":{int(u() * 40)},'
        f'"board":"b-{rank}-{int(u() * 5)}","surface":"toolbar","shortcut":{"true" if u() < 0.2 else "false"}'
    )


def _search_performed(u: Draw, _: int, __: int) -> str:
    return (
        f'"query":"{_WORDS[int(u() * 12)]}","results":{0 if u() < 0.12 else 1 + int(u() * 60)},'
        f'"ms":{15 + int(u() * 300)},"scope":"workspace","filters":["mine","open"],"page":{1 + int(u() * 3)}'
    )


def _document_saved(u: Draw, rank: int, _: int) -> str:
    return (
        f'"document":"d-{rank}-{int(u() * 8)}","result":"{"conflict" if u() < 0.03 else "ok"}",'
        f'"bytes":{int(u() * 60_000)},"words":{int(u() * 9_000)},"revision":{int(u() * 400)},'
        f'"autosave":{"true" if u() < 0.7 else "false"},"collaborators":{int(u() * 6)}'
    )


def _session_started(u: Draw, rank: int, _: int) -> str:
    return (
        f'"plan":"{_PLANS[rank % 8]}","device":"{("desktop", "phone", "tablet")[int(u() * u() * 3)]}",'
        f'"method":"{("password", "sso", "passkey")[int(u() * 3)]}","workspace":"w-{rank % 20_000}",'
        f'"viewport":{{"width":{1024 + 16 * int(u() * 90)},"height":{700 + 10 * int(u() * 60)}}}'
    )


def _page_slow(u: Draw, _: int, __: int) -> str:
    return (
        f'"path":"{_PATHS[int(u() * 17)]}","seconds":{2.0 + 8.0 * u():.3f},"cause":"script",'
        f'"lcp":{1.0 + 5.0 * u():.3f},"longtasks":{int(u() * 30)},"connection":"4g"'
    )


def _export_started(u: Draw, rank: int, bucket: int) -> str:
    return (
        f'"job":"x-{rank}-{bucket}","format":"{_FORMATS[int(u() * 4)]}","rows":{int(u() * 1_000_000)},'
        f'"columns":{4 + int(u() * 40)},"source":"report","schedule":"none","filtered":true'
    )


def _export_finished(u: Draw, rank: int, bucket: int) -> str:
    return (
        f'"job":"x-{rank}-{bucket}","format":"{_FORMATS[int(u() * 4)]}","rows":{int(u() * 1_000_000)},'
        f'"state":"{"failed" if u() < 0.15 else "done"}","seconds":{1.0 + 300.0 * u():.3f},'
        f'"bytes":{int(u() * 80_000_000)},"storage":"eu-west"'
    )


def _onboarding_step(u: Draw, rank: int, _: int) -> str:
    return (
        f'"workspace":"w-{rank % 20_000}","step":"{_STEPS[int(u() * 5)]}",'
        f'"state":"{"begun" if u() < 0.55 else "done"}","seconds":{5 + int(u() * 600)},'
        f'"flow":"guided-2026-02","invited":{int(u() * 9)},"template":"team-{int(u() * 9)}"'
    )


def _checkout_started(u: Draw, rank: int, bucket: int) -> str:
    return (
        f'"order_id":"o-{rank}-{bucket}","amount":{5.0 + 500.0 * u():.2f},"currency":"EUR",'
        f'"seats":{1 + int(u() * 50)},"plan":"{_PLANS[int(u() * 8)]}","coupon":null,"tax":{{"rate":0.19}}'
    )


def _payment_declined(u: Draw, rank: int, bucket: int) -> str:
    return (
        f'"order_id":"o-{rank}-{bucket}","amount":{5.0 + 500.0 * u():.2f},"currency":"EUR",'
        f'"reason":"{("funds", "expired", "stolen", "limit")[int(u() * 4)]}","method":"card",'
        f'"attempt":{1 + int(u() * 4)},"network":"visa","three_ds":"challenged"'
    )


def _payment_succeeded(u: Draw, rank: int, bucket: int) -> str:
    return (
        f'"order_id":"o-{rank}-{bucket}","amount":{5.0 + 500.0 * u():.2f},"currency":"EUR",'
        f'"method":"{("card", "sepa", "paypal")[int(u() * 3)]}","invoice":"R-2026-{int(u() * 99_999):05d}",'
        f'"tax":{{"rate":0.19,"country":"DE"}},"seats":{1 + int(u() * 50)}'
    )


def _integration_failed(u: Draw, _: int, __: int) -> str:
    return (
        f'"integration":"{_INTEGRATIONS[int(u() * 6)]}","reason":"{("auth", "timeout", "scope", "gone")[int(u() * 4)]}",'
        f'"status":{400 + int(u() * 110)},"attempt":{1 + int(u() * 5)},"event":"card.moved",'
        f'"endpoint":"https://hooks.partner.example/v1/in/{int(u() * 9_999):04d}"'
    )


_KINDS: tuple[tuple[str, float, float, Callable[[Draw, int, int], str]], ...] = (
    ("page.viewed", 360, 150, _page_viewed),
    ("request.completed", 280, 90, _request_completed),
    ("feature.used", 100, 20, _feature_used),
    ("search.performed", 60, 130, _search_performed),
    ("document.saved", 60, 60, _document_saved),
    ("session.started", 40, 80, _session_started),
    ("page.slow", 25, 110, _page_slow),
    ("request.failed", 25, 170, _request_failed),
    ("export.finished", 12, 25, _export_finished),
    ("export.started", 10, 25, _export_started),
    ("onboarding.step", 10, 40, _onboarding_step),
    ("checkout.started", 6, 30, _checkout_started),
    ("payment.succeeded", 5, 5, _payment_succeeded),
    ("integration.failed", 4, 35, _integration_failed),
    ("payment.declined", 3, 30, _payment_declined),
)
"""Type, how often in 1,000 events, how often when it goes badly, and its ``data`` without the
part that all events share, from chance, the subject's rank and the ten minutes."""

TYPES = tuple(kind[0] for kind in _KINDS)
_MAKERS = tuple(kind[3] for kind in _KINDS)
_FROM_SERVER = frozenset(
    kind for kind in TYPES if kind.startswith(("request", "export", "payment", "integration"))
)
_ENVELOPES = tuple(
    ("https://api.acme.example", "server")
    if kind in _FROM_SERVER
    else ("https://app.acme.example", "browser")
    for kind in TYPES
)


def _cumulated(column: int) -> list[float]:
    return list(itertools.accumulate(float(kind[column]) / 1000 for kind in _KINDS))  # type: ignore[arg-type]


_WELL, _BADLY = _cumulated(1), _cumulated(2)
_ZIPF = list(itertools.accumulate(1 / rank for rank in range(1, SUBJECTS + 1)))


def subject(rank: int) -> str:
    """The pseudonym of the subject of that rank, 0 being the busiest."""
    return f"p_{(rank + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}{rank:05x}"


_SUBJECTS = [subject(rank) for rank in range(SUBJECTS)]
_ABOUT = [
    f'"plan":"{_PLANS[rank % 8]}","locale":"{_LOCALES[rank * 7 % 11 % 8]}",'
    f'"release":"2026.3.{rank % 5}","agent":"{_AGENTS[rank % 4]}"'
    for rank in range(440)
]


def _made(number: int, seed: int) -> list[Record]:
    """Block ``number`` of ``seed``, from nothing but these two."""
    u = Random(f"{VERSION}/{seed}/{number}").random
    total, well, badly = _ZIPF[-1], _WELL[-1], _BADLY[-1]
    records: list[Record] = []
    first = number * BLOCK
    for index in range(first, first + BLOCK):
        received = BEGIN + int((index + u()) * SECOND / RATE)
        chance = u()
        if chance < DUPLICATES and index - first > 500:
            earlier = records[int(len(records) - 1 - u() * 500)]
            records.append(msgspec.structs.replace(earlier, received=received))
            continue
        rank = bisect(_ZIPF, u() * total)
        time = received - 1_000 - int(u() * u() * 2_000_000)
        if chance > 1 - OUT_OF_ORDER:
            time -= int((2 + 270 * u() * u()) * SECOND)
        elif chance > 1 - OUT_OF_ORDER - TOO_LATE:
            time -= 6 * MINUTE + int(u() * HOUR)
        elif chance > 1 - OUT_OF_ORDER - TOO_LATE - FUTURE:
            time += 3 * SECOND + int(u() * 2 * MINUTE)
        bucket = time // (10 * MINUTE)
        trouble = (rank * 2_654_435_761 ^ bucket * 40_503) % 50 == 0
        kind = bisect(_BADLY, u() * badly) if trouble else bisect(_WELL, u() * well)
        source, origin = _ENVELOPES[kind]
        data = (
            f'{{"session":"s-{rank:x}-{bucket // 3:x}",{_ABOUT[rank % 440]},'
            f"{_MAKERS[kind](u, rank, bucket)}}}"
        )
        records.append(
            Record(
                f"{index:012x}-{int(u() * 0x1_0000_0000):08x}",
                source,
                TYPES[kind],
                _SUBJECTS[rank],
                time,
                received,
                origin,  # type: ignore[arg-type]
                msgspec.Raw(data.encode()),
            )
        )
    return records


_records = msgspec.json.Decoder(list[Record])


def block(number: int, seed: int = 1) -> list[Record]:
    """Records ``number * BLOCK`` to ``(number + 1) * BLOCK`` of the workload."""
    if number >= KEPT_BLOCKS:
        return _made(number, seed)
    path = CACHE / f"events-v{VERSION}-s{seed}-{number:03d}.json"
    if path.exists():
        return _records.decode(path.read_bytes())
    records = _made(number, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(msgspec.json.encode(records))
    part.replace(path)
    return records


def blocks(count: int = EVENTS, seed: int = 1) -> Iterator[list[Record]]:
    """The first ``count`` records, in lists of up to ``BLOCK``, one in memory at a time."""
    for start in range(0, count, BLOCK):
        made = block(start // BLOCK, seed)
        yield made if start + BLOCK <= count else made[: count - start]


def records(count: int = EVENTS, seed: int = 1) -> Iterator[Record]:
    """The first ``count`` records in log order: ``received`` never goes back."""
    return itertools.chain.from_iterable(blocks(count, seed))


def batches(count: int = EVENTS, size: int = 100, seed: int = 1) -> Iterator[list[Record]]:
    """The first ``count`` records in lists of ``size``."""
    stream = records(count, seed)
    while batch := list(itertools.islice(stream, size)):
        yield batch


def encoded(count: int = EVENTS, batch: int = 100, seed: int = 1) -> list[bytes]:
    """The log's own bytes for the first ``count`` records: a payload for each ``batch`` of them."""
    return [bytes(signals(made).payload) for made in batches(count, batch, seed)]


def cloud_event(record: Record) -> CloudEvent:
    """The record as a line of a history has it, with ``received``."""
    return CloudEvent(
        id=record.id,
        source=record.source,
        type=record.type,
        subject=record.subject,
        time=format_time(record.time),
        received=format_time(record.received),
        origin=record.origin,
        data=record.data,
    )


def cloudevents(count: int = EVENTS, seed: int = 1) -> Iterator[bytes]:
    """The first ``count`` events as CloudEvents in JSON, without a line's end."""
    encode = msgspec.json.Encoder().encode
    return (encode(cloud_event(record)) for record in records(count, seed))


def write_ndjson(path: Path, count: int = EVENTS, seed: int = 1) -> None:
    """Write the first ``count`` events to ``path`` as a history that ``forestall backtest`` reads."""
    with path.open("wb") as file:
        for line in cloudevents(count, seed):
            file.write(line + b"\n")


def write_parquet(path: Path, count: int = EVENTS, seed: int = 1) -> None:
    """Write the first ``count`` events to ``path`` with the columns that a backtest reads.

    ``time`` and ``received`` are timestamps in microseconds, UTC, and ``data`` is JSON text. Memory
    holds one block. Needs pyarrow.
    """
    import pyarrow
    from pyarrow import parquet

    text, moment = pyarrow.string(), pyarrow.timestamp("us", "UTC")
    columns = ("id", "source", "type", "subject", "time", "received", "origin", "data")
    schema = pyarrow.schema(
        [(name, moment if name in ("time", "received") else text) for name in columns]
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for made in blocks(count, seed):
            values = {
                name: [getattr(record, name) for record in made]
                for name in columns
                if name != "data"
            }
            values["data"] = [bytes(record.data).decode() for record in made]
            writer.write_table(pyarrow.table(values, schema=schema))


def bundle() -> Bundle:
    """The 20 policies."""
    return load_folder(POLICIES)
