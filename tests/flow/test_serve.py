"""The whole server: three processes under one supervisor, from a request to a message."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import jwt
import pytest
from standardwebhooks import Webhook

from forestall.contracts.instants import SECOND
from forestall.kernel.clock import wall_clock
from running import SECRET, Server, cloud_event, running, until

TWICE = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards, owner: payments}
spec:
  when: {sequence: [{event: payment.declined, times: 2}], within: 10m}
  playbook:
    - guide: {text: "Try another card", channel: inapp}
"""


def declined(number: int, subject: str) -> dict[str, object]:
    return cloud_event(number, "payment.declined", subject, data={})


def token(subject: str) -> str:
    return jwt.encode({"sub": subject, "exp": wall_clock() // SECOND + 600}, SECRET, "HS256")


def messages(server: Server, subject: str, count: int) -> list[dict[str, object]]:
    """The first ``count`` messages on the subject's event stream."""
    found: list[dict[str, object]] = []
    parameters = {"token": token(subject)}
    with httpx.stream(
        "GET", f"{server.client.base_url}/v1/stream", params=parameters, timeout=20
    ) as stream:
        assert stream.status_code == 200
        event = ""
        for line in stream.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            if line.startswith("data:") and event == "message":
                found.append(json.loads(line.removeprefix("data:")))
                if len(found) == count:
                    return found
    raise AssertionError(found)


HANDED_OVER = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: stuck, title: Help when an export is stuck, owner: exports}
spec:
  when: {event: export.stuck}
  playbook:
    - guide: {text: "We are looking at export {{ event.data.export }}", channel: hook}
    - await: {event: export.done, for: 1s, then: resolved}
    - escalate: {queue: exports}
"""

WEBHOOK = """
[webhooks.hook]
url = "{url}"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
[queues.exports]
webhook = "hook"
"""


class Receiver:
    """A customer's endpoint on loopback; keeps what it was sent, not what broke off half-way."""

    def __init__(self) -> None:
        received = self.received = list[tuple[dict[str, str], bytes]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True
                    return
                received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "Receiver":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    """A server for all tests that leave it as it was. Each has customers and numbers of its own."""
    policies = {"declined.yaml": TWICE, "stuck.yaml": HANDED_OVER}
    settings = WEBHOOK.format(url=receiver.url)
    with running(tmp_path_factory.mktemp("server"), policies, settings) as server:
        yield server


def counted(server: Server, state: str) -> int:
    """How many interventions are in a state."""
    return int(server.overview()["interventions"]["by_state"].get(state, 0))


def test_a_customer_in_trouble_gets_a_message(shared: Server) -> None:
    before = counted(shared, "shown")
    answer = shared.send([declined(1, "alice"), declined(2, "alice"), declined(3, "bob")])
    assert answer.status_code == 202
    assert [entry["verdict"] for entry in answer.json()["verdicts"]] == ["accepted"] * 3
    (message,) = messages(shared, "alice", 1)
    assert message["body"] == "Try another card"
    until(lambda: counted(shared, "shown") == before + 1)

    explained = shared.run("explain", "--subject", "alice", "--policy", "declined", "--json")
    assert json.loads(explained.stdout)["decision"]["outcome"] == "intervene"
    why_not = shared.run("explain", "--subject", "bob", "--policy", "declined", "--json")
    found = json.loads(why_not.stdout)
    assert found["decision"] is None
    assert found["progress"][0]["reached"] == 1
    assert "payment.declined" in found["progress"][0]["missing"]
    assert shared.run("explain", "--subject", "carol", "--policy", "declined").returncode == 1

    until(shared.settled)
    metrics = shared.client.get("/metrics").text
    assert "forestall_decide_pending_events 0.0" in metrics


def test_policies_change_while_it_runs_and_broken_ones_do_not_count(tmp_path: Path) -> None:
    with running(tmp_path, {"declined.yaml": TWICE}) as server:
        server.send([declined(1, "alice")])
        until(server.settled)
        file = server.policies / "declined.yaml"
        file.write_text(TWICE.replace("within: 10m", "within 10m"))
        until(lambda: "forestall_policies_broken 1.0" in server.client.get("/metrics").text)
        assert "declined.yaml" in server.log.read_text()
        server.send([declined(2, "alice")])
        until(lambda: server.overview()["decisions"] == 1)

        file.write_text(TWICE.replace("times: 2", "times: 1"))
        until(lambda: "forestall_policies_broken 0.0" in server.client.get("/metrics").text)
        server.send([declined(3, "dora")])
        until(lambda: server.overview()["decisions"] == 2)
        until(server.settled)
        server.stop()
        assert _as_deployed(server) == _deployed(server)


def _deployed(server: Server) -> list[str]:
    """Ids of the decisions in the log, in order for each subject."""
    tail = server.run("log", "tail", "--stream", "decisions", "-n", "100000", "--json")
    entries = [json.loads(line) for line in tail.stdout.splitlines()]
    return sorted(entry["id"] for entry in entries)


def _as_deployed(server: Server) -> list[str]:
    out = server.folder / "again.ndjson"
    ran = server.run("backtest", str(server.data), "--as-deployed", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    return sorted(json.loads(line)["id"] for line in out.read_text().splitlines())


TOLD = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards, owner: payments}
spec:
  when: {sequence: [{event: payment.declined, times: 2}], within: 10m}
  valid_for: 1h
  playbook:
    - guide: {text: "Try another card", channel: inapp}
    - guide: {text: "Try another card", channel: hook}
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [6_000, pytest.param(20_000, marks=pytest.mark.soak)])
def test_nothing_acknowledged_is_lost_and_nobody_is_told_twice(tmp_path: Path, count: int) -> None:
    """``count`` events while each process in turn is killed with -9, ten times in all."""
    subjects = count // 40
    with (
        Receiver() as endpoint,
        running(tmp_path, {"declined.yaml": TOLD}, WEBHOOK.format(url=endpoint.url)) as server,
    ):
        acknowledged: list[str] = []

        def send() -> None:
            for start in range(0, count, 100):
                numbers = range(start, start + 100)
                events = [declined(number, f"customer-{number % subjects}") for number in numbers]
                acknowledged.extend(_send_until_acknowledged(server, events))

        sender = threading.Thread(target=send)
        sender.start()
        for number, role in enumerate(["gateway", "worker", "app"] * 3 + ["worker"]):
            until(partial(_reached, acknowledged, count * number * 19 // 200), 120)
            server.kill(role)
        sender.join()
        assert len(acknowledged) == count
        until(server.settled, 60)
        until(lambda: len(_told(endpoint)) == subjects, 120)
        for customer in ("customer-7", f"customer-{subjects - 1}"):
            assert len(messages(server, customer, 1)) == 1
        assert server.stop() == 0

        tail = server.run("log", "tail", "-n", "100000", "--json")
        ids = [json.loads(line)["id"] for line in tail.stdout.splitlines()]
        sent = [one for one in ids if one.startswith("e") and one[1:].isdigit()]
        assert len(sent) == len(set(sent))
        assert set(sent) == set(acknowledged)
        decided = _deployed(server)
        assert len(decided) == len(set(decided))
        assert decided == _as_deployed(server)
        begun = server.run("interventions", "list", "--limit", "10000", "--json")
        customers = [one["subject"] for one in json.loads(begun.stdout)]
        assert len(customers) == len(set(customers)) == subjects
    told = _told(endpoint)
    assert all(len(keys) == 1 for keys in told.values()), "a customer got two different messages"


def _reached(acknowledged: list[str], count: int) -> bool:
    return len(acknowledged) >= count


def _told(endpoint: Receiver) -> dict[str, set[str]]:
    """By customer, the ids of the messages the endpoint got; it drops what repeats an id."""
    found: dict[str, set[str]] = {}
    for headers, body in list(endpoint.received):
        found.setdefault(json.loads(body)["data"]["subject"], set()).add(headers["webhook-id"])
    return found


def _send_until_acknowledged(server: Server, events: list[dict[str, object]]) -> list[str]:
    def sent() -> list[str]:
        try:
            answer = server.send(events)
        except httpx.TransportError:
            return []
        if answer.status_code != 202:
            return []
        verdicts = answer.json()["verdicts"]
        assert {entry["verdict"] for entry in verdicts} <= {"accepted", "duplicate"}
        return [entry["id"] for entry in verdicts]

    found: list[str] = until(sent)
    return found


def test_it_stops_cleanly_whoever_listens_and_starts_where_it_was(shared: Server) -> None:
    shared.send([declined(11, "stays")])
    until(shared.settled)
    address = f"{shared.client.base_url}/v1/stream"
    with httpx.stream("GET", address, params={"token": token("listens")}, timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        assert shared.stop() == 0
        assert not any(line.startswith("data:") for line in lines)
    assert "graceful" not in shared.log.read_text()
    shared.start()
    before = shared.overview()["decisions"]
    shared.send([declined(12, "stays")])
    until(lambda: shared.overview()["decisions"] == before + 1)


def test_a_second_server_in_the_same_folder_is_refused(shared: Server) -> None:
    second = shared.apart("serve", "--config", str(shared.config))
    assert second.returncode == 2
    assert "stop it first" in second.stderr


def test_a_taken_port_is_told_at_once(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with socket.create_server(("127.0.0.1", server.port)):
        refused = server.apart("serve", "--config", str(server.config))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"127.0.0.1:{server.port}: Address already in use;"
        " stop what listens there, or set [server] port\n"
    )


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.data.write_text("a file stands where the folder should be")
    refused = server.apart("serve", "--config", str(server.config))
    assert refused.returncode == 2
    assert refused.stderr == f"{server.data}: cannot be written: File exists\n"


def test_processes_end_when_their_supervisor_is_killed(shared: Server) -> None:
    children = shared.children().values()
    assert shared.process is not None
    shared.process.send_signal(signal.SIGKILL)
    shared.process.wait()
    until(lambda: not any(_alive(pid) for pid in children))
    shared.start()


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def test_a_deployment_with_mistakes_does_not_start(tmp_path: Path) -> None:
    server = Server(tmp_path)
    (server.policies / "p.yaml").write_text("kind: Policy\n")
    refused = server.apart("serve", "--config", str(server.config))
    assert refused.returncode == 2
    assert "p.yaml:1:1" in refused.stderr
    assert "Traceback" not in refused.stderr
    missing = server.apart("serve", "--config", "nowhere.toml")
    assert missing.returncode == 2
    assert "nowhere.toml" in missing.stderr


def test_the_three_roles_run_apart(tmp_path: Path) -> None:
    server = Server(tmp_path)
    (server.policies / "declined.yaml").write_text(TWICE)
    command = [sys.executable, "-m", "forestall", "serve", "--config", str(server.config), "--role"]
    with server.log.open("ab") as log:
        roles = {
            role: subprocess.Popen([*command, role], stdout=log, stderr=log)
            for role in ("app", "worker", "gateway")
        }
    try:
        server.process = roles["gateway"]
        until(server.ready, 60)
        server.send([declined(1, "alice"), declined(2, "alice")])
        assert messages(server, "alice", 1)[0]["body"] == "Try another card"
    finally:
        for process in roles.values():
            process.send_signal(signal.SIGTERM)
        codes = {role: process.wait(30) for role, process in roles.items()}
        server.client.close()
    assert codes == {"app": 0, "worker": 0, "gateway": 0}, server.log.read_text()


def test_a_trace_leads_from_the_request_to_the_signed_webhook_and_the_case(
    shared: Server, receiver: Receiver
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    before = counted(shared, "escalated")
    receiver.received.clear()
    answer = shared.client.post(
        "/v1/events",
        json=cloud_event(21, "export.stuck", "traced", data={"export": "e-7"}),
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    assert answer.status_code == 202
    until(lambda: len(receiver.received) == 2)
    until(lambda: counted(shared, "escalated") == before + 1)
    signer = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = {
        one["type"]: one
        for one in (signer.verify(body, headers) for headers, body in receiver.received)
    }
    message, case = sent["forestall.message"], sent["forestall.case"]
    assert message["data"]["body"] == "We are looking at export e-7"
    assert all(trace in headers["traceparent"] for headers, _ in receiver.received)
    assert case["data"]["trace"] == trace


def test_no_file_holds_what_names_a_customer(tmp_path: Path) -> None:
    """Everything that any process wrote, its log lines included."""
    raw = ["alice-4711", "visitor-0123456789abcdef", "alice@example.com", "Alice Liddell"]
    traits = {"email": raw[2], "name": raw[3], "plan": "pro"}
    with running(tmp_path, {"declined.yaml": TWICE}) as server:
        identify = {"type": "identify", "userId": raw[0], "anonymousId": raw[1], "traits": traits}
        track = {"type": "track", "anonymousId": raw[1], "event": "Payment Declined"}
        batch = [{**track, "messageId": "m1"}, {**identify, "messageId": "m2"}]
        batch.append({**track, "userId": raw[0], "messageId": "m3"})
        assert server.client.post("/v1/batch", json={"batch": batch}).status_code == 200
        assert messages(server, raw[0], 1)
        until(lambda: server.overview()["interventions"]["by_state"].get("shown") == 1)
        refused = cloud_event(9, "Not A Type", raw[0], data={"email": raw[2]})
        assert server.send([refused]).json()["verdicts"][0]["verdict"] == "quarantined"
        assert server.stop() == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".toml"]
    assert {"gateway.db", "worker.db", "app.db", "serve.log"} <= {p.name for p in written}
    for path in written:
        content = path.read_bytes()
        for secret in raw:
            assert secret.encode() not in content, f"{secret} in {path.name}"


def test_a_visitors_token_ends_with_the_sign_in(shared: Server) -> None:
    visitor = "visitor-0123456789abcdef"
    made = shared.client.post("/v1/anonymous-tokens", json={"anonymousId": visitor})
    query = {"token": made.json()["token"]}
    identify = {"type": "identify", "userId": "known", "anonymousId": visitor, "messageId": "m"}
    assert shared.client.post("/v1/identify", json=identify).status_code == 200
    refused = shared.client.get("/v1/stream", params=query)
    assert refused.status_code == 401
    assert refused.json()["code"] == "token-invalid"


@pytest.mark.parametrize(("text", "code"), [(None, "synonyms-file"), ("alone\n", "synonyms-alone")])
def test_synonyms_that_cannot_be_read_are_refused_at_the_start(
    tmp_path: Path, text: str | None, code: str
) -> None:
    server = Server(tmp_path, '[knowledge]\nsynonyms = "words.txt"\n')
    if text is not None:
        (server.config.parent / "words.txt").write_text(text)
    refused = server.apart("serve", "--config", str(server.config))
    assert refused.returncode == 2
    assert "words.txt:1:1" in refused.stderr
    assert code in refused.stderr
    assert "Traceback" not in refused.stderr
