"""One attempt at one effect: the door, the record, and what is uncertain."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import DELIVERED, DOWN, REFUSED, UNCERTAIN, Around, Vendor
from forestall.channels.base import Deduplication, Delivery
from forestall.contracts.intervention import Case, Message
from forestall.intervene.deliver import Deliveries
from forestall.intervene.effect_store import Effect
from forestall.intervene.inbox import Inbox

GUIDED = DECLINED_TWICE.replace("channel: inapp", "channel: hook")
DECLINES = (
    event("payment.declined", 0, order_id="o1"),
    event("payment.declined", 10, order_id="o2"),
)


class Scene:
    """An intervention with one effect that waits: guidance, or a case for people."""

    def __init__(self, folder: Path, vendor: Vendor, *, escalated: bool = False) -> None:
        self.world = World(folder, DECLINED_TWICE if escalated else GUIDED)
        self.world.settle(*DECLINES)
        if escalated:
            self.world.tick(15 * 60)
            self.world.settle()
        self.vendor = vendor
        self.around = Around(START, vendor)
        self.around.seconds = 15 * 60 + 1 if escalated else 11
        self.deliveries = Deliveries(self.world.store, self.around.surroundings)
        self.key = self.world.store.effects.waiting(START * 2, 1)[0].key

    @property
    def effect(self) -> Effect:
        found = self.world.store.effects.get(self.key)
        assert found is not None
        return found

    def attempt(self) -> str:
        return asyncio.run(self.deliveries.attempt(self.effect.key, self.effect.attempt))


def test_guidance_delivered_is_done_and_reported_as_shown(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED))
    assert scene.attempt() == "delivered"
    assert scene.effect.status == "done"
    assert scene.world.told() == ["started", "shown 1"]
    ((key, message),) = scene.vendor.got
    assert key == message.id == scene.effect.key


def test_a_case_handed_over_is_reported_as_escalated_and_ends_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED), escalated=True)
    assert scene.attempt() == "delivered"
    assert scene.world.told()[-1] == "escalated 3"
    scene.world.report(901)
    scene.world.settle()
    assert scene.world.store.newest(1)[0].outcome == "escalated"


def test_an_attempt_that_is_over_is_not_made_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED))
    scene.attempt()
    assert scene.attempt() == "done before"
    assert asyncio.run(scene.deliveries.attempt("unknown", 1)) == "done before"
    assert len(scene.vendor.got) == 1


@pytest.mark.parametrize("reason", ["opted_out", "no_consent", "expired", "not_needed"])
def test_the_door_is_the_last_look(tmp_path: Path, reason: str) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED))
    if reason == "opted_out":
        scene.around.door.opted_out.add("s1")
    elif reason == "no_consent":
        scene.around.door.withdrawn.add("s1")
    elif reason == "expired":
        scene.around.seconds = 10 + 120
    else:
        state = scene.world.store.state(scene.effect.intervention)
        assert state is not None
        scene.world.store.keep(msgspec.structs.replace(state, ending="resolved"))
    assert scene.attempt() == reason
    assert scene.vendor.got == []
    assert scene.effect.status == "refused"
    failed = [f"failed 1 {reason}"] if reason in ("opted_out", "no_consent") else []
    assert scene.world.told() == ["started", *failed]


def test_consent_is_asked_for_where_the_settings_say_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED))
    scene.around.consent_needed = True
    assert scene.attempt() == "no_consent"


def test_an_escalation_never_expires(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED), escalated=True)
    scene.around.seconds = 365 * 86_400
    assert scene.attempt() == "delivered"


def test_guidance_refused_by_the_vendor_fails(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(REFUSED))
    assert scene.attempt() == "failed"
    assert scene.world.told() == ["started", "failed 1 refused"]


def test_guidance_for_a_channel_that_is_not_there_fails(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor())
    scene.vendor.name = "other"
    scene.around = Around(START, scene.vendor)
    scene.deliveries = Deliveries(scene.world.store, scene.around.surroundings)
    assert scene.attempt() == "failed"
    assert "declare [webhooks.hook]" in str(scene.effect.detail)


def test_a_vendor_that_is_down_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DOWN, DOWN, DELIVERED))
    pauses = []
    for _ in range(2):
        assert scene.attempt() == "again"
        assert scene.deliveries.waiting(9) == []
        pauses.append(scene.effect.not_before - scene.around.now())
        scene.around.seconds += pauses[-1] / 1e6
    assert pauses == [2_000_000, 4_000_000]
    assert scene.attempt() == "delivered"
    assert len({key for key, _ in scene.vendor.got}) == 1


def test_the_vendors_own_pause_is_kept(tmp_path: Path) -> None:
    busy = Delivery(outcome="failed", reason="refused", again=True, retry_after=60_000_000)
    scene = Scene(tmp_path, Vendor(busy))
    scene.attempt()
    assert scene.effect.not_before - scene.around.now() == 60_000_000


def test_a_case_that_nobody_takes_is_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(REFUSED), escalated=True)
    assert [scene.attempt() for _ in range(5)] == ["again"] * 5
    scene.around = Around(START, scene.vendor, queues=())
    scene.deliveries = Deliveries(scene.world.store, scene.around.surroundings)
    assert scene.attempt() == "again"
    assert "[queues.payments]" in str(scene.effect.detail)
    assert scene.effect.status == "waiting"


@pytest.mark.parametrize("deduplication", ["neither", "lookup"])
def test_uncertain_guidance_is_dropped(tmp_path: Path, deduplication: Deduplication) -> None:
    scene = Scene(tmp_path, Vendor(UNCERTAIN, deduplication=deduplication))
    assert scene.attempt() == "dropped"
    assert scene.world.told() == ["started", "failed 1 uncertain"]


def test_uncertain_guidance_is_repeated_where_the_vendor_deduplicates(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(UNCERTAIN, DELIVERED, deduplication="dedupes"))
    assert [scene.attempt(), scene.attempt()] == ["again", "delivered"]
    assert len({key for key, _ in scene.vendor.got}) == 1


def test_an_uncertain_case_is_handed_on_marked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(UNCERTAIN, DELIVERED), escalated=True)
    assert [scene.attempt(), scene.attempt()] == ["again", "delivered"]
    marks = [case.possibly_doubled for _, case in scene.vendor.got if isinstance(case, Case)]
    assert marks == [False, True]


class Died(BaseException):
    """The process died while the request was under way."""


@pytest.mark.parametrize(
    ("escalated", "deduplication", "results", "sent"),
    [
        (False, "neither", ["dropped"], 1),
        (False, "dedupes", ["again", "delivered"], 2),
        (True, "neither", ["again", "delivered"], 2),
        (True, "dedupes", ["again", "delivered"], 2),
    ],
)
def test_a_crash_during_delivery_is_recognised(
    tmp_path: Path,
    escalated: bool,
    deduplication: Deduplication,
    results: list[str],
    sent: int,
) -> None:
    vendor = Vendor(Died(), DELIVERED, deduplication=deduplication)
    scene = Scene(tmp_path, vendor, escalated=escalated)
    with pytest.raises(Died):
        scene.attempt()
    assert scene.effect.status == "waiting"
    assert [scene.attempt() for _ in results] == results
    assert len(vendor.got) == sent
    doubled = [case.possibly_doubled for _, case in vendor.got if isinstance(case, Case)]
    assert doubled == ([False, deduplication == "neither"] if escalated else [])


def test_an_attempt_cut_off_before_it_began_is_simply_made(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Vendor(DELIVERED))
    scene.deliveries.cut_off(scene.effect.key, 1)
    assert (scene.effect.attempt, scene.effect.status) == (2, "waiting")
    assert scene.attempt() == "delivered"
    scene.deliveries.cut_off(scene.effect.key, 2)
    assert scene.effect.status == "done"


def test_the_inbox_looks_at_the_door_and_reports_shown_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settle(*DECLINES)
    around = Around(START, Vendor())
    inbox = Inbox(world.store, around.surroundings)
    (message,) = inbox.after("s1", None, around.now())
    assert inbox.after("s2", None, around.now()) == []
    assert inbox.after("s1", message.id, around.now()) == []
    assert inbox.after("s1", "forgotten", around.now()) == [message]
    assert inbox.after("s1", None, message.expires) == []
    for _ in range(2):
        inbox.shown([(message.id, around.now()), ("unknown", around.now())])
    assert world.told() == ["started", "shown 1"]
    around.door.opted_out.add("s1")
    assert inbox.after("s1", None, around.now()) == []


def test_what_a_channel_keeps_trying_is_called_off_when_the_customer_says_no(
    tmp_path: Path,
) -> None:
    class Trying(Vendor):
        async def send(self, message: Message, key: str) -> Delivery:
            self.got.append((key, message))
            await asyncio.sleep(3600)
            raise AssertionError

    async def main() -> str:
        trying = asyncio.create_task(scene.deliveries.attempt(scene.key, 1))
        while not scene.vendor.got:
            await asyncio.sleep(0)
        scene.deliveries.stopped("s1")
        assert not trying.done()
        scene.around.door.opted_out.add("s1")
        scene.deliveries.stopped("s1")
        return await trying

    scene = Scene(tmp_path, Trying())
    assert asyncio.run(main()) == "opted_out"
    assert scene.effect.status == "refused"
    assert scene.world.told() == ["started", "failed 1 opted_out"]
