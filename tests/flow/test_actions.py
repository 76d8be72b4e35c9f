"""Actions against a real payment API that fails, hangs and lies; nothing happens that should not."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.shop.payments import Payments, Trouble
from forestall.contracts.instants import MINUTE, SECOND
from forestall.intervene.jobs import Job
from forestall.kernel.settings import Api, Credential, Outbound
from workshops import CANARY, Scene, workshop

pytestmark = pytest.mark.anyio

SHOP = Path(__file__).parents[2] / "examples" / "shop" / "actions"
USERS = ("payment", "tokens", "receipts", "retry-charge", "reissue-token", "resend-receipt")
CHARGE = {"payment": "p1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def provider() -> Iterator[Payments]:
    with Payments("127.0.0.1", 0, CANARY) as payments:
        payments.add("p1")
        yield payments


def shop(folder: Path, provider: Payments, **more: Any) -> Any:
    return workshop(
        folder,
        SHOP,
        credentials={"payments": Credential(CANARY, ("127.0.0.1",), USERS)},
        apis={"payments": Api(f"http://127.0.0.1:{provider.port}")},
        **more,
    )


async def charge(scene: Scene, key: str = "k", **more: Any) -> Any:
    return await scene.do(
        "action", "retry-charge", CHARGE, "receipt", key=key, approval="a-1", **more
    )


def changes(provider: Payments) -> list[str]:
    """Calls that change something, in order."""
    return [one for one in provider.calls if not one.startswith("get") and "?" not in one]


async def test_a_lookup_fills_the_fields_wanted(tmp_path: Path, provider: Payments) -> None:
    async with shop(tmp_path, provider) as scene:
        found = await scene.do("enrich", "payment", CHARGE, "card_brand", "retryable", "unknown")
        missing = await scene.do("enrich", "payment", {"payment": "nope"}, "status")
        wrong = await scene.do("enrich", "payment", {"pay": "p1"}, "status")
        unknown = await scene.do("enrich", "crm", {}, "x")
    assert found.fields == {"card_brand": "visa", "retryable": True, "unknown": None}
    assert (missing.outcome, missing.reason) == ("failed", "missing")
    assert (wrong.outcome, wrong.reason) == ("failed", "bad-arguments")
    assert (unknown.outcome, unknown.reason) == ("failed", "refused")


async def test_an_answer_is_used_again_as_long_as_the_policy_says(
    tmp_path: Path, provider: Payments
) -> None:
    now = [1_000 * SECOND]
    async with shop(tmp_path, provider, clock=lambda: now[0]) as scene:
        for _ in range(3):
            await scene.do("enrich", "payment", CHARGE, "status", cache=5 * MINUTE)
        assert len(provider.calls) == 1
        await scene.do("enrich", "payment", CHARGE, "status")
        assert len(provider.calls) == 2, "who wants no cache gets a fresh answer"
        now[0] += 5 * MINUTE
        await scene.do("enrich", "payment", CHARGE, "status", cache=5 * MINUTE)
        assert len(provider.calls) == 3
        await scene.do("enrich", "payment", {"payment": "p2"}, "status", cache=5 * MINUTE)
        await scene.do("enrich", "payment", {"payment": "p2"}, "status", cache=5 * MINUTE)
        assert len(provider.calls) == 5, "a failure is not kept"


async def test_a_charge_is_made_verified_and_undone(tmp_path: Path, provider: Payments) -> None:
    async with shop(tmp_path, provider) as scene:
        done = await charge(scene)
        assert (done.outcome, done.fields) == ("done", {"receipt": "k"})
        assert done.evidence["precondition"]["holds"] is True
        assert done.evidence["verification"] == {
            "if": 'fields.status == "paid"',
            "holds": True,
            "lookup": "payment",
            "fields": {"status": "paid", "card_brand": "visa", "retryable": True, "amount": 20},
            "tries": 1,
        }
    async with shop(tmp_path, provider) as scene:
        undone = await scene.do("undo", "retry-charge", CHARGE, key="u", undoes="k")
        assert (undone.outcome, undone.undone) == ("done", True)
    assert changes(provider) == ["charge", "refund"]
    assert provider.charges["k"]["status"] == "refunded"


async def test_nothing_of_high_risk_happens_without_an_approval(
    tmp_path: Path, provider: Payments
) -> None:
    async with shop(tmp_path, provider) as scene:
        outcome = await scene.do("action", "retry-charge", CHARGE)
    assert (outcome.outcome, outcome.reason, outcome.again) == ("failed", "needs-approval", False)
    assert provider.calls == []


async def test_a_precondition_that_does_not_hold_stops_it(
    tmp_path: Path, provider: Payments
) -> None:
    provider.add("p1", retryable=False)
    async with shop(tmp_path, provider) as scene:
        outcome = await charge(scene)
    assert (outcome.outcome, outcome.reason) == ("failed", "precondition")
    assert changes(provider) == []


async def test_a_precondition_that_cannot_be_asked_waits(
    tmp_path: Path, provider: Payments
) -> None:
    provider.trouble["getPayment"] = "error"
    async with shop(tmp_path, provider) as scene:
        outcome = await charge(scene)
    assert (outcome.outcome, outcome.reason, outcome.again) == ("failed", "unreachable", True)
    assert changes(provider) == []


@pytest.mark.parametrize(
    ("trouble", "ended", "reason", "again"),
    [
        ("busy", "failed", "unreachable", True),
        ("redirect", "failed", "refused", False),
        ("down", "uncertain", "uncertain", True),
        ("lost", "uncertain", "uncertain", True),
        ("error", "uncertain", "uncertain", True),
    ],
)
async def test_what_a_troubled_provider_comes_to(
    tmp_path: Path, provider: Payments, trouble: Trouble, ended: str, reason: str, again: bool
) -> None:
    provider.trouble["charge"] = trouble
    async with shop(tmp_path, provider) as scene:
        outcome = await charge(scene)
    assert (outcome.outcome, outcome.reason, outcome.again) == (ended, reason, again)
    assert outcome.retry_after == (SECOND if trouble == "busy" else None)
    assert changes(provider) == ["charge"], "a redirect is not followed, nothing is tried twice"


async def test_a_provider_that_hangs_leaves_it_open(tmp_path: Path, provider: Payments) -> None:
    provider.trouble["charge"] = "hang"
    async with shop(tmp_path, provider) as scene:
        outcome = await charge(scene, timeout=2 * SECOND)
    assert (outcome.outcome, outcome.reason) == ("uncertain", "timeout")


async def test_what_was_lost_is_repeated_with_its_key_and_happens_once(
    tmp_path: Path, provider: Payments
) -> None:
    provider.trouble["charge"] = "lost"
    async with shop(tmp_path, provider) as scene:
        assert (await charge(scene)).outcome == "uncertain"
        provider.trouble.clear()
    async with shop(tmp_path, provider) as scene:
        job = Job(kind="action", name="retry-charge", arguments=CHARGE)
        assert scene.workshop.deduplication(job) == "dedupes"
        again = await charge(scene)
    assert (again.outcome, len(provider.charges)) == ("done", 1)
    assert provider.payments["p1"]["status"] == "paid"


async def test_a_lie_is_found_out_and_undone(tmp_path: Path, provider: Payments) -> None:
    provider.trouble["reissueToken"] = "lie"
    async with shop(tmp_path, provider) as scene:
        outcome = await scene.do("action", "reissue-token", {"customer": "c1"}, timeout=6 * SECOND)
    assert (outcome.outcome, outcome.reason, outcome.undone) == ("failed", "verification", True)
    assert outcome.evidence["verification"]["holds"] is False
    assert outcome.evidence["verification"]["tries"] >= 2
    assert changes(provider) == ["reissueToken", "revokeTokens"]


async def test_what_cannot_be_undone_says_so(tmp_path: Path, provider: Payments) -> None:
    provider.trouble |= {"reissueToken": "lie", "revokeTokens": "error"}
    async with shop(tmp_path, provider) as scene:
        outcome = await scene.do("action", "reissue-token", {"customer": "c1"}, timeout=2 * SECOND)
    assert (outcome.reason, outcome.undone) == ("verification", False)
    assert "undoing it failed" in outcome.detail


async def test_what_cannot_be_verified_stays_open(tmp_path: Path, provider: Payments) -> None:
    provider.trouble["getReceipts"] = "error"
    async with shop(tmp_path, provider) as scene:
        outcome = await scene.do("action", "resend-receipt", CHARGE, timeout=4 * SECOND)
    assert (outcome.outcome, outcome.reason) == ("uncertain", "unverified")
    assert changes(provider) == ["resendReceipt"]


async def test_a_verification_waits_until_it_comes_true(tmp_path: Path, provider: Payments) -> None:
    """The receipt is there when it has been asked for twice."""
    provider.trouble["resendReceipt"] = "lie"
    over = threading.Event()

    def send_when_asked() -> None:
        while provider.calls.count("getReceipts") < 2 and not over.wait(0.005):
            pass
        provider.resent["k"] = "p1"

    sending = threading.Thread(target=send_when_asked)
    sending.start()
    try:
        async with shop(tmp_path, provider) as scene:
            outcome = await scene.do("action", "resend-receipt", CHARGE, timeout=60 * SECOND)
    finally:
        over.set()
        sending.join()
    assert outcome.outcome == "done"
    assert outcome.evidence["verification"]["tries"] >= 2


async def test_the_rate_holds_across_a_restart_and_counts_a_key_once(
    tmp_path: Path, provider: Payments
) -> None:
    now = [1_000 * SECOND]
    customers = [{"customer": f"c{number}"} for number in range(12)]
    for part in (customers[:6], customers[6:]):
        async with shop(tmp_path, provider, clock=lambda: now[0]) as scene:
            for customer in part:
                key = f"k-{customer['customer']}"
                first = await scene.do("action", "reissue-token", customer, key=key)
                again = await scene.do("action", "reissue-token", customer, key=key)
                late = customer in customers[10:]
                expected = ("failed", "rate-limited") if late else ("done", None)
                assert (first.outcome, first.reason) == expected
                assert again.outcome == first.outcome
                if late:
                    assert (first.again, first.retry_after) == (True, MINUTE)
    now[0] += MINUTE
    async with shop(tmp_path, provider, clock=lambda: now[0]) as scene:
        outcome = await scene.do("action", "reissue-token", customers[11], key="k-c11")
    assert outcome.outcome == "done"


async def test_arguments_have_to_fit_the_schema(tmp_path: Path, provider: Payments) -> None:
    wrong: list[dict[str, Any]] = [{}, {"payment": 5}, {"payment": "p" * 65}, {**CHARGE, "x": 1}]
    async with shop(tmp_path, provider) as scene:
        for arguments in wrong:
            outcome = await scene.do("action", "resend-receipt", arguments)
            assert (outcome.outcome, outcome.reason) == ("failed", "bad-arguments")
        for name in ("..", ".", "", "a\nb"):
            outcome = await scene.do("enrich", "payment", {"payment": name}, "status")
            assert outcome.reason == "bad-arguments"
        await scene.do("enrich", "payment", {"payment": "../tokens?x=1#y"}, "status")
    assert provider.calls == ["getPayment"], "a value stays in its place in the address"


@pytest.mark.parametrize("name", ["retry-charge", "reissue-token", "resend-receipt"])
async def test_a_dry_run_asks_and_changes_nothing(
    tmp_path: Path, provider: Payments, name: str
) -> None:
    arguments = {"customer": "c1"} if name == "reissue-token" else CHARGE
    async with shop(tmp_path, provider) as scene:
        outcome = await scene.do("action", name, arguments, dry=True)
    assert outcome.outcome == "done"
    assert outcome.evidence["dry_run"] == "asked"
    assert "dry_run=true" in outcome.evidence["request"]["url"]
    assert outcome.evidence["request"]["headers"]["Authorization"] == "***"
    assert changes(provider) == []
    assert (provider.charges, provider.reissued, provider.resent) == ({}, {}, {})


class Refusing(httpx.AsyncBaseTransport):
    """A way out that is shut, and remembers who tried."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.tried.append(f"{request.method} {request.url.path}")
        raise httpx.ConnectError("nothing leaves")


