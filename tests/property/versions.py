"""Hypothesis strategies for what is in force: versions live, in canary and in shadow, and models."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from forestall.contracts.control import ModelInForce, ModelsApplied, PoliciesApplied
from forestall.contracts.decision import Mode
from forestall.measure.model import Feature, Isotonic, Model, Platt, canonical, version
from forestall.policy.language.model import Model as Asked
from forestall.policy.language.model import Policy
from property.strategies import Focus, booleans, often, one_of, policies, up_to
from reference.comparing import put_in_force

MODELS = ("churn", "ticket")
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
ODDS = (-2.0, -0.5, 0.0, 0.25, 1.5)
PROBABILITIES = (0.0, 0.2, 0.5, 0.9)
THRESHOLDS = (0.0, 0.2, 0.5, 0.500001, 0.7)

shares = st.sampled_from(SHARES)
odds = st.sampled_from(ODDS)
asked = st.builds(Asked, name=st.sampled_from(MODELS), threshold=st.sampled_from(THRESHOLDS))


@st.composite
def changed(draw: st.DrawFn, policy: Policy, focus: Focus) -> Policy:
    """Another version: mostly with the same ``when``."""
    other = draw(policies(policy.name, focus))
    kept = draw(one_of(("when", "when", "all but when", "nothing")))
    if kept == "when":
        return msgspec.structs.replace(other, when=policy.when, model=policy.model)
    return msgspec.structs.replace(policy, when=other.when) if kept != "nothing" else other


@st.composite
def version_of(draw: st.DrawFn, known: list[Policy], focus: Focus) -> Policy:
    """A version there was already, or a new one, which is ``known`` from then on."""
    if draw(booleans):
        return draw(st.sampled_from(known))
    known.append(draw(changed(draw(st.sampled_from(known)), focus)))
    return known[-1]


MODES: tuple[tuple[Mode, ...], ...] = (
    *(("live",), ("live",), ("live", "canary"), ("live", "canary"), ("live", "canary")),
    *(("live", "shadow"), ("live", "canary", "shadow"), ("canary",), ("canary", "shadow")),
    *(("shadow",), ()),
)


@st.composite
def sets(
    draw: st.DrawFn,
    moment: int,
    known: Mapping[str, list[Policy]],
    focus: Focus,
    *,
    new: bool = True,
) -> PoliciesApplied:
    """Of each policy its versions in some of the modes, ``new`` ones too; in canary with a share."""
    found: dict[Mode, list[Policy]] = {"live": [], "canary": [], "shadow": []}
    for versions in known.values():
        for mode in draw(one_of(MODES)):
            pick = version_of(versions, focus) if new else st.sampled_from(versions)
            found[mode].append(draw(pick))
    canary = [(one, draw(shares)) for one in found["canary"]]
    return put_in_force(moment, found["live"], canary, found["shadow"])


@cache
def odds_by_feature(name: str) -> st.SearchStrategy[Feature]:
    """What one feature adds: steps at numbers, texts, and what is missing."""
    edges = st.sets(st.sampled_from([-1.0, 0.0, 1.0, 2.0, 2.5]), max_size=3).map(sorted)
    steps = edges.flatmap(
        lambda some: st.tuples(st.just(tuple(some)), st.tuples(*[odds] * (len(some) + 1)))
    )
    return st.builds(
        lambda found, values, other, missing: Feature(
            name, found[0], found[1], values, other, missing
        ),
        steps,
        st.dictionaries(st.sampled_from(["one", "gold", "e.a"]), odds, max_size=2),
        odds,
        odds,
    )


some_features = st.sets(st.sampled_from(["f", "g", "h"]), max_size=3)
rising = st.tuples(*[st.sampled_from(PROBABILITIES)] * 3).map(lambda some: tuple(sorted(some)))
calibrations = st.one_of(
    st.builds(Platt, slope=st.sampled_from([0.5, 1.0, 2.0]), shift=odds),
    st.builds(Isotonic, edges=st.just((-0.5, 0.5)), probabilities=rising),
)


@st.composite
def contents(draw: st.DrawFn, name: str) -> bytes:
    """A model's content; now and then something else."""
    if draw(up_to(9)) == 0:
        something_else: bytes = draw(one_of((b"{}", b'"nothing"')))
        return something_else
    names = draw(some_features)
    calibration = draw(calibrations)
    model = Model(
        name=name,
        outcome="forestall.ticket.opened",
        horizon=3_600_000_000,
        policy="p",
        intercept=draw(odds),
        features=tuple(draw(odds_by_feature(one)) for one in sorted(names)),
        calibration=calibration,
    )
    assert version(model)
    return canonical(model)


MODEL_MODES = (
    *(("live",), ("live",), ("live", "canary"), ("live", "shadow"), ("canary", "shadow")),
    (),
)


@st.composite
def models(draw: st.DrawFn, moment: int, names: Sequence[str]) -> ModelsApplied:
    """Models in some of the modes, and other thresholds for some policies."""
    entries: list[ModelInForce] = []
    for name in MODELS:
        for mode in draw(one_of(MODEL_MODES)):
            content = draw(contents(name))
            share = draw(shares) if mode == "canary" else 1.0
            told: Any = mode
            entries.append(ModelInForce(name, f"v{mode}", msgspec.Raw(content), told, share))
    thresholds = draw(
        st.dictionaries(st.sampled_from(list(names)), st.sampled_from(THRESHOLDS), max_size=1)
    )
    return ModelsApplied(moment, tuple(entries), thresholds, "test", "test")


@st.composite
def asking(draw: st.DrawFn, policy: Policy) -> Policy:
    """The policy, one in four times with a model that it asks."""
    return msgspec.structs.replace(policy, model=draw(often(None, asked)))
