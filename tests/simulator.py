"""Worlds whose effects are known, to see whether the report finds them.

Customers differ: each has a frailty (gamma), which drives what they did before as well as what they do
now, and may share one with their account. Tickets are Poisson given the frailty, so over all customers
they are negative binomial. ``draw`` gives a cohort's table at once; ``history`` a whole log.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
)
from forestall.contracts.decision import Decided, Decision, Reason
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, format_time
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.assign import in_holdout
from forestall.measure.cohorts import COLUMNS, Table
from forestall.measure.reading import Happening
from forestall.measure.trails import TICKET

Floats = NDArray[np.float64]

POLICY = "page-fails"
VERSION = "v1"
PAST = 28
"""Days before the first customer's entry that a log begins."""
WEEK = 7 * DAY


class World(msgspec.Struct, frozen=True, kw_only=True):
    """``rate`` tickets a customer kept aside opens within the horizon, ``effect`` what help changes
    of it (-0.3: three in ten fewer). ``alike`` is the gamma shape of the frailty: small is unlike.

    ``accounts`` is how many customers an account has on average (0: none). With ``by_account`` whole
    accounts are kept aside. Of the tickets spared, ``displaced`` come in the second horizon.
    """

    customers: int = 4_000
    share: float = 0.2
    rate: float = 0.25
    effect: float = 0.0
    alike: float = 1.0
    sessions: float = 3.0
    past: float = 2.0
    accounts: int = 0
    by_account: bool = False
    displaced: float = 0.0

    @property
    def difference(self) -> float:
        """The true difference per 1,000 customers."""
        return 1000 * self.rate * self.effect

    @property
    def per_session(self) -> float:
        """The true difference per 1,000 sessions."""
        return self.difference / (1 + self.sessions)


