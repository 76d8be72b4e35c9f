"""What this room counts."""

from prometheus_client import Counter

from forestall.kernel.telemetry import METRICS

INTERVENTIONS = Counter(
    "forestall_interventions",
    "Interventions started, and how they ended",
    ("policy", "outcome"),
    registry=METRICS,
)
EFFECTS = Counter(
    "forestall_effects",
    "Deliveries tried outside the process and in the app, by result",
    ("channel", "result"),
    registry=METRICS,
)
REPORTS_SENT = Counter(
    "forestall_reports",
    "Events that report on interventions, by the gateway's verdict",
    ("verdict",),
    registry=METRICS,
)
TICKETS = Counter(
    "forestall_ticket_changes",
    "What helpdesks told of tickets",
    ("helpdesk", "kind"),
    registry=METRICS,
)
