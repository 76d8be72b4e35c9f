"""Champion and challenger: several models on the same decisions, from what the log says of them.

The one in force said its probability in every decision that asked it, and so did one in shadow,
which judged nothing. A model that was never deployed is asked now, on the logged features. One in
canary is heard for a part of the subjects only, and is left to the canary's own judgement.
"""

from collections.abc import Sequence

import msgspec

from forestall.measure.calibration import Group, Sample, Score, groups, objections, scores
from forestall.measure.examples import Example
from forestall.measure.model import Model, predict, version
from forestall.measure.statistics import RESAMPLES
from forestall.measure.training import TooFewExamples, sample


class Contender(msgspec.Struct, frozen=True):
    """One model: its ``mode`` in the log, or ``file``; the gain in its score is over the constant,
    the share of the outcome in hindsight. ``lead`` is its score with the gain over the champion."""

    name: str
    version: str
    mode: str
    score: Score
    lead: Score | None
    groups: tuple[Group, ...]
    why: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True):
    """All contenders, on the decisions on which every one of them was heard."""

    tested: Sample
    contenders: tuple[Contender, ...]


def compare(
    found: Sequence[Example], model: Model | None, seed: int, resamples: int = RESAMPLES
) -> Comparison:
    """The models heard last in each mode, and ``model`` besides, which is tested only on decisions
    from a horizon after those that it learned from. Raises ``TooFewExamples``."""
    after = 0
    if model is not None and isinstance(learned := model.evidence.get("learned_until"), int):
        after = learned + model.horizon
    later = [one for one in found if one.noticed > after]
    heard = [
        {(what.model, what.version): what.probability for what in one.confidence} for one in later
    ]
    modes: dict[tuple[str, str], str] = {}
    for (mode, name), which in sorted(_last(later).items()):
        modes.setdefault((name, which), mode)
    both = [place for place, said in enumerate(heard) if modes.keys() <= said.keys()]
    examples = [later[place] for place in both]
    told = {one: [heard[place][one] for place in both] for one in modes}
    if model is not None and (mine := (model.name, version(model))) not in modes:
        modes[mine] = "file"
        told[mine] = [predict(model, one.features)[0] for one in examples]
    followed = [one.followed for one in examples]
    if len(set(followed)) < 2 or not told:
        raise TooFewExamples(
            f"there is too little to compare on: {len(examples)} decisions on which every model was"
            f" heard, {sum(followed)} of them with the outcome. A model is tested only on decisions"
            " from one horizon after those it learned from"
        )
    subjects = [one.subject for one in examples]
    names = {"/".join(one): said for one, said in told.items()}
    share = [sum(followed) / len(followed)] * len(followed)
    alone = scores(names, followed, subjects, share, seed, resamples)
    champion = next((said for one, said in told.items() if modes[one] == "live"), None)
    ahead = scores(names, followed, subjects, champion, seed, resamples) if champion else {}
    return Comparison(
        sample(examples),
        tuple(
            Contender(
                *one,
                modes[one],
                alone["/".join(one)],
                ahead.get("/".join(one)) if modes[one] != "live" else None,
                groups(said, followed),
                objections(alone["/".join(one)]),
            )
            for one, said in told.items()
        ),
    )


def _last(found: Sequence[Example]) -> dict[tuple[str, str], str]:
    """The version heard last, by mode and name, of the modes that hear everybody."""
    return {
        (what.mode, what.model): what.version
        for one in found
        for what in one.confidence
        if what.mode != "canary"
    }
