"""What the worker counted, for ``/metrics``: it serves nothing itself, but notes it in its log."""

from collections.abc import Iterator

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from forestall.kernel.settings import Settings
from forestall.log.port import LogMissing
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import COUNTED, DECIDED, SIGNALS

_COUNTED = {
    "keys_dropped": (
        "forestall_policy_keys_dropped",
        "Pattern keys dropped because a subject had more than 64",
    ),
    "feature_events_dropped": (
        "forestall_feature_events_dropped",
        "Remembered events dropped because a feature had more than 10,000",
    ),
    "ids_forgotten": (
        "forestall_decide_ids_forgotten",
        "Ids forgotten because a subject had more than 100,000 of one source in seven days",
    ),
    "expression_errors": (
        "forestall_policy_expression_errors",
        "Conditions that errored or were not a bool",
    ),
    "control_ignored": (
        "forestall_decide_control_ignored",
        "Control events of subjects that lacked their field",
    ),
}


class WorkerFigures(Collector):
    """Reads the worker's counters and lag at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """The worker's metrics; none before it has started."""
        try:
            own = SqliteLog(self._settings.data / "worker.db", read_only=True)
        except LogMissing:
            return
        try:
            counters = msgspec.json.decode(own.snapshot(COUNTED) or b"{}", type=dict[str, int])
            cursor = own.cursor(DECIDED)
            problem = own.snapshot("problem")
        finally:
            own.close()
        late, repeated = counters.get("late", 0), counters.get("duplicate", 0)
        events = CounterMetricFamily(
            "forestall_decide_events",
            "Events taken from the log by the worker, by what became of them",
            labels=["result"],
        )
        events.add_metric(["decided"], counters.get("records", 0) - late - repeated)
        events.add_metric(["late"], late)
        events.add_metric(["duplicate"], repeated)
        yield events
        for counter, (name, text) in _COUNTED.items():
            yield CounterMetricFamily(name, text, value=counters.get(counter, 0))
        yield GaugeMetricFamily(
            "forestall_decide_pending_events",
            "Accepted events that the worker has not decided on yet",
            value=self._pending(cursor),
        )
        yield GaugeMetricFamily(
            "forestall_policies_broken",
            "1 while the deployment's files have mistakes and the last good version runs",
            value=problem not in (None, b"null"),
        )

    def _pending(self, cursor: int) -> int:
        log = SqliteLog(self._settings.data / "gateway.db", read_only=True)
        try:
            return sum(batch.count for batch in log.follow(SIGNALS, after=cursor))
        finally:
            log.close()
