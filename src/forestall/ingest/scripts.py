"""The browser SDK as the gateway serves it: ``GET /sdk/NAME``.

The files are built from ``sdk/`` and come with the package. Any page may load them, and check them
against ``/sdk/integrity.json``. Whoever takes gzip gets them packed, as browsers do.
"""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path

from forestall.ingest.exchange import Refuse, Request, Response

PREFIX = "/sdk/"
BUILT = Path(__file__).parent / "sdk"
FRESH_SECONDS = 300

_JAVASCRIPT = "text/javascript; charset=utf-8"
_TYPES = {
    "forestall.js": _JAVASCRIPT,
    "forestall.mjs": _JAVASCRIPT,
    "forestall-signals.js": _JAVASCRIPT,
    "forestall-vitals.js": _JAVASCRIPT,
    "forestall-help.js": _JAVASCRIPT,
    "forestall-ui.js": _JAVASCRIPT,
    "forestall-edge.js": _JAVASCRIPT,
    "snippet.js": _JAVASCRIPT,
    "integrity.json": "application/json",
}
_HEADERS = {
    "access-control-allow-origin": "*",
    "cache-control": f"public, max-age={FRESH_SECONDS}",
    "cross-origin-resource-policy": "cross-origin",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


def script(request: Request, folder: Path = BUILT) -> Response:
    """The file of ``folder`` that a request names, or 304 where the browser has it already.

    Raises ``Refuse``: 404 ``not-found`` for another name, ``sdk-not-built`` where the file is
    missing.
    """
    name = request.path.removeprefix(PREFIX)
    kind = _TYPES.get(name)
    if kind is None:
        raise Refuse(404, "not-found", f"nothing is served at {request.path}")
    try:
        body = (folder / name).read_bytes()
    except OSError:
        hint = f"{name} was not built; run `make sdk`, or install a wheel that was built after it"
        raise Refuse(404, "sdk-not-built", hint) from None
    headers = dict(_HEADERS)
    version = hashlib.sha256(body).hexdigest()[:32]
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        body, version = _packed(body), f"{version}-gzip"
        headers["content-encoding"] = "gzip"
    headers["etag"] = etag = f'"{version}"'
    if _has(request.headers.get("if-none-match", ""), etag):
        return Response(304, content_type=kind, headers=headers)
    return Response(200, body, kind, headers)


@lru_cache(maxsize=2 * len(_TYPES))
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _takes_gzip(accepted: str) -> bool:
    """What ``Accept-Encoding`` says of gzip (RFC 9110, 12.5.3)."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def _has(known: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names it; proxies make tags weak."""
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return etag in tags or "*" in tags
