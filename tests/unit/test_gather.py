"""What a case is made of is looked up where it lies."""

from pathlib import Path

import msgspec
import pytest

from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import OpenDoor
from forestall.contracts.catalogue import Catalogue, load_catalogue
from forestall.contracts.instants import SECOND
from forestall.intervene.case import MOST_EVENTS, Material
from forestall.intervene.gather import Gatherer, personal_fields
from forestall.intervene.running import Running
from forestall.intervene.stage import Stage

READING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: reading, title: Reading, owner: web}
spec:
  cooldown: 1m
  when: {event: page.failed, where: event.data.status >= 500}
  playbook:
    - await: {event: page.viewed, for: 1m, then: helped}
    - escalate: {queue: web}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, DECLINED_TWICE, READING)


def gathered(world: World, gatherer: Gatherer) -> Material:
    return gatherer.material(_state(world), [], None)


def _state(world: World) -> Running:
    found = world.store.state(world.store.newest(1, subject="s1")[0].id)
    assert found is not None
    return found


def whole(world: World) -> Gatherer:
    gatherer = Gatherer(
        world.store, world.signals, decisions=world.decisions, door=OpenDoor(), links=LINKS
    )
    world.carrier.known = gatherer
    world.stage = Stage(world.signals, world.decisions, world.store, world.carrier)
    world.settle()
    return gatherer


LINKS = {"Shop": "https://shop.example/{customer}/{policy}?i={intervention}"}


def test_the_fields_that_the_policy_reads_are_known(world: World) -> None:
    gatherer = whole(world)
    world.settle(event("page.failed", 1, status=503, path="/a"))
    material = gathered(world, gatherer)
    assert ("event", "data", "status") in material.reads
    assert ("event", "data", "path") not in material.reads


def test_without_policies_or_for_one_that_is_unknown_nothing_is_read(world: World) -> None:
    gatherer = whole(world)
    world.settle(event("page.failed", 1, status=503))
    state = _state(world)
    other = msgspec.structs.replace(state, version="unknown")
    assert gatherer.material(other, [], None).reads == frozenset()
    gatherer.policy = None
    assert gatherer.material(state, [], None).reads == frozenset()


def test_other_conclusions_about_the_same_customer_are_there_and_nobody_elses(world: World) -> None:
    gatherer = whole(world)
    world.settle(
        event("payment.declined", 1),
        event("payment.declined", 2),
        event("page.failed", 3, "s2", status=503),
        event("page.failed", 4, status=503),
    )
    policies = [one.policy for one in gathered(world, gatherer).others]
    assert policies == ["card-declined", "reading"]
    assert {one.subject for one in gathered(world, gatherer).others} == {"s1"}


def test_the_newest_events_are_there_oldest_first_over_many_batches(world: World) -> None:
    gatherer = whole(world)
    world.settle(event("page.failed", 0, status=503))
    for number in range(1, MOST_EVENTS + 20):
        world.settle(event("page.seen", number), event("page.seen", number, "s2"))
    material = gathered(world, gatherer)
    times = [one.time for one in material.records]
    assert times == sorted(times)
    assert {one.subject for one in material.records} == {"s1"}
    assert times[-1] == START + (MOST_EVENTS + 19) * SECOND
    assert len(times) >= MOST_EVENTS


def test_events_of_who_the_customer_was_before_count(world: World) -> None:
    gatherer = whole(world)
    world.settle(event("page.seen", 0, "s0"), event("page.failed", 1, status=503))
    state = msgspec.structs.replace(_state(world), former=("s0",))
    kinds = [one.type for one in gatherer.material(state, [], None).records]
    assert kinds == ["page.seen", "page.failed"]


def test_links_lead_to_this_customer_and_cannot_be_bent(world: World) -> None:
    gatherer = whole(world)
    world.settle(event("page.failed", 1, status=503))
    state = msgspec.structs.replace(_state(world), subject="a/b?c")
    links = gatherer.material(state, [], None).links
    assert links == {"Shop": f"https://shop.example/a%2Fb%3Fc/reading?i={state.id}"}


def test_with_the_least_it_still_gives_a_case(world: World) -> None:
    world.settle(event("page.failed", 1, status=503))
    material = gathered(world, Gatherer(world.store, world.signals))
    assert (material.others, material.standing, material.links) == ([], None, {})
    assert len(material.records) == 1


def test_personal_fields_are_those_not_plainly_kept(tmp_path: Path) -> None:
    def contract(**properties: object) -> bytes:
        owned = {"x-owner": "a", "x-retention": "1d", "x-origins": ["server"], "type": "object"}
        return msgspec.json.encode({**owned, "properties": properties})

    token, plain = {"type": "string", "x-privacy": "tokenise"}, {"type": "string"}
    listed = {"type": "array", "items": {"type": "object", "properties": {"x": token}}}
    (tmp_path / "a.v1.json").write_bytes(contract(ip=token, lines=listed, order=plain))
    (tmp_path / "a.v2.json").write_bytes(contract(mail=token, order=plain))
    found = personal_fields(load_catalogue(tmp_path))
    assert found["a"] == {"ip", "lines", "mail"}
    assert personal_fields(Catalogue([])) == {}