def draw(world: World, rng: np.random.Generator) -> Table:
    """One cohort, everybody's second horizon behind them."""
    number = world.customers
    frailty = rng.gamma(world.alike, 1 / world.alike, number)
    unit = np.arange(number)
    if world.accounts:
        accounts = number // world.accounts
        unit = rng.permutation(
            np.concatenate([unit[:accounts], rng.integers(0, accounts, number - accounts)])
        )
        frailty = frailty * rng.gamma(2.0, 0.5, accounts)[unit]
    drawn = rng.random(number if not world.by_account else unit.max() + 1)
    aside = (drawn if not world.by_account else drawn[unit]) < world.share
    helped = np.where(aside, 0.0, world.effect)
    outcomes = rng.poisson(frailty * world.rate * (1 + helped))
    later = rng.poisson(frailty * world.rate * (1 - world.displaced * helped))
    made = {
        "people": np.ones(number),
        "outcomes": outcomes,
        "sessions": 1 + rng.poisson(frailty * world.sessions),
        "before": rng.poisson(frailty * world.rate * world.past),
        "sessions_before": rng.poisson(frailty * world.sessions * world.past),
        "later": later,
        "asked": outcomes > 0,
        "hours": np.where(outcomes > 0, 84.0, 168.0),
    }
    return Table(
        aside=aside,
        entry=np.sort(rng.integers(0, 10**12, number)),
        unit=unit,
        units=int(unit.max()) + 1,
        columns={
            name: np.asarray(made.get(name, np.zeros(number)), dtype=np.float64) for name in COLUMNS
        },
        channels={},
        categories={},
    )


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A log to be made of a world: of its customers ``met`` meet the policy, the others are only
    active. They enter over ``days``; the log ends ``after`` days later. ``wrong_salt`` is what the
    engine went by where it was not the one in the control stream; of the decisions to keep aside
    ``lost`` never reached the log.
    """

    world: World = World()
    met: float = 0.7
    days: float = 30
    after: float = 16
    salt: str = "pepper"
    everybody: float = 0.0
    wrong_salt: str | None = None
    lost: float = 0.0

    def controls(self) -> list[Control]:
        """The control stream: settings and one policy from the beginning."""
        canonical = msgspec.Raw(
            msgspec.json.encode({"budget_class": "guidance", "holdout": self.world.share})
        )
        return [
            SettingsApplied(0, DecideSettings(salt=self.salt, holdout=self.everybody), "t", "t"),
            PoliciesApplied(0, (PolicyInForce(POLICY, VERSION, canonical),), {}, "t", "t"),
        ]

    def history(self, rng: np.random.Generator) -> list[Happening]:
        """Everything that happens, in log order."""
        world = self.world
        happened: list[tuple[int, Happening]] = []
        for number, frailty in enumerate(rng.gamma(world.alike, 1 / world.alike, world.customers)):
            name = f"c{number}"
            at = int((PAST + rng.random() * self.days) * DAY)
            happened += _events(
                name,
                "page.viewed",
                at
                - rng.integers(0, PAST * DAY, rng.poisson(frailty * world.sessions * world.past)),
            )
            happened += _events(
                name,
                TICKET,
                at - rng.integers(1, PAST * DAY, rng.poisson(frailty * world.rate * world.past)),
            )
            happened += _events(
                name,
                "page.viewed",
                [at, *at + rng.integers(0, WEEK, rng.poisson(frailty * world.sessions))],
            )
            helped = 0.0
            if rng.random() < self.met:
                decided = self._decided(name, at)
                helped = world.effect if decided.decision.reason is None else 0.0
                if decided.decision.reason is None or rng.random() >= self.lost:
                    happened.append((at, decided))
            tickets = rng.poisson(frailty * world.rate * (1 + helped))
            happened += _events(name, TICKET, at + rng.integers(1, WEEK, tickets))
            late = rng.poisson(frailty * world.rate * (1 - world.displaced * helped))
            happened += _events(name, TICKET, at + WEEK + rng.integers(1, WEEK, late))
        return [one for _, one in sorted(happened, key=lambda pair: pair[0])]

    @property
    def end(self) -> int:
        """The log time at the end."""
        return int((PAST + self.days + self.after) * DAY)

    def _decided(self, name: str, at: int) -> Decided:
        salt = self.salt if self.wrong_salt is None else self.wrong_salt
        reason: Reason | None = None
        if in_holdout(f"{salt}:{POLICY}", name, self.world.share):
            reason = "policy_holdout"
        elif in_holdout(salt, name, self.everybody):
            reason = "global_holdout"
        return decided(name, at, reason)


def decided(
    name: str, at: int, reason: Reason | None = None, policy: str = POLICY, version: str = VERSION
) -> Decided:
    """A decision about a customer that was noticed when it was made."""
    decision = Decision(
        id=f"{policy}-{name}-{at}",
        policy=policy,
        version=version,
        mode="live",
        subject=name,
        key=None,
        at=format_time(at),
        outcome="intervene" if reason is None else "holdout",
        reason=reason,
        matched=(),
        features={},
        explanation="",
    )
    return Decided(0, 0, at, decision)


def _events(name: str, kind: str, times: Iterable[int]) -> list[tuple[int, Happening]]:
    return [
        (at, Record(f"{kind}-{name}-{at}", "world", kind, name, at, at)) for at in map(int, times)
    ]


def write(
    folder: Path, happened: Iterable[Happening], controls: Sequence[Control], now: int
) -> None:
    """A server's data folder in which that happened."""
    folder.mkdir(parents=True)
    signals, decisions = SqliteLog(folder / "gateway.db"), SqliteLog(folder / "worker.db")
    decisions.commit([streams.control(controls)])
    records: list[Record] = []
    entries: list[Decided] = []
    for one in happened:
        if isinstance(one, Record):
            records.append(one)
        else:
            place = {"position": len(records) // 500 + 1, "order": 2 * (len(records) % 500)}
            entries.append(msgspec.structs.replace(one, **place))
    for start in range(0, len(records), 500):
        signals.commit([streams.signals(records[start : start + 500])], durable=False)
    signals.commit(tick=now)
    if entries:
        decisions.commit([streams.decisions(entries)])
    signals.close()
    decisions.close()
