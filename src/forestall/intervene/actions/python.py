"""Calls of Python functions: ``function(arguments, *, key, dry, credential)``, async or not.

A function returns a mapping (or none: there is no such thing), raises ``Refused`` where it will not be
done and ``TryLater`` where it may be later. Anything else that it raises leaves it open what
happened. One that is not async runs in a thread of its own, which nobody can stop when time is over.
"""

import asyncio
import importlib
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from forestall.intervene.actions.answers import Answer
from forestall.intervene.actions.credentials import Credentials
from forestall.policy.actions.model import Function


class Refused(Exception):
    """What was asked for will not be done, and nothing was; raised by a deployment's functions."""


class TryLater(Exception):
    """Nothing was done; a later attempt may do better. Raised by a deployment's functions."""


class UnknownFunction(Exception):
    """There is no such function, or it cannot be imported."""


def found(call: str) -> Callable[..., Any]:
    """The function ``module:name``, imported. Raises ``UnknownFunction``."""
    module, _, name = call.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001
        raise UnknownFunction(f"{call}: {type(error).__name__}: {error}") from None
    if not callable(function):
        raise UnknownFunction(f"{call} is no function")
    return function  # type: ignore[no-any-return]


class PythonCalls:
    """Calls the functions that declarations name; all are imported here. Raises ``UnknownFunction``."""

    def __init__(self, calls: Iterable[str], credentials: Credentials) -> None:
        self._functions: Mapping[str, Callable[..., Any]] = {call: found(call) for call in calls}
        self._credentials = credentials

    async def call(
        self,
        way: Function,
        values: dict[str, Any],
        key: str | None,
        seconds: float,
        *,
        dry: bool = False,
    ) -> Answer:
        """Call it, and judge what it returned or raised."""
        function = self._functions[way.call]
        secret = self._credentials.secret(way.credential)
        given = {"key": key, "dry": dry, "credential": secret and secret.reveal()}
        try:
            async with asyncio.timeout(seconds):
                if inspect.iscoroutinefunction(function):
                    result = await function(values, **given)
                else:
                    result = await _in_thread(lambda: function(values, **given))
        except TimeoutError:
            return Answer(ended="timeout", detail=f"{way.call} took longer than {seconds:.1f} s")
        except Refused as error:
            return Answer(ended="refused", detail=_said(error))
        except TryLater as error:
            return Answer(ended="busy", detail=_said(error))
        except Exception as error:  # noqa: BLE001
            return Answer(ended="uncertain", detail=f"{way.call} raised {type(error).__name__}")
        return _judged(way, result)


def _said(error: Exception) -> str:
    """What a function says of a refusal, as text that every database takes."""
    return str(error)[:200].replace("\x00", "").encode("utf-8", "replace").decode()


def _judged(way: Function, result: Any) -> Answer:
    if result is None:
        return Answer(ended="missing", detail=f"{way.call} returned nothing")
    try:
        body = msgspec.json.decode(msgspec.json.encode(result))
    except (TypeError, ValueError, RecursionError):
        return Answer(ended="done", detail=f"{way.call} returned what is not JSON data")
    return Answer(ended="done", body=body)


async def _in_thread(work: Callable[[], Any]) -> Any:
    """What ``work`` returns or raises; the thread does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001
            failed = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="action", daemon=True).start()
    return await future