async def test_a_described_dry_run_needs_no_network(tmp_path: Path, provider: Payments) -> None:
    described = tmp_path / "described"
    described.mkdir()
    for file in SHOP.iterdir():
        text = file.read_text().replace("dry_run: {argument: dry_run}", "dry_run: describe")
        (described / file.name).write_text(text)
    shut = Refusing()
    settings: dict[str, Any] = {
        "credentials": {"payments": Credential(CANARY, ("127.0.0.1",), USERS)},
        "apis": {"payments": Api(f"http://127.0.0.1:{provider.port}")},
        "client": httpx.AsyncClient(transport=shut),
    }
    async with workshop(tmp_path, described, **settings) as scene:
        free = await scene.do("action", "resend-receipt", CHARGE, dry=True)
        checked = await scene.do("action", "retry-charge", CHARGE, dry=True)
        lookup = await scene.do("enrich", "payment", CHARGE, "status", dry=True)
        undo = await scene.do("undo", "retry-charge", CHARGE, undoes="k", dry=True)
    assert (free.outcome, free.evidence["dry_run"]) == ("done", "describe")
    assert free.evidence["request"]["url"].endswith("/payments/p1/receipts")
    assert (checked.outcome, checked.reason) == ("failed", "unreachable")
    assert checked.evidence["request"]["method"] == "POST", "it is shown all the same"
    assert (lookup.outcome, undo.outcome) == ("done", "done")
    assert shut.tried == ["GET /payments/p1"], "only the precondition's lookup"


async def test_only_allowed_addresses_are_asked(tmp_path: Path, provider: Payments) -> None:
    async with shop(tmp_path, provider, outbound=Outbound(allow=("elsewhere",))) as scene:
        outcome = await scene.do("action", "resend-receipt", CHARGE)
        found = await scene.do("enrich", "payment", CHARGE, "status")
    assert (outcome.outcome, outcome.reason, outcome.again) == ("failed", "blocked-address", False)
    assert found.reason == "blocked-address"
    assert provider.calls == []


async def test_many_at_once_stay_apart(tmp_path: Path, provider: Payments) -> None:
    for number in range(8):
        provider.add(f"q{number}")
    async with shop(tmp_path, provider) as scene:
        outcomes = await asyncio.gather(
            *(
                scene.do(
                    "action",
                    "retry-charge",
                    {"payment": f"q{number}"},
                    "receipt",
                    key=f"key-q{number}",
                    approval="a",
                )
                for number in range(8)
            )
        )
    assert [one.fields["receipt"] for one in outcomes] == [f"key-q{n}" for n in range(8)]
    assert len(provider.charges) == 8
