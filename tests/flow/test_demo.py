"""The demo from end to end: a small history through a real server, with the shop's own files."""

import hashlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest
from rich.console import Console

from examples.shop import demo, history
from examples.shop.player import DemoFailed
from forestall.contracts.instants import MINUTE, format_time, parse_time
from forestall.kernel.settings import load_settings
from running import free_port

HEADER = (
    "user_id,session_id,event,timestamp,platform,acquisition_channel,user_cohort,user_lifecycle"
)


AT_THE_END = "the gateway did not take reports; they wait"
"""A warning where a report comes about while the server stops, the gateway first."""


def rows() -> Iterator[str]:
    """Twenty quiet visits; three whose payment fails, in two of which a chat follows; one chat
    out of the blue, and one before the payment fails."""
    start = parse_time("2024-05-01T08:00:00Z")
    visits = [["home", "product_view", "cart", "purchase"]] * 20
    visits += [["cart", "payment_error", "support_chat"]] * 2
    visits += [["cart", "payment_error", "purchase"]]
    visits += [["home", "support_chat"], ["cart", "support_chat", "payment_error"]]
    for number, visit in enumerate(visits):
        for step, event in enumerate(visit):
            at = format_time(start + number * 10 * MINUTE + step * MINUTE)
            when = at.replace("T", " ")[:19]
            yield f"user_{number},sess_{number},{event},{when},mobile,email,2024-01,new"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shop on free ports, with the small history in its cache."""
    folder = tmp_path / "shop"
    shutil.copytree(Path(demo.__file__).parent, folder, ignore=shutil.ignore_patterns("*.py*"))
    config = folder / "forestall.toml"
    text = config.read_text().replace("../../.cache/demo/data", "data")
    for old, new in ((8080, free_port()), (8081, free_port())):
        text = text.replace(str(old), str(new))
    config.write_text(text)
    content = "\n".join([HEADER, *rows()]).encode()
    (tmp_path / "ecom.csv").write_bytes(content)
    monkeypatch.setattr(history, "SHA256", hashlib.sha256(content).hexdigest())
    for name, prefix in demo.SECRETS.items():
        monkeypatch.setenv(name, prefix + "0" * 32)
    return config


def test_the_demo_plays_decides_and_scores(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "demo-summary.json"
    arguments = ["--once", "--config", shop, "--cache", tmp_path, "--summary", summary]
    code = demo.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    result = msgspec.json.decode(summary.read_bytes())
    assert result["events"] == 94
    assert result["sessions"] == 25
    assert result["chat_sessions"] == 4
    assert result["reached_before_chat"] == 2
    assert result["median_lead_seconds"] == 60
    assert result["interventions"] == 3
    assert result["decisions"]["intervene"] == {"total": 3}
    assert result["decisions"]["suppress"] == {"total": 1, "in_conversation": 1}
    assert result["by_policy"] == {
        "payment-failed": {"interventions": 3, "followed_by_chat": 2, "precision": 0.667}
    }
    answer = " ".join(said.out.split())
    assert "The agent checkout-helper answers from what the shop knows, without a model" in answer
    assert "Can I pay with PayPal?" in answer
    assert "(composer; payment-methods@1#with-a-wallet), " in answer
    assert "later: Apple Pay, Google Pay and PayPal work in the app and in the browser." in answer
    assert "cannot show whether a chat would have been avoided" in said.out
    log = (tmp_path / "server.log").read_text().splitlines()
    wrong = [line for line in log if "Traceback" in line or "arning" in line]
    assert not [line for line in wrong if AT_THE_END not in line]


def test_a_broken_deployment_ends_the_demo_with_its_mistake(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = shop.parent / "policies" / "payments.yaml"
    policy.write_text(policy.read_text().replace("cooldown: 1h", "cooldwon: 1h"))
    code = demo.main(["--once", "--config", str(shop), "--cache", str(tmp_path)])
    assert code == 1
    assert "cooldwon" in capsys.readouterr().err


def test_a_taken_port_is_told_before_anything_is_played(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", load_settings(shop).server.port)):
        code = demo.main(["--once", "--config", str(shop), "--cache", str(tmp_path)])
    assert code == 1
    assert "already listens" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code = demo.main(["--shop-port", port, "--config", str(shop), "--cache", str(tmp_path)])
    assert code == 1
    assert f"{port}; stop it, or name another --shop-port" in " ".join(
        capsys.readouterr().err.split()
    )


def test_in_the_end_it_says_where_to_go_and_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    server = Mock(poll=Mock(side_effect=[None, KeyboardInterrupt]))
    demo.stay(Console(), "http://127.0.0.1:1", "http://127.0.0.1:2", server)
    said = capsys.readouterr().out
    assert "http://127.0.0.1:1/" in said
    assert "http://127.0.0.1:2/" in said
    assert "Troubles" in said


def test_a_shop_without_a_server_cannot_be_opened(shop: Path) -> None:
    with (
        pytest.raises(DemoFailed, match=r"cannot be opened: no server answers at http://.*serve`"),
        demo.opened(load_settings(shop), 0),
    ):
        pass


def test_a_cache_that_cannot_be_written_ends_it_without_a_stack(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "file"
    cache.touch()
    assert demo.main(["--once", "--config", str(shop), "--cache", str(cache / "below")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert told == f"demo: {cache / 'below'}: Not a directory"
