"""The example shop's backend: what it sells, who is who, what goes wrong, and what Forestall is told."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import jwt
import pytest

from examples.shop.storefront import CUSTOMERS, PAGE, UNLUCKY, Place, Storefront

pytestmark = pytest.mark.anyio

SECRET = "a secret of more than thirty-two bytes"
PLACE = Place("http://help.test", "browser-key", SECRET, "/* snippet */", "edge-key")
VISITOR = {"x-visitor": "visitor-1"}
KETTLE = {"lines": [{"product": "copper-kettle", "number": 2}], "way": "card"}


class Told:
    """Remembers what the backend tells Forestall."""

    def __init__(self) -> None:
        self.events: list[tuple[str | None, str | None, str, dict[str, Any]]] = []

    def track(
        self,
        user_id: str | None,
        event: str,
        properties: Mapping[str, Any] | None = None,
        *,
        anonymous_id: str | None = None,
    ) -> None:
        self.events.append((user_id, anonymous_id, event, dict(properties or {})))


class Page:
    """A browser at the shop, and what its backend told."""

    def __init__(self, client: httpx.AsyncClient, told: Told) -> None:
        self.client, self.told = client, told

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"/api/{path}", headers=VISITOR)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/api/{path}", json=body, headers=VISITOR)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    told = Told()
    transport = httpx.ASGITransport(app=Storefront(PLACE, told, slow=0.01))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        assert (await client.get("/")).status_code == 200
        yield Page(client, told)


async def test_the_page_carries_the_snippet_and_no_secret(page: Page) -> None:
    answer = await page.client.get("/checkout/payment")
    assert "/* snippet */" in answer.text
    assert '{"host": "http://help.test", "key": "browser-key", "edge": "edge-key"}' in answer.text
    assert SECRET not in answer.text
    assert "{{" not in answer.text
    policy = answer.headers["content-security-policy"]
    (nonce,) = re.findall(r"'nonce-(\w+)'", policy)
    assert f'<script nonce="{nonce}">' in answer.text
    assert "unsafe" not in policy


async def test_only_files_of_the_page_are_served(page: Page) -> None:
    assert (await page.client.get("/page/app.js")).headers["content-type"].startswith("text/javas")
    for path in ("/page/index.html", "/page/../storefront.py", "/page/products.json", "/x.js"):
        assert (await page.client.get(path)).status_code == 404, path
    assert (await page.client.post("/")).status_code == 404


async def test_without_a_visit_the_backend_says_nothing(page: Page) -> None:
    page.client.cookies.clear()
    assert (await page.get("visit")).status_code == 401
    assert (await page.get("nothing")).status_code == 404


async def test_searching_reads_words_kind_and_price(page: Page) -> None:
    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await page.get(f"products?{query}")).json()]

    assert await found("q=FERN") == ["boston-fern"]
    assert await found("kind=plants&price=25") == ["boston-fern"]
    assert await found("q=sofa") == []
    assert len(await found("")) == 12
    assert (await page.get("product?id=morning-mug")).json()["price"] == 18
    assert (await page.get("product?id=sofa")).status_code == 404
    assert (await page.get("products?price=cheap")).status_code == 422


async def test_every_product_has_its_picture() -> None:
    pictures = (PAGE / "art.js").read_text()
    for name in Storefront(PLACE, Told()).products:
        assert f'"{name}":' in pictures


async def test_an_order_is_told_by_the_backend_and_can_go_back(page: Page) -> None:
    order = (await page.post("orders", **KETTLE)).json()
    assert order["total"] == 158
    assert (await page.get("orders")).json() == [order]
    returned = await page.post("returns", number=order["number"])
    assert returned.json()["status"] == "coming back"
    assert (await page.post("returns", number="KF-0")).status_code == 404
    assert page.told.events == [(None, "visitor-1", "order.placed", page.told.events[0][3])]
    assert page.told.events[0][3].keys() == {"session"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"lines": [], "way": "card"}, 422),
        ({"lines": [{"product": "sofa", "number": 1}], "way": "card"}, 404),
        ({"lines": [{"product": "copper-kettle", "number": 0}], "way": "card"}, 422),
        ({"lines": "all", "way": "card"}, 422),
    ],
)
async def test_a_strange_order_is_refused(page: Page, body: dict[str, Any], status: int) -> None:
    assert (await page.post("orders", **body)).status_code == status
    assert page.told.events == []


async def test_what_is_no_json_or_too_much_is_refused(page: Page) -> None:
    async def sent(content: bytes) -> int:
        return (await page.client.post("/api/orders", content=content)).status_code

    assert await sent(b"{") == 400
    assert await sent(b" " * 100_000) == 413


async def test_a_declined_card_is_told_and_other_ways_work(page: Page) -> None:
    await page.post("troubles", troubles=["declined-card"])
    answer = await page.post("orders", **KETTLE)
    assert (answer.status_code, answer.json()) == (402, {"error": "Your bank declined the card."})
    assert [event[2] for event in page.told.events] == ["payment.failed"]
    assert (await page.post("orders", **{**KETTLE, "way": "invoice"})).status_code == 201


async def test_errors_are_told_as_pages_that_failed(page: Page) -> None:
    await page.post("troubles", troubles=["errors"])
    for path in ("products", "product?id=morning-mug", "delivery"):
        assert (await page.get(path)).status_code == 500
    assert [event[2] for event in page.told.events] == ["page.failed"] * 3
    assert (await page.get("visit")).json()["troubles"] == ["errors"]
    await page.post("troubles", troubles=[])
    assert (await page.get("products")).status_code == 200


async def test_an_unknown_trouble_is_refused(page: Page) -> None:
    assert (await page.post("troubles", troubles=["earthquake"])).status_code == 422


async def test_only_who_is_signed_in_gets_a_token_and_it_is_theirs(page: Page) -> None:
    assert (await page.post("token")).status_code == 401
    assert (await page.post("sign-in", customer="mallory")).status_code == 404
    assert (await page.post("sign-in", customer="ada")).json()["customer"][
        "name"
    ] == "Ada Lindqvist"
    token = (await page.post("token")).json()["token"]
    assert jwt.decode(token, SECRET, algorithms=["HS256"])["sub"] == "ada"
    await page.post("questions", text="Can I pay with PayPal?")
    question = {"text": "Can I pay with PayPal?"}
    assert page.told.events == [("ada", None, "help.asked", question)]
    await page.post("sign-in", customer=None)
    assert (await page.post("token")).status_code == 401


async def test_an_empty_question_is_refused(page: Page) -> None:
    assert (await page.post("questions", text="  ")).status_code == 422
    assert page.told.events == []


async def test_starting_afresh_leaves_nothing_of_the_one_before(page: Page) -> None:
    await page.post("sign-in", customer="bruno")
    await page.post("troubles", troubles=["slow-search"])
    await page.post("orders", **KETTLE)
    before = (await page.get("visit")).json()
    after = (await page.post("fresh")).json()
    assert after["customer"] is None
    assert after["troubles"] == []
    assert after["session"] != before["session"]
    assert (await page.get("orders")).json() == []


async def test_two_browsers_are_two_visits(page: Page) -> None:
    await page.post("sign-in", customer="ada")
    mine = page.client.cookies.get("visit")
    page.client.cookies.clear()
    await page.client.get("/")
    assert page.client.cookies.get("visit") != mine
    assert (await page.get("visit")).json()["customer"] is None


async def test_the_unlucky_are_customers() -> None:
    assert set(UNLUCKY) < set(CUSTOMERS)
