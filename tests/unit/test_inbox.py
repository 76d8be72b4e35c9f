"""The messages of a subject: the door, pauses and need come before each is shown."""

from pathlib import Path

import msgspec
import pytest

from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import Around, Vendor
from forestall.contracts.instants import SECOND
from forestall.intervene.inbox import Inbox

NOW = START + 11 * SECOND


class Scene:
    """A customer for whom a message lies ready."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, DECLINED_TWICE)
        self.world.settle(
            event("payment.declined", 0, order_id="o1"),
            event("payment.declined", 10, order_id="o2"),
        )
        self.around = Around(START, Vendor())
        self.use()

    def use(self, **changes: object) -> None:
        surroundings = msgspec.structs.replace(
            self.around.surroundings, needed=self.world.stage.still_needed, **changes
        )
        self.inbox = Inbox(self.world.store, surroundings)

    def shown(self) -> int:
        return len(self.inbox.after("s1", None, NOW))


def test_a_message_lies_ready(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.shown() == 1
    assert scene.inbox.no_longer("s1", NOW) == []


@pytest.mark.parametrize("said", ["opted_out", "withdrawn"])
def test_a_no_takes_it_back_before_the_worker_hears_of_it(tmp_path: Path, said: str) -> None:
    scene = Scene(tmp_path)
    getattr(scene.around.door, said).add("s1")
    assert scene.shown() == 0
    assert scene.inbox.no_longer("s1", NOW) == [scene.world.store.newest(1)[0].id]
    assert scene.inbox.no_longer("s2", NOW) == []


def test_a_pause_holds_it_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.use(
        paused=lambda subject, policy: "p" if (subject, policy)[1] == "card-declined" else None
    )
    assert scene.shown() == 0
    scene.use()
    assert scene.shown() == 1


@pytest.mark.parametrize(
    ("what", "left"),
    [("payment.succeeded", 0), ("forestall.ticket.opened", 0), ("page.viewed", 1)],
)
def test_what_came_meanwhile_may_make_it_needless(tmp_path: Path, what: str, left: int) -> None:
    scene = Scene(tmp_path)
    scene.world.accept(event(what, 11))
    assert scene.shown() == left, "though nobody has decided it yet"
    scene.world.settle()
    assert scene.shown() == left


def test_another_customer_s_events_change_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.world.accept(event("payment.succeeded", 11, "s2"))
    assert scene.shown() == 1


def test_many_events_of_a_customer_are_looked_at_up_to_a_limit(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(199):
        scene.world.accept(event("page.viewed", 11 + number / 1000))
    scene.world.accept(event("payment.succeeded", 12))
    assert scene.shown() == 0
    scene.world.accept(event("page.viewed", 13))
    assert scene.shown() == 0


def test_shown_is_reported_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (message,) = scene.inbox.after("s1", None, NOW)
    scene.inbox.shown([(message.id, NOW), (message.id, NOW + 1), ("unknown", NOW)])
    scene.inbox.shown([(message.id, NOW + 2)])
    assert scene.world.told() == ["started", "shown 1"]
