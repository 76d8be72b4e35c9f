"""The worker obeys the registry, and what was in force is taken over when management begins."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flow.intervening import event
from forestall.app.lifecycle import in_force, open_desk, rules, running
from forestall.app.register import Register
from forestall.app.worker import Files, _obey
from forestall.contracts.control import (
    FlagsApplied,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
    Transition,
)
from forestall.contracts.instants import HOUR
from forestall.decide.stage import Stage
from forestall.intervene.store import Store
from forestall.kernel.settings import Canary, Lifecycle, Settings, load_settings
from forestall.log.memory import MemoryLog
from forestall.log.streams import control, signals
from forestall.policy.bundle import policy_of
from forestall.policy.language.model import Feature
from forestall.policy.lifecycle import Artifact, Ask, Rules, Set
from forestall.policy.store import REGISTRY_FILE, RegistryUnusable
from registries import BOB, CAT, POLICY, STAGED, WAY, Desk, made, plain, policy

SETTINGS = '[lifecycle]\nmanaged = true\n[policies]\nfolder = "policies"\n'


class Managed:
    """A worker of a managed deployment that looks when told to, and the registry that it obeys."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir()
        (folder / "policies").mkdir()
        self.config = folder / "forestall.toml"
        self.config.write_text(SETTINGS)
        self.own = MemoryLog()
        self.start()

    def start(self) -> None:
        self.stage = Stage(MemoryLog(), self.own)
        self.files = Files(self.config, load_settings(self.config))
        self.register = Register(self.data)

    def desk(self) -> Desk:
        return Desk(self.data / REGISTRY_FILE)

    def look(self) -> list[Any]:
        """The control records that half a second brings, without the settings."""
        before = len(self.stage.governing)
        _obey(self.stage, self.files, self.register)
        kinds = PoliciesApplied | ModelsApplied | FlagsApplied | Transition
        return [one for one in self.stage.governing[before:] if isinstance(one, kinds)]

    def noted(self) -> str | None:
        return msgspec.json.decode(self.own.snapshot("problem") or b"null", type=str | None)


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Managed]:
    made = Managed(tmp_path)
    yield made
    made.register.close()


def kinds(records: list[Any]) -> list[str]:
    return [type(one).__name__ for one in records]


def test_policy_files_are_not_obeyed(managed: Managed) -> None:
    (managed.folder / "policies" / "x.yaml").write_text(policy("x").source)
    (managed.folder / "policies" / "broken.yaml").write_text("kind: Polcy")
    assert [managed.look() for _ in range(3)] == [[], [], []]
    assert managed.noted() is None


def test_transitions_come_before_what_they_put_in_force(managed: Managed) -> None:
    desk, one = managed.desk(), policy("a")
    assert managed.look() == []
    desk.bring(one, *WAY[:3])
    first = managed.look()
    assert kinds(first) == ["Transition"] * 3 + ["PoliciesApplied"]
    assert first[-1].policies == ()
    desk.bring(one, "shadow", "live")
    told = managed.look()
    assert kinds(told) == ["Transition", "Transition", "PoliciesApplied"]
    assert [(held.version, held.mode) for held in told[-1].policies] == [(one.version, "live")]
    assert (told[-1].by, told[-1].why) == ("ann", "it is time")
    assert len({record.received for record in told}) == 1
    assert managed.look() == []
    desk.bring(policy("b"), "draft")
    assert kinds(managed.look()) == ["Transition"]
    desk.registry.close()


def test_models_and_flags_are_told_when_they_change(managed: Managed) -> None:
    desk = managed.desk()
    desk.registry.adopt([policy("a")], 1)
    managed.look()
    desk.bring(plain("flag", "dark", True), *("draft", "validated", "live"))
    assert kinds(managed.look()) == ["Transition"] * 3 + ["FlagsApplied"]
    desk.bring(plain("model", "churn", {"name": "churn"}), *WAY)
    told = managed.look()
    assert kinds(told) == ["Transition"] * 4 + ["ModelsApplied"]
    assert [held.mode for held in told[-1].models] == ["shadow"]
    desk.registry.close()


def test_a_rollback_puts_exactly_the_earlier_set_in_force(managed: Managed) -> None:
    desk, one, two = managed.desk(), policy("a"), policy("b")
    desk.bring(one, *WAY, "live")
    before = managed.look()[-1]
    desk.bring(two, *WAY, "live")
    managed.look()
    desk.take_back(CAT, "bad")
    told = managed.look()
    assert kinds(told) == ["Transition", "Transition", "PoliciesApplied"]
    assert told[-1].policies == before.policies
    assert [record.after for record in told[:-1]] == ["backtested", "live"]
    desk.registry.close()


