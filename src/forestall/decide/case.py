"""Cases: a policy test made from a real customer's history, pseudonymous. Pure.

Only what the policy reads is kept. Ids become ``e1``, ``e2``; times count from the first event;
text that the policy does not itself name, and keys, become placeholders. What stood before the
recorded time (traits, consent, opt-out, open tickets, dismissals) comes first, as control events.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.edge import DECIDED, decision_told
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import parse_time
from forestall.decide.backtest import features_of, opening
from forestall.decide.engine import Engine
from forestall.decide.examine import START, Made, examine
from forestall.decide.gates import Ledger
from forestall.decide.ledger import EFFECTS
from forestall.decide.masking import Mask, Path, below, keys, pruned, read_by, reads, sources
from forestall.decide.plan import concerns
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy, PolicyTest, TestEvent, TestExpectation

MILLISECOND = 1_000


class Recorded(msgspec.Struct, frozen=True):
    """A case that passes. ``plain`` are the fields written as they are because the policy looks
    into them; ``decided`` is what the log's decisions were, in the case's time, where they differ
    from what the case decides by itself."""

    case: PolicyTest
    plain: tuple[str, ...]
    decided: tuple[TestExpectation, ...] | None


def decided(
    controls: Sequence[Control], records: Iterable[Record], since: int, until: int
) -> list[Decision]:
    """What was decided for the subject of ``records`` from ``since`` to ``until``, both included."""
    engine = Engine()
    engine.keep(features_of(controls))
    for control in sorted(controls, key=lambda control: control.received):
        engine.control(control)
    past = [record for record in records if record.received <= until]
    made = [one for _, one in engine.process(past)] + engine.tick(until)
    return [one for one in made if since <= parse_time(one.at) <= until]


def record_case(
    name: str,
    bundle: Bundle,
    policy: Policy,
    settings: DecideSettings,
    records: Sequence[Record],
    between: tuple[int, int],
    decisions: Sequence[Decision],
) -> Recorded:
    """The case of ``policy`` in which one customer's ``records`` come ``between`` two moments.

    ``records`` are all of the customer's, in log order; ``decisions`` are those of the log in that
    time.
    """
    made = [one for one in decisions if one.policy == policy.name]
    stories = (
        _Story(bundle, policy, settings, records, between, whole=whole) for whole in (False, True)
    )
    story, whole = stories
    if story.truth() != story.then(made) and whole.truth() == whole.then(made):
        story = whole
    truth, then = story.truth(), story.then(made)
    plain = _needed(story, truth)
    timely = story.run(plain, timely=True) == truth
    case = msgspec.structs.replace(story.case(plain, timely=timely), name=name)
    return Recorded(
        msgspec.structs.replace(case, expect=story.expectations(case)),
        tuple(".".join(path) for path in sorted(plain)),
        None if truth == then else tuple(_expectation(one) for one in then),
    )


def _expectation(made: Made) -> TestExpectation:
    return TestExpectation(at=made.at, outcome=made.outcome, reason=made.reason, key=made.key)


def _needed(story: "_Story", truth: Any) -> frozenset[Path]:
    """The paths whose values must stay for the case to decide as the history does."""
    plain: frozenset[Path] = frozenset()
    for path in sorted(story.paths):
        if story.run(plain, timely=False) == truth:
            break
        plain |= {path}
    for path in sorted(plain):
        if story.run(plain - {path}, timely=False) == truth:
            plain -= {path}
    return plain


class _Story:
    """The history of one case, to be told with more or fewer fields as they are.

    ``whole`` tells also, without data, of events that only move the subject's clock.
    """

    def __init__(
        self,
        bundle: Bundle,
        policy: Policy,
        settings: DecideSettings,
        records: Sequence[Record],
        between: tuple[int, int],
        *,
        whole: bool,
    ) -> None:
        self._bundle, self._policy, self._settings = bundle, policy, settings
        since, until = between
        self._sources = list(sources(policy))
        self._reads = reads(policy, settings)
        self._keys = read_by(keys(policy))
        self._records = [
            record
            for record in records
            if since <= record.received <= until
            and (self._matters(record) or (whole and record.type not in EFFECTS))
        ]
        starts = [_start(record) for record in self._records]
        self._base = _floor(min(starts, default=since))
        self._until = _floor(until - self._base)
        self._before = self._standing([one for one in records if one.received < since], since)
        self.paths = self._reads

    def _matters(self, record: Record) -> bool:
        return self._concerned(record.type) or (record.type in EFFECTS and self._acts(record))

    def _concerned(self, event_type: str) -> bool:
        matches = [step.match for step in self._policy.when.steps]
        matches += [feature.match for feature in self._policy.features.values()]
        return any(concerns(match, event_type) for match in matches)

    def _acts(self, record: Record) -> bool:
        """Whether a control event can change what this policy decides."""
        data = decode_data(record.data)
        data = data if isinstance(data, dict) else {}
        kind = record.type.removeprefix("forestall.")
        if kind.startswith("consent."):
            return self._settings.require_consent and data.get("purpose") == self._policy.purpose
        if kind.startswith("ticket."):
            return self._policy.in_conversation == "hold"
        if kind.startswith(("intervention.", "edge.")):
            return bool(data.get("policy") == self._policy.name)
        if kind == "identify":
            return any(path[0] == "subject" for path in self._reads)
        return kind in ("optout", "optin")

    def _standing(self, past: Sequence[Record], since: int) -> list[TestEvent]:
        engine = Engine()
        for control in opening(
            msgspec.structs.replace(self._bundle, policies=(self._policy,)), self._settings
        ):
            engine.control(control)
        engine.process(past)
        engine.tick(since)
        subject = past[0].subject if past else ""
        _, now, _ = engine.standing(subject, self._policy.name, since)
        return [] if now is None else list(self._control_events(now.ledger))

    def _control_events(self, ledger: Ledger) -> Iterator[TestEvent]:
        """Control events that amount to the ledger, as far as this policy looks at it."""
        policy = self._policy

        def event(kind: str, **data: Any) -> TestEvent:
            return TestEvent(at=0, type=f"forestall.{kind}", data=data)

        traits = pruned(ledger.traits, below(self._reads, ("subject",)))
        if traits:
            yield event("identify", traits=traits)
        if ledger.optout is not None and ledger.optout.yes:
            yield event("optout")
        standing = ledger.consents.get(policy.purpose)
        if self._settings.require_consent and standing is not None:
            kind = "consent.granted" if standing.yes else "consent.withdrawn"
            yield event(kind, purpose=policy.purpose)
        if policy.in_conversation == "hold":
            yield from (event("ticket.opened", ticket=ticket) for ticket in sorted(ledger.tickets))
        own = ledger.policies.get(policy.name)
        if own is not None:
            never = {"never": True} if own.never else {}
            for number in range(own.dismissals):
                more = never if number == own.dismissals - 1 else {}
                yield event("intervention.dismissed", policy=policy.name, **more)

    # -- telling ---------------------------------------------------------------------------------

    def case(self, plain: frozenset[Path], *, timely: bool) -> PolicyTest:
        """The case with the fields ``plain`` as they are; ``timely`` leaves out ``received``."""
        mask = Mask(self._sources, self._keys, plain)
        events = [
            msgspec.structs.replace(event, data=self._masked(mask, event.type, event.data))
            for event in self._before
        ]
        events += [self._event(mask, record, timely=timely) for record in self._records]
        ids: dict[tuple[str, str | None], str] = {}
        named = [
            msgspec.structs.replace(
                event,
                id=ids.setdefault((event.source, event.id or f" {number}"), f"e{len(ids) + 1}"),
            )
            for number, event in enumerate(events)
        ]
        reads_source = any(path in self._reads for path in (("event",), ("event", "source")))
        return PolicyTest(
            name="",
            events=tuple(
                msgspec.structs.replace(
                    event,
                    source=mask.text(("event", "source"), event.source) if reads_source else "test",
                )
                for event in named
            ),
            until=self._until,
            expect=(),
        )

    def _event(self, mask: Mask, record: Record, *, timely: bool) -> TestEvent:
        at = _floor(min(record.time, record.received) - self._base)
        received = _floor(record.received - self._base)
        data = decode_data(record.data)
        return TestEvent(
            at=at,
            type=record.type,
            data=self._masked(mask, record.type, data if isinstance(data, dict) else {}),
            id=record.id,
            source=record.source,
            origin=record.origin,
            received=None if timely or received == at else received,
        )

    def _masked(self, mask: Mask, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
        kept = pruned(data, below(self._reads, ("event", "data")))
        if not self._concerned(event_type):
            kept = {}
        told: dict[str, Any] = mask.value(("event", "data"), kept)
        if event_type not in EFFECTS:
            return told
        fields: dict[str, Any] = {
            name: data[name] for name in ("purpose", "policy", "never") if name in data
        }
        if "ticket" in data:
            fields["ticket"] = mask.placeholder(str(data["ticket"]))
        traits = data.get("traits")
        if isinstance(traits, dict):
            kept = pruned(traits, below(self._reads, ("subject",)))
            fields["traits"] = mask.value(("subject",), kept)
        if event_type == DECIDED and (decided := decision_told(data)) is not None:
            at = START + _floor(decided.at - self._base)
            one = msgspec.structs.replace(decided, at=at, key=None)
            fields |= {**msgspec.to_builtins(one), "matched": [["test", "e"]]}
        return {**told, **fields}

    # -- deciding --------------------------------------------------------------------------------

    def run(self, plain: frozenset[Path], *, timely: bool) -> list[Made]:
        """What the case decides, told with the fields ``plain`` as they are."""
        made = self._examine(self.case(plain, timely=timely))
        return [msgspec.structs.replace(one, key=None) for one in made]

    def expectations(self, case: PolicyTest) -> tuple[TestExpectation, ...]:
        """Everything that the case decides, as what to expect of it."""
        return tuple(_expectation(one) for one in self._examine(case))

    def _examine(self, case: PolicyTest) -> tuple[Made, ...]:
        policy = msgspec.structs.replace(self._policy, tests=(case,))
        (found,) = examine(self._bundle, policy, self._settings)
        return found.made

    def truth(self) -> list[Made]:
        """What the case decides when nothing is masked."""
        return self.run(self.paths, timely=False)

    def then(self, decisions: Sequence[Decision]) -> list[Made]:
        """Decisions of the log in the case's time."""
        return [
            Made(_floor(parse_time(one.at) - self._base), one.outcome, one.reason, None)
            for one in decisions
        ]


def _start(record: Record) -> int:
    """When it was, or what a page had decided by then."""
    told = decision_told(decode_data(record.data)) if record.type == DECIDED else None
    return min(record.time, record.received, record.time if told is None else told.at)


def _floor(micros: int) -> int:
    return micros // MILLISECOND * MILLISECOND
