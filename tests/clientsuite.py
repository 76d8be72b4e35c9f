"""What every client does, whether it has a thread or a task: one suite, subclassed for each."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from certificates import certificate
from forestall.client import Counts, InvalidOptions, NotTaken, Options, Trouble
from forestall.contracts.event import decode_data
from forestall.contracts.instants import format_time
from hostile import PAGES, QUICK, SLOW, hostile
from serving import SERVER, ingest, running, settings, until

FAST = Options(linger=0.01, backoff=0.001, backoff_max=0.002, timeout=5.0, exit_for=30.0)


class Driven(Protocol):
    """A client whose every method can be called from a test, and has done its work on return."""

    def call(self, verb: str, *given: Any, **more: Any) -> None: ...

    def flush(self, timeout: float | None = None) -> bool: ...

    def close(self, timeout: float | None = None) -> bool: ...

    @property
    def counts(self) -> Counts: ...

    def shown(self) -> str: ...


Drive = Callable[..., AbstractContextManager[Driven]]


def options(**changed: Any) -> Options:
    return Options(**{**{name: getattr(FAST, name) for name in FAST.__struct_fields__}, **changed})


def balanced(counts: Counts) -> bool:
    ended = counts.accepted + counts.duplicate + counts.quarantined + counts.refused
    return counts.taken == ended + counts.given_up + counts.unsent + counts.waiting


class ClientSuite:
    """Subclass it and give ``drive``: a context manager that makes a client and closes it."""

    drive: Drive

    def test_every_verb_becomes_an_event_of_a_real_gateway(self, tmp_path: Path) -> None:
        then = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with running(settings(tmp_path)) as server:
            with self.drive(server.base, SERVER, FAST) as client:
                client.call("track", 7, "Payment Failed", {"amount": 12.5}, traceparent=trace)
                client.call("identify", "7", {"plan": "pro", "email": "a@b.c"})
                page = {"url": "https://x.y/a/b?token=s#z"}
                client.call("page", "7", "Start", page, category="Docs", at=then)
                client.call("group", "7", "g7", {"seats": 3})
                client.call("alias", "visitor", "7")
                client.call("consent", "7", "support")
                client.call("consent", "7", "support", False)
                client.call("opt_out", "7", "enough")
                client.call("opt_in", "7")
                client.call("ticket_opened", "7", 12, category="billing", channel="chat")
                client.call("ticket_closed", "7", 12)
                client.call("track", "7", "forestall.ticket.reopened", {"ticket": 12})
                client.call("track", None, "Cart Viewed", anonymous_id="v2", event_id="mine")
                assert client.flush()
                counts = client.counts
            records = server.records()
        assert counts.accepted == counts.taken == 13
        assert [(record.type, decode_data(record.data)) for record in records] == [
            ("payment.failed", {"amount": 12.5}),
            ("forestall.identify", {"traits": {"plan": "pro"}}),
            ("page.viewed", {"name": "Start", "category": "Docs", "path": "/a/b"}),
            ("group.joined", {"group": "g7", "traits": {"seats": 3}}),
            ("forestall.identify", {"traits": {}}),
            ("forestall.consent.granted", {"purpose": "support"}),
            ("forestall.consent.withdrawn", {"purpose": "support"}),
            ("forestall.optout", {}),
            ("forestall.optin", {}),
            ("forestall.ticket.opened", {"ticket": 12, "category": "billing", "channel": "chat"}),
            ("forestall.ticket.closed", {"ticket": 12}),
            ("forestall.ticket.reopened", {"ticket": 12}),
            ("cart.viewed", {}),
        ]
        assert len({record.subject for record in records[:-1]}) == 1
        assert {record.source for record in records} == {"/python"}
        assert records[0].traceparent == trace
        assert format_time(records[2].time) == "2026-03-01T12:00:05.000000Z"
        assert records[-1].id == "mine"

    def test_a_gateway_with_small_limits_gets_small_batches(self, tmp_path: Path) -> None:
        small = settings(tmp_path, ingest=ingest(max_batch_bytes=100_000))
        with running(small) as server:
            with self.drive(server.base, SERVER, options(linger=30.0)) as client:
                for number in range(200):
                    client.call("track", f"u{number % 7}", "Read", {"n": number, "t": "x" * 1500})
                assert client.flush()
                assert client.counts.accepted == 200
                assert client.counts.retries >= 1
            numbers = [decode_data(record.data)["n"] for record in server.records()]
        assert numbers == list(range(200))

    def test_packed_batches_are_taken(self, tmp_path: Path) -> None:
        with running(settings(tmp_path)) as server:
            with self.drive(server.base, SERVER, options(gzip=True)) as client:
                client.call("track", "u", "Read", {"text": "x" * 5000})
                assert client.flush()
            assert len(server.records()) == 1

    def test_quarantined_events_are_told_and_never_sent_again(self, tmp_path: Path) -> None:
        told: list[Trouble] = []
        with running(settings(tmp_path)) as server:
            with self.drive(server.base, SERVER, FAST, on_error=told.append) as client:
                client.call("track", "u", "forestall.nonsense", event_id="bad")
                client.call("track", "u", "Fine")
                assert client.flush()
                counts = client.counts
            assert len(server.records()) == 1
        assert (counts.quarantined, counts.accepted, counts.retries) == (1, 1, 0)
        (trouble,) = told
        assert (trouble.code, trouble.events) == ("quarantined", ("bad",))
        assert trouble.reason == "unknown-contract"

    @pytest.mark.parametrize("way", [*QUICK, *PAGES, *SLOW, "endless"])
    def test_whatever_a_server_does_nothing_is_lost_or_doubled(self, way: str) -> None:
        patience = 0.2 if way in SLOW else 5.0
        with hostile([way, way]) as server:
            with self.drive(server.base, "k", options(timeout=patience, batch_events=4)) as client:
                sent = [f"e{number}" for number in range(10)]
                for number, id_ in enumerate(sent):
                    client.call("track", f"u{number % 3}", "Read", event_id=id_)
                assert client.flush()
                counts = client.counts
            assert server.ids == sent
        assert counts.accepted + counts.duplicate == counts.taken == 10
        assert balanced(counts)
        assert (counts.retries > 0) is (way != "ok")

    def test_what_can_never_be_taken_is_found_by_halves(self) -> None:
        told: list[Trouble] = []
        with hostile(["400"] * 4) as server:
            with self.drive(server.base, "k", options(linger=30.0), on_error=told.append) as client:
                for number in range(8):
                    client.call("track", "u", "Read", event_id=f"e{number}")
                assert client.flush()
                counts = client.counts
            assert [many for _, many in server.requests[:4]] == [8, 4, 2, 1]
            assert server.ids == [f"e{number}" for number in range(1, 8)]
        assert [(one.code, one.events, one.reason) for one in told] == [
            ("refused", ("e0",), "invalid-json")
        ]
        assert counts.refused == 1
        assert balanced(counts)

    def test_batches_are_cut_by_count_and_by_bytes(self) -> None:
        with hostile() as server:
            with self.drive(
                server.base, "k", options(linger=30.0, batch_events=3, batch_bytes=4000)
            ) as client:
                for number in range(9):
                    text = "x" * (1500 if number >= 6 else 1)
                    client.call("track", "u", "Read", {"text": text})
                assert client.flush()
            sizes = [many for _, many in server.requests]
        assert sum(sizes) == 9
        assert max(sizes) <= 3
        assert sizes[-1] <= 2

    def test_without_a_flush_they_go_out_in_time(self) -> None:
        with hostile() as server, self.drive(server.base, "k", FAST) as client:
            client.call("track", "u", "Read")
            until(lambda: client.counts.accepted == 1)

    def test_a_full_queue_drops_and_counts_and_keeps_room_for_an_opt_out(self) -> None:
        told: list[Trouble] = []
        few = options(queue_events=10, linger=30.0, batch_events=5, timeout=60.0)
        with (
            hostile(["hang"]) as server,
            self.drive(server.base, "k", few, on_error=told.append) as client,
        ):
            for number in range(15):
                client.call("track", "u", "Read", event_id=f"e{number}")
            client.call("opt_out", "u", event_id="out")
            client.call("track", "u", "Read", event_id="more")
            counts = client.counts
            assert (counts.taken, counts.waiting, counts.rejected) == (11, 11, 6)
            assert not client.close(0.0)
            assert balanced(client.counts)
            assert client.counts.unsent == 11
            client.call("track", "u", "Read", event_id="after")
        codes = [one.code for one in told if one.code != "waiting"]
        assert codes == ["queue-full"] * 6 + ["unsent", "closed"]
        assert told[-2].events == (*(f"e{number}" for number in range(10)), "out")

    def test_a_full_queue_can_make_a_call_wait(self) -> None:
        few = options(queue_events=3, full="block", block_for=30.0, linger=30.0)
        with hostile(["429", "503"]) as server:
            with self.drive(server.base, "k", few) as client:
                for number in range(20):
                    client.call("track", "u", "Read", event_id=f"e{number}")
                assert client.flush()
                assert client.counts.rejected == 0
            assert server.ids == [f"e{number}" for number in range(20)]

    def test_a_call_waits_only_so_long(self) -> None:
        few = options(queue_events=1, full="block", block_for=0.01, timeout=60.0)
        with hostile(["hang"]) as server, self.drive(server.base, "k", few) as client:
            client.call("track", "u", "Read")
            client.call("track", "u", "Read")
            assert (client.counts.taken, client.counts.rejected) == (1, 1)
            client.close(0.0)

    def test_the_memory_of_a_queue_is_bounded(self) -> None:
        some = options(queue_bytes=100_000, linger=30.0, timeout=60.0)
        with hostile(["hang"]) as server, self.drive(server.base, "k", some) as client:
            for _ in range(100):
                client.call("track", "u", "Read", {"text": "x" * 10_000})
            assert client.counts.waiting == 9
            client.close(0.0)

    @pytest.mark.parametrize(
        "call",
        [
            ("track", None, "Read"),
            ("track", "", "Read"),
            ("track", "u", "!?"),
            ("track", "u", None),
            ("track", "u", "Read", [1]),
            ("track", "u", "Read", {"a": object()}),
            ("track", "u", "Read", {"a": "\ud800"}),
            ("track", "u", "Read", {1.5j: 1}),
            ("track", "u", "Read", {"a": "x" * 40_000}),
            ("identify", "u", {"a": {1, object()}}),
            ("group", None, "g"),
            ("opt_out", None),
        ],
        ids=range(12),
    )
    def test_a_call_with_a_mistake_is_told_and_never_raises(self, call: tuple[Any, ...]) -> None:
        told: list[Trouble] = []
        with self.drive("http://127.0.0.1:1", "k", FAST, on_error=told.append) as client:
            client.call(*call)
            assert [one.code for one in told] == ["cannot-send"]
            assert client.counts == Counts(rejected=1)

    def test_a_time_needs_a_zone_and_data_no_end(self) -> None:
        told: list[Trouble] = []
        endless: dict[str, Any] = {}
        endless["self"] = endless
        naive = datetime(2026, 1, 1)  # noqa: DTZ001
        with self.drive("http://127.0.0.1:1", "k", FAST, on_error=told.append) as client:
            client.call("track", "u", "Read", at=naive)
            client.call("track", "u", "Read", endless)
        assert [one.code for one in told] == ["cannot-send"] * 2

    def test_it_raises_in_the_call_when_asked_to(self) -> None:
        with self.drive("http://127.0.0.1:1", "k", FAST, on_error="raise") as client:
            with pytest.raises(NotTaken, match="cannot-send") as caught:
                client.call("track", None, "Read")
            assert caught.value.trouble.code == "cannot-send"

    def test_what_is_sent_is_what_was_said(self) -> None:
        said = {"list": [1]}
        with hostile(["503"]) as server:
            with self.drive(server.base, "k", options(linger=30.0)) as client:
                client.call("track", "u", "Read", said)
                said["list"].append(2)
                assert client.flush()
            assert server.taken[0]["data"] == {"list": [1]}

    def test_a_function_that_fails_on_trouble_harms_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(_trouble: Trouble) -> None:
            raise KeyError("secret words")

        with hostile(["503"]) as server:
            with self.drive(server.base, "k", FAST, on_error=fails) as client:
                client.call("track", None, "Read")
                client.call("track", "u", "Read", event_id="e")
                assert client.flush()
            assert server.ids == ["e"]
        assert "on_error itself failed: KeyError" in caplog.text
        assert "secret words" not in caplog.text

    def test_no_key_no_customer_and_no_data_is_shown_or_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with (
            hostile(["401", "html502", "reset", "400"]) as server,
            self.drive(server.base, "the-key", FAST) as client,
        ):
            client.call("track", "the-customer", "Read", {"a": "the-data"}, event_id="e1")
            client.call("track", "the-customer", "Read", {"a": {"the-data"}, "b": object()})
            assert client.flush()
            shown = client.shown()
        for word in ("the-key", "the-customer", "the-data"):
            assert word not in caplog.text + shown
        ours = [record.message for record in caplog.records if record.name == "forestall.client"]
        assert any("status 401 unknown-key" in one for one in ours)
        assert any("refused: as it is [invalid-json]" in one and "e1" in one for one in ours)

    def test_the_log_is_not_flooded(self, caplog: pytest.LogCaptureFixture) -> None:
        with self.drive("http://127.0.0.1:1", "k", FAST) as client:
            for _ in range(1000):
                client.call("track", None, "Read")
        assert len(caplog.records) == 10
        told = [record.message.partition("; events: ")[0] for record in caplog.records]
        first = "cannot-send: give user_id or anonymous_id"
        assert told[:3] == [first, f"{first}; 2 times by now", f"{first}; 4 times by now"]

    def test_the_key_goes_in_a_header_only(self) -> None:
        with hostile() as server:
            with self.drive(server.base + "/", "the-key", FAST) as client:
                client.call("track", "u", "Read")
                assert client.flush()
            (headers,) = server.headers
        assert headers["x-write-key"] == "the-key"

    def test_over_tls_only_to_whom_the_certificates_name(self, tmp_path: Path) -> None:
        serving, trusting = certificate(tmp_path, "localhost")
        patient = options(timeout=5.0, backoff=0.05, backoff_max=0.1)
        with hostile(["cut", "503"], serving) as server:
            with self.drive(server.base, "k", patient) as client:
                client.call("track", "u", "Read", event_id="distrusts")
                until(lambda: client.counts.retries > 1)
                assert not client.close(0.0)
            assert server.requests == []
            with self.drive(server.base, "k", patient, tls=trusting) as client:
                for number in range(3):
                    client.call("track", "u", "Read", event_id=f"e{number}")
                    assert client.flush()
            assert server.ids == ["e0", "e1", "e2"]

    def test_closing_again_and_flushing_nothing_are_harmless(self) -> None:
        with self.drive("http://127.0.0.1:1", "k", FAST) as client:
            assert client.flush()
            assert client.close()
            assert client.close()

    def test_a_flush_gives_up_in_time_and_the_events_stay(self) -> None:
        with hostile(["hang"]) as server:
            with self.drive(server.base, "k", options(timeout=60.0)) as client:
                client.call("track", "u", "Read", event_id="e")
                assert not client.flush(0.01)
                assert client.counts.waiting == 1
                server.release.set()
                assert client.flush()
            assert server.ids == ["e"]

    @pytest.mark.parametrize(
        ("host", "key", "changed"),
        [
            ("ftp://x", "k", {}),
            ("x", "k", {}),
            ("http://[", "k", {}),
            ("http://user:secret@x", "k", {}),
            ("http://x?writeKey=secret", "k", {}),
            ("http://x", "", {}),
            ("http://x", "secret\r\nx: y", {}),
            ("http://x", "secret ", {}),
            ("http://x", "k", {"queue_events": 0}),
            ("http://x", "k", {"linger": -1.0}),
            ("http://x", "k", {"timeout": 0.0}),
            ("http://x", "k", {"give_up": float("nan")}),
        ],
    )
    def test_options_that_cannot_work_are_refused_at_once(
        self, host: str, key: str, changed: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidOptions) as caught:
            self.drive(host, key, options(**changed)).__enter__()
        assert "secret" not in str(caught.value)
