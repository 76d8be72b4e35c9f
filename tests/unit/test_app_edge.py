"""``/v1/edge``: who is given what, and how it is answered."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from forestall.app.edge import BUNDLE, PASS, Edge, Offered, _Rate
from forestall.context.knowledge.runbooks import load_runbooks
from forestall.contracts.control import PoliciesApplied, SwitchesApplied
from forestall.contracts.instants import HOUR, MINUTE, SECOND
from forestall.decide.passes import Memory
from forestall.kernel.clock import random_id
from forestall.log.memory import MemoryLog
from forestall.log.port import LogUnreadable
from forestall.log.streams import control, signals
from forestall.policy.bundle import Bundle, applied
from forestall.policy.edge_key import KEY_FILE, EdgeKey, new_key, read_signed
from forestall.policy.language.model import Policy
from forestall.privacy.tokens import SubjectToken, TokenInvalid, sign, sign_anonymous
from scenario import event, on, records

SECRET = "a secret of thirty-two bytes or more"
NOW = 1_800_000_000 * SECOND
GUIDE = {"guide": {"text": "hi", "channel": "inapp"}}
PAGE = {"origin": "https://shop.example"}


def lost(name: str = "lost", **more: Any) -> Policy:
    return on("{event: page.viewed}", name, cooldown="1h", playbook=[GUIDE], edge=True, **more)


class World:
    """The app over logs in memory, with a clock that stands still unless it is moved."""

    def __init__(self, folder: Path, *policies: Policy, **changed: Any) -> None:
        self.folder, self.time = folder, NOW
        self.signals, self.worker = MemoryLog(), MemoryLog()
        self.received = 0
        self.put(*policies)
        self.runbooks: dict[str, Any] = {}
        self.offered = Offered(self.worker, lambda: self.runbooks, lambda: self.time)
        plain: dict[str, Any] = {
            "folder": folder,
            "offered": self.offered,
            "memory": Memory(self.signals, self.worker),
            "identify": self.identify,
            "secret": SECRET,
            "now": lambda: self.time,
            "ids": random_id,
            "origins": ["https://shop.example"],
        }
        self.app = Edge(**(plain | changed))

    @property
    def key(self) -> EdgeKey:
        return EdgeKey(self.folder, random_id)

    def put(self, *policies: Policy) -> None:
        self.govern(applied(Bundle(policies=policies), 0, "test", "test"))

    def govern(self, record: PoliciesApplied | SwitchesApplied) -> None:
        self.received += 1
        self.worker.commit([control([msgspec.structs.replace(record, received=self.received)])])

    def identify(self, token: SubjectToken) -> str | None:
        if token.anonymous_id == "signed-in-since-then":
            raise TokenInvalid("somebody signed in with it")
        return {"ann": "p-ann", "bob": "p-bob"}.get(token.subject_id or "")

    def get(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        return asyncio.run(self.asked(path, method, **headers))

    async def asked(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)

    def ask_at_once(self, *customers: str) -> list[tuple[str, httpx.Response]]:
        """Passes asked for at the same time; as they come."""
        answers: list[tuple[str, httpx.Response]] = []

        async def one(customer: str) -> None:
            authorization = f"Bearer {self.token(customer)}"
            answers.append((customer, await self.asked(PASS, authorization=authorization)))

        async def together() -> None:
            await asyncio.gather(*map(one, customers))

        asyncio.run(together())
        return answers

    def token(self, customer: str = "ann", life: int = HOUR) -> str:
        return sign(SubjectToken(subject_id=customer, expires=self.time + life), SECRET)

    def ask(self, customer: str = "ann", **headers: str) -> httpx.Response:
        return self.get(PASS, authorization=f"Bearer {self.token(customer)}", **headers)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# -- the bundle ------------------------------------------------------------------------------------


def test_a_bundle_is_signed_and_anybody_may_read_it(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    answer = world.get(BUNDLE, origin="https://anywhere.example")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jose"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, no-cache"
    said = read_signed(answer.text, "forestall-edge-bundle", world.key.public)
    assert [one["name"] for one in said["policies"]] == ["lost"]
    assert said["issued"] <= NOW < said["expires"]


def test_who_has_it_already_is_told_so_until_anything_changes(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    tag = world.get(BUNDLE).headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        again = world.get(BUNDLE, if_none_match=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert world.get(BUNDLE, if_none_match='"other"').status_code == 200
    world.put(lost(priority=3))
    changed = world.get(BUNDLE, if_none_match=tag)
    assert changed.status_code == 200
    tag = changed.headers["etag"]
    new_key(tmp_path, random_id)
    renewed = world.get(BUNDLE, if_none_match=tag)
    assert renewed.status_code == 200
    read_signed(renewed.text, "forestall-edge-bundle", world.key.public)
    tag = renewed.headers["etag"]
    world.time += 12 * HOUR
    assert world.get(BUNDLE, if_none_match=tag).status_code == 200, "it was to end soon"


def test_what_is_switched_off_is_gone_at_the_next_request(tmp_path: Path) -> None:
    world = World(tmp_path, lost("a"), lost("b"))
    world.get(BUNDLE)
    world.govern(SwitchesApplied(0, ("a",), False, "test", "trouble"))
    said = read_signed(world.get(BUNDLE).text, "forestall-edge-bundle", world.key.public)
    assert [one["name"] for one in said["policies"]] == ["b"]
    world.govern(SwitchesApplied(0, (), True, "test", "trouble"))
    assert [world.get(BUNDLE).status_code, world.ask().status_code] == [204, 204]


def test_runbooks_that_change_change_the_bundle(tmp_path: Path) -> None:
    guide = {"guide": {"runbook": "lost", "channel": "inapp"}}
    world = World(tmp_path, on("{event: a}", cooldown="1h", playbook=[guide], edge=True))
    assert (world.get(BUNDLE).status_code, world.get(BUNDLE).content) == (204, b"")
    (tmp_path / "lost.md").write_text(
        "---\nid: lost\ntitle: T\nversion: 1\nowner: me\nreview_by: 2100-01-01\n---\n\n## Customer\n\nHi.\n"
    )
    world.runbooks = dict(load_runbooks(tmp_path))
    assert world.get(BUNDLE).status_code == 200


# -- passes ----------------------------------------------------------------------------------------


def test_a_pass_is_for_one_customer_and_signed(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    world.signals.commit([signals(records(event(0, "forestall.optout", subject="p-bob")))])
    answer = world.ask(**PAGE)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    said = read_signed(answer.text, "forestall-edge-pass", world.key.public)
    assert (said["subject"], said["who"], said["opted_out"]) == ("p-ann", {"subject": "ann"}, False)
    theirs = read_signed(world.ask("bob").text, "forestall-edge-pass", world.key.public)
    assert (theirs["subject"], theirs["opted_out"]) == ("p-bob", True)
    in_its_address = world.get(f"{PASS}?token={world.token()}")
    assert (in_its_address.status_code, in_its_address.json()["code"]) == (401, "token-missing")


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", "token-missing"),
        ("Basic YTpi", "token-missing"),
        ("Bearer x.y.z", "token-invalid"),
        ("Bearer " + sign(SubjectToken(subject_id="ann", expires=NOW - MINUTE), SECRET), "token-expired"),
        ("Bearer " + sign(SubjectToken(subject_id="ann", expires=NOW + HOUR), "z" * 40), "token-invalid"),
        ("Bearer " + sign_anonymous("signed-in-since-then", SECRET, NOW, HOUR), "token-invalid"),
    ],
)  # fmt: skip
def test_without_a_good_token_there_is_none(tmp_path: Path, token: str, expected: str) -> None:
    answer = World(tmp_path, lost()).get(PASS, authorization=token)
    assert code(answer) == (401, expected)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_visitor_who_is_not_known_yet_asks_again(tmp_path: Path) -> None:
    answer = World(tmp_path, lost()).ask("nobody")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["retry-after"] == "2"


def test_pages_of_other_origins_get_none(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    answer = world.ask(origin="https://evil.example")
    assert code(answer) == (403, "origin-not-allowed")
    assert "access-control-allow-origin" not in answer.headers
    asked = world.get(PASS, "OPTIONS", **PAGE)
    assert asked.status_code == 204
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert world.get(PASS, "OPTIONS").status_code == 405


def test_a_customer_gets_so_many_a_minute(tmp_path: Path) -> None:
    world = World(tmp_path, lost(), a_minute=2)
    assert [world.ask().status_code for _ in range(3)] == [200, 200, 429]
    assert world.ask("bob").status_code == 200
    world.time += MINUTE
    assert world.ask().status_code == 200


def test_counting_requests_needs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forestall.app.edge.MOST_COUNTED", 2)
    rate = _Rate(1)
    assert [rate.allows(one, 0) for one in ("a", "a", "b", "c", "a")] == [
        True, False, True, True, True,
    ]  # fmt: skip
    assert len(rate._counts) == 2


def _busy(world: World, subject: str, batches: int) -> None:
    for number in range(batches):
        opened = event(0, "page.opened", subject=subject, event_id=f"{subject}{number}")
        world.signals.commit([signals(records(opened))])


def test_who_has_little_history_does_not_wait_for_who_has_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forestall.decide.passes.PART", 500)
    world = World(tmp_path, lost())
    _busy(world, "p-ann", 200)
    _busy(world, "p-bob", 1)
    answers = world.ask_at_once("ann", "bob", "bob")
    assert [customer for customer, _ in answers] == ["bob", "bob", "ann"]
    for customer, answer in answers:
        said = read_signed(answer.text, "forestall-edge-pass", world.key.public)
        assert said["subject"] == f"p-{customer}"


def test_tabs_of_a_customer_that_ask_at_once_share_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, lost())
    _busy(world, "p-ann", 50)
    optout = event(999, "forestall.optout", subject="p-ann")
    world.signals.commit([signals(records(optout))])
    read: list[int] = []
    plainly = world.signals.read

    def counted(stream: str, **which: Any) -> Any:
        found = plainly(stream, **which)
        read.extend(batch.position for batch in found)
        return found

    monkeypatch.setattr("forestall.decide.passes.PART", 500)
    monkeypatch.setattr(world.signals, "read", counted)
    answers = world.ask_at_once("ann", "ann", "ann")
    assert read == list(range(1, 52))
    assert {code for _, answer in answers if (code := answer.status_code)} == {200}
    assert len({answer.text for _, answer in answers}) == 1


def test_what_broke_off_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a history is never told."""
    world = World(tmp_path, lost())
    for number in range(3):
        which = {"policy": "lost"}
        gone = event(number, "forestall.intervention.dismissed", which, subject="p-ann")
        world.signals.commit([signals(records(gone))])
    plainly = world.signals.read

    def breaks(stream: str, **which: Any) -> Any:
        if which["after"]:
            raise LogUnreadable("the disk is gone")
        return plainly(stream, **which)

    with monkeypatch.context() as patched:
        patched.setattr(world.signals, "read", breaks)
        assert code(world.ask()) == (503, "not-ready")
    said = read_signed(world.ask().text, "forestall-edge-pass", world.key.public)
    assert said["dismissed"] == {"lost": [3, False]}


