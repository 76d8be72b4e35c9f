"""Metrics of agents' answers; no content is in any of them."""

from prometheus_client import Counter, Histogram

from forestall.contracts.inference import Inference
from forestall.contracts.instants import SECOND
from forestall.kernel.telemetry import METRICS

ANSWERS = Counter(
    "forestall_agent_answers",
    "Answers of agents, by who gave them and why the model did not",
    ("agent", "by", "fallback"),
    registry=METRICS,
)
TOKENS = Counter(
    "forestall_agent_tokens",
    "Tokens that agents' answers took, in and out",
    ("agent", "model", "direction"),
    registry=METRICS,
)
COST = Counter(
    "forestall_agent_cost",
    "What agents' answers cost, in the currency of the prices in the settings",
    ("agent", "model"),
    registry=METRICS,
)
SECONDS = Histogram(
    "forestall_agent_model_seconds",
    "How long the model took for one answer, all calls together",
    ("agent",),
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80),
    registry=METRICS,
)
REFUSED = Counter(
    "forestall_agent_refused",
    "What agents wanted and was not allowed, by kind",
    ("agent", "what"),
    registry=METRICS,
)


def count(inference: Inference) -> None:
    """Count one answer."""
    agent, model = inference.agent, inference.model or ""
    ANSWERS.labels(agent, inference.by, inference.fallback or "").inc()
    if inference.calls:
        TOKENS.labels(agent, model, "in").inc(inference.tokens_in)
        TOKENS.labels(agent, model, "out").inc(inference.tokens_out)
        COST.labels(agent, model).inc(inference.cost)
        SECONDS.labels(agent).observe(inference.latency / SECOND)
    for turned in inference.refused:
        REFUSED.labels(agent, turned.what.partition(" ")[0]).inc()
