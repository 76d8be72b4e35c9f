"""A hundred candidates at once and a budget of one: exactly one act, whatever they come from."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from flow.intervening import START, World, event
from flow.reaching import DELIVERED, Around, Vendor
from forestall.contracts.control import DecideSettings, SettingsApplied
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR
from forestall.ingest.past import acts_of, carried
from forestall.intervene.deliver import Deliveries
from forestall.intervene.inbox import Inbox
from forestall.log.streams import DECISIONS, read_decisions
from forestall.privacy.door import DoorState

MANY = 100
PLAYBOOKS = (
    'guide: {text: "Sorry.", channel: inapp}',
    'guide: {text: "Sorry.", channel: hook}',
    "escalate: {queue: desk}",
    'ask: {text: "Again?", choices: {y: "Yes", n: "No"}, as: answer, for: 5m}',
)
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {{name: p{number}, title: Policy {number}, owner: web}}
spec:
  priority: {priority}
  cooldown: 1s
  when: {{event: {when}}}
  playbook:
    - {playbook}
"""


def policies(count: int, when: str = "page.failed") -> list[str]:
    """So many policies, over several channels and priorities, for the same event."""
    return [
        POLICY.format(
            number=number,
            priority=number * 7 % 100,
            when=when,
            playbook=PLAYBOOKS[number % len(PLAYBOOKS)],
        )
        for number in range(count)
    ]


class Scarce(World):
    """A world with a budget of one act an hour and no spacing besides."""

    def __init__(self, folder: Path, *texts: str) -> None:
        super().__init__(folder, *texts)
        settings = DecideSettings(budget=1, budget_window=HOUR, spacing=0)
        self.govern(SettingsApplied(0, settings, "test", ""))
        self.vendor = Vendor(*[DELIVERED] * MANY)

    def decided(self) -> Counter[str]:
        """What was decided, by outcome and reason."""
        return Counter(
            f"{entry.decision.outcome} {entry.decision.reason or ''}".strip()
            for batch in self.decisions.read(DECISIONS, limit=1000)
            for entry in read_decisions(batch)
        )

    def acts(self) -> int:
        """Interventions that were opened."""
        return len(self.store.newest(10 * MANY))

    def join(self, former: str, subject: str, seconds: float) -> Record:
        """The event by which the gateway joins ``former`` into ``subject``."""
        data = carried(former, DoorState(), (), acts_of(self.decisions, former))
        plain = event("forestall.alias", seconds, subject)
        return replace(plain, data=msgspec.Raw(msgspec.json.encode(data)))


def burst(
    count: int, seconds: float, subject: str = "s1", when: str = "page.failed"
) -> list[Record]:
    """So many events at one moment, each from a device of its own."""
    plain = event(when, seconds, subject, path="/")
    return [replace(plain, id=f"{when}-{seconds}-{n}", source=f"device-{n}") for n in range(count)]


@pytest.mark.parametrize(("ways", "devices"), [(MANY, 1), (1, MANY), (10, 10), (25, 4)])
def test_over_policies_channels_and_devices(tmp_path: Path, ways: int, devices: int) -> None:
    world = Scarce(tmp_path, *policies(ways))
    world.settle(*burst(devices, 1))
    assert world.acts() == 1
    decided = world.decided()
    assert decided["intervene"] == 1
    assert sum(decided.values()) == ways * devices


def test_in_any_batches(tmp_path: Path) -> None:
    """One event a batch, and a restart of the app process between them."""
    world = Scarce(tmp_path, *policies(20))
    for one in burst(5, 1):
        world.settle(one)
        world.restart()
    assert world.acts() == 1
    assert world.decided()["intervene"] == 1


def test_one_act_reaches_the_customer(tmp_path: Path) -> None:
    world = Scarce(tmp_path, *policies(MANY))
    world.settle(*burst(1, 1))
    around = Around(START, world.vendor)
    around.seconds = 2
    (one,) = world.store.newest(10)
    shown = Inbox(world.store, around.surroundings).after("s1", None, START)
    outside = Deliveries(world.store, around.surroundings).waiting(MANY)
    told = [message.intervention for message in shown] + [effect.intervention for effect in outside]
    assert told == [one.id]


def test_every_customer_has_a_budget_of_their_own(tmp_path: Path) -> None:
    world = Scarce(tmp_path, *policies(10))
    world.settle(*(one for who in ("s1", "s2", "s3") for one in burst(3, 1, who)))
    assert world.acts() == 3
    assert {one.subject for one in world.store.newest(10)} == {"s1", "s2", "s3"}


def test_the_budget_comes_back_after_its_window(tmp_path: Path) -> None:
    world = Scarce(tmp_path, *policies(10))
    world.settle(*burst(10, 1))
    world.settle(*burst(10, 3_000))
    assert world.acts() == 1
    world.settle(*burst(10, 3_602))
    assert world.acts() == 2


def test_two_identities_that_became_one_have_one_budget(tmp_path: Path) -> None:
    world = Scarce(tmp_path, *policies(10))
    world.settle(world.join("anonymous", "s1", 1))
    world.settle(*burst(10, 2))
    assert world.acts() == 1
    assert world.decided()["intervene"] == 1


@pytest.mark.parametrize("acted", ["anonymous", "s1"])
def test_an_act_before_the_merge_counts_after_it(tmp_path: Path, acted: str) -> None:
    world = Scarce(tmp_path, *policies(25))
    world.settle(*burst(1, 1, acted))
    assert world.acts() == 1
    world.settle(world.join("anonymous", "s1", 2))
    world.settle(*burst(4, 3))
    assert world.acts() == 1
    assert [one.subject for one in world.store.newest(10)] == ["s1"]
    assert world.decided() == {"intervene": 1, "suppress outranked": 24, "suppress budget": 100}


def test_merge_and_burst_in_one_batch(tmp_path: Path) -> None:
    world = Scarce(tmp_path, *policies(10))
    world.settle(*burst(1, 1, "anonymous"))
    world.settle(world.join("anonymous", "s1", 2), *burst(10, 2))
    assert world.acts() == 1


def test_policies_for_different_events_share_the_budget(tmp_path: Path) -> None:
    second = [text.replace("{name: p", "{name: q") for text in policies(10, "card.declined")]
    world = Scarce(tmp_path, *policies(10), *second)
    world.settle(*burst(5, 1), *burst(5, 1, when="card.declined"))
    assert world.acts() == 1
    assert sum(world.decided().values()) == 100
