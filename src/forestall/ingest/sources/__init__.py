"""The dialects in which events are sent. Each file reads one letter into a ``CloudEvent``."""

from collections.abc import Callable, Mapping

from forestall.contracts.event import CloudEvent
from forestall.ingest.letter import Form, Letter
from forestall.ingest.sources import cloudevents, segment

READERS: Mapping[Form, Callable[[Letter], CloudEvent]] = {
    "cloudevents": cloudevents.read,
    "segment": segment.read,
}
"""What reads each form of letter; raises ``Refused``."""
