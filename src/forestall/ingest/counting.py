"""The front door's metrics. Exactly: received = accepted + duplicate + quarantined + shed, and
accepted + joins = decided on + late + pending, as the worker counts them."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from forestall.ingest.letter import Answer
from forestall.kernel.telemetry import METRICS

RECEIVED = Counter(
    "forestall_ingest_received_total", "Events in requests that could be read.", registry=METRICS
)
EVENTS = Counter(
    "forestall_ingest_events_total",
    "What became of received events: accepted (late ones too), duplicate, quarantined or shed.",
    ["verdict"],
    registry=METRICS,
)
JOINS = Counter(
    "forestall_ingest_joins_total",
    "forestall.alias events that the gateway wrote itself, on top of those accepted.",
    registry=METRICS,
)
LATE = Counter("forestall_ingest_late_total", "Accepted events that came late.", registry=METRICS)
REFUSED = Counter(
    "forestall_ingest_requests_refused_total",
    "Requests answered with a problem, by its code.",
    ["code"],
    registry=METRICS,
)
QUARANTINE_DROPPED = Counter(
    "forestall_quarantine_dropped_total",
    "Quarantined events forgotten because there were more than 10,000.",
    registry=METRICS,
)
QUEUED = Gauge(
    "forestall_ingest_queued_events", "Events taken and not yet durable.", registry=METRICS
)
COMMITS = Counter(
    "forestall_ingest_commits_total", "Transactions, each with one fsync.", registry=METRICS
)

ACCEPTED, DUPLICATE, QUARANTINED, SHED = (
    EVENTS.labels(verdict) for verdict in ("accepted", "duplicate", "quarantined", "shed")
)

_COUNTED = (
    ("accepted", ACCEPTED),
    ("duplicate", DUPLICATE),
    ("quarantined", QUARANTINED),
    ("late", LATE),
)


def count(answers: Iterable[Answer]) -> dict[str, int]:
    """Count what became of events; how many of each, where late ones are accepted ones too."""
    counts = {"accepted": 0, "duplicate": 0, "late": 0, "quarantined": 0}
    for answer in answers:
        counts[answer.verdict] += 1
    counts["accepted"] += counts["late"]
    for verdict, counter in _COUNTED:
        if counts[verdict]:
            counter.inc(counts[verdict])
    return counts
