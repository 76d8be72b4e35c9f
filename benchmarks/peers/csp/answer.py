"""csp's answers: a graph with one node a question, each fed by the event types that it needs.

A node keeps what it remembers of each subject, and key, in dictionaries. With ``json`` as the third
argument lines are decoded by msgspec and sent to the edge of their type by a node; with ``columns``
the Parquet reader does both in C++.
"""

import sys
from collections import deque
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import csp
import msgspec
import pyarrow.parquet as pq
from csp import ts
from csp.adapters.parquet import ParquetReader
from csp.impl.pulladapter import PullInputAdapter
from csp.impl.wiring import py_pull_adapter_def

sys.path.insert(0, str(Path(__file__).parents[1]))
from contest import serve


class Event(csp.Struct):
    """The columns that the questions read; those that are null in a row stay unset."""

    seq: int
    happened: datetime
    subject: str
    amount: float
    rows: int
    results: int
    status: int
    seconds: float
    ms: float
    order_id: str
    reason: str
    plan: str
    job: str
    format: str
    state: str
    path: str
    query: str
    workspace: str
    step: str
    endpoint: str
    document: str
    result: str
    device: str
    integration: str


class Line(msgspec.Struct, gc=False):
    """A line of the JSON file: the same fields, and the type."""

    seq: int
    happened: datetime
    type: str
    subject: str
    amount: float = 0.0
    rows: int = 0
    results: int = 0
    status: int = 0
    seconds: float = 0.0
    ms: float = 0.0
    order_id: str = ""
    reason: str = ""
    plan: str = ""
    job: str = ""
    format: str = ""
    state: str = ""
    path: str = ""
    query: str = ""
    workspace: str = ""
    step: str = ""
    endpoint: str = ""
    document: str = ""
    result: str = ""
    device: str = ""
    integration: str = ""


def minutes(count: float) -> timedelta:
    """That many minutes."""
    return timedelta(minutes=count)


class Window:
    """The events of the last ``over``, each with what to remember of it; their number and sum."""

    __slots__ = ("items", "over", "total")

    def __init__(self, over: timedelta) -> None:
        self.items: deque = deque()
        self.over = over
        self.total = 0.0

    def add(self, at: datetime, value=0):
        """Remember an event, and forget those that are too old."""
        self.items.append((at, value))
        self.total += value if isinstance(value, (int, float)) else 0
        return self.until(at)

    def until(self, at: datetime):
        """The window as of ``at``."""
        items, earliest = self.items, at - self.over
        while items and items[0][0] <= earliest:
            value = items.popleft()[1]
            if isinstance(value, (int, float)):
                self.total -= value
        return self

    def __len__(self) -> int:
        return len(self.items)

    def values(self) -> list:
        """What was remembered of each event."""
        return [value for _, value in self.items]


def window_of(windows: dict, key, over: timedelta) -> Window:
    """The window of a subject and key, made when it is first needed."""
    window = windows.get(key)
    if window is None:
        window = windows[key] = Window(over)
    return window


@csp.node
def declined_then_silence(
    started: ts[object], declined: ts[object], succeeded: ts[object]
) -> ts[int]:
    with csp.state():
        s_first = {}
        s_second = {}
    if csp.ticked(started):
        s_first[started.subject, started.order_id] = started.happened
    if csp.ticked(succeeded):
        key = succeeded.subject, succeeded.order_id
        s_first.pop(key, None)
        s_second.pop(key, None)
    if csp.ticked(declined):
        key = declined.subject, declined.order_id
        start = s_second.get(key)
        if start is not None and declined.happened - start <= minutes(20):
            s_first.pop(key, None)
            del s_second[key]
            return declined.seq
        start = s_first.get(key)
        if start is not None and declined.happened - start <= minutes(20):
            s_second[key] = start


@csp.node
def absence(
    begins: ts[object], again: ts[object], ends: ts[object], key: object, over: timedelta
) -> ts[int]:
    """A begin with nothing of its key after it: neither an end nor another begin."""
    with csp.alarms():
        due: ts[object] = csp.alarm(object)
    with csp.state():
        s_waiting = {}
    if csp.ticked(ends):
        s_waiting.pop(key(ends), None)
    if csp.ticked(again):
        s_waiting.pop(key(again), None)
    if csp.ticked(begins):
        name = key(begins)
        s_waiting[name] = begins.seq
        csp.schedule_alarm(due, over + timedelta(microseconds=1), (name, begins.seq))
    if csp.ticked(due):
        name, seq = due
        if s_waiting.get(name) == seq:
            del s_waiting[name]
            return seq