def test_a_switch_is_one_transition_and_one_set(managed: Managed) -> None:
    desk = managed.desk()
    desk.registry.adopt([policy("a")], 1)
    managed.look()
    green, model = policy("b"), plain("model", "churn", {"name": "churn"})
    for one in (green, model):
        desk.bring(one, *STAGED, set="green")
    assert kinds(managed.look()) == ["Transition"] * 8
    desk.registry.move(Ask(what="switch", set="green"), BOB, "all of it", 99)
    told = managed.look()
    assert kinds(told) == ["Transition", "PoliciesApplied", "ModelsApplied"]
    assert told[1].policies[0].version == green.version
    desk.registry.close()


def test_a_restart_repeats_nothing(managed: Managed) -> None:
    desk = managed.desk()
    desk.bring(policy("a"), *WAY, "live")
    managed.look()
    managed.register.close()
    managed.start()
    assert managed.look() == []
    desk.bring(policy("b"), "draft")
    managed.register.close()
    managed.start()
    assert [record.number for record in managed.look()] == [6]
    desk.registry.close()


def test_changed_number_fields_are_put_in_force(managed: Managed) -> None:
    desk = managed.desk()
    desk.registry.adopt([policy("a")], 1)
    managed.look()
    numbers = {"payment.declined": {"amount": True}}
    (told,) = managed.register.changes(managed.stage.governing, numbers)
    assert isinstance(told, PoliciesApplied)
    assert (told.numbers, told.by, told.why) == (numbers, "files", "contracts changed")
    desk.registry.close()


def test_a_registry_that_cannot_be_read_leaves_in_force_what_was(managed: Managed) -> None:
    desk = managed.desk()
    desk.registry.adopt([policy("a")], 1)
    managed.look()
    managed.register.close()
    desk.registry.close()
    file = managed.data / REGISTRY_FILE
    kept = file.read_bytes()
    file.write_bytes(b"nonsense" * 1000)
    assert managed.look() == []
    assert "registry.db: cannot be read: file is not a database" in str(managed.noted())
    file.unlink()
    assert managed.look() == []
    assert "there is no such file" in str(managed.noted())
    empty = managed.desk()
    empty.registry.close()
    assert managed.look() == []
    assert "ends with transition 0, and 1 was in force" in str(managed.noted())
    managed.register.close()
    file.write_bytes(kept)
    assert managed.look() == []
    assert managed.noted() is None


def test_a_policy_that_cannot_be_read_is_not_put_in_force(managed: Managed) -> None:
    desk, one = managed.desk(), policy("a")
    desk.registry.adopt([one], 1)
    managed.look()
    content = b'{"name":"declined"}'
    broken = msgspec.structs.replace(
        policy("b"), content=content, version=sha256(content).hexdigest()
    )
    desk.bring(broken, *WAY)
    assert managed.look() == []
    assert "registry.db: cannot be read" in str(managed.noted())
    assert managed.stage.governing[-1].policies[0].version == one.version  # type: ignore[union-attr]
    desk.registry.close()


# -- in time ---------------------------------------------------------------------------------------


class Reading(Stage):
    """Counts how often the log is read to bring features up. ``live`` is a second of traffic, with
    which control records take effect, and a whole round."""

    filled = 0
    seconds = 0

    def live(self) -> None:
        self.seconds += 1
        self._signals.commit([signals([event("page.viewed", self.seconds, f"s{self.seconds}")])])
        self.step()
        self.rest()

    def _fill(self, features: set[Feature]) -> None:
        self.filled += len(features)
        super()._fill(features)


def counting(text: str, over: str) -> Artifact:
    """A version that has a feature of its own."""
    source = POLICY.replace("TEXT", text).replace("RISK", "low").replace("RUNNING", "finish")
    feature = f"features:\n    tried: {{count: payment.tried, over: {over}}}\n  if: features.tried >= 0\n  when:"
    return made(source.replace("when:", feature, 1))


def test_a_rollback_does_not_wait_for_the_log(managed: Managed) -> None:
    """The features of the version before are kept, also when other policies change meanwhile."""
    managed.stage = stage = Reading(MemoryLog(), managed.own)
    desk = managed.desk()
    one, two, other = counting("a", "1h"), counting("b", "2h"), counting("c", "3h")
    other = made(other.source.replace("name: declined", "name: other"))
    for each in (one, two):
        desk.bring(each, *WAY, "live")
        managed.look()
        stage.live()
        managed.look()
    assert stage.filled == 2
    for states in (WAY, ("live",)):
        desk.bring(other, *states)
        managed.look()
        stage.live()
        managed.look()
    assert stage.filled == 3
    desk.take_back(CAT, "bad")
    assert [held.version for held in managed.look()[-1].policies] == [one.version, other.version]
    managed.look()
    assert stage.filled == 3
    desk.registry.close()


