"""The shop's payment provider: a small server on loopback that can be told to fail, hang and lie.

It knows payments, charges, tokens and receipts; what it offers is in
``actions/payments.openapi.yaml``. A charge with a key that it has seen is answered again, and made
once. To try it by hand: ``python -m examples.shop.payments --port 8082 --token TOKEN --declined p1``.
"""

import argparse
import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qs, urlsplit

Trouble = Literal["down", "hang", "error", "busy", "lie", "lost", "redirect"]
"""``down``: the connection breaks before anything is done; ``lost``: after it was done. ``hang``: no
answer until the server stops. ``error``: 500; ``busy``: 429; ``lie``: it says done and does nothing;
``redirect``: to this server's own address, where only it may go."""

Answer = tuple[int, Mapping[str, Any]]


class Payments:
    """Serves on ``host:port`` while it is entered, to whoever has ``token``.

    ``payments`` are by id; ``charges`` and ``reissued`` what was done, by idempotency key; ``resent``
    counts receipts. ``trouble`` names what goes wrong, by operation; ``calls`` says what was asked
    for, in order, and each is told to ``say``, which may be changed. Raises ``OSError`` if the port is taken.
    """

    def __init__(
        self, host: str, port: int, token: str, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.reissued: dict[str, dict[str, Any]] = {}
        self.resent: dict[str, str] = {}
        self.trouble: dict[str, Trouble] = {}
        self.calls: list[str] = []
        self.say = say
        self._turn = threading.Lock()
        self._over = threading.Event()
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                if self.headers.get("authorization") != f"Bearer {token}":
                    self._send(HTTPStatus.UNAUTHORIZED, {"error": "who are you?"})
                    return
                provider.take(self, body)

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_DELETE(self) -> None:
                self._serve()

            def _send(
                self, status: int, answer: Mapping[str, Any], headers: Mapping[str, str] = {}
            ) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def add(self, payment: str, **more: Any) -> None:
        """A payment that was declined, and may be tried again unless ``more`` says otherwise."""
        plain = {"status": "declined", "card_brand": "visa", "retryable": True, "amount": 20}
        self.payments[payment] = {**plain, **more}

    def take(self, request: Any, body: bytes) -> None:
        """Answer one request, with the trouble that is set for its operation."""
        parts = urlsplit(request.path)
        key = request.headers.get("idempotency-key", "")
        given = json.loads(body) if body else {}
        dry = parse_qs(parts.query).get("dry_run") == ["true"]
        operation, act = self._route(request.command, parts.path.strip("/").split("/"), key, given)
        with self._turn:
            self.calls.append(f"{operation}?dry_run" if dry else operation)
            self.say(self.calls[-1])
            trouble = self.trouble.get(operation)
        if trouble == "hang":
            self._over.wait(60)
        if trouble in ("hang", "down"):
            request.close_connection = True
        elif trouble == "error":
            request._send(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "out of order"})
        elif trouble == "busy":
            request._send(HTTPStatus.TOO_MANY_REQUESTS, {"error": "busy"}, {"retry-after": "1"})
        elif trouble == "redirect":
            here = f"http://localhost:{self.port}{request.path}"
            request._send(HTTPStatus.TEMPORARY_REDIRECT, {}, {"location": here})
        else:
            with self._turn:
                status, answer = act(dry or trouble == "lie")
            if trouble == "lost":
                request.close_connection = True
            else:
                request._send(status, answer)

    def _route(
        self, method: str, path: list[str], key: str, given: Mapping[str, Any]
    ) -> tuple[str, Callable[[bool], Answer]]:
        match method, path:
            case "GET", ["payments", payment]:
                return "getPayment", lambda _: self._payment(payment)
            case "POST", ["payments", payment, "charges"]:
                return "charge", lambda dry: self._charge(payment, key, dry)
            case "DELETE", ["charges", charge]:
                return "refund", lambda dry: self._refund(charge, dry)
            case "GET", ["charges", charge]:
                return "getCharge", lambda _: self._found(self.charges.get(charge))
            case "POST", ["payments", payment, "receipts"]:
                return "resendReceipt", lambda dry: self._resend(payment, key, dry)
            case "GET", ["payments", payment, "receipts"]:
                return "getReceipts", lambda _: (200, {"sent": payment in self.resent.values()})
            case "POST", ["customers", customer, "tokens"]:
                return "reissueToken", lambda dry: self._reissue(customer, key, given, dry)
            case "GET", ["customers", customer, "tokens"]:
                return "getTokens", lambda _: self._tokens(customer)
            case "DELETE", ["customers", customer, "tokens"]:
                return "revokeTokens", lambda dry: self._revoke(customer, dry)
        return "unknown", lambda _: (404, {"error": "there is nothing here"})

    def _found(self, thing: Mapping[str, Any] | None) -> Answer:
        return (404, {"error": "not found"}) if thing is None else (200, thing)

    def _payment(self, payment: str) -> Answer:
        return self._found(self.payments.get(payment))

    def _charge(self, payment: str, key: str, dry: bool) -> Answer:
        known = self.payments.get(payment)
        if known is None or not known["retryable"]:
            return 422, {"error": "this payment cannot be tried again"}
        if dry:
            return 200, {"charge": key, "amount": known["amount"], "status": "succeeded"}
        if key not in self.charges:
            self.charges[key] = {"charge": key, "amount": known["amount"], "status": "succeeded"}
            known["status"] = "paid"
        return 201, self.charges[key]

    def _refund(self, charge: str, dry: bool) -> Answer:
        if charge not in self.charges:
            return 404, {"error": "there is no such charge"}
        if not dry:
            self.charges[charge]["status"] = "refunded"
        return 200, self.charges[charge]

    def _resend(self, payment: str, key: str, dry: bool) -> Answer:
        if payment not in self.payments:
            return 404, {"error": "there is no such payment"}
        if not dry:
            self.resent[key] = payment
        return 202, {"payment": payment}

    def _tokens(self, customer: str) -> Answer:
        valid = any(
            one["customer"] == customer and not one["revoked"] for one in self.reissued.values()
        )
        return 200, {"customer": customer, "valid": valid}

    def _reissue(self, customer: str, key: str, given: Mapping[str, Any], dry: bool) -> Answer:
        made = {"customer": customer, "scope": given.get("scope", "read"), "revoked": False}
        if not dry:
            self.reissued.setdefault(key, made)
        return 201, made

    def _revoke(self, customer: str, dry: bool) -> Answer:
        for one in self.reissued.values():
            if one["customer"] == customer and not dry:
                one["revoked"] = True
        return 200, {"customer": customer, "valid": False}

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def main() -> None:
    """Serve until Ctrl-C, and print each operation that is asked for."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--port", type=int, default=8082)
    words.add_argument("--token", required=True, help="what a request has to show")
    words.add_argument("--declined", action="append", default=[], metavar="PAYMENT")
    words.add_argument(
        "--trouble", action="append", default=[], metavar="OPERATION=KIND", help="e.g. charge=down"
    )
    given = words.parse_args()
    with Payments(
        "127.0.0.1", given.port, given.token, lambda what: print(what, flush=True)
    ) as one:
        for payment in given.declined:
            one.add(payment)
        for operation, _, kind in (trouble.partition("=") for trouble in given.trouble):
            if kind not in get_args(Trouble):
                words.error(f"{kind!r} is no trouble; there are {', '.join(get_args(Trouble))}")
            one.trouble[operation] = kind
        print(f"payments on http://127.0.0.1:{one.port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