@csp.node
def valued_customer_declined(
    declined: ts[object], succeeded: ts[object], session: ts[object]
) -> ts[int]:
    with csp.state():
        s_paid = {}
        s_paid_at = {}
        s_plan = {}
    if csp.ticked(session):
        s_plan[session.subject] = session.plan
    if csp.ticked(succeeded):
        window_of(s_paid, succeeded.subject, timedelta(days=1)).add(
            succeeded.happened, succeeded.amount
        )
        s_paid_at[succeeded.subject] = succeeded.happened
    if csp.ticked(declined) and declined.amount >= 100 and declined.reason != "stolen":
        subject, at = declined.subject, declined.happened
        paid = s_paid.get(subject)
        if (
            paid is not None
            and s_plan.get(subject) in ("team", "enterprise")
            and paid.until(at).total > 200
            and at - s_paid_at[subject] > minutes(1)
        ):
            return declined.seq


@csp.node
def repeated(events: ts[object], key: object, times: int, within: timedelta) -> ts[int]:
    """So many events of one key in that time; those of one answer serve no other."""
    with csp.state():
        s_times = {}
    name = key(events)
    seen = s_times.get(name)
    if seen is None:
        seen = s_times[name] = deque(maxlen=times)
    seen.append(events.happened)
    if len(seen) == times and events.happened - seen[0] <= within:
        del s_times[name]
        return events.seq


@csp.node
def export_fails_again(failed: ts[object]) -> ts[int]:
    with csp.state():
        s_last = {}
    key = failed.subject, failed.format
    last = s_last.get(key)
    if last is not None and failed.rows > 1000 and failed.happened - last <= minutes(30):
        del s_last[key]
        return failed.seq
    s_last[key] = failed.happened


@csp.node
def export_too_large(started: ts[object], finished: ts[object]) -> ts[int]:
    with csp.state():
        s_rows = {}
        s_last = {}
    if csp.ticked(finished):
        window_of(s_rows, finished.subject, minutes(60)).add(finished.happened, finished.rows)
        s_last[finished.subject] = (finished.happened, finished.state)
    if csp.ticked(started) and started.rows > 800_000:
        last = s_last.get(started.subject)
        if (
            last is not None
            and last[1] == "failed"
            and started.happened - last[0] < minutes(360)
            and s_rows[started.subject].until(started.happened).total > 1_500_000
        ):
            return started.seq


@csp.node
def streak(hit: ts[object], stop: ts[object], times: int, within: timedelta) -> ts[int]:
    """So many hits of a subject in that time with no stop between them."""
    with csp.state():
        s_times = {}
    if csp.ticked(stop):
        s_times.pop(stop.subject, None)
    if csp.ticked(hit):
        seen = s_times.get(hit.subject)
        if seen is None:
            seen = s_times[hit.subject] = deque(maxlen=times)
        seen.append(hit.happened)
        if len(seen) == times and hit.happened - seen[0] <= within:
            del s_times[hit.subject]
            return hit.seq


@csp.node
def lost_and_slow(nothing: ts[object], slow: ts[object]) -> ts[int]:
    with csp.state():
        s_nothing = {}
        s_slow = {}
    if csp.ticked(nothing):
        other = s_slow.get(nothing.subject)
        if other is not None and nothing.happened - other <= minutes(1):
            del s_slow[nothing.subject]
            s_nothing.pop(nothing.subject, None)
            return nothing.seq
        s_nothing[nothing.subject] = nothing.happened
    if csp.ticked(slow):
        other = s_nothing.get(slow.subject)
        if other is not None and slow.happened - other <= minutes(1):
            del s_nothing[slow.subject]
            s_slow.pop(slow.subject, None)
            return slow.seq
        s_slow[slow.subject] = slow.happened


@csp.node
def searching_in_circles(search: ts[object], used: ts[object]) -> ts[int]:
    with csp.state():
        s_words = {}
        s_used = {}
    if csp.ticked(used):
        s_used[used.subject] = used.happened
    if csp.ticked(search):
        words = window_of(s_words, search.subject, minutes(5)).add(search.happened, search.query)
        if search.results == 0 and len(words) >= 5:
            last = s_used.get(search.subject)
            if (last is None or search.happened - last > minutes(2)) and len(
                set(words.values())
            ) >= 5:
                return search.seq


