"""Flags: an OpenFeature provider that says what the control stream says.

It serves the domain ``forestall`` of this process, for the product's own switches and for a
deployment's actions. A provider that the settings name takes its place.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, FeatureProvider, Metadata

from forestall.contracts.control import Control, FlagsApplied, Transition
from forestall.contracts.flags import DOMAIN, Value
from forestall.contracts.instants import format_time
from forestall.intervene.actions.python import UnknownFunction, found
from forestall.log.port import Log
from forestall.log.streams import CONTROL, read_control
from forestall.policy.flags import InForce, in_force, same

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the control stream."""

T = TypeVar("T")

_log = structlog.get_logger("flags")


class ControlProvider(AbstractProvider):
    """The flags in force, as told by ``use``. Evaluating one reads a dictionary.

    A flag that is not set, or is of another type, gives the default and OpenFeature's error code.
    Who set a flag, why and since when (log time) is in the evaluation's metadata.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: Mapping[str, InForce] = {}

    def use(self, flags: Sequence[InForce]) -> None:
        """From here on these are in force; who listens hears which changed."""
        held = {one.name: one for one in flags}
        names = self._held.keys() | held.keys()
        changed = [name for name in sorted(names) if not same(self._value(name), _of(held, name))]
        self._held = held
        if changed:
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))

    def _value(self, name: str) -> Value | None:
        return _of(self._held, name)

    def get_metadata(self) -> Metadata:
        """What the provider is called."""
        return Metadata(name=DOMAIN)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """A flag that is true or false."""
        return self._resolved(flag_key, default_value, bool, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """A flag that is a text."""
        return self._resolved(flag_key, default_value, str, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """A flag that is a whole number."""
        return self._resolved(flag_key, default_value, int, evaluation_context)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """A flag that is a number, whole or not."""
        return self._resolved(flag_key, default_value, float, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """No flag of ours is an object."""
        return self._resolved(flag_key, default_value, Mapping, evaluation_context)

    def _resolved(
        self, name: str, default: T, wanted: type[Any], _context: EvaluationContext | None
    ) -> FlagResolutionDetails[T]:
        held = self._held.get(name)
        if held is None:
            return FlagResolutionDetails(
                default, ErrorCode.FLAG_NOT_FOUND, f"no flag {name} is set", Reason.ERROR
            )
        value: Any = held.value
        if wanted is float and type(value) is int:
            value = float(value)
        other_type = type(value) is not wanted
        if other_type:
            told = f"{name} is {type(value).__name__}, not {wanted.__name__}"
            return FlagResolutionDetails(default, ErrorCode.TYPE_MISMATCH, told, Reason.ERROR)
        since = format_time(held.since)
        metadata: dict[str, bool | int | float | str] = {
            "by": held.by,
            "why": held.why,
            "since": since,
        }
        return FlagResolutionDetails(value, reason=Reason.STATIC, flag_metadata=metadata)


def _of(held: Mapping[str, InForce], name: str) -> Value | None:
    one = held.get(name)
    return None if one is None else one.value


class Following:
    """Keeps a provider at what the control stream in ``log`` says."""

    def __init__(self, log: Log, provider: ControlProvider) -> None:
        self._log, self._provider = log, provider
        self._told: list[Control] = []
        self._position = 0

    def look(self) -> None:
        """Take in what is new."""
        if self._log.last(CONTROL) == self._position:
            return
        for batch in self._log.follow(CONTROL, after=self._position):
            self._position = batch.position
            self._told += filter(_about_flags, read_control(batch))
        self._provider.use(in_force(self._told))

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until ``stop``."""
        while not stop.is_set():
            self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await stop.wait()


def _about_flags(record: Control) -> bool:
    if isinstance(record, Transition):
        return record.artifact == "flag"
    return isinstance(record, FlagsApplied)


def provide(log: Log, call: str | None) -> Following:
    """Serve the domain from here on, with what ``call`` (``module:name``) returns where it is given.

    One that cannot be had leaves ours in its place, and the log says why.
    """
    provider = ControlProvider()
    following = Following(log, provider)
    following.look()
    other = None if call is None else _other(call)
    if other is None:
        api.set_provider_and_wait(provider, DOMAIN)
    else:
        api.set_provider(other, DOMAIN)
        _log.info("flags come from another provider", provider=other.get_metadata().name)
    return following


def _other(call: str) -> FeatureProvider | None:
    try:
        made: FeatureProvider = found(call)()
        made.get_metadata()
    except UnknownFunction as error:
        _log.error("no provider of flags; ours stays", why=str(error))
    except Exception as error:  # noqa: BLE001 (a deployment's own code may raise anything)
        _log.error(
            "no provider of flags; ours stays", why=f"{call}: {type(error).__name__}: {error}"
        )
    else:
        return made
    return None


def switched_on(name: str, *, otherwise: bool) -> bool:
    """Whether one of the product's own switches is on; ``otherwise`` where nobody set it."""
    return api.get_client(DOMAIN).get_boolean_value(name, otherwise)
