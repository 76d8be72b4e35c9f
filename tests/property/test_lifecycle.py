"""Whatever people do, nothing is live that did not pass; and what stands is what happened."""

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from forestall.contracts.control import Transition
from forestall.contracts.errors import ForestallError
from forestall.policy.changing import Known, binding, check_rights, needs_second, plan
from forestall.policy.lifecycle import (
    EFFECTS,
    ROLLED_BACK,
    SETS,
    STATES,
    Actor,
    Ask,
    Finding,
    Held,
    Risk,
    Rules,
    Set,
    Standing,
    State,
    content_hash,
    fold,
)

NAMES, VERSIONS = ("p", "q"), ("a" * 64, "b" * 64, "c" * 64)
SHADOW, EVENTS = 10, 100
RULES = Rules(shadow=SHADOW, backtest_events=EVENTS)
PEOPLE = (
    Actor("ann", ("author",)),
    Actor("bob", ("publisher",)),
    Actor("cat", ("operator",)),
    Actor("dan", ("author", "publisher", "operator")),
    Actor("canary", machine=True),
)
RISKS: dict[str, Risk] = {"p": "high", "q": "low"}

NEXT: dict[State | None, State] = {None: "draft", "live": "retired", **dict(pairwise(STATES))}
NEXT["retired"] = "draft"

names, versions = st.sampled_from(NAMES), st.sampled_from(VERSIONS)
people, sets = st.sampled_from(PEOPLE), st.sampled_from(SETS)


class World(RuleBasedStateMachine):
    """People and parts of the product ask for anything at all, in any order.

    What is remembered besides is written down independently of what is tested: evidence by version,
    and when each came to the state that it is in.
    """

    @initialize()
    def begin(self) -> None:
        self.now = 1
        self.log: list[Transition] = []
        self.standing = Standing()
        self.findings: dict[tuple[str, str], dict[str, Finding]] = {}
        self.requests: list[tuple[Ask, str, str]] = []

    def known(self, ask: Ask) -> Known:
        held = self.standing.in_force(ask.set)
        return Known(
            newest="",
            risk=RISKS.get(ask.name, "low"),
            findings=dict(self.findings.get((ask.name, ask.version), {})),
            risks=tuple(RISKS[one.name] for one in held if one.mode != "shadow"),
        )

    @rule(name=names, version=versions, failed=st.booleans())
    def check(self, name: str, version: str, failed: bool) -> None:
        self.find(name, version, "validated", errors=0, failed=int(failed))

    @rule(name=names, version=versions, enough=st.booleans())
    def backtest(self, name: str, version: str, enough: bool) -> None:
        self.find(name, version, "backtested", events=EVENTS if enough else EVENTS - 1)

    @rule(
        name=names,
        version=versions,
        verdict=st.sampled_from(("pass", "fail", "inconclusive")),
        last=st.booleans(),
    )
    def watch(self, name: str, version: str, verdict: str, last: bool) -> None:
        self.find(name, version, "canary", verdict=verdict, last=last)

    @rule(time=st.sampled_from((1, SHADOW)))
    def wait(self, time: int) -> None:
        self.now += time

    @rule(
        name=names,
        version=versions,
        after=st.sampled_from(STATES),
        who=people,
        set_=sets,
        share=st.sampled_from((0.01, 0.5, 1.0)),
    )
    def move(
        self, name: str, version: str, after: State, who: Actor, set_: Set, share: float
    ) -> None:
        self.attempt(Ask(set=set_, name=name, version=version, after=after, share=share), who)

    @rule(name=names, version=st.sampled_from(VERSIONS[:2]), set_=sets, times=st.integers(1, 6))
    def promote(self, name: str, version: str, set_: Set, times: int) -> None:
        """The likely next states, with all that they need, so that much gets far."""
        for _ in range(times):
            place = self.standing.place(set_, "policy", name, version)
            state = None if place is None else place.state
            if set_ != self.standing.active and state == "backtested":
                after: State = "live"
            else:
                after = NEXT[state]
            self.find(name, version, "validated", errors=0, failed=0)
            self.find(name, version, "backtested", events=EVENTS)
            self.now += SHADOW
            self.find(name, version, "canary", verdict="pass", last=True)
            ask = Ask(set=set_, name=name, version=version, after=after, share=0.1)
            if not self.attempt(ask, PEOPLE[3]) and self.requests:
                self.second(PEOPLE[1], len(self.requests) - 1)

    @rule(name=names, who=st.sampled_from(PEOPLE[1:]), set_=sets)
    def roll_back(self, name: str, who: Actor, set_: Set) -> None:
        before = {place: self.live(place) for place in NAMES}
        if self.attempt(Ask(what="rollback", set=set_, name=name), who):
            assert all(self.live(other) == before[other] for other in NAMES if other != name)

    @rule(who=st.sampled_from(PEOPLE[2:4]), agreed=st.booleans())
    def switch(self, who: Actor, agreed: bool) -> None:
        set_: Set = "green" if self.standing.active == "blue" else "blue"
        content = self.standing.in_force(set_)
        done = self.attempt(Ask(what="switch", set=set_), who)
        if not done and agreed and self.requests:
            self.second(PEOPLE[1], len(self.requests) - 1)
            done = self.standing.active == set_
        if done:
            assert self.standing.in_force() == content

    @rule(who=people, which=st.integers(0, 5))
    def agree(self, who: Actor, which: int) -> None:
        self.second(who, which)

    def second(self, who: Actor, which: int) -> None:
        if which >= len(self.requests):
            return
        ask, bound, by = self.requests[which]
        if who.machine or who.name == by or binding(ask, self.standing, self.known(ask)) != bound:
            return
        self.attempt(ask, who, by=by)

    def find(self, name: str, version: str, what: str, **evidence: Any) -> None:
        finding = Finding(
            kind="policy",
            name=name,
            version=version,
            what=what,
            by="x",
            at=self.now,
            evidence=evidence,
        )
        self.findings.setdefault((name, version), {})[what] = finding

    def live(self, name: str) -> tuple[Held, ...]:
        return tuple(one for one in self.standing.in_force() if one.name == name)

    def attempt(self, ask: Ask, who: Actor, by: str | None = None) -> bool:
        """What the registry does; whether anything changed."""
        known = self.known(ask)
        try:
            check_rights(ask, self.standing, who)
            changes = plan(ask, self.standing, known, RULES, self.now)
        except ForestallError:
            return False
        if by is None and needs_second(ask, self.standing, known):
            self.requests = [
                *self.requests[-5:],
                (ask, binding(ask, self.standing, known), who.name),
            ]
            return False
        before = self.standing
        for place, one in enumerate(changes, 1):
            record = Transition(
                received=0,
                number=before.number + place,
                artifact=one.artifact,
                name=one.name,
                version=one.version,
                before=one.before,
                after=one.after,
                share=one.share,
                evidence=one.evidence,
                set=ask.set,
                by=by or who.name,
                seconded=who.name if by else None,
                why="so",
                at=self.now,
            )
            self.may_be(ask, record, known)
            event(f"{ask.what} to {record.after}{', seconded' if record.seconded else ''}")
            self.log.append(record)
        self.standing = fold(self.log[before.number :], before)
        return True

    def may_be(self, ask: Ask, record: Transition, known: Known) -> None:
        """Each transition to effects, against the rules as the manual has them."""
        if record.artifact == "set" or record.after not in EFFECTS:
            return
        past = [
            one
            for one in self.log
            if (one.set, one.name, one.version) == (record.set, record.name, record.version)
        ]
        if ask.what == "rollback":
            assert any(one.after == "live" for one in past)
            return
        since = [one.after for one in past]
        anew = len(since) - since[::-1].index("draft")
        if not any(ROLLED_BACK in one.evidence for one in past[anew:]):
            since = since[anew:]
        assert "validated" in since
        assert "backtested" in since
        resting = record.set != self.standing.active
        last = past[-1]
        if not resting:
            assert "shadow" in since
            if last.after == "shadow":
                assert self.now - last.at >= SHADOW
            if record.after == "live":
                assert last.after == "canary"
            risky = RISKS[record.name] != "low"
            agreed = max([one.evidence.get("upto", 0.0) for one in past if one.seconded] or [0.0])
            assert not risky or record.seconded or record.share <= agreed
            assert record.seconded != record.by
        if last.after == "canary" and record.after == "live":
            found = known.findings["canary"]
            assert found.evidence == {"verdict": "pass", "last": True}
            assert found.at >= last.at

    @invariant()
    def one_version_each(self) -> None:
        for set_ in SETS:
            held = [(one.name, one.mode) for one in self.standing.in_force(set_)]
            assert len(held) == len(set(held))

    @invariant()
    def what_stands_is_what_happened(self) -> None:
        assert fold(self.log) == self.standing
        assert self.standing.number == len(self.log)


