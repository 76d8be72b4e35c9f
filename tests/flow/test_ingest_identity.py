"""Whose event it is: adoption, a second device, a shared device, and what the disk may not say."""

from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.control import PoliciesApplied, PolicyInForce
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import format_time, parse_time
from forestall.ingest.serve import gateway_file
from forestall.kernel.clock import random_id
from forestall.kernel.database.files import open_database
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.privacy.door import Door
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Identity, Vault
from serving import BROWSER, event, running, settings, verdicts

VISITOR, USER = "anon-7f3b2c19d0", "customer-ada-4711"
NOW = parse_time("2026-03-01T12:00:00Z")


def visit(id_: str, anonymous: str = VISITOR, **more: Any) -> dict[str, Any]:
    return event(id_, subject=None, anonymousid=anonymous, **more)


def signs_in(id_: str, user: str = USER, anonymous: str = VISITOR, **traits: Any) -> dict[str, Any]:
    return event(
        id_, "forestall.identify", subject=user, anonymousid=anonymous, data={"traits": traits}
    )


def test_the_first_sign_in_adopts_the_visitors_pseudonym(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        server.post("/v1/events", [visit("1"), signs_in("2"), event("3", subject=USER), visit("4")])
        records = server.records()
    assert [record.type for record in records] == [
        "page.viewed",
        "forestall.identify",
        "page.viewed",
        "page.viewed",
    ]
    assert len({record.subject for record in records}) == 1


def test_naming_both_ids_without_signing_in_links_nothing(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        both = event("2", subject=USER, anonymousid=VISITOR)
        server.post("/v1/events", [visit("1"), both, visit("3")])
        first, second, third = server.records()
    assert first.subject == third.subject != second.subject


def test_a_second_device_brings_what_it_knows(tmp_path: Path) -> None:
    clock = [NOW]
    at = format_time(NOW - 1_000_000)
    with running(settings(tmp_path), clock=lambda: clock[0]) as server:
        server.post("/v1/events", [event("1", subject=USER), visit("2")])
        user, device = (record.subject for record in server.records())
        worker(server.settings.data, device)
        dismissed = "forestall.intervention.dismissed"
        server.post(
            "/v1/events",
            [
                visit("3", type_="forestall.optout", time=at),
                visit(
                    "4", type_="forestall.consent.withdrawn", time=at, data={"purpose": "support"}
                ),
                visit("5", type_=dismissed, data={"policy": "a"}),
                visit("6", type_=dismissed, data={"policy": "b", "never": True}),
                visit("7", type_="forestall.intervention.helped", data={"policy": "a"}),
                visit("8", type_=dismissed, data={"policy": "a"}),
            ],
        )
        clock[0] += 1_000_000
        batch = [signs_in("9"), visit("10"), signs_in("9")]
        assert verdicts(server.post("/v1/events", batch)) == ["accepted", "accepted", "duplicate"]
        assert verdicts(server.post("/v1/events", [visit("2"), signs_in("9")])) == ["duplicate"] * 2
        alias, identify, after = server.records()[-3:]
        with Door(gateway_file(server.settings)) as door:
            state = door.state(user)
    assert alias == Record(
        "9.alias", "forestall:gateway", "forestall.alias", user, clock[0], clock[0], "server",
        alias.data,
    )  # fmt: skip
    assert decode_data(alias.data) == {
        "from": device,
        "optout": {"time": at, "out": True},
        "consent": {"support": {"granted": False, "time": at}},
        "dismissals": {
            "a": {"count": 1, "never": False},
            "b": {"count": 1, "never": True},
        },
        "acts": {
            "a": ["2026-02-28T12:00:00.000000Z", "2026-02-28T13:00:00.000000Z"],
            "b": ["2026-02-28T14:00:00.000000Z"],
            "c": ["2026-02-28T15:00:00.000000Z"],
        },
        "guidance_acts": ["2026-02-28T12:00:00.000000Z", "2026-02-28T13:00:00.000000Z"],
    }
    assert (identify.subject, after.subject) == (user, user)
    assert state.opted_out
    assert not state.allows("support", require_consent=False)


def worker(folder: Path, subject: str) -> None:
    """A worker's file with decisions for ``subject``, among others'."""

    def decided(at: str, policy: str, outcome: str, **more: Any) -> Decided:
        fields = {"id": at + policy, "version": policy, "mode": "live", "reason": None, **more}
        return msgspec.convert(
            [0, 0, NOW, {
                "policy": policy, "subject": subject, "key": None, "at": at, "outcome": outcome,
                "matched": [], "features": {}, "explanation": "", **fields,
            }],
            Decided,
        )  # fmt: skip

    def policy(name: str, budget: str) -> PolicyInForce:
        canonical = msgspec.json.encode({"name": name, "budget_class": budget})
        return PolicyInForce(name, name, msgspec.Raw(canonical))

    log = SqliteLog(folder / "worker.db")
    log.commit(
        [
            streams.control(
                [
                    PoliciesApplied(
                        1,
                        (policy("a", "guidance"), policy("b", "transactional")),
                        {},
                        "test",
                        "test",
                    )
                ]
            ),
            streams.decisions(
                [
                    decided("2026-02-28T11:00:00.000000Z", "a", "suppress", reason="cooldown"),
                    decided("2026-02-28T12:00:00.000000Z", "a", "intervene"),
                    decided("2026-02-28T12:30:00.000000Z", "a", "intervene", mode="shadow"),
                    decided("2026-02-28T12:40:00.000000Z", "a", "intervene", subject="other"),
                    decided("2026-02-28T13:00:00.000000Z", "a", "holdout", reason="global_holdout"),
                    decided("2026-02-28T14:00:00.000000Z", "b", "intervene"),
                    decided("2026-02-28T15:00:00.000000Z", "c", "holdout", reason="policy_holdout"),
                ]
            ),
        ]
    )
    log.close()


def test_a_third_device_carries_on_what_the_second_had(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        dismissed = "forestall.intervention.dismissed"
        server.post(
            "/v1/events",
            [
                visit("1"),
                signs_in("2"),
                visit("3", "device-2", type_=dismissed, data={"policy": "a"}),
                signs_in("4", anonymous="device-2"),
            ],
        )
        joined = [r for r in server.records() if r.type == "forestall.alias"]
    assert [decode_data(record.data)["dismissals"] for record in joined] == [
        {"a": {"count": 1, "never": False}}
    ]


def test_a_shared_device_does_not_merge_two_people(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        server.post(
            "/v1/events",
            [
                visit("1"),
                signs_in("2", "ada"),
                signs_in("3", "bob"),
                visit("4"),
                event("5", subject="ada"),
                event("6", subject="bob"),
                signs_in("7", "ada"),
                visit("8"),
            ],
        )
        records = {record.id: record.subject for record in server.records()}
    ada, bob = records["2"], records["3"]
    assert ada != bob
    assert records == {
        "1": ada, "2": ada, "3": bob, "4": bob, "5": ada, "6": bob, "7": ada, "8": ada,
    }  # fmt: skip


def test_segments_alias_joins_too(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        server.post("/v1/events", [visit("1"), event("2", subject=USER)])
        body = {"messageId": "3", "previousId": VISITOR, "userId": USER}
        assert verdicts(server.post("/v1/alias", body)) == ["accepted"]
        types = [record.type for record in server.records()]
    assert types == ["page.viewed", "page.viewed", "forestall.alias", "forestall.identify"]


def test_consent_and_optout_stand_at_the_door_at_once(tmp_path: Path) -> None:
    def said(id_: str, type_: str, time: str, **data: Any) -> dict[str, Any]:
        return event(id_, type_, time=f"2026-03-01T{time}Z", data=data)

    with running(settings(tmp_path), clock=lambda: NOW) as server:
        server.post(
            "/v1/events",
            [
                said("1", "forestall.optout", "10:00:00"),
                said("2", "forestall.optin", "09:00:00"),
                said("3", "forestall.consent.granted", "10:00:00", purpose="support"),
                said("4", "forestall.consent.withdrawn", "10:00:00", purpose="support"),
                said("5", "forestall.consent.granted", "10:00:00", purpose="ads"),
            ],
        )
        subject = server.records()[0].subject
        with Door(gateway_file(server.settings)) as door:
            state = door.state(subject)
            assert state.opted_out
            assert not state.consents["support"].granted
            assert state.consents["ads"].granted
            server.post("/v1/events", said("6", "forestall.optin", "11:00:00"))
            assert not door.state(subject).opted_out
            assert door.state(subject).allows("ads", require_consent=True)
            assert not door.state(subject).allows("support", require_consent=True)
            assert door.state("nobody").optout is None


def test_a_consent_without_its_purpose_is_quarantined(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        answer = server.post("/v1/events", event("1", "forestall.consent.granted"))
        assert answer.json()["verdicts"][0]["code"] == "invalid-data"
        assert answer.json()["verdicts"][0]["path"] == "/data/purpose"


CATALOGUE = {
    "order.paid.v1.json": {
        "x-owner": "shop",
        "x-origins": ["browser", "server"],
        "type": "object",
        "properties": {
            "amount": {"type": "number"},
            "email": {"type": "string", "x-privacy": "tokenise"},
            "street": {"type": "string", "x-privacy": "drop"},
        },
        "required": ["amount"],
    },
    "forestall.identify.v1.json": {
        "x-owner": "shop",
        "x-origins": ["browser", "server"],
        "type": "object",
        "properties": {
            "traits": {
                "type": "object",
                "properties": {
                    "plan": {"type": "string"},
                    "email": {"type": "string", "x-privacy": "tokenise"},
                    "name": {"type": "string", "x-privacy": "drop"},
                },
            }
        },
    },
}

SECRETS = [
    "customer-ada-4711",
    "anon-7f3b2c19d0",
    "ada.lovelace@example.com",
    "Lovelace",
    "Baker Street 12",
    "203.0.113.77",
    "Mozilla/5.0 Secretive",
    "undeclared-secret",
    "server-key",
    "browser-key",
]


def test_no_file_that_the_server_wrote_says_who_anybody_is(tmp_path: Path, capfd: Any) -> None:
    catalogue = tmp_path / "contracts"
    catalogue.mkdir()
    for name, schema in CATALOGUE.items():
        (catalogue / name).write_bytes(msgspec.json.encode(schema))
    traits = {"plan": "pro", "email": SECRETS[2], "name": "Ada Lovelace", "note": SECRETS[7]}
    paid = {"amount": 5, "email": SECRETS[2], "street": SECRETS[4], "note": SECRETS[7]}
    context = {"ip": SECRETS[5], "userAgent": SECRETS[6], "traits": traits}
    deployment = settings(tmp_path, contracts=catalogue)
    with running(deployment) as server:
        answers = [
            server.post("/v1/events", [visit("1", type_="order.paid", data=paid)], BROWSER),
            server.post("/v1/events", [signs_in("2", **traits), signs_in("3", anonymous="other")]),
            server.post(
                "/v1/identify",
                {"messageId": "4", "userId": USER, "anonymousId": VISITOR, "traits": traits,
                 "context": context},
            ),
            server.post("/v1/events", event("5", "order.paid", data={**paid, "amount": SECRETS[2]})),
            server.post("/v1/events", event(SECRETS[2], "no.such", subject=USER, data=paid)),
            server.post(
                "/v1/track",
                {"messageId": "6", "userId": USER, "event": "Order Paid", "properties": paid,
                 "context": context},
            ),
            server.post("/v1/page", {"messageId": "7", "userId": USER, "context": context}),
            server.post("/v1/events", b'{"id": "8", "subject": "customer-ada-4711", '),
        ]  # fmt: skip
        found = [code for answer in answers[:-1] for code in verdicts(answer)]
        assert found == [
            "accepted", "accepted", "accepted", "accepted", "invalid-data", "unknown-contract",
            "accepted", "unknown-contract",
        ]  # fmt: skip
        records = server.records()
        data = {record.id: decode_data(record.data) for record in records}
        assert data["1"].keys() == {"amount", "email"}
        assert data["1"]["email"] == data["6"]["email"] == data["2"]["traits"]["email"]
        assert data["1"]["email"].startswith("tok_")
        assert data["4"] == {"traits": {"plan": "pro", "email": data["1"]["email"]}}
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any(path.name.endswith("-wal") for path in written)
        contents = {path: path.read_bytes() for path in written if catalogue not in path.parents}
        vault_says(server.settings.data, records[0].subject, traits)
    captured = capfd.readouterr()
    contents[Path("the console")] = (captured.out + captured.err).encode()
    contents.update(
        {
            p: p.read_bytes()
            for p in tmp_path.rglob("*")
            if p.is_file() and catalogue not in p.parents
        }
    )
    assert len(contents) >= 4
    for path, content in contents.items():
        for secret in SECRETS:
            assert secret.encode() not in content, (path, secret)


def vault_says(folder: Path, subject: str, traits: dict[str, Any]) -> None:
    connection = open_database(folder / "gateway.db", read_only=True)
    vault = Vault(connection, load_keys(folder, random_id), random_id)
    assert vault.resolve("user", USER) == vault.resolve("anonymous", VISITOR) == subject
    person = vault.reveal(subject)
    connection.close()
    assert person is not None
    assert set(person.ids) == {
        Identity("user", USER), Identity("anonymous", VISITOR), Identity("anonymous", "other"),
    }  # fmt: skip
    assert person.traits == {"email": traits["email"], "name": traits["name"]}


def test_without_a_catalogue_personal_traits_stay_in_the_vault(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        server.post("/v1/events", signs_in("1", email="a@b.c", first_name="Ada", plan="pro", x=1))
        (record,) = server.records()
    assert decode_data(record.data) == {"traits": {"plan": "pro", "x": 1}}


def test_beside_a_catalogue_undeclared_traits_are_dropped(tmp_path: Path) -> None:
    catalogue = tmp_path / "contracts"
    catalogue.mkdir()
    (catalogue / "order.paid.v1.json").write_bytes(
        msgspec.json.encode(CATALOGUE["order.paid.v1.json"])
    )
    with running(settings(tmp_path, contracts=catalogue)) as server:
        server.post("/v1/events", signs_in("1", email="a@b.c", plan="pro", x=1))
        (record,) = server.records()
    assert decode_data(record.data) == {"traits": {"plan": "pro"}}


def test_the_decision_words_fit(tmp_path: Path) -> None:
    """The stand-in for the worker above writes what the worker would."""
    worker(tmp_path, "s")
    log = SqliteLog(tmp_path / "worker.db", read_only=True)
    (batch,) = log.read(streams.DECISIONS)
    assert all(isinstance(entry.decision, Decision) for entry in streams.read_decisions(batch))
    log.close()
