"""Hypothesis strategies for policies, settings and streams: small alphabets and a coarse grid of
times, so that deadlines, windows, cooldowns and lateness are hit exactly, and one event off.

``scenarios`` puts them together. What is drawn from again and again is made once: making a strategy
takes Hypothesis longer than drawing from it.
"""

from functools import cache, lru_cache
from typing import Any, Literal, cast

from hypothesis import strategies as st

from forestall.contracts.control import (
    DecideSettings,
)
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.policy.language.model import Feature, FeatureKind, Guide, Match, Policy, Step, When

NAMES = ("p", "q", "r", "t")
SUBJECTS = ("s1", "s2")
TYPES = ("e.a", "e.b", "e.c")
PLAYBOOK = (Guide(channel="inapp", text="Hello"),)
CONTROL_TYPES = (
    "forestall.identify",
    "forestall.consent.granted",
    "forestall.consent.withdrawn",
    "forestall.optout",
    "forestall.optin",
    "forestall.ticket.opened",
    "forestall.ticket.reopened",
    "forestall.ticket.closed",
    "forestall.intervention.dismissed",
    "forestall.intervention.helped",
)
STARTS = tuple(
    map(
        parse_time,
        (
            "2024-05-01T12:00:00Z",
            "2024-05-01T21:59:55Z",
            "2024-05-02T07:59:55Z",
            "2024-03-31T00:59:55Z",  # Berlin goes from 02:00 to 03:00 in five seconds
            "2024-10-27T00:59:55Z",  # Berlin goes from 03:00 back to 02:00
            "2024-11-03T05:59:55Z",  # New York goes from 02:00 back to 01:00
        ),
    )
)
QUIET = ((22 * 60, 8 * 60), (2 * 60, 3 * 60), (3 * 60, 4 * 60), (60, 2 * 60), (12 * 60, 12 * 60))
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Nowhere/Land", None, 7)

WHERES = (
    "event.data.x > 1",
    "event.data.x == 1",
    "event.data.ok",
    "has(event.data.x)",
    "event.data.x >= 1 && event.data.ok",
    "event.data.x != 2 || subject.vip",
    "subject.vip",
    "event.origin == 'browser'",
    "!has(event.data.k)",
    "event.data.x in [1, 2.5, 'one']",
    "event.data.x",
    "now == event.time",
)
IFS = (
    *WHERES,
    "has(service.pay)",
    "service.pay == 'down'",
    "now - event.time >= duration('2s')",
    "subject.tier == 1",
)
FEATURE_IFS = (
    "features.{} < 3",
    "features.{} >= 2.5",
    "features.{} == null || features.{} > 0",
    "features.{} != 1 && event.data.ok",
)
KEYS = ("event.data.k", "event.data.x", "subject.tier", "[event.data.k, event.data.x]")
VALUES = ("event.data.x", "event.data.k", "subject.tier", "event.data.x * 2", "event.type")

DATA_X = (1, 1, 2, 2, 3, 0, 2.5, 1.0, -1.5, 0.1, 0.0000005, 0.0000015, "one", True, None)
DATA_K = (1, 1, 1, 2, 2, 1.0, "1", "o", True, None, [1, "a"], {"b": 1.0, "a": None})


