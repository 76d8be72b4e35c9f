"""The shop's help desk: a small server on loopback that takes the cases which policies escalate."""

import http.server
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Desk:
    """Takes signed webhooks on ``host:port`` while it is entered; remembers which cases came.

    ``cases`` holds their ids, ``refused`` counts deliveries whose signature was wrong.
    Raises ``OSError`` if the port is taken.
    """

    def __init__(self, host: str, port: int, secret: str) -> None:
        self.cases: set[str] = set()
        self.refused = 0
        self._webhook = Webhook(secret)
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
        self.cases.add(lower["webhook-id"])
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
