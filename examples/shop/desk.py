"""The shop's help desk: a small server on loopback that takes the cases which policies escalate.

To try it by hand: ``python -m examples.shop.desk --port 8081 --secret whsec_...``.
"""

import argparse
import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Desk:
    """Takes signed webhooks on ``host:port`` while it is entered; remembers which cases came.

    ``cases`` holds their ids, ``refused`` counts deliveries whose signature was wrong, and what a new
    case says is told to ``say``. Raises ``OSError`` if the port is taken.
    """

    def __init__(
        self, host: str, port: int, secret: str, say: Callable[[bytes], None] = lambda _: None
    ) -> None:
        self.cases: set[str] = set()
        self.refused = 0
        self._webhook = Webhook(secret)
        self._say = say
        desk = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                self.send_response(desk.take(body, dict(self.headers.items())))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing; the demo prints the total."""

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def take(self, body: bytes, headers: Mapping[str, str]) -> HTTPStatus:
        """Take one delivery: a case counts once, however often it is delivered."""
        lower = {name.lower(): value for name, value in headers.items()}
        try:
            self._webhook.verify(body, lower)
        except WebhookVerificationError:
            self.refused += 1
            return HTTPStatus.UNAUTHORIZED
        if lower["webhook-id"] not in self.cases:
            self.cases.add(lower["webhook-id"])
            self._say(body)
        return HTTPStatus.NO_CONTENT

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def show(body: bytes) -> None:
    """Print a case as JSON, so that a person can read it."""
    print(json.dumps(json.loads(body)["data"], indent=2), flush=True)


def main() -> None:
    """Serve until Ctrl-C, and print each case that comes."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--port", type=int, default=8081)
    words.add_argument("--secret", required=True, help="with which cases are signed")
    given = words.parse_args()
    with Desk("127.0.0.1", given.port, given.secret, show) as desk:
        print(f"desk on http://127.0.0.1:{desk.port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
