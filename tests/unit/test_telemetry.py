import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter

from forestall.kernel import telemetry
from forestall.kernel.telemetry import (
    ExporterMissing,
    Trace,
    child_traceparent,
    parse_traceparent,
    redact,
    set_up_logging,
    set_up_tracing,
)

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, as JSON lines; logging is put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up_logging("json", stream=stream, now=lambda: 1_000_000)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_fields(lines: io.StringIO) -> None:
    structlog.get_logger("room").info("batch kept", count=3, path=object)
    (line,) = read(lines)
    assert line["event"] == "batch kept"
    assert line["level"] == "info"
    assert line["count"] == 3
    assert line["timestamp"] == "1970-01-01T00:00:01.000000Z"


def test_libraries_log_the_same_way_and_are_redacted_too(lines: io.StringIO) -> None:
    logging.getLogger("some.library").warning("GET %s", "/v1/stream?token=abc.def&x=1")
    (line,) = read(lines)
    assert line["event"] == "GET /v1/stream?token=***&x=1"
    assert line["logger"] == "some.library"


def test_levels_below_the_threshold_are_left_out(lines: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("httpx").info("HTTP Request: POST ...")
    assert read(lines) == []


def test_an_exception_is_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("Bearer s3cr3t-value was refused")
    except ValueError:
        structlog.get_logger().exception("went wrong")
    (line,) = read(lines)
    assert "ValueError" in line["exception"]
    assert "s3cr3t" not in lines.getvalue()


def test_the_console_form_is_for_people() -> None:
    script = (
        "import sys, structlog; from forestall.kernel.telemetry import set_up_logging;"
        "set_up_logging('console', stream=sys.stdout);"
        "structlog.get_logger('x').info('hello', api_key='abc')"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "hello" in shown.stdout
    assert "abc" not in shown.stdout


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "token",
        "key",
        "authorization",
        "password",
        "api_key",
        "X-Api-Key",
        "writeKey",
        "access_token",
        "Authorization",
        "client-secret",
        "tokens",
        "cookie",
    ],
)
def test_secret_names_are_masked(name: str) -> None:
    assert redact(None, "info", {name: "s3cr3t"}) == {name: "***"}
    nested = redact(None, "info", {"headers": [{name: "s3cr3t"}]})
    assert nested == {"headers": [{name: "***"}]}


@pytest.mark.parametrize("name", ["monkey", "keyboard", "tokenised", "event", "subject"])
def test_other_names_are_kept(name: str) -> None:
    assert redact(None, "info", {name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("signed with whsec_MfKQ9r8GKYqrTwjU", "signed with whsec_***"),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("Basic dXNlcjpwdw==", "Basic ***"),
        ("got eyJhbGciOiJI.eyJzdWIiOiJ1.c2ln done", "got *** done"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_inside_texts_are_masked(text: str, shown: str) -> None:
    assert redact(None, "info", {"event": text}) == {"event": shown}


def test_metrics_are_exposed_as_text() -> None:
    counted = Counter("forestall_telemetry_test", "Counted.", registry=telemetry.METRICS)
    try:
        counted.inc(2)
        body, content_type = telemetry.exposition()
        assert b"forestall_telemetry_test_total 2.0" in body
        assert content_type.startswith("text/plain")
    finally:
        telemetry.METRICS.unregister(counted)


def test_a_traceparent_is_read_and_written() -> None:
    parsed = parse_traceparent(PARENT)
    assert parsed == Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01")
    assert str(parsed) == PARENT
    assert parse_traceparent(f"cc{PARENT[2:]}-what-the-future-will-bring") == parsed


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "garbage",
        PARENT.upper(),
        f"ff{PARENT[2:]}",
        f"{PARENT}-extra",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        PARENT[:-1],
    ],
)
def test_an_invalid_traceparent_is_none(bad: str | None) -> None:
    assert parse_traceparent(bad) is None


@given(st.text(max_size=80))
def test_no_text_makes_parsing_fail(text: str) -> None:
    parsed = parse_traceparent(text)
    assert parsed is None or parse_traceparent(str(parsed)) == parsed


def test_a_child_stays_in_the_trace_under_a_new_span() -> None:
    child = child_traceparent(PARENT.replace("-01", "-00"), lambda: "ab" * 16)
    assert child == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'ab' * 8}-00"


def test_without_a_parent_a_trace_begins() -> None:
    assert child_traceparent("garbage", lambda: "ab" * 16) == f"00-{'ab' * 16}-{'ab' * 8}-01"


def test_tracing_is_off_unless_the_environment_asks() -> None:
    assert set_up_tracing({}, "worker") is False
    assert set_up_tracing({"OTEL_TRACES_EXPORTER": "none"}, "worker") is False


def test_a_missing_exporter_is_told() -> None:
    with pytest.raises(ExporterMissing, match="no-such"):
        set_up_tracing({"OTEL_TRACES_EXPORTER": "no-such"}, "worker")


def test_spans_are_exported_when_asked() -> None:
    script = (
        "from forestall.kernel.telemetry import set_up_tracing; from opentelemetry import trace;"
        "assert set_up_tracing({'OTEL_TRACES_EXPORTER': 'console'}, 'worker');"
        "trace.get_tracer('forestall').start_span('decide').end();"
        "trace.get_tracer_provider().shutdown()"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert '"name": "decide"' in shown.stdout
    assert "forestall-worker" in shown.stdout
