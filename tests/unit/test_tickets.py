"""Cases go to the next queue when nobody takes them; what people do with tickets comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from flow.intervening import START
from flow.reaching import DOWN, UNCERTAIN, Vendor
from flow.staying import ESCALATED, TIERS, Desks
from forestall.channels.base import Delivery
from forestall.channels.helpdesk.memory import MemoryHelpdesk
from forestall.channels.helpdesk.port import Changes, HelpdeskUnavailable, TicketChange
from forestall.contracts.instants import DAY, SECOND
from forestall.contracts.intervention import Case
from forestall.contracts.refusals import TooLate
from forestall.intervene.authority import Who
from forestall.intervene.commanding import Commanding
from forestall.intervene.queues import HelpdeskDesk, QueueDesk, passed_on
from forestall.intervene.records import Records
from forestall.kernel.settings import Queue

CASE = Case(
    id="a" * 32,
    intervention="i",
    queue="payments",
    customer="s1",
    policy="p",
    title="t",
    why="w",
    at="2024-05-01T12:00:00.000000Z",
    events=(),
    features={},
    taken=(),
    advice=None,
    trace=None,
)


@pytest.fixture
def desks(tmp_path: Path) -> Desks:
    """The first queue has the case, and its helpdesk was asked once before."""
    made = Desks(tmp_path)
    made.poll()
    made.hand_over()
    return made


# -- passing on ------------------------------------------------------------------------------------


def test_a_case_that_nobody_took_goes_to_the_next_queue(desks: Desks) -> None:
    assert desks.pass_on(ESCALATED + 599) == 0
    assert list(desks.rows()) == ["payments"]
    assert desks.pass_on(ESCALATED + 600) == 1
    assert list(desks.rows()) == ["payments", "lead"]
    (case,) = desks.cases(desks.second)
    assert (case.queue, case.tier, case.passed_from) == ("lead", 2, "payments")
    assert case.id == desks.row("lead").key != desks.row("payments").key
    (first,) = desks.first.tickets.values()
    assert list(first.notes.values()) == ["Nobody took this in 10m; lead has it now as 1."]


def test_it_goes_on_to_the_last_queue_and_stays_there(desks: Desks) -> None:
    desks.pass_on(ESCALATED + 600)
    desks.pass_on(ESCALATED + 600 + 3_599)
    assert "head" not in desks.rows()
    desks.pass_on(ESCALATED + 600 + 3_600)
    assert [one.tier for one in desks.rows().values()] == [1, 2, 3]
    assert desks.pass_on(ESCALATED + 10 * 86_400) == 0
    assert len(desks.second.tickets) == 2


def test_a_case_that_somebody_took_stays_with_them(desks: Desks) -> None:
    desks.first.take("1", "ann")
    desks.poll()
    assert desks.row("payments").taken_by == "ann"
    assert desks.pass_on(ESCALATED + 86_400) == 0
    assert not desks.second.tickets


def test_taking_it_in_a_later_queue_is_enough_too(desks: Desks) -> None:
    desks.pass_on(ESCALATED + 600)
    desks.poll("second")
    desks.second.take("1", "ben")
    desks.poll("second")
    assert {one.taken_by for one in desks.rows().values()} == {"ben"}
    assert desks.pass_on(ESCALATED + 86_400) == 0


def test_operators_can_take_it(desks: Desks) -> None:
    store, now = desks.world.store, desks.around.now
    commanding = Commanding(store, log_time=now, clock=now, ids=lambda: "id")
    ann = Who("ann", ("operator",))
    with pytest.raises(TooLate):
        commanding.command(ann, desks.intervention, "stop", "no need")
    commanding.command(ann, desks.intervention, "take_over", "I know them")
    with pytest.raises(TooLate):
        commanding.command(ann, desks.intervention, "take_over", "I know them better")
    ((word, data),) = desks.events()
    assert (word, data["by"], data["step"]) == ("intervention.taken", "ann", 3)
    (entry,) = Records(store.database).newest(10)
    assert (entry.what, entry.who) == ("intervention.take_over", "ann")
    assert desks.course()[-1] == "taken"
    assert desks.pass_on(ESCALATED + 86_400) == 0


def test_the_word_of_the_log_that_it_is_taken_counts(desks: Desks) -> None:
    store = desks.world.store
    store.note("s1", desks.intervention, "taken", 3, START, None)
    assert desks.pass_on(ESCALATED + 600) == 1
    assert desks.pass_on(ESCALATED + 86_400) == 0
    assert not desks.second.tickets


def test_the_time_to_take_it_survives_a_restart(desks: Desks) -> None:
    desks.restart()
    assert desks.pass_on(ESCALATED + 599) == 0
    assert desks.pass_on(ESCALATED + 600) == 1
    desks.restart()
    assert desks.pass_on(ESCALATED + 601) == 0
    assert len(desks.second.tickets) == 1


def test_a_solved_case_is_passed_to_nobody(desks: Desks) -> None:
    desks.first.solve("1", "ann")
    desks.poll()
    assert desks.pass_on(ESCALATED + 86_400) == 0


@pytest.mark.parametrize("stop", ["opted_out", "withdrawn"])
def test_a_customer_who_said_no_is_left_in_peace(desks: Desks, stop: str) -> None:
    getattr(desks.around.door, stop).add("s1")
    assert desks.pass_on(ESCALATED + 600) == 1
    assert not desks.second.tickets
    assert desks.pass_on(ESCALATED + 86_400) == 0


@pytest.mark.parametrize("failure", [DOWN, UNCERTAIN])
def test_a_next_queue_that_is_down_is_waited_for(tmp_path: Path, failure: Delivery) -> None:
    vendor = Vendor(failure, failure, Delivery(outcome="delivered", reason="delivered"))
    queues = {"payments": TIERS["payments"], "lead": Queue(webhook="hook")}
    desks = Desks(tmp_path, queues=queues, desks={"lead": vendor})
    desks.hand_over()
    with capture_logs() as logs:
        assert desks.pass_on(ESCALATED + 600) == 1
    assert [one["event"] for one in logs] == ["case_waits_for_next_queue"]
    assert desks.pass_on(ESCALATED + 604) == 0
    assert desks.pass_on(ESCALATED + 605) == 1
    assert desks.pass_on(ESCALATED + 615) == 1
    assert desks.pass_on(ESCALATED + 86_400) == 0
    assert len({key for key, _ in vendor.got}) == 1
    assert len(vendor.got) == 3


def test_a_vendor_that_asks_for_time_gets_it(tmp_path: Path) -> None:
    busy = Delivery(outcome="failed", reason="refused", again=True, retry_after=3_600 * SECOND)
    queues = {"payments": TIERS["payments"], "lead": Queue(webhook="hook")}
    desks = Desks(tmp_path, queues=queues, desks={"lead": Vendor(busy)})
    desks.hand_over()
    desks.pass_on(ESCALATED + 600)
    assert desks.pass_on(ESCALATED + 600 + 3_599) == 0
    assert desks.pass_on(ESCALATED + 600 + 3_600) == 1


def test_a_cut_between_handing_over_and_writing_it_down_changes_nothing(desks: Desks) -> None:
    row = desks.row("payments")
    case = passed_on(row, "lead")
    queue = desks.deliveries._now.queues["lead"]
    asyncio.run(queue.hand_over(case, case.id))
    assert desks.pass_on(ESCALATED + 600) == 1
    assert len(desks.second.tickets) == 1
    assert list(desks.rows()) == ["payments", "lead"]


def test_a_queue_without_time_to_take_it_never_passes_on(tmp_path: Path) -> None:
    desks = Desks(tmp_path, queues={"payments": Queue(helpdesk="first")})
    desks.hand_over()
    assert desks.row("payments").due is None
    assert desks.pass_on(ESCALATED + 86_400) == 0


def test_a_queue_that_the_settings_lost_ends_it(tmp_path: Path) -> None:
    desks = Desks(tmp_path, queues={"payments": TIERS["payments"]})
    desks.hand_over()
    assert desks.pass_on(ESCALATED + 600) == 1
    assert desks.pass_on(ESCALATED + 86_400) == 0


# -- what comes back -------------------------------------------------------------------------------


def test_a_ticket_becomes_events_of_its_customer(desks: Desks) -> None:
    desks.poll()
    desks.first.take("1", "ann")
    desks.first.solve("1", "ann")
    desks.first.reopen("1", "ann")
    desks.first.rate("1", 4.5)
    desks.poll()
    words = [word for word, _ in desks.events()]
    assert words == [
        "ticket.opened",
        "intervention.taken",
        "ticket.closed",
        "ticket.reopened",
        "ticket.rated",
    ]
    assert {one.subject for one in desks.world.waiting()} == {"s1"}
    data = dict(desks.events())
    assert data["ticket.opened"] == {
        "ticket": "1",
        "channel": "first",
        "intervention": desks.intervention,
    }
    assert data["ticket.rated"]["score"] == 4.5
    assert desks.course()[-4:] == ["taken", "ticket_solved", "ticket_reopened", "ticket_rated"]


def test_what_was_read_is_not_told_twice(desks: Desks) -> None:
    desks.poll()
    before = desks.events()
    with desks.world.store.transaction():
        desks.escalations.move("first", "@0")
    desks.restart()
    desks.poll()
    assert desks.events() == before


class Quick(MemoryHelpdesk):
    """Has a person take and solve a ticket, and us hear of it, before we hear that it is there."""

    hear: Callable[[], Awaitable[bool]] | None = None

    async def create(self, case: Case, key: str) -> Delivery:
        made = await super().create(case, key)
        self.take("1", "ann")
        self.solve("1", "ann")
        if self.hear is not None:
            await self.hear()
        return made


def test_what_people_do_before_we_know_the_ticket_is_not_lost(tmp_path: Path) -> None:
    helpdesk = Quick("first", lambda: START + ESCALATED * SECOND)
    desks = Desks(tmp_path, queues=TIERS, helpdesks={"first": helpdesk, "second": helpdesk})
    desks.poll()
    helpdesk.hear = lambda: desks.tickets.poll("first")
    desks.hand_over()
    assert {"taken", "ticket_solved"} <= set(desks.course())
    assert desks.row("payments").taken_by == "ann"
    assert desks.pass_on(ESCALATED + 86_400) == 0


def test_changes_of_long_ago_are_forgotten(desks: Desks) -> None:
    with desks.world.store.transaction():
        assert desks.escalations.fresh("x", START)
        assert not desks.escalations.fresh("x", START)
    desks.around.seconds = 31 * DAY / SECOND
    desks.poll()
    with desks.world.store.transaction():
        assert desks.escalations.fresh("x", START)


def test_our_own_ticket_does_not_end_what_opened_it(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    desks.poll()
    desks.hand_over()
    desks.poll()
    desks.world.report(ESCALATED + 20)
    desks.world.settle()
    assert desks.world.store.newest(1)[0].outcome == "escalated"


def test_the_customer_hears_once_that_it_is_solved(desks: Desks) -> None:
    desks.first.solve("1", "ann")
    desks.poll()
    desks.first.reopen("1", "ann")
    desks.first.solve("1", "ann")
    desks.poll()
    (message,) = desks.published
    assert message.body == "We have solved this for you."
    assert message.title == "card-declined"
    assert desks.world.messages(seconds=ESCALATED + 10)[-1] == message.body
    assert message.expires > message.created == desks.around.now()


@pytest.mark.parametrize("stop", ["opted_out", "withdrawn"])
def test_who_said_no_hears_nothing(desks: Desks, stop: str) -> None:
    getattr(desks.around.door, stop).add("s1")
    desks.first.solve("1", "ann")
    desks.poll()
    assert desks.published == []
    assert desks.row("payments").solved_at is not None


def test_a_queue_may_have_its_own_words_or_none(tmp_path: Path) -> None:
    for words in ("Paid: all is well.", ""):
        folder = tmp_path / (words[:4] or "none")
        folder.mkdir()
        desks = Desks(folder, queues={"payments": Queue(helpdesk="first", solved=words)})
        desks.poll()
        desks.hand_over()
        desks.first.solve("1", "ann")
        desks.poll()
        assert [one.body for one in desks.published] == ([words] if words else [])


class Others(MemoryHelpdesk):
    """Has tickets that customers opened themselves."""

    async def changes(self, since: str) -> Changes:
        found = await super().changes(since)
        theirs = [
            TicketChange(
                id=f"t{number}", kind="opened", ticket=str(90 + number), at=1, customer=customer
            )
            for number, customer in enumerate(["user-17", "stranger", None])
        ]
        return Changes((*found.changes, *theirs), found.cursor)


def test_a_ticket_that_a_customer_opened_counts_where_we_know_them(tmp_path: Path) -> None:
    helpdesk = Others("first", lambda: 0)
    desks = Desks(
        tmp_path,
        queues={"payments": Queue(helpdesk="first")},
        helpdesks={"first": helpdesk},
        identify=lambda customer: "s7" if customer == "user-17" else None,
    )
    desks.poll()
    desks.poll()
    opened = [(one.subject, one.type) for one in desks.world.waiting()][-1:]
    assert opened == [("s7", "forestall.ticket.opened")]
    assert [data["ticket"] for word, data in desks.events() if word == "ticket.opened"] == ["90"]


def test_it_begins_with_now_and_not_with_years_of_tickets(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    asyncio.run(desks.first.create(CASE, "a" * 32))
    desks.around.seconds += 60
    desks.poll()
    assert [word for word, _ in desks.events() if word.startswith("ticket")] == []
    assert desks.escalations.cursor("first") is not None


# -- the loop --------------------------------------------------------------------------------------


class Down(MemoryHelpdesk):
    """Cannot be asked the first few times."""

    failures = 2

    async def changes(self, since: str) -> Changes:
        if self.failures:
            self.failures -= 1
            raise HelpdeskUnavailable("asked to wait", retry_after=1_000)
        return await super().changes(since)


def test_the_loop_waits_out_an_outage_and_stops_when_told(tmp_path: Path) -> None:
    helpdesk = Down("first", lambda: START + ESCALATED * SECOND)
    desks = Desks(
        tmp_path,
        queues={"payments": Queue(helpdesk="first")},
        helpdesks={"first": helpdesk},
    )
    desks.hand_over()

    async def until_told() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(desks.tickets.run(stopping))
        async with asyncio.timeout(60):
            while not any(word == "ticket.opened" for word, _ in desks.events()):
                await asyncio.sleep(0.01)
            stopping.set()
            await running

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr("forestall.intervene.tickets._FIRST_PAUSE", 1_000)
        asyncio.run(until_told())
    assert [one["event"] for one in logs if one["event"] == "helpdesk_waits"] == [
        "helpdesk_waits"
    ] * 2


# -- queues ----------------------------------------------------------------------------------------


def test_a_partner_gets_less_and_the_next_queue_of_our_own_gets_all(tmp_path: Path) -> None:
    queues = {
        "payments": Queue(helpdesk="first", role="partner", ack="10m", next="lead"),
        "lead": Queue(helpdesk="second"),
    }
    desks = Desks(tmp_path, queues=queues)
    desks.hand_over()
    (theirs,) = desks.cases(desks.first)
    assert theirs.traits == {}
    assert "gold" not in msgspec.json.encode(theirs).decode()
    desks.pass_on(ESCALATED + 600)
    (ours,) = desks.cases(desks.second)
    assert ours.traits["plan"] == "gold"


def test_a_queue_keeps_what_its_desk_does_with_a_repeated_key(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    queue = desks.deliveries._now.queues["payments"]
    assert isinstance(queue, QueueDesk)
    assert isinstance(queue.desk, HelpdeskDesk)
    assert queue.deduplication == desks.first.deduplication == "dedupes"


def test_a_delivery_that_failed_is_written_down_nowhere(tmp_path: Path) -> None:
    queues = {"payments": Queue(webhook="hook", ack="1m", next="lead"), "lead": TIERS["head"]}
    desks = Desks(tmp_path, queues=queues, desks={"payments": Vendor(DOWN)})
    effect = desks.world.store.effects.waiting(START * 2, 1)[0]
    assert asyncio.run(desks.deliveries.attempt(effect.key, 1)) == "again"
    assert desks.rows() == {}