World.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase

MOVES = st.lists(st.tuples(names, versions, st.sampled_from(STATES), sets), min_size=1, max_size=30)


def records(moves: list[tuple[str, str, State, Set]]) -> list[Transition]:
    return [
        Transition(
            received=0,
            number=number,
            artifact="policy",
            name=name,
            version=version,
            before="",
            after=state,
            set=set_,
            by="ann",
            why="so",
            at=number,
        )
        for number, (name, version, state, set_) in enumerate(moves, 1)
    ]


@given(MOVES, st.integers(0, 30))
def test_folding_in_any_two_parts_is_the_same(
    moves: list[tuple[str, str, State, Set]], cut: int
) -> None:
    whole = records(moves)
    assert fold(whole[cut:], fold(whole[:cut])) == fold(whole)
    again = msgspec.json.decode(msgspec.json.encode(whole), type=list[Transition])
    assert fold(again) == fold(whole)


@given(MOVES, st.permutations(VERSIONS))
def test_a_rollback_restores_exactly_what_was_in_force(
    moves: list[tuple[str, str, State, Set]], order: list[str]
) -> None:
    """Going live and rolling back leaves what has effects as it was, whatever was before."""
    old, new, _ = order
    others = [move for move in moves if move[0] == "q" or move[2] not in EFFECTS]
    before = fold(records([*others, ("p", old, "live", "blue")]))
    replaced = records([("p", old, "retired", "blue"), ("p", new, "live", "blue")])
    going = fold(replaced, before)
    changes = plan(Ask(what="rollback", name="p"), going, Known(), RULES, 0)
    plain = records([("p", one.version, "draft", "blue") for one in changes])
    back = fold(
        [
            msgspec.structs.replace(
                record, before=one.before, after=one.after, evidence=one.evidence
            )
            for record, one in zip(plain, changes, strict=True)
        ],
        going,
    )

    def effective(standing: Standing) -> list[Held]:
        return [one for one in standing.in_force("blue") if one.mode != "shadow"]

    assert effective(back) == effective(before)
    assert back.lives == before.lives
    if before.place("blue", "policy", "p", new) is None:
        assert content_hash(back, "blue") == content_hash(before, "blue")