@lru_cache(maxsize=None, typed=True)
def often(value: Any, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """``value`` in three cases of four."""
    certain = st.just(value)
    return st.integers(0, 3).flatmap(lambda n: certain if n else strategy)


one_of = cache(st.sampled_from)
"""One of a tuple's."""
between = cache(st.integers)
booleans = st.booleans()


def up_to(most: int) -> st.SearchStrategy[int]:
    """A number from 0."""
    return between(0, most)


@lru_cache(maxsize=None, typed=True)
def spans(*seconds: float) -> st.SearchStrategy[int]:
    """One of a few durations."""
    return st.sampled_from([round(amount * SECOND) for amount in seconds])


types = st.sampled_from(
    [
        *[("e.a",), ("e.a",), ("e.b",)] * 6,
        *[("e.c",)] * 4,
        *[("*",)] * 4,
        *[("e.a", "e.b"), ("e.b", "e.c"), ("e.a", "forestall.identify")] * 2,
        *[(kind,) for kind in CONTROL_TYPES],
    ]
)
matches = st.builds(Match, types=types, where=often(None, st.sampled_from(WHERES)))
doubtful = st.builds(Match, types=types, where=st.one_of(st.none(), st.sampled_from(WHERES)))
positives = st.builds(Step, match=matches, times=often(1, st.integers(2, 3)))
singles = st.builds(Step, match=matches)
negatives = st.builds(Step, match=doubtful, negative=st.just(True))
absences = st.builds(
    Step, match=doubtful, negative=st.just(True), quiet_for=spans(1, 2, 2.5, 3, 5, 10)
)
withins = spans(1, 2, 3, 5, 8)
keys = st.one_of(st.none(), st.sampled_from([KEYS[0], *KEYS]))
maybe_within = st.one_of(st.none(), withins)
one_to_three = st.integers(1, 3)


plain_matches = st.builds(Match, types=st.sampled_from([("e.a",), ("e.a",), ("e.b",), ("*",)]))
plain_steps = st.builds(Step, match=plain_matches)


@st.composite
def sequences(draw: st.DrawFn, positive: st.SearchStrategy[Step] = positives) -> When:
    """A sequence of one to three positive steps, with absences between them and at the end."""
    steps: list[Step] = []
    for index in range(draw(one_to_three)):
        if index and draw(up_to(2)) == 0:
            steps.append(draw(negatives))
        steps.append(draw(positive))
    if draw(booleans):
        steps.append(draw(absences))
    within = draw(maybe_within)
    return When(kind="sequence", steps=tuple(steps), within=within, by=draw(keys))


def alls(step: st.SearchStrategy[Step] = singles) -> st.SearchStrategy[When]:
    """An ``all`` of two or three steps."""
    steps = st.lists(step, min_size=2, max_size=3).map(tuple)
    return st.builds(When, kind=st.just("all"), steps=steps, within=withins, by=keys)


events_alone = st.builds(When, kind=st.just("event"), steps=st.tuples(singles))
plain_events = st.builds(When, kind=st.just("event"), steps=st.tuples(plain_steps))
plain_absences = st.builds(
    When,
    kind=st.just("sequence"),
    steps=st.tuples(plain_steps, absences),
    by=often(None, st.just(KEYS[0])),
)
patterns = st.one_of(events_alone, sequences(), sequences(), sequences(), alls())

FEATURE_KINDS = cast(
    tuple[FeatureKind, ...],
    (
        *("count", "sum", "avg", "min", "max", "distinct", "first", "last", "since"),
        *("p50", "p90", "p95", "p99"),
    ),
)


Focus = Literal["anything", "patterns", "features", "gates", "absences"]
PATTERNS: dict[Focus, st.SearchStrategy[When]] = {
    "anything": patterns,
    "patterns": st.one_of(sequences(plain_steps), sequences(plain_steps), alls(plain_steps)),
    "features": plain_events,
    "gates": st.one_of(plain_events, plain_events, plain_absences),
    "absences": plain_absences,
}


@st.composite
def features(draw: st.DrawFn) -> Feature:
    """A feature of any kind."""
    kind = draw(one_of(FEATURE_KINDS))
    over: int | None = draw(spans(1, 2, 3, 5, 20))
    if kind in ("since", "first", "last"):
        over = draw(one_of((None, over)))
    return Feature(
        kind=kind,
        match=draw(matches),
        value=None if kind in ("count", "since") else draw(one_of(VALUES)),
        over=over,
        by=draw(keys),
    )


@cache
def conditions(names: tuple[str, ...]) -> st.SearchStrategy[str | None]:
    """An ``if`` over what there is, or none."""
    over_features = [text.replace("{}", name) for text in FEATURE_IFS for name in names]
    return often(None, st.sampled_from([*IFS, *over_features]))


other, transactional = st.just("other"), st.just("transactional")


@st.composite
def policies(draw: st.DrawFn, name: str, focus: Focus = "anything") -> Policy:
    """A policy with a short cooldown. A focus leaves out what hides what it is about."""
    number = {"anything": 1, "features": 3}.get(focus, 0)
    own = {label: draw(features()) for label in "fgh"[: draw(between(number // 2, number))]}
    condition = draw(conditions(tuple(sorted(own)))) if focus in ("anything", "absences") else None
    return Policy(
        name=name,
        title=name,
        owner="team",
        features=own,
        when=draw(PATTERNS[focus]),
        condition=condition,
        purpose=draw(often("support", other)),
        priority=draw(one_of((50, 50, 0, 100))),
        cooldown=draw(spans(1, 1, 1, 2, 2, 3, 5, 86_400)),
        budget_class=draw(often("guidance", transactional)),
        in_conversation=draw(one_of(("hold", "allow"))),
        quiet_hours=draw(one_of(("respect", "ignore"))),
        holdout=draw(often(0.0, one_of((0.3, 1.0)))),
        playbook=PLAYBOOK,
    )


@st.composite
def settings(draw: st.DrawFn, grace: int) -> DecideSettings:
    """Settings in the range of the grid."""
    return DecideSettings(
        lateness=draw(spans(3, 5, 300)),
        grace=grace,
        budget=draw(often(1000, up_to(3))),
        budget_window=draw(spans(2, 5, 10)),
        spacing=draw(often(0, spans(1, 2, 5))),
        holdout=draw(often(0.0, one_of((0.5, 1.0)))),
        salt=draw(one_of(("", "salt"))),
        quiet_hours=draw(often(None, one_of(QUIET))),
        timezone=draw(one_of((None, "Europe/Berlin", "America/New_York"))),
        require_consent=draw(up_to(9)) == 0,
    )


@cache
def fitting_data(kind: str, focus: Focus) -> st.SearchStrategy[Any]:
    """Data for an event type: now and then without what it needs."""
    wanted: dict[str, st.SearchStrategy[Any]] = {}
    if kind == "forestall.identify":
        traits = {
            "vip": st.sampled_from([True, True, False, None, "yes"]),
            "tier": st.sampled_from([1, 1.0, 2, "gold", None]),
            "timezone": st.sampled_from(ZONES),
        }
        wanted = {"traits": st.fixed_dictionaries({}, optional=traits)}
    elif "consent" in kind:
        wanted = {"purpose": st.sampled_from(["support", "support", "other"])}
    elif "ticket" in kind:
        wanted = {"ticket": st.sampled_from(["1", "2"])}
    elif "intervention" in kind:
        wanted = {"policy": st.sampled_from(["p", *NAMES])}
    if "dismissed" in kind:
        wanted["never"] = st.sampled_from([False] * 6 + [True, None])
    if wanted:
        whole = st.fixed_dictionaries(wanted)
        return st.one_of(whole, whole, whole, st.sampled_from([None, {}]))
    optional = {
        "x": st.sampled_from(DATA_X),
        "k": st.sampled_from(DATA_K),
        "ok": st.sampled_from([True, True, False, "no"]),
    }
    if focus == "features":
        rich = {"x": optional["x"], "k": st.sampled_from(DATA_K[:7]), "ok": st.booleans()}
        return st.fixed_dictionaries(rich)
    plain = st.sampled_from([{"k": k, "x": x, "ok": True} for k in (1, 2) for x in (1, 2)])
    return st.one_of(plain, plain, st.fixed_dictionaries({}, optional=optional), st.none())


GAPS = (0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 5)
RARE_GAPS = (0.000001, 0.5, 10, 3600, 86_400, 7 * 86_400, 7 * 86_400 + 0.000001)
COMMON = (*TYPES, *TYPES[:2], *TYPES[:2])
OFTEN_THE_FIRST = (*SUBJECTS, SUBJECTS[0], SUBJECTS[0])
LAGS = (0, 0, 0, 0, 0, 0, 1, 1, 2, 2.5, 3, 3.000001, 4, 5, 6, -1, -3)


@cache
def lengths(most: int) -> st.SearchStrategy[int]:
    """How many events a history has; half of them are long."""
    return st.one_of(st.integers(1, most), st.integers(most // 2, most))


@st.composite
def streams(
    draw: st.DrawFn, start: int, most: int, focus: Focus = "anything"
) -> list[dict[str, Any]]:
    """A history in log order."""
    told = CONTROL_TYPES + (CONTROL_TYPES[-2:] * 2 if focus == "gates" else ())
    made: list[dict[str, Any]] = []
    received = start
    for index in range(draw(lengths(most))):
        rare = draw(up_to(24)) == 0
        gap = draw(one_of(RARE_GAPS if rare else GAPS))
        received += round(gap * SECOND)
        kind = draw(often(draw(one_of(COMMON)), one_of(told)))
        time = received - round(draw(one_of(LAGS)) * SECOND)
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": str(index),
            "source": "/one",
            "type": kind,
            "subject": draw(one_of(OFTEN_THE_FIRST)),
            "time": format_time(time),
            "received": format_time(received),
        }
        data = draw(fitting_data(kind, focus))
        if data is not None or draw(booleans):
            event["data"] = data
        quirk = draw(up_to(19))
        if quirk == 0:
            del event["received"]
            received = max(received, time)
        elif quirk == 1:
            del event["time"]
        elif quirk == 2:
            event["received"] = format_time(received - SECOND)
        elif quirk == 3:
            event["origin"] = "browser"
        elif quirk in (4, 5) and made:
            event["id"] = draw(st.sampled_from(made))["id"]
        elif gap > 86_400 and made:  # the very end of the week in which it would be a duplicate
            event |= {"id": made[-1]["id"], "subject": made[-1]["subject"]}
        elif quirk == 6 and made:
            event["id"], event["source"] = draw(st.sampled_from(made))["id"], "/two"
        made.append(event)
    return made
