"""The shop that customers see: its pages, and its backend behind them, as bare ASGI.

The pages in ``page/`` carry Forestall's snippet and tell what a browser sees. What only a backend can
say (orders, declined payments, pages that failed, questions) the backend says itself, with the server
key, through ``forestall.client``. Everything is made up, and some of it goes wrong where a visitor has
switched on a trouble.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from forestall.client import subject_token
from forestall.kernel.clock import random_id

PAGE = Path(__file__).with_name("page")
SLOW_SECONDS = 9.0
"""How long a slow search takes: longer than anybody likes to wait."""

Trouble = Literal[
    "declined-card", "broken-checkout", "dead-button", "refused-postcode", "slow-search", "errors"
]
"""What can be made to go wrong. The page brings ``broken-checkout``, ``dead-button`` and
``refused-postcode`` about, the backend the others."""


class Customer(msgspec.Struct, frozen=True):
    """Somebody who can sign in, without a password: all of them are made up."""

    id: str
    name: str
    lifecycle: str
    about: str


CUSTOMERS = {
    one.id: one
    for one in (
        Customer("ada", "Ada Lindqvist", "loyal", "buys often, never had trouble"),
        Customer("bruno", "Bruno Keller", "returning", "met an error page yesterday"),
        Customer("carla", "Carla Moretti", "returning", "met an error page yesterday, too"),
    )
}
UNLUCKY = ("bruno", "carla")
"""Who met an error page on the day before the shop opens."""


class Order(msgspec.Struct):
    """What somebody bought; ``total`` in euros."""

    number: str
    total: float
    items: list[str]
    status: str = "on its way"


class Visit(msgspec.Struct):
    """One browser's visit: who it is, what is to go wrong, and what was ordered. ``session`` is what
    events call it; ``id`` is the cookie's."""

    id: str
    session: str
    customer: str | None = None
    troubles: frozenset[Trouble] = frozenset()
    orders: list[Order] = []


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Who signs in; nobody signs out."""

    customer: str | None


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    """All troubles that are to be on."""

    troubles: frozenset[Trouble]


class Line(msgspec.Struct):
    """A product in the cart."""

    product: str
    number: int


class Buying(msgspec.Struct):
    """The cart, and how it is paid."""

    lines: list[Line]
    way: Literal["card", "invoice", "wallet"]
    card: str = ""


class Return(msgspec.Struct):
    """An order that goes back."""

    number: str


class Question(msgspec.Struct):
    """What somebody wants to know, in their own words."""

    text: str


class Teller(Protocol):
    """What the backend needs of ``forestall.client.Client``."""

    def track(
        self,
        user_id: str | None,
        event: str,
        properties: Mapping[str, Any] | None = None,
        *,
        anonymous_id: str | None = None,
    ) -> object:
        """Tell an event of a customer or a visitor."""


class Place(msgspec.Struct, frozen=True):
    """Where Forestall is and what the page may know of it; ``secret`` stays with the backend. ``edge``
    is the public key of what the page may decide itself."""

    host: str
    browser_key: str
    secret: str
    snippet: str
    edge: str


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Wrong(Exception):
    """The request cannot be answered as it is; ``status`` is HTTP's."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Asked(msgspec.Struct, frozen=True):
    """A request as the routes read it. ``visitor`` is what the SDK calls who is not signed in."""

    visit: Visit
    visitor: str | None
    path: str
    query: dict[str, str]
    body: bytes


Answer = tuple[int, Any]
Route = Callable[[Asked], Awaitable[Answer]]

