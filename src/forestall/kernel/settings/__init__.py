"""Settings: one ``forestall.toml`` a deployment, read into frozen Structs.

Secrets may be written as ``env:NAME`` or ``file:PATH`` and are resolved when read.
Paths are relative to the settings file. ``sections`` says what there is, ``reading`` reads it.
"""

from forestall.kernel.settings.reading import InvalidSettings, Settings, load_settings
from forestall.kernel.settings.sections import (
    SHORTEST_TOKEN,
    Api,
    Canary,
    Credential,
    Fairness,
    Flags,
    Folder,
    Guardrail,
    Helpdesk,
    Ingest,
    Lifecycle,
    Link,
    Mail,
    McpServer,
    Monitor,
    Outbound,
    Person,
    Queue,
    RequestTracker,
    Server,
    Switches,
    Tables,
    Tokens,
    Webhook,
    WriteKey,
)
from forestall.kernel.settings.steps import Step, parse_steps

__all__ = [
    "SHORTEST_TOKEN",
    "Api",
    "Canary",
    "Credential",
    "Fairness",
    "Flags",
    "Folder",
    "Guardrail",
    "Helpdesk",
    "Ingest",
    "InvalidSettings",
    "Lifecycle",
    "Link",
    "Mail",
    "McpServer",
    "Monitor",
    "Outbound",
    "Person",
    "Queue",
    "RequestTracker",
    "Server",
    "Settings",
    "Step",
    "Switches",
    "Tables",
    "Tokens",
    "Webhook",
    "WriteKey",
    "load_settings",
    "parse_steps",
]
