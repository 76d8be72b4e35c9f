"""A webhook endpoint as the settings describe it: checked when read, and able to sign."""

from base64 import b64decode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec
from standardwebhooks import Webhook as Signer

from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import DAY, SECOND, parse_duration
from forestall.kernel.settings import Webhook


class InvalidWebhook(ForestallError):
    """A ``[webhooks.NAME]`` has an address, a secret, a timeout or attempts that cannot work."""

    code = "invalid-webhook"
    exit_code = 2


class Endpoint(msgspec.Struct, frozen=True):
    """Where to post, and how long and how often to try; ``timeout`` in seconds."""

    name: str
    url: httpx.URL
    signers: tuple[Signer, ...]
    timeout: float
    attempts: int

    def headers(self, key: str, body: bytes, now: int) -> dict[str, str]:
        """The three headers of the specification for one attempt at ``now``, in microseconds."""
        moment = datetime.fromtimestamp(now // SECOND, UTC)
        text = body.decode()
        return {
            "webhook-id": key,
            "webhook-timestamp": str(now // SECOND),
            "webhook-signature": " ".join(one.sign(key, moment, text) for one in self.signers),
        }


def endpoint(name: str, webhook: Webhook) -> Endpoint:
    """The endpoint that ``[webhooks.name]`` describes. Raises ``InvalidWebhook``."""
    if not 1 <= webhook.attempts <= 20:
        raise InvalidWebhook(f"[webhooks.{name}] attempts: not between 1 and 20")
    return Endpoint(
        name,
        _url(name, webhook.url),
        _signers(name, webhook.secret),
        _seconds(name, webhook.timeout),
        webhook.attempts,
    )


def retry_after(value: str | None, now: int) -> int | None:
    """Microseconds from ``now`` that a ``Retry-After`` asks for: seconds or an HTTP date.

    Never more than a day; None where it is missing or makes no sense.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * SECOND, DAY)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(0, int(moment.timestamp()) * SECOND - now), DAY)


def _url(name: str, text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InvalidWebhook(f"[webhooks.{name}] url: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidWebhook(f"[webhooks.{name}] url: not of the form https://host/path")
    return url


def _signers(name: str, secrets: str) -> tuple[Signer, ...]:
    """One a secret; while a secret is being changed there are two, with a space between."""
    try:
        signers = tuple(_signer(secret) for secret in secrets.split())
    except ValueError:
        signers = ()
    if not signers:
        raise InvalidWebhook(
            f"[webhooks.{name}] secret: must be whsec_ and the base64 of 24 to 64 bytes, such as"
            " the output of: echo whsec_$(openssl rand -base64 32)"
        )
    return signers


def _signer(secret: str) -> Signer:
    prefix, mark, encoded = secret.partition("whsec_")
    key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    if prefix or not mark or not 24 <= len(key) <= 64:
        raise ValueError
    return Signer(key)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = parse_duration(text) / SECOND
    except ValueError as error:
        raise InvalidWebhook(f"[webhooks.{name}] timeout: {error}") from None
    if not 0 < seconds <= 60:
        raise InvalidWebhook(f"[webhooks.{name}] timeout: not between 1ms and 60s")
    return seconds
