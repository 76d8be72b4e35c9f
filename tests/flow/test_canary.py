"""A canary on a real server: who gets it, how a harmful one ends, and that silence promotes nothing."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.control import Transition
from forestall.contracts.decision import Decided
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import (
    CONTROL,
    DECISIONS,
    SIGNALS,
    read_control,
    read_decisions,
    read_signals,
)
from forestall.measure.assign import in_holdout
from forestall.policy.lifecycle import Artifact, Ask, Rules
from forestall.policy.store import REGISTRY_FILE, Registry
from registries import ANN, bring, made
from running import Server, cloud_event, running
from running import until as wait

MANAGED = """
[lifecycle]
managed = true
shadow = "0s"
[decide]
salt = "s"
spacing = "0s"
[canary]
steps = ["40% for 0s", "80% for 0s"]
least = 20
every = "100ms"
automatic = true
"""
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards, owner: payments}
spec:
  risk: low
  cooldown: 1s
  when: {event: payment.declined}
  playbook: [{guide: {text: "TEXT", channel: inapp}}]
"""
PEOPLE = 150


def policy(text: str) -> Artifact:
    """A version of the policy ``declined``."""
    return made(POLICY.replace("TEXT", text))


OLD, NEW = policy("old"), policy("new")


LENIENT = """
[canary.guardrails]
tickets = {tolerance = 0.3}
errors = {tolerance = 0.3}
dismissed = {off = true}
latency = {off = true}
"""
"""So that a hundred customers are enough to pass; nobody opens their messages in these tests."""


@contextmanager
def managed(folder: Path, more: str = "") -> Iterator[Server]:
    """A server with one version live, and another in canary for 40 % of subjects."""
    (folder / "data").mkdir()
    registry = Registry(folder / "data" / REGISTRY_FILE, rules=Rules(frozenset(), 0, 1))
    registry.adopt([OLD], 1)
    bring(registry, NEW, "draft", "validated", "backtested", "shadow")
    grow = Ask(name=NEW.name, version=NEW.version, after="canary", share=0.4, upto=0.8)
    registry.move(grow, ANN, "so", 4)
    registry.close()
    with running(folder, {}, MANAGED + more) as server:
        until(lambda: any(one.after == "canary" for one in transitions(server)))
        yield server


def until(holds: Callable[[], Any]) -> Any:
    """Commands are processes of their own, which takes a while on a busy machine."""
    return wait(holds, 90)


def transitions(server: Server) -> list[Transition]:
    """What the worker has put in force."""
    return [
        record
        for batch in _batches(server, "worker.db", CONTROL)
        for record in read_control(batch)
        if isinstance(record, Transition)
    ]


def decided(server: Server) -> list[Decided]:
    return [
        entry
        for batch in _batches(server, "worker.db", DECISIONS)
        for entry in read_decisions(batch)
    ]


def pseudonyms(server: Server) -> dict[str, str]:
    """The customers' pseudonyms by the ids of their first events."""
    found: dict[str, str] = {}
    for batch in _batches(server, "gateway.db", SIGNALS):
        for record in read_signals(batch):
            if record.type == "payment.declined":
                found.setdefault(record.id, record.subject)
    return found


def _batches(server: Server, file: str, stream: str) -> list[Any]:
    log = SqliteLog(server.data / file, read_only=True)
    try:
        return list(log.follow(stream))
    finally:
        log.close()


def customers(server: Server, first: int = 0, count: int = PEOPLE) -> dict[str, str]:
    """So many customers whose card is declined: their names by pseudonym, once all are decided."""
    events = [
        cloud_event(number, "payment.declined", f"customer-{number}", data={})
        for number in range(first, first + count)
    ]
    ids = [str(event["id"]) for event in events]
    for start in range(0, count, 50):
        assert server.send(events[start : start + 50]).status_code == 202
    wanted = until(lambda: len(found := pseudonyms(server)) >= first + count and found)
    names = {wanted[one]: f"customer-{first + index}" for index, one in enumerate(ids)}
    until(lambda: names.keys() <= {entry.decision.subject for entry in decided(server)})
    return names


