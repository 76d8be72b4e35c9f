"""Terms: stretches of time in which the same customers were kept aside. Pure.

Who is kept aside follows from a salt, a share and the pseudonym (``assign``). Wherever salt or share
changes, another experiment begins; control records say when.
"""

from collections.abc import Iterable

import msgspec

from forestall.contracts.control import Control, DecideSettings, PoliciesApplied, SettingsApplied
from forestall.measure.assign import in_holdout


class Version(msgspec.Struct, frozen=True):
    """What measuring needs to know of a policy's version.

    ``exempt`` policies (transactional) act on the global holdout too.
    """

    policy: str
    holdout: float
    exempt: bool


class Term(msgspec.Struct, frozen=True):
    """From ``start`` to before ``end`` (log time; none: still) ``share`` of all were kept aside.

    ``salt`` is what is hashed with the pseudonym. ``began`` is when customers were first kept aside
    under this salt, which may be an earlier term. Those in the first ``left_out`` under
    ``other_salt``, the global holdout, belong to neither arm.
    """

    start: int
    end: int | None
    salt: str
    share: float
    began: int
    other_salt: str = ""
    left_out: float = 0.0

    def aside(self, subject: str) -> bool:
        """Whether ``subject`` is kept aside."""
        return in_holdout(self.salt, subject, self.share)

    def belongs(self, subject: str) -> bool:
        """Whether ``subject`` belongs to either arm."""
        return not in_holdout(self.other_salt, subject, self.left_out)


class Plan(msgspec.Struct, frozen=True):
    """All terms of a deployment: of the global holdout, and of each policy by name, in order.

    ``versions`` are all that were ever in force.
    """

    everyone: tuple[Term, ...]
    policies: dict[str, tuple[Term, ...]]
    versions: dict[str, Version]


def plan_of(controls: Iterable[Control]) -> Plan:
    """What ``controls``, in log order, say."""
    fold = _Fold()
    for record in controls:
        if isinstance(record, SettingsApplied):
            fold.settings = record.settings
        elif isinstance(record, PoliciesApplied):
            fold.apply(record)
        else:
            continue
        fold.note(record.received)
    return Plan(
        everyone=_terms(fold.everyone),
        policies={name: _terms(marks) for name, marks in sorted(fold.policies.items())},
        versions=fold.versions,
    )


class _Canonical(msgspec.Struct):
    """The part of a canonical form that says who is kept aside."""

    holdout: float = 0.0
    budget_class: str = "guidance"


Setup = tuple[str, float, str, float]
"""Salt and share; salt and share of those in neither arm."""
_Mark = tuple[int, Setup | None]


class _Fold:
    """What holds, and since when, as control records go by."""

    def __init__(self) -> None:
        self.settings = DecideSettings()
        self.versions: dict[str, Version] = {}
        self.everyone: list[_Mark] = []
        self.policies: dict[str, list[_Mark]] = {}
        self._in_force: dict[str, Version] = {}

    def apply(self, record: PoliciesApplied) -> None:
        self._in_force = {}
        for mode in ("canary", "live"):
            for one in record.policies:
                if one.mode != mode:
                    continue
                said = msgspec.json.decode(one.canonical, type=_Canonical)
                version = Version(one.name, said.holdout, said.budget_class == "transactional")
                self.versions[one.version] = self._in_force[one.name] = version

    def note(self, at: int) -> None:
        settings = self.settings
        held = settings.holdout
        _mark(self.everyone, at, (settings.salt, held, "", 0.0) if held else None)
        for name in self.policies.keys() | self._in_force.keys():
            marks = self.policies.setdefault(name, [])
            version = self._in_force.get(name)
            if version is None or not version.holdout:
                _mark(marks, at, None)
            else:
                left_out = 0.0 if version.exempt else held
                salt = f"{settings.salt}:{name}"
                _mark(marks, at, (salt, version.holdout, settings.salt, left_out))


def _mark(marks: list[_Mark], at: int, setup: Setup | None) -> None:
    if marks and marks[-1][0] == at:
        marks.pop()
    if not marks or marks[-1][1] != setup:
        marks.append((at, setup))


def _terms(marks: list[_Mark]) -> tuple[Term, ...]:
    began: dict[str, int] = {}
    found = []
    for place, (start, setup) in enumerate(marks):
        end = marks[place + 1][0] if place + 1 < len(marks) else None
        if setup is not None:
            salt, share, other_salt, left_out = setup
            first = began.setdefault(salt, start)
            found.append(Term(start, end, salt, share, first, other_salt, left_out))
    return tuple(found)


def within(terms: Iterable[Term], at: int) -> Term | None:
    """The one of ``terms`` in which ``at`` lies."""
    return next((one for one in terms if one.start <= at < (one.end or at + 1)), None)
