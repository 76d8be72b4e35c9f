"""The SDK as the gateway serves it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from forestall.ingest.exchange import Refuse, Request, Response
from forestall.ingest.scripts import script
from serving import running, settings


def ask(path: str, folder: Path, **headers: str) -> Response:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }
    return script(Request(scope, receive), folder)


def test_any_page_may_load_it(tmp_path: Path) -> None:
    (tmp_path / "forestall.js").write_bytes(b"1")
    answer = ask("/sdk/forestall.js", tmp_path)
    assert (answer.status, answer.body) == (200, b"1")
    assert answer.content_type == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("known", ["{}", "W/{}", '"x", {}', "*"])
def test_what_the_browser_has_is_not_sent_again(tmp_path: Path, known: str) -> None:
    (tmp_path / "forestall.js").write_bytes(b"1")
    etag = ask("/sdk/forestall.js", tmp_path).headers["etag"]
    again = ask("/sdk/forestall.js", tmp_path, if_none_match=known.format(etag))
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    (tmp_path / "forestall.js").write_bytes(b"2")
    fresh = ask("/sdk/forestall.js", tmp_path, if_none_match=etag)
    assert (fresh.status, fresh.body) == (200, b"2")


@pytest.mark.parametrize("accepted", ["gzip", "br;q=1.0, GZIP;q=0.8, *;q=0.1", "x-gzip"])
def test_whoever_takes_gzip_gets_it_packed(tmp_path: Path, accepted: str) -> None:
    body = b"let one = 1;" * 100
    (tmp_path / "forestall.js").write_bytes(body)
    plain = ask("/sdk/forestall.js", tmp_path)
    packed = ask("/sdk/forestall.js", tmp_path, accept_encoding=accepted)
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == body
    assert len(packed.body) < len(body) / 5
    assert {one.headers["vary"] for one in (plain, packed)} == {"accept-encoding"}
    etag = packed.headers["etag"]
    assert etag != plain.headers["etag"], "RFC 9110, 8.8.3: two bodies have two strong tags"
    again = ask("/sdk/forestall.js", tmp_path, accept_encoding=accepted, if_none_match=etag)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0", "gzip; q=0.000, br", "*"])
def test_nobody_else_does(tmp_path: Path, accepted: str) -> None:
    (tmp_path / "forestall.js").write_bytes(b"1")
    plain = ask("/sdk/forestall.js", tmp_path, accept_encoding=accepted)
    assert plain.body == b"1"
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "name", ["", "../gateway.py", "sources.sha256", "forestall.js/", "%2e%2e/x", "a" * 5000]
)
def test_nothing_else_is_served(tmp_path: Path, name: str) -> None:
    (tmp_path / "sources.sha256").write_bytes(b"1")
    with pytest.raises(Refuse) as caught:
        ask(f"/sdk/{name}", tmp_path)
    assert (caught.value.status, caught.value.code) == (404, "not-found")


def test_what_was_not_built_is_said_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(Refuse) as caught:
        ask("/sdk/forestall-ui.js", tmp_path)
    assert (caught.value.status, caught.value.code) == (404, "sdk-not-built")
    assert "make sdk" in caught.value.detail


def test_over_http(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        whole = server.client.get("/sdk/integrity.json")
        assert whole.status_code == 200
        assert all(value.startswith("sha384-") for value in json.loads(whole.text).values())
        same = server.client.get(
            "/sdk/integrity.json", headers={"if-none-match": whole.headers["etag"]}
        )
        assert (same.status_code, same.content) == (304, b"")
        script = server.client.get("/sdk/forestall.js", headers={"accept-encoding": "gzip"})
        assert script.headers["content-encoding"] == "gzip"
        assert int(script.headers["content-length"]) <= 8192 < len(script.content)
        assert server.client.head("/sdk/forestall.js").status_code == 200
        assert server.client.get("/sdk/nothing.js").json()["code"] == "not-found"
        assert server.post("/sdk/forestall.js", {}).status_code == 405
