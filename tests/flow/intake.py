"""What a gateway makes of reports, for tests that have none."""

import msgspec

from forestall.contracts.event import CloudEvent, Record
from forestall.contracts.instants import parse_time


class Intake:
    """Takes reports, each once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def take(self, body: bytes, newest: int) -> tuple[int, list[Record]]:
        """How many reports ``body`` holds, and the records of those never seen; none is received
        before ``newest`` (microseconds)."""
        events = msgspec.json.decode(body, type=list[CloudEvent])
        fresh = [one for one in events if one.id not in self._seen]
        self._seen |= {one.id for one in fresh}
        return len(events), [
            Record(
                one.id,
                one.source,
                one.type,
                str(one.subject),
                parse_time(str(one.time)),
                max(newest, parse_time(str(one.time))),
                data=one.data if isinstance(one.data, msgspec.Raw) else msgspec.Raw(b"{}"),
            )
            for one in fresh
        ]


def verdicts(count: int) -> dict[str, list[dict[str, str]]]:
    """The answer that all of ``count`` reports were accepted."""
    return {"verdicts": [{"verdict": "accepted"}] * count}