def test_a_switch_does_not_wait_for_the_log(managed: Managed) -> None:
    managed.stage = stage = Reading(MemoryLog(), managed.own)
    desk, green = managed.desk(), counting("b", "2h")
    desk.bring(counting("a", "1h"), *WAY, "live")
    managed.look()
    desk.bring(green, *STAGED, set="green")
    assert kinds(managed.look()) == ["Transition"] * 4
    assert stage.filled == 1
    managed.look()
    assert stage.filled == 2, "what is staged is brought up while nothing waits for it"
    for set_, who in (("green", BOB), ("blue", CAT)):
        desk.registry.move(Ask(what="switch", set=msgspec.convert(set_, Set)), who, "so", 99)
        assert kinds(managed.look()) == ["Transition", "PoliciesApplied"]
        managed.look()
        stage.live()
    assert stage.filled == 2
    desk.registry.close()


def test_after_a_restart_what_a_rollback_needs_is_there(managed: Managed) -> None:
    desk = managed.desk()
    one = counting("a", "1h")
    for each in (one, counting("b", "2h")):
        desk.bring(each, *WAY, "live")
        managed.look()
    managed.register.close()
    managed.start()
    managed.look()
    (feature,) = policy_of(applied_of(one)).features.values()
    assert feature in managed.stage.engine.features
    desk.registry.close()


# -- taking over -----------------------------------------------------------------------------------


def applied_of(one: Artifact) -> PolicyInForce:
    """A version as it is in force."""
    return PolicyInForce(one.name, one.version, msgspec.Raw(one.content), title=one.title)


def applied(*names: str, **modes: Any) -> PoliciesApplied:
    held = []
    for name in names:
        one = policy(name, "high")
        raw = msgspec.Raw(one.content)
        held.append(
            PolicyInForce(name, one.version, raw, mode=modes.get(name, "live"), title=f"T {name}")
        )
    return PoliciesApplied(1, tuple(held), {}, "files", "policies changed")


def settings(folder: Path) -> Settings:
    canary = Canary(steps=("2% for 1h", "10% for 1h"))
    return Settings(data=folder, lifecycle=Lifecycle(managed=True), canary=canary)


def test_what_was_in_force_is_adopted(tmp_path: Path) -> None:
    log, store = MemoryLog(), Store(tmp_path / "app.db")
    flags = FlagsApplied(2, {"dark": True}, "files", "flags changed")
    log.commit([control([applied("old"), applied("one", "two", two="shadow"), flags])])
    for _ in range(2):
        desk = open_desk(settings(tmp_path), log, store, lambda: 7)
        told = desk.managed.transitions()
        assert [(one.artifact, one.name, one.after, one.by, one.at) for one in told] == [
            ("policy", "one", "live", "files", 7),
            ("flag", "dark", "live", "files", 7),
        ]
        desk.managed.close()
    assert desk.steps == (0.02, 0.1)
    store.close()


def transition(number: int) -> Transition:
    return Transition(
        received=1,
        number=number,
        artifact="policy",
        name="one",
        version="v",
        before="",
        after="draft",
        by="ann",
        why="so",
    )


@pytest.mark.parametrize("left", [None, b"nonsense" * 1000])
def test_a_registry_that_is_damaged_or_gone_is_not_made_anew(
    tmp_path: Path, left: bytes | None
) -> None:
    """Else the newest copy could not be restored: a new one would soon be ahead of it."""
    log, store = MemoryLog(), Store(tmp_path / "app.db")
    log.commit([control([transition(1), transition(2), applied("one")])])
    file = tmp_path / REGISTRY_FILE
    if left is not None:
        file.write_bytes(left)
    desk = open_desk(settings(tmp_path), log, store, lambda: 7)
    assert desk.registry is None
    with pytest.raises(RegistryUnusable, match=r"registry\.db: .*; restore the newest copy of it"):
        _ = desk.managed
    assert (file.read_bytes() if file.exists() else None) == left
    store.close()


def test_what_is_adopted_is_what_was() -> None:
    log = MemoryLog()
    log.commit([control([applied("one")])])
    (one,) = in_force(log, 7)
    assert (one.kind, one.name, one.title, one.risk, one.by) == (
        "policy", "one", "T one", "high", "files"
    )  # fmt: skip
    assert one.version == policy("one", "high").version


def test_without_management_there_is_no_registry(tmp_path: Path) -> None:
    store = Store(tmp_path / "app.db")
    desk = open_desk(Settings(data=tmp_path), MemoryLog(), store, lambda: 7)
    assert desk.registry is None
    assert not (tmp_path / REGISTRY_FILE).exists()
    assert running(store, "one", "x") == 0
    store.close()


def test_the_rules_are_those_of_the_settings() -> None:
    lifecycle = Lifecycle(skip=("shadow",), shadow="2h", backtest_events=5)
    assert rules(lifecycle) == Rules(frozenset(("shadow",)), 2 * HOUR, 5)