def tickets(server: Server, names: list[str], first: int = 10_000) -> None:
    events = [
        cloud_event(first + number, "forestall.ticket.opened", name, data={"ticket": name})
        for number, name in enumerate(names)
    ]
    answer = server.send(events)
    assert {one["verdict"] for one in answer.json()["verdicts"]} == {"accepted"}, answer.text


def standing(server: Server) -> dict[str, Any]:
    """What ``forestall canary --json`` says of the one that runs."""
    out = server.run("canary", "declined", "--json")
    (found,) = json.loads(out.stdout)["canaries"]
    return dict(found)


@pytest.mark.timeout(300)
def test_a_harmful_canary_is_rolled_back_by_itself(tmp_path: Path) -> None:
    with managed(tmp_path) as server:
        names = customers(server)
        made = {entry.decision.subject: entry.decision for entry in decided(server)}
        share = {one for one in names if in_holdout("s:declined:canary", one, 0.4)}
        assert 0.2 * PEOPLE < len(share) < 0.6 * PEOPLE
        for subject in names:
            inside = subject in share
            assert made[subject].version == (NEW if inside else OLD).version
            assert made[subject].mode == ("canary" if inside else "live")

        tickets(server, [names[one] for one in share])
        until(lambda: transitions(server)[-1].before == "canary")
        last = transitions(server)[-1]
        assert (last.by, last.version, last.after) == ("canary", NEW.version, "backtested")
        assert "tickets: worse by more than" in last.why
        assert last.evidence["canary"]["verdict"] == "fail"

        later = customers(server, PEOPLE, 60)
        again = {entry.decision.subject: entry.decision for entry in decided(server)}
        assert {again[one].version for one in later} == {OLD.version}
        none = server.run("canary")
        assert (none.returncode, none.stdout.strip()) == (1, "no canary runs")


@pytest.mark.timeout(300)
def test_silence_promotes_nothing_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Although it may grow by itself, and least times are over."""
    with managed(tmp_path) as server:
        until(lambda: "no_data" in server.log.read_text())
        assert standing(server)["look"]["verdict"] == "no_data"
        names = customers(server)
        until(lambda: '"inconclusive"' in server.log.read_text())
        before = standing(server)
        look = before["look"]
        share = [one for one in names if in_holdout("s:declined:canary", one, 0.4)]
        assert look["active"] == {"canary": len(share), "rest": PEOPLE - len(share)}
        assert (look["verdict"], look["exposed"], before["next"]) == (
            "inconclusive",
            len(share),
            0.8,
        )
        assert server.run("canary", "declined").stdout.startswith("policy declined")

        server.kill("app")
        until(server.ready)
        log = server.log.read_text()
        tickets(server, [names[share[0]]])
        until(lambda: standing(server)["look"]["guardrails"][0]["canary"] > 0)
        assert '"fail"' not in log
        assert [one.after for one in transitions(server)][-1] == "canary"
        assert {one.share for one in transitions(server) if one.after == "canary"} == {0.4}
        tickets(server, [names[one] for one in share], 20_000)
        until(lambda: transitions(server)[-1].before == "canary")


@pytest.mark.timeout(300)
def test_a_harmless_canary_grows_step_by_step_and_goes_live(tmp_path: Path) -> None:
    with managed(tmp_path, LENIENT) as server:
        customers(server)
        until(lambda: transitions(server)[-1].share == 0.8)
        grown = transitions(server)[-1]
        assert (grown.by, grown.before, grown.after) == ("canary", "canary", "canary")
        assert grown.evidence["canary"]["verdict"] == "pass"
        look = standing(server)["look"]
        assert (look["share"], look["earlier"], look["exposed"]) == (0.8, 0.4, 0)

        customers(server, PEOPLE, 2 * PEOPLE)
        until(
            lambda: (
                NEW.version in [one.version for one in transitions(server) if one.after == "live"]
            )
        )
        later = customers(server, 3 * PEOPLE, 30)
        versions = {entry.decision.subject: entry.decision.version for entry in decided(server)}
        assert {versions[one] for one in later} == {NEW.version}
