"""The end of a process, a fork, threads, and what it costs to import: the clients as backends use
them."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import jwt
import pytest

from forestall.client import AsyncClient, Client, Options, subject_token
from forestall.contracts.instants import HOUR
from forestall.kernel.clock import wall_clock
from forestall.privacy.tokens import SubjectToken, verify
from hostile import hostile
from serving import SECRET, until

SLOW = Options(linger=30.0, backoff=0.001, exit_for=30.0)


def ends(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_end_of_the_process_sends_what_waits() -> None:
    program = """
import sys
from forestall.client import Client, Options
client = Client(sys.argv[1], "k", Options(linger=60.0, backoff=0.001, exit_for=30.0))
for number in range(1000):
    client.track("u", "Read", event_id=f"e{number}")
if sys.argv[2] == "fails":
    raise SystemExit(3)
"""
    for how, code in (("well", 0), ("fails", 3)):
        with hostile(["503", "lost"]) as server:
            done = ends(program, server.base, how)
            assert server.ids == [f"e{number}" for number in range(1000)]
        assert done.returncode == code
        assert "Traceback" not in done.stderr


def test_a_host_name_is_still_found_at_the_end_of_the_process() -> None:
    program = """
import sys
from forestall.client import Client, Options
Client(sys.argv[1], "k", Options(linger=60.0)).track("u", "Read", event_id="e")
"""
    with hostile() as server:
        done = ends(program, server.base.replace("127.0.0.1", "localhost"))
        assert server.ids == ["e"]
    assert done.stderr == ""


def test_the_end_of_the_process_waits_only_so_long() -> None:
    program = """
import sys
from forestall.client import Client, Options
for _ in range(3):
    Client(sys.argv[1], "k", Options(exit_for=0.1, timeout=60.0)).track("u", "Read")
"""
    with hostile(["hang"] * 3) as server:
        done = ends(program, server.base)
    assert done.returncode == 0
    assert done.stderr.count("unsent: they were not confirmed in time") == 3
    assert "Traceback" not in done.stderr


def test_an_asyncio_client_that_was_not_closed_says_what_it_leaves() -> None:
    program = """
import asyncio, sys
from forestall.client import AsyncClient, Options
client = AsyncClient(sys.argv[1], "k", Options(linger=60.0))
async def main():
    await client.track("u", "Read", event_id="e7")
asyncio.run(main())
"""
    with hostile() as server:
        done = ends(program, server.base)
        assert server.ids == []
    assert "unsent" in done.stderr
    assert "e7" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_sends_its_own_events_and_not_its_parents() -> None:
    program = """
import os, sys
from forestall.client import Client, Options
client = Client(sys.argv[1], "k", Options(linger=60.0, exit_for=30.0))
client.track("u", "Read", event_id="before")
client.flush()
client.track("u", "Read", event_id="waits")
child = os.fork()
client.track("u", "Read", event_id="parent" if child else "child")
assert client.counts.taken == (3 if child else 1)
assert client.flush()
client.track("u", "Read", event_id="parent2" if child else "child2")
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
"""
    with hostile() as server:
        done = ends(program, server.base)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(server.ids) == ["before", "child", "child2", "parent", "parent2", "waits"]
        assert sum(many for _, many in server.requests) == 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_the_sender_starts_and_another_thread_holds_the_lock_is_safe() -> None:
    program = """
import os, sys, threading
from forestall.client import Client, Options
client = Client(sys.argv[1], "k", Options(linger=0.0, exit_for=30.0, timeout=60.0))
held, done = threading.Event(), threading.Event()
def hold():
    with client._changed:
        held.set()
        done.wait(30)
client.track("u", "Read", event_id="parent")
threading.Thread(target=hold, daemon=True).start()
held.wait(30)
child = os.fork()
if not child:
    client.track("u", "Read", event_id="child")
    os._exit(0 if client.close() else 1)
