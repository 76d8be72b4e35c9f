"""Logs, metrics and traces, by the standards: structlog, Prometheus, W3C trace context, OpenTelemetry.

A room logs with ``structlog.get_logger()`` and declares its metrics beside the code that counts,
with ``registry=telemetry.METRICS``. Secrets never reach a log line: ``redact`` is always in force.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from importlib.metadata import entry_points
from typing import Any, Literal, TextIO

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import format_time
from forestall.kernel.clock import Clock, Tokens, wall_clock

disable_created_metrics()  # type: ignore[no-untyped-call]
METRICS = CollectorRegistry()
"""Where every room declares its metrics; ``/metrics`` shows them."""

ProcessCollector(registry=METRICS)

_MASK = "***"
_SECRET_NAME = re.compile(
    r"(?:^|[_\W])(?:secret|token|key|authorization|password|passwd|cookie)s?(?:$|[_\W])", re.I
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VALUE = re.compile(
    r"(?<=whsec_)[\w+/=-]+|(?<=Bearer )\S+|(?<=Basic )\S+"
    r"|(?<=[?&]token=)[^&\s\"']+|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
)
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class ExporterMissing(ForestallError):
    """The environment asks for a trace exporter that is not installed."""

    code = "telemetry-exporter-missing"
    exit_code = 2


class Trace(msgspec.Struct, frozen=True):
    """A parsed ``traceparent``: lower-case hex of 16 bytes, 8 bytes and the flags."""

    trace_id: str
    span_id: str
    flags: str = "01"

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def parse_traceparent(text: str | None) -> Trace | None:
    """What a ``traceparent`` header says (W3C Trace Context 1, section 3.2), None if invalid."""
    match = _TRACEPARENT.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) * int(span_id, 16):
        return None
    return Trace(trace_id, span_id, flags)


def child_traceparent(parent: str | None, new_id: Tokens) -> str:
    """The header for a step under ``parent``; a trace of its own where there is no valid parent.

    ``new_id`` gives at least 32 hex digits.
    """
    above = parse_traceparent(parent)
    if above is None:
        return str(Trace(new_id()[:32], new_id()[:16]))
    return str(Trace(above.trace_id, new_id()[:16], above.flags))


def exposition() -> tuple[bytes, str]:
    """All metrics in Prometheus text format, and its content type."""
    return generate_latest(METRICS), CONTENT_TYPE_LATEST


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: masks values under secret names, and secrets inside texts."""
    for name, value in event.items():
        event[name] = _redacted(name, value)
    return event


def _redacted(name: str, value: Any, depth: int = 0) -> Any:
    if _SECRET_NAME.search(_CAMEL.sub("_", name)) or depth > 8:
        return _MASK
    if isinstance(value, str):
        return _SECRET_VALUE.sub(_MASK, value)
    if isinstance(value, Mapping):
        return {str(k): _redacted(str(k), v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item, depth + 1) for item in value]
    return value


def set_up_logging(
    form: Literal["json", "console"] = "json",
    *,
    level: str = "INFO",
    stream: TextIO | None = None,
    now: Clock = wall_clock,
) -> None:
    """Send everything logged, ours and libraries', to ``stream`` (default stderr).

    ``json`` is one object a line, ``console`` is for people. Call once, when a process starts.
    """

    def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["timestamp"] = format_time(now())
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        stamp,
        redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_json)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty())
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def set_up_tracing(environ: Mapping[str, str], role: str) -> bool:
    """Export spans if OpenTelemetry's environment variables ask for it; whether they did.

    ``OTEL_TRACES_EXPORTER`` names the exporter; an OTLP endpoint alone means ``otlp_proto_http``.
    Raises ``ExporterMissing``.
    """
    name = environ.get("OTEL_TRACES_EXPORTER", "")
    if not name and any(
        environ.get(f"OTEL_EXPORTER_OTLP_{part}ENDPOINT") for part in ("", "TRACES_")
    ):
        name = "otlp_proto_http"
    if name in ("", "none"):
        return False
    found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        raise ExporterMissing(
            f"OTEL_TRACES_EXPORTER={name}: no such exporter is installed; for OTLP install"
            " opentelemetry-exporter-otlp-proto-http, or unset the OTEL_ variables"
        )
    provider = TracerProvider(resource=Resource.create({"service.name": f"forestall-{role}"}))
    provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    trace.set_tracer_provider(provider)
    return True
