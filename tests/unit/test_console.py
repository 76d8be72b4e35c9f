"""The console keeps the right totals as the logs grow, and serves its page under a strict policy."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import httpx
import msgspec
import pytest

from forestall.console.overview import Overview
from forestall.console.page import OVERVIEW, PATHS, build
from forestall.console.watch import Watch
from forestall.contracts.decision import Decided, Decision, Mode, Outcome, Reason
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND, format_time
from forestall.contracts.intervention import REPORTS, Tell
from forestall.log.memory import MemoryLog
from forestall.log.port import Log, LogMissing
from forestall.log.streams import SIGNALS, decisions, signals

CURSOR = "decide"


class Shop:
    """Two logs, a clock that stands still, and the watch over them."""

    def __init__(self, **options: int) -> None:
        self.gateway = MemoryLog()
        self.worker = MemoryLog()
        self.now = 100.0
        self._events = 0
        self.watch = Watch(
            lambda: self.gateway,
            lambda: self.worker,
            cursor=CURSOR,
            monotonic=lambda: self.now,
            **options,
        )

    def accept(self, *types: str, intervention: str = "", reason: str | None = None) -> None:
        tell = Tell(intervention, "payments", "v", reason=reason)
        data = msgspec.Raw(msgspec.json.encode(tell))
        records = []
        for kind in types:
            self._events += 1
            at = self._events * SECOND
            records.append(Record(f"e{self._events}", "s", kind, "p1", at, at, data=data))
        self.gateway.commit([signals(records)])

    def decide(self, *made: Decision) -> None:
        position = self.gateway.last(SIGNALS)
        entries = [Decided(position, 0, position, decision) for decision in made]
        self.worker.commit([decisions(entries)] if entries else [], cursors={CURSOR: position})


def decision(
    name: str,
    *,
    policy: str = "payments",
    outcome: Outcome = "intervene",
    reason: Reason | None = None,
    mode: Mode = "live",
) -> Decision:
    return Decision(
        id=name,
        policy=policy,
        version="v",
        mode=mode,
        subject="p1",
        key=None,
        at=format_time(SECOND),
        outcome=outcome,
        reason=reason,
        matched=("e1",),
        features={},
        explanation="Because the payment failed.",
    )


def test_nothing_yet() -> None:
    overview = Shop().watch.poll()
    assert (overview.events.accepted, overview.decisions) == (0, 0)
    assert overview.policies == ()
    assert overview.settled


def test_logs_that_do_not_exist_yet_are_opened_once_they_do() -> None:
    shop = Shop()
    ready = False

    def open_gateway() -> Log:
        if not ready:
            raise LogMissing("not yet")
        return shop.gateway

    watch = Watch(open_gateway, open_gateway, cursor=CURSOR, monotonic=lambda: 0.0)
    assert watch.poll().events.accepted == 0
    ready = True
    shop.accept("page.viewed")
    assert watch.poll().events.accepted == 1


def test_only_what_is_new_is_added() -> None:
    shop = Shop()
    shop.accept("page.viewed", "page.viewed")
    assert shop.watch.poll().events.accepted == 2
    assert shop.watch.poll().events.accepted == 2
    shop.accept("page.viewed")
    assert shop.watch.poll().events.accepted == 3


def test_what_a_page_decided_counts_as_a_decision_and_nothing_is_waited_for() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.decide(msgspec.structs.replace(decision("d1"), edge=True))
    overview = shop.watch.poll()
    assert overview.settled
    assert (overview.decisions, overview.interventions.total) == (1, 0)


def test_pending_until_the_worker_has_been_there() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.accept("page.viewed")
    overview = shop.watch.poll()
    assert overview.events.pending_batches == 2
    assert not overview.settled
    shop.decide()
    overview = shop.watch.poll()
    assert overview.events.pending_batches == 0
    assert overview.settled


def test_decisions_by_policy_outcome_and_reason() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.decide(
        decision("1"),
        decision("2"),
        decision("3", outcome="suppress", reason="cooldown"),
        decision("4", policy="search", outcome="holdout", reason="policy_holdout"),
        decision("5", policy="search", mode="shadow"),
    )
    overview = shop.watch.poll()
    payments, search = overview.policies
    assert overview.decisions == 5
    assert (payments.policy, payments.total) == ("payments", 3)
    assert payments.by_outcome == {"intervene": {"": 2}, "suppress": {"cooldown": 1}}
    assert search.by_mode == {"live": 1, "shadow": 1}
    assert search.by_outcome == {"holdout": {"policy_holdout": 1}, "intervene": {"": 1}}


def test_a_shadow_decision_is_no_intervention() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.decide(decision("1", mode="shadow"), decision("2", mode="canary"))
    overview = shop.watch.poll()
    assert overview.interventions.total == 1
    assert [shown.id for shown in overview.interventions.newest] == ["2"]


def test_reports_move_an_intervention_on() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.decide(decision("1"))
    overview = shop.watch.poll()
    assert overview.interventions.by_state == {"waiting": 1}
    assert not overview.settled
    for told, state in [
        ("started", "started"),
        ("shown", "shown"),
        ("started", "shown"),
        ("resolved", "resolved"),
    ]:
        shop.accept(f"forestall.intervention.{told}", intervention="1")
        shop.decide()
        overview = shop.watch.poll()
        assert overview.interventions.by_state == {state: 1}
        assert overview.interventions.newest[0].state == state
    assert overview.settled


def test_the_reason_of_a_report_is_shown() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.decide(decision("1"))
    shop.accept("forestall.intervention.expired", intervention="1", reason="valid_for")
    assert shop.watch.poll().interventions.newest[0].reason == "valid_for"


def test_a_report_read_before_its_decision_is_not_lost() -> None:
    shop = Shop()
    shop.accept("forestall.intervention.started", intervention="1")
    assert shop.watch.poll().interventions.total == 0
    shop.decide(decision("1"))
    assert shop.watch.poll().interventions.by_state == {"started": 1}


def test_a_report_that_is_none_is_passed_over() -> None:
    shop = Shop()
    record = Record("e1", "s", "forestall.intervention.shown", "p1", 1, 1, data=msgspec.Raw(b"{}"))
    shop.gateway.commit([signals([record])])
    assert shop.watch.poll().events.accepted == 1


def test_the_newest_come_first_and_only_so_many() -> None:
    shop = Shop(newest=2)
    shop.accept("page.viewed")
    shop.decide(*(decision(str(number)) for number in range(5)))
    overview = shop.watch.poll()
    assert [shown.id for shown in overview.interventions.newest] == ["4", "3"]
    assert overview.interventions.total == 5


def test_a_poll_reads_only_so_much_and_says_so() -> None:
    shop = Shop()
    for _ in range(5):
        shop.accept("page.viewed")
    shop.decide()
    first = shop.watch.poll(limit=3)
    assert (first.events.accepted, first.settled) == (3, False)
    second = shop.watch.poll(limit=3)
    assert (second.events.accepted, second.settled) == (5, True)


def test_events_a_second() -> None:
    shop = Shop()
    shop.watch.poll()
    shop.accept(*["page.viewed"] * 30)
    shop.now += 2
    overview = shop.watch.poll()
    assert overview.events.per_second == 15
    assert [(sample.ago, sample.per_second) for sample in overview.events.recent] == [(0, 15)]
    shop.now += 60
    overview = shop.watch.poll()
    assert overview.events.per_second == 0


def test_looks_less_than_a_second_apart_make_one_sample() -> None:
    shop = Shop()
    for _ in range(10):
        shop.watch.poll()
        shop.now += 0.25
    assert len(shop.watch.poll().events.recent) == 2


def test_close_releases_the_logs() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    shop.watch.poll()
    shop.watch.close()


def served(
    poll: Callable[[], Overview], script: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]
) -> None:
    async def run() -> None:
        transport = httpx.ASGITransport(app=build(poll, lambda: 0.0))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            await script(client)

    asyncio.run(run())


def test_the_page_and_its_parts_are_served() -> None:
    async def script(client: httpx.AsyncClient) -> None:
        for path, (_, kind) in PATHS.items():
            answer = await client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == kind.decode()
            assert answer.headers["x-content-type-options"] == "nosniff"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy

    served(Shop().watch.poll, script)


def test_the_overview_is_served_and_shared_for_a_moment() -> None:
    shop = Shop()
    shop.accept("page.viewed")
    polls = 0

    def poll() -> Overview:
        nonlocal polls
        polls += 1
        return shop.watch.poll()

    async def script(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.get(OVERVIEW) for _ in range(5)))
        for answer in answers:
            overview = msgspec.json.decode(answer.content, type=Overview)
            assert overview.events.accepted == 1
            assert answer.headers["cache-control"] == "no-store"

    served(poll, script)
    assert polls == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/x", 404, "not-found"), ("POST", "/", 405, "method-not-allowed")],
)
def test_what_is_not_there_is_a_problem(method: str, path: str, status: int, code: str) -> None:
    async def script(client: httpx.AsyncClient) -> None:
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["code"]) == (status, code)

    served(Shop().watch.poll, script)


def test_head_has_no_body() -> None:
    async def script(client: httpx.AsyncClient) -> None:
        answer = await client.head("/")
        assert answer.status_code == 200
        assert answer.content == b""

    served(Shop().watch.poll, script)


class _Page(HTMLParser):
    """Collects what the page links to, its ids, headings and landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.styled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.links += [given[name] or "" for name in ("src", "href") if name in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        self.styled |= "style" in given or any(name.startswith("on") for name in given)


def _page() -> _Page:
    page = _Page()
    page.feed((files("forestall.console") / "static" / "index.html").read_text())
    return page


def test_the_page_asks_for_nothing_that_is_not_served_here() -> None:
    page = _page()
    for link in page.links:
        assert link in PATHS or link == OVERVIEW or link.removeprefix("#") in page.ids
    assert not page.styled


def test_the_page_has_landmarks_and_one_first_heading() -> None:
    page = _page()
    assert page.tags.count("h1") == 1
    for landmark in ("header", "main", "footer"):
        assert page.tags.count(landmark) == 1
    assert len(page.ids) == len(set(page.ids))


def test_the_script_knows_every_element_and_reason_that_it_names() -> None:
    script = (files("forestall.console") / "static" / "console.js").read_text()
    page = _page()
    assert set(re.findall(r'byId\("([^"]+)"\)', script)) <= set(page.ids)
    reasons = Reason.__args__  # type: ignore[attr-defined]
    assert all(f"{reason}:" in script for reason in reasons)
    assert "innerHTML" not in script


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str) -> None:
    """WCAG 2.2 AA: a contrast of at least 4.5 to 1 for text."""
    style = (files("forestall.console") / "static" / "console.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[scheme == "dark"]))
    for ground in ("page", "card"):
        for text in ("ink", "soft", "accent", "bad"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert _contrast(colours["accent"], colours["accent-wash"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("told", sorted(REPORTS.values()))
def test_whatever_is_told_of_an_intervention_is_shown(told: str) -> None:
    shop = Shop()
    shop.decide(decision("d1"))
    shop.accept(f"forestall.intervention.{told}", intervention="d1")
    assert shop.watch.poll().interventions.by_state == {told: 1}