VISITS = 1_000
LARGEST = 64_000
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Storefront:
    """The ASGI app. ``tell`` brings the backend's events to Forestall; ``slow`` is in seconds."""

    def __init__(self, place: Place, tell: Teller, slow: float = SLOW_SECONDS) -> None:
        self.place = place
        self.products = {one["id"]: one for one in json.loads((PAGE / "products.json").read_text())}
        self._tell = tell
        self._slow = slow
        self._visits: dict[str, Visit] = {}
        self._shell = (PAGE / "index.html").read_text()
        self._files = {
            f"/page/{path.relative_to(PAGE).as_posix()}": path
            for path in sorted(PAGE.rglob("*"))
            if path.suffix in TYPES
        }
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "/api/visit"): self._visit,
            ("POST", "/api/sign-in"): self._sign_in,
            ("POST", "/api/fresh"): self._fresh,
            ("POST", "/api/troubles"): self._troubles,
            ("POST", "/api/token"): self._token,
            ("GET", "/api/products"): self._search,
            ("GET", "/api/product"): self._product,
            ("GET", "/api/delivery"): self._delivery,
            ("POST", "/api/orders"): self._buy,
            ("GET", "/api/orders"): self._orders,
            ("POST", "/api/returns"): self._return,
            ("POST", "/api/questions"): self._question,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: a file of the page, a route of the backend, or the page itself."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        if method == "GET" and path in self._files:
            kind = TYPES[self._files[path].suffix]
            await _send(send, 200, self._files[path].read_bytes(), kind, {})
        elif path.startswith("/api/"):
            await self._serve(scope, receive, send)
        elif method == "GET" and "." not in path:
            await self._open(scope, send)
        else:
            await _send(send, 404, b"not found", "text/plain", {})

    async def _open(self, scope: Scope, send: Send) -> None:
        """The page, whatever the path: its script shows what the path stands for."""
        place, nonce = self.place, random_id()
        options = {"host": place.host, "key": place.browser_key, "edge": place.edge}
        words = {"nonce": nonce, "snippet": place.snippet, "options": json.dumps(options)}
        text = self._shell
        for name, value in words.items():
            text = text.replace("{{" + name + "}}", value)
        headers = {
            "content-security-policy": f"default-src 'self'; script-src 'self' 'nonce-{nonce}' {place.host};"
            f" connect-src 'self' {place.host}; base-uri 'none'; frame-ancestors 'none'"
        }
        if (visit := self._known(scope)) is None:
            visit = self._begin()
            cookie = f"visit={visit.id}; Path=/; HttpOnly; SameSite=Strict"
            headers["set-cookie"] = cookie
        await _send(send, 200, text.encode(), "text/html", headers)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            route = self._routes.get((scope["method"], scope["path"]))
            if route is None:
                raise Wrong(404, "there is nothing here")
            asked = await self._ask(scope, receive)
            if "errors" in asked.visit.troubles and scope["path"] in BREAKABLE:
                self._say(asked, "page.failed")
                raise Wrong(500, "something broke on our side")
            status, answer = await route(asked)
        except Wrong as wrong:
            status, answer = wrong.status, {"error": str(wrong)}
        except msgspec.ValidationError as error:
            status, answer = 422, {"error": str(error)}
        except msgspec.DecodeError:
            status, answer = 400, {"error": "the body is not JSON"}
        await _send(send, status, msgspec.json.encode(answer), "application/json", {})

    async def _ask(self, scope: Scope, receive: Receive) -> Asked:
        visit = self._known(scope)
        if visit is None:
            raise Wrong(401, "load the page again")
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read(receive)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        visitor = headers.get(b"x-visitor", "")[:100] or None
        return Asked(visit, visitor, scope["path"], query, body)

    def _known(self, scope: Scope) -> Visit | None:
        cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
        for cookie in cookies.decode("latin-1").split("; "):
            name, _, value = cookie.partition("=")
            if name == "visit":
                return self._visits.get(value)
        return None

    def _begin(self) -> Visit:
        """A new visit; the oldest is forgotten where there are too many."""
        visit = Visit(random_id(), random_id()[:16])
        self._visits[visit.id] = visit
        if len(self._visits) > VISITS:
            del self._visits[next(iter(self._visits))]
        return visit

    def _say(self, asked: Asked, event: str, **data: str) -> None:
        """Tell Forestall something that only the backend may say."""
        who, visitor = asked.visit.customer, asked.visitor
        if who is None and visitor is None:
            return
        told = data or {"session": asked.visit.session}
        self._tell.track(who, event, told, anonymous_id=None if who else visitor)

    async def _visit(self, asked: Asked) -> Answer:
        customer = asked.visit.customer
        return 200, {
            "session": asked.visit.session,
            "customer": CUSTOMERS[customer] if customer else None,
            "customers": list(CUSTOMERS.values()),
            "troubles": sorted(asked.visit.troubles),
        }

    async def _sign_in(self, asked: Asked) -> Answer:
        customer = _read_as(asked, SignIn).customer
        if customer is not None and customer not in CUSTOMERS:
            raise Wrong(404, "there is no such customer")
        asked.visit.customer = customer
        return await self._visit(asked)

    async def _fresh(self, asked: Asked) -> Answer:
        """Somebody new is at this browser, and nothing goes wrong."""
        visit = asked.visit
        visit.session, visit.customer = random_id()[:16], None
        visit.troubles, visit.orders = frozenset(), []
        return await self._visit(asked)

    async def _troubles(self, asked: Asked) -> Answer:
        asked.visit.troubles = _read_as(asked, Switches).troubles
        return await self._visit(asked)

    async def _token(self, asked: Asked) -> Answer:
        """What lets the page speak, and listen, for whoever is signed in; for nobody else."""
        if asked.visit.customer is None:
            raise Wrong(401, "nobody is signed in")
        return 200, {"token": subject_token(self.place.secret, asked.visit.customer, seconds=900)}

    async def _search(self, asked: Asked) -> Answer:
        words = asked.query.get("q", "").lower().split()
        if words and "slow-search" in asked.visit.troubles:
            await asyncio.sleep(self._slow)
        try:
            most = float(asked.query.get("price") or "inf")
        except ValueError:
            raise Wrong(422, "a price is a number") from None
        kind = asked.query.get("kind")
        return 200, [
            one
            for one in self.products.values()
            if all(word in f"{one['name']} {one['words']}".lower() for word in words)
            and one["price"] <= most
            and kind in (None, "", one["kind"])
        ]

    async def _product(self, asked: Asked) -> Answer:
        return 200, self._known_product(asked.query.get("id", ""))

    def _known_product(self, name: str) -> Any:
        if name not in self.products:
            raise Wrong(404, "we do not sell that")
        return self.products[name]

    async def _delivery(self, _: Asked) -> Answer:
        return 200, [
            {"id": "post", "name": "By post", "days": "2 to 3 days", "price": 4.9},
            {"id": "bicycle", "name": "By bicycle", "days": "today, in the city", "price": 7.5},
        ]

    async def _buy(self, asked: Asked) -> Answer:
        buying = _read_as(asked, Buying)
        bought = [(self._known_product(line.product), line.number) for line in buying.lines]
        if not bought or any(number < 1 for _, number in bought):
            raise Wrong(422, "the cart is empty")
        if buying.way == "card" and "declined-card" in asked.visit.troubles:
            self._say(asked, "payment.failed")
            return 402, {"error": "Your bank declined the card."}
        total = sum(product["price"] * number for product, number in bought)
        order = Order(f"KF-{random_id()[:6].upper()}", total, [one["name"] for one, _ in bought])
        asked.visit.orders.insert(0, order)
        self._say(asked, "order.placed")
        return 201, order

    async def _orders(self, asked: Asked) -> Answer:
        return 200, asked.visit.orders

    async def _return(self, asked: Asked) -> Answer:
        number = _read_as(asked, Return).number
        for order in asked.visit.orders:
            if order.number == number:
                order.status = "coming back"
                return 200, order
        raise Wrong(404, "there is no such order")

    async def _question(self, asked: Asked) -> Answer:
        text = _read_as(asked, Question).text.strip()
        if not 0 < len(text) <= 2_000:
            raise Wrong(422, "ask in one to 2,000 characters")
        self._say(asked, "help.asked", text=text)
        return 202, {}


BREAKABLE = frozenset({"/api/products", "/api/product", "/api/delivery", "/api/orders"})
"""What answers 500 where ``errors`` is on."""


T = TypeVar("T")


def _read_as(asked: Asked, kind: type[T]) -> T:
    return msgspec.json.decode(asked.body, type=kind)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > LARGEST:
            raise Wrong(413, "that is too much")
        if not message.get("more_body"):
            return body


async def _send(
    send: Send, status: int, body: bytes, kind: str, headers: Mapping[str, str]
) -> None:
    every = {
        "content-type": f"{kind}; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        **headers,
    }
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