_, status = os.waitpid(child, 0)
done.set()
os._exit(os.waitstatus_to_exitcode(status))
"""
    with hostile() as server:
        done = ends(program, server.base)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.ids.count("child") == 1


def test_many_threads_lose_nothing() -> None:
    with hostile(["lost", "503"]) as server:
        with Client(server.base, "k", Options(backoff=0.001, exit_for=30.0)) as client:

            def say(who: int) -> None:
                for number in range(200):
                    client.track(f"u{who}", "Read", event_id=f"{who}-{number}")

            threads = [threading.Thread(target=say, args=(who,)) for who in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert client.flush()
        for who in range(8):
            own = [one for one in server.ids if one.startswith(f"{who}-")]
            assert own == [f"{who}-{number}" for number in range(200)]


def test_a_signal_handler_may_call_it_in_the_middle_of_a_call() -> None:
    with hostile() as server, Client(server.base, "k", SLOW) as client:
        before = signal.signal(signal.SIGUSR1, lambda *_: client.track("u", "Signalled"))
        try:
            with client._changed:
                os.kill(os.getpid(), signal.SIGUSR1)
                client.track("u", "Read")
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert client.flush()
        assert {one["type"] for one in server.taken} == {"signalled", "read"}


def test_flushing_where_trouble_is_told_does_not_hang() -> None:
    flushed: list[bool] = []
    with hostile(["503"]) as server:
        client = Client(server.base, "k", SLOW, on_error=lambda _: flushed.append(client.flush()))
        with client:
            client.track("u", "Read")
            assert client.flush()
        assert flushed == [False]


def test_an_event_is_queued_though_its_call_is_not_awaited() -> None:
    async def main(base: str) -> None:
        async with AsyncClient(base, "k", SLOW) as client:
            client.track("u", "Read", event_id="forgotten")
            await asyncio.gather(client.track("u", "Read", event_id="gathered"))

    with hostile() as server:
        asyncio.run(main(server.base))
        assert server.ids == ["forgotten", "gathered"]


def test_an_asyncio_client_goes_on_in_the_next_loop() -> None:
    with hostile() as server:
        client = AsyncClient(server.base, "k", SLOW)
        client.track("u", "Read", event_id="no-loop-yet")

        async def say(id_: str) -> bool:
            await client.track("u", "Read", event_id=id_)
            return await client.flush()

        assert asyncio.run(say("first"))
        assert asyncio.run(say("second"))
        assert asyncio.run(client.close())
        assert server.ids == ["no-loop-yet", "first", "second"]


def test_an_idle_client_wakes_for_the_next_event() -> None:
    with hostile() as server, Client(server.base, "k", Options(linger=0.0)) as client:
        for number in range(5):
            client.track("u", "Read", event_id=f"e{number}")
            until(lambda many=number + 1: client.counts.accepted == many)  # type: ignore[misc]
        assert len(server.ids) == 5


def test_a_token_for_a_page_is_what_the_gateway_verifies() -> None:
    now = wall_clock()
    found = verify(subject_token(SECRET, "u1", clock=lambda: now), SECRET, now)
    assert found == SubjectToken(subject_id="u1", expires=(now + HOUR) // 1_000_000 * 1_000_000)
    visitor = subject_token(SECRET, anonymous_id="v1", seconds=60)
    assert verify(visitor, SECRET, now).anonymous_id == "v1"
    assert jwt.get_unverified_header(visitor)["alg"] == "HS256"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user_id": "u", "anonymous_id": "v"},
        {"user_id": ""},
        {"user_id": "u" * 257},
        {"user_id": "u", "seconds": 0},
        {"user_id": "u", "seconds": 86_401},
    ],
)
def test_a_token_that_no_gateway_would_take_is_not_signed(given: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|characters|24 hours"):
        subject_token(SECRET, **given)  # type: ignore[arg-type]


def test_importing_it_loads_no_server_and_nothing_heavy() -> None:
    program = """
import sys
from forestall.client import AsyncClient, Client
ours = sorted(name for name in sys.modules if name.startswith("forestall."))
print(*ours)
heavy = {"httpx", "httpcore", "jwt", "cryptography", "numpy", "sqlalchemy", "opentelemetry"}
print(*sorted(heavy & set(sys.modules)), ".")
"""
    modules, heavy = ends(program).stdout.splitlines()
    rooms = {name.split(".")[1] for name in modules.split()}
    assert rooms == {"client", "contracts", "kernel"}
    kernel = [name for name in modules.split() if name.startswith("forestall.kernel.")]
    assert kernel == ["forestall.kernel.clock"]
    assert heavy == "."
