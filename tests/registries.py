"""A registry for tests: versions of a policy, and a desk that brings them on their way."""

from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.control import Transition
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.parse import parse
from forestall.policy.lifecycle import (
    Actor,
    Artifact,
    Ask,
    Finding,
    Kind,
    Rules,
    Set,
    State,
    content_version,
)
from forestall.policy.store import Registry, Request

RULES = Rules(shadow=0, skip=frozenset(("canary",)))
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards, owner: payments}
spec:
  risk: RISK
  running: RUNNING
  when: {event: payment.declined}
  playbook: [{guide: {text: "TEXT", channel: inapp}}]
"""
ANN = Actor("ann", ("author", "publisher"))
BOB = Actor("bob", ("publisher",))
CAT = Actor("cat", ("operator",))


def policy(text: str, risk: str = "low", running: str = "finish") -> Artifact:
    """A version of the policy ``declined`` that says ``text``."""
    return made(POLICY.replace("TEXT", text).replace("RISK", risk).replace("RUNNING", running))


def made(source: str) -> Artifact:
    """The version that a policy's text is."""
    (parsed,) = parse(source, "declined.yaml")
    return Artifact(
        kind="policy",
        name=parsed.name,
        version=version(parsed),
        content=canonical(parsed),
        by="ann",
        at=1,
        why="a new text",
        source=source,
        title=parsed.title,
        risk=parsed.risk,
    )


def bring(registry: Registry, one: Artifact, *states: State, set_: Set = "blue") -> None:
    """Put a version, with evidence, and let it go through ``states``, as applying a folder does."""
    registry.put(one)
    for what, evidence in (("validated", {"errors": 0}), ("backtested", {"events": 9})):
        registry.found(
            Finding(
                kind="policy",
                name=one.name,
                version=one.version,
                what=what,
                by="ann",
                at=2,
                evidence=evidence,
            )
        )
    for state in states:
        ask = Ask(set=set_, name=one.name, version=one.version, after=state)
        registry.move(ask, ANN, "so", 3)


def plain(kind: Kind, name: str, content: Any) -> Artifact:
    return Artifact(
        kind=kind,
        name=name,
        version=content_version(content),
        content=msgspec.json.encode(content, order="sorted"),
        by="ann",
        at=1,
        why="so",
    )


FINDINGS: dict[State, dict[str, Any]] = {
    "validated": {"errors": 0, "failed": 0, "passed": 2},
    "backtested": {"events": 5000, "useful": True},
}


class Desk:
    """A registry and a clock that ticks with each move."""

    def __init__(self, path: Path, **more: Any) -> None:
        self.registry = Registry(path, **({"rules": RULES} | more))
        self.now = 10

    def ask(self, one: Artifact, after: State, who: Actor = ANN, **more: Any) -> Any:
        self.now += 1
        ask = Ask(kind=one.kind, name=one.name, version=one.version, after=after, **more)
        return self.registry.move(ask, who, "it is time", self.now)

    def take_back(self, who: Actor, why: str) -> tuple[Transition, ...]:
        outcome = self.registry.move(Ask(what="rollback", name="declined"), who, why, 99)
        assert not isinstance(outcome, Request)
        return outcome

    def prove(self, one: Artifact, what: State) -> None:
        finding = Finding(
            kind=one.kind,
            name=one.name,
            version=one.version,
            what=what,
            by="check",
            at=self.now,
            evidence=FINDINGS[what],
        )
        self.registry.found(finding)

    def bring(self, one: Artifact, *states: State, **more: Any) -> Any:
        """Put it, prove it, and let it go through ``states``."""
        self.registry.put(one)
        outcome = None
        for state in states:
            if state in FINDINGS:
                self.prove(one, state)
            outcome = self.ask(one, state, **more)
        return outcome

    def held(self) -> list[tuple[str, str]]:
        return [(one.mode, one.version) for one in self.registry.standing().in_force()]


WAY: tuple[State, ...] = ("draft", "validated", "backtested", "shadow")
STAGED: tuple[State, ...] = ("draft", "validated", "backtested", "live")