@csp.node
def onboarding_repeated(begun: ts[object]) -> ts[int]:
    with csp.state():
        s_begun = {}
    seen = window_of(s_begun, (begun.subject, begun.step), minutes(60)).add(begun.happened)
    if begun.step != "welcome" and len(seen) >= 4:
        return begun.seq


@csp.node
def connecting_failed(connect: ts[object], failed: ts[object]) -> ts[int]:
    with csp.state():
        s_connect = {}
    if csp.ticked(connect):
        s_connect[connect.subject] = connect.happened
    if csp.ticked(failed):
        start = s_connect.get(failed.subject)
        if start is not None and failed.happened - start <= minutes(15):
            del s_connect[failed.subject]
            return failed.seq


@csp.node
def api_errors(error: ts[object], completed: ts[object]) -> ts[int]:
    with csp.state():
        s_errors = {}
        s_completed = {}
    if csp.ticked(completed):
        window_of(s_completed, completed.subject, minutes(5)).add(completed.happened)
    if csp.ticked(error):
        errors = len(window_of(s_errors, error.subject, minutes(5)).add(error.happened))
        if errors >= 4:
            requests = s_completed.get(error.subject)
            if errors * 5 > (0 if requests is None else len(requests.until(error.happened))):
                return error.seq


@csp.node
def endpoint_slow(timeout: ts[object], completed: ts[object]) -> ts[int]:
    with csp.state():
        s_ms = {}
    if csp.ticked(completed):
        key = completed.subject, completed.endpoint
        window_of(s_ms, key, minutes(10)).add(completed.happened, completed.ms)
    if csp.ticked(timeout):
        seen = s_ms.get((timeout.subject, timeout.endpoint))
        if seen is not None and seen.until(timeout.happened).total > 150 * len(seen) > 0:
            return timeout.seq