def test_it_ends(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    assert world.ask().status_code == 200
    world.app.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        world.ask()


def test_other_paths_and_methods_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    assert code(world.get("/v1/edge/key")) == (404, "not-found")
    assert code(world.get(BUNDLE, "POST")) == (405, "method-not-allowed")
    assert world.get(BUNDLE, "HEAD").status_code == 200
    assert code(World(tmp_path, lost(), secret=None).ask()) == (501, "no-token-secret")


def test_a_log_that_cannot_be_read_is_no_stack_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, lost())

    def broken(*_: object) -> Any:
        raise LogUnreadable("the file is damaged")

    monkeypatch.setattr(world.signals, "of_subject", broken)
    answer = world.ask()
    assert code(answer) == (503, "not-ready")
    assert "damaged" not in answer.text


def test_a_key_that_others_can_read_is_no_stack_trace(tmp_path: Path) -> None:
    world = World(tmp_path, lost())
    file = tmp_path / KEY_FILE
    assert world.get(BUNDLE).status_code == 200
    file.chmod(0o644)
    answer = world.get(BUNDLE)
    assert code(answer) == (503, "not-ready")
    assert answer.headers["access-control-allow-origin"] == "*"
    file.chmod(0o600)
    assert world.get(BUNDLE).status_code == 200
