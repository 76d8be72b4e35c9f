"""CloudEvents 1.0 over HTTP: structured, batched and binary.

<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>
"""

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from forestall.contracts.event import CloudEvent
from forestall.ingest.letter import Letter, Refused, misshapen, not_json, too_deep

_event = msgspec.json.Decoder(CloudEvent)


class _Base64(msgspec.Struct):
    data_base64: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_base64 = msgspec.json.Decoder(_Base64)


def read(letter: Letter) -> CloudEvent:
    """The event in ``letter``. Raises ``Refused``."""
    try:
        event = _event.decode(letter.raw)
    except msgspec.ValidationError as error:
        raise misshapen(error) from None
    except RecursionError:
        raise too_deep("") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json("", error, letter.raw) from None
    if event.specversion != "1.0":
        raise Refused(
            "invalid-envelope", "/specversion", f"{event.specversion!r} is not supported; send 1.0"
        )
    if event.data is msgspec.UNSET and b"data_base64" in letter.raw:
        given = _base64.decode(letter.raw).data_base64
        if given is not msgspec.UNSET:
            raise Refused("data-not-json", "/data_base64", "binary data is not taken; send JSON")
    return event


def from_headers(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """A binary-mode request as structured JSON; none where there are no ``ce-`` headers.

    ``headers`` have lower-case names. The body is spliced in as it is.
    """
    attributes = {
        name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")
    }
    if not attributes:
        return None
    attributes.pop("data", None)
    if "content-type" in headers:
        attributes["datacontenttype"] = headers["content-type"]
    if body:
        return msgspec.json.encode({**attributes, "data": msgspec.Raw(body)})
    return msgspec.json.encode(attributes)