@csp.node
def pages_slow(slow: ts[object]) -> ts[int]:
    with csp.state():
        s_seconds = {}
    seen = window_of(s_seconds, slow.subject, minutes(30)).add(slow.happened, slow.seconds)
    if slow.seconds > 8 and len(seen) >= 6:
        values = sorted(seen.values())
        if values[-(-9 * len(values) // 10) - 1] >= 9.4:
            return slow.seq


@csp.node
def sessions_restarted(session: ts[object], page: ts[object]) -> ts[int]:
    with csp.state():
        s_sessions = {}
        s_pages = {}
    if csp.ticked(page):
        window_of(s_pages, page.subject, minutes(15)).add(page.happened)
    if csp.ticked(session):
        subject, at = session.subject, session.happened
        sessions = window_of(s_sessions, subject, minutes(15)).add(at, session.device)
        if len(sessions) >= 4 and len(set(sessions.values())) <= 2:
            pages = s_pages.get(subject)
            if pages is None or len(pages.until(at)) <= 12:
                return session.seq


@csp.node
def only(events: ts[object], wanted: object) -> ts[object]:
    """The events for which ``wanted`` is true."""
    if wanted(events):
        return events


@csp.node
def write(question: str, answer: ts[int], out: object):
    """A line for each answer."""
    out.write(f"{question} {answer}\n")


TYPES = {
    "page.viewed": ("path",),
    "feature.used": (),
    "search.performed": ("query", "results"),
    "page.slow": ("seconds",),
    "session.started": ("plan", "device"),
    "request.completed": ("endpoint", "ms"),
    "request.failed": ("endpoint", "status"),
    "checkout.started": ("order_id", "amount"),
    "payment.declined": ("order_id", "amount", "reason"),
    "payment.succeeded": ("order_id", "amount"),
    "export.started": ("job", "rows"),
    "export.finished": ("job", "rows", "state", "format"),
    "onboarding.step": ("workspace", "step", "state"),
    "integration.failed": ("integration", "reason"),
    "document.saved": ("document", "result"),
}
"""The event types, and which fields of them the questions read."""


def columns(path: str) -> dict:
    """An edge for each type, from the Parquet file."""
    reader = ParquetReader(path, time_column="happened", symbol_column="type")
    return {
        kind: reader.subscribe(
            kind, Event, field_map={name: name for name in ("seq", "happened", "subject", *fields)}
        )
        for kind, fields in TYPES.items()
    }


class LinesImpl(PullInputAdapter):
    """The events of a JSON file, each at its time."""

    def __init__(self, path: str) -> None:
        self._decode = msgspec.json.Decoder(Line).decode
        self._lines = Path(path).open("rb")
        super().__init__()

    def stop(self) -> None:
        self._lines.close()

    def next(self):
        line = self._lines.readline()
        if not line:
            return None
        event = self._decode(line)
        return event.happened, event


lines = py_pull_adapter_def("lines", LinesImpl, ts[object], path=str)


@csp.node
def route(event: ts[object], types: [str]) -> csp.OutputBasket({str: ts[object]}, shape="types"):
    """Each event on the edge of its type."""
    csp.output({event.type: event})


def _key(field: str):
    """What names a subject's key."""
    return lambda event: (event.subject, getattr(event, field))


@csp.graph
def graph(path: str, out: object):
    """All questions on the file ``path``; their answers go to ``out``."""
    of = columns(path) if path.endswith(".parquet") else route(lines(path), list(TYPES))
    page, used, search, slow = (
        of[kind] for kind in ("page.viewed", "feature.used", "search.performed", "page.slow")
    )
    session, completed, failed = (
        of[kind] for kind in ("session.started", "request.completed", "request.failed")
    )
    started, declined, succeeded = (
        of[kind] for kind in ("checkout.started", "payment.declined", "payment.succeeded")
    )
    export, exported, step = (
        of[kind] for kind in ("export.started", "export.finished", "onboarding.step")
    )
    integration, saved = of["integration.failed"], of["document.saved"]

    nothing = only(search, lambda e: e.results == 0)
    error = only(failed, lambda e: e.status >= 500)
    begun = only(step, lambda e: e.state == "begun")
    export_failed = only(exported, lambda e: e.state == "failed")
    order, job = _key("order_id"), _key("job")
    paid_or_not = csp.merge(succeeded, declined)
    large = only(started, lambda e: e.amount > 440)
    huge = only(export, lambda e: e.rows > 900_000)
    importing = only(begun, lambda e: e.step == "import")
    settled = only(step, lambda e: e.state == "done" or e.step == "import")
    limited = only(failed, lambda e: e.status == 429)
    conflict = only(saved, lambda e: e.result == "conflict")
    answers = {
        "declined-then-silence": declined_then_silence(started, declined, succeeded),
        "checkout-abandoned": absence(large, started, paid_or_not, order, minutes(15)),
        "valued-customer-declined": valued_customer_declined(declined, succeeded, session),
        "export-stuck": absence(huge, export, exported, job, minutes(10)),
        "export-fails-again": export_fails_again(export_failed),
        "export-too-large": export_too_large(export, exported),
        "help-in-vain": streak(
            only(page, lambda e: e.path.startswith("/help/")), used, 3, minutes(10)
        ),
        "lost-and-slow": lost_and_slow(nothing, only(slow, lambda e: e.seconds > 8)),
        "search-without-result": streak(
            nothing, only(search, lambda e: e.results > 0), 3, minutes(10)
        ),
        "searching-in-circles": searching_in_circles(search, used),
        "onboarding-stalled": absence(
            importing, settled, csp.null_ts(object), _key("workspace"), minutes(30)
        ),
        "onboarding-repeated": onboarding_repeated(begun),
        "connecting-failed": connecting_failed(
            only(step, lambda e: e.step == "connect"),
            only(integration, lambda e: e.reason in ("auth", "scope")),
        ),
        "integration-down": repeated(integration, _key("integration"), 3, minutes(10)),
        "api-errors": api_errors(error, completed),
        "rate-limited": repeated(limited, _key("endpoint"), 4, minutes(2)),
        "endpoint-slow": endpoint_slow(only(error, lambda e: e.status == 504), completed),
        "pages-slow": pages_slow(slow),
        "saves-conflict": repeated(conflict, _key("document"), 2, minutes(5)),
        "sessions-restarted": sessions_restarted(session, page),
    }
    for question, answer in answers.items():
        write(question, answer, out)


def run(folder: Path, answers: Path) -> None:
    """Run the graph in the time of the events, and 31 minutes more for what does not come."""
    groups = pq.ParquetFile(folder / "events.parquet").metadata
    path = folder / ("events.json" if sys.argv[3] == "json" else "events.parquet")
    first = groups.row_group(0).column(1).statistics.min
    last = groups.row_group(groups.num_row_groups - 1).column(1).statistics.max
    with answers.open("w") as out:
        csp.run(graph, str(path), out, starttime=first, endtime=last + minutes(31))


if __name__ == "__main__":
    serve("csp", version("csp"), run)
