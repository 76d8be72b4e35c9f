"""``make demo``: half a year of a web shop, played through a real server in a few seconds.

Fetches the history, starts ``forestall serve`` with the deployment beside this file, plays every
event over HTTP, waits until everything is decided and carried out, and scores what came of it. Then
it opens the shop itself, to click through.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.shop import history
from examples.shop.asking import QUESTION, Answered, ask
from examples.shop.desk import Desk
from examples.shop.opening import HOST, PORT, Shop
from examples.shop.player import DemoFailed, await_settled, play
from forestall.contracts.decision import Decision
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import DAY
from forestall.kernel.clock import random_id
from forestall.kernel.settings import Settings, load_settings
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECISIONS, read_decisions
from forestall.measure.score import Score, score

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("forestall.toml")
SECRETS = {
    "SHOP_BROWSER_KEY": "",
    "SHOP_SERVER_KEY": "",
    "SHOP_TOKEN_SECRET": "",
    "SHOP_WEBHOOK_SECRET": "whsec_",
    "SHOP_PAYMENTS_TOKEN": "",
}
"""Environment variables that the settings name, and how their values begin."""

MARK = "made-by-the-demo"
PATIENCE = 150.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when all went well, 1 when not."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the summary")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the shop's forestall.toml")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / ".cache" / "demo", help="where the history is kept"
    )
    parser.add_argument(
        "--summary",
        type=Path,
        default=Path("demo-summary.json"),
        help="the file for the figures, as JSON",
    )
    parser.add_argument("--shop-port", type=int, default=PORT, help="where the shop is opened")
    options = parser.parse_args(arguments)
    shop_port = None if options.once else options.shop_port
    console = Console()
    try:
        return run(console, options.config, options.cache, options.summary, shop_port)
    except (DemoFailed, ForestallError, history.HistoryMissing) as error:
        Console(stderr=True).print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        Console(stderr=True).print(f"demo: {told}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped before the end.")
        return 1


def run(console: Console, config: Path, cache: Path, summary: Path, shop_port: int | None) -> int:
    """Fetch, serve, play, wait, score; then open the shop and stay up until Ctrl-C, unless there is
    no ``shop_port``."""
    settings = prepare(config)
    _free(
        settings.server.host,
        settings.server.port,
        "another port under [server] in the shop's forestall.toml",
    )
    if shop_port:
        _free(HOST, shop_port, "another --shop-port")
    with console.status("Fetching the shop's history"):
        rows = history.read(history.fetch(cache))
    address = settings.server.url
    started = time.monotonic()
    with ExitStack() as stack:
        desk = stack.enter_context(_desk(settings))
        server = stack.enter_context(served(config, cache / "server.log"))
        client = stack.enter_context(httpx.Client(base_url=address, timeout=30, trust_env=False))
        await_ready(client, server)
        console.print(f"Serving on {address}/ (open it in a browser and watch)")
        verdicts = _play(console, client, settings, rows)
        seconds = time.monotonic() - started
        with console.status("Waiting until everything is decided and begun"):
            last = await_settled(client, PATIENCE, lambda _: _alive(server))
        result = score(history.visits(rows), decisions(settings.data), grace=settings.decide.grace)
        _report(console, result, last["interventions"]["by_state"], verdicts, len(desk.cases))
        console.print(f"Played in {seconds:.0f} s, done after {time.monotonic() - started:.0f} s.")
        _report_answer(console, _ask(client, settings, rows))
        body = msgspec.json.format(msgspec.json.encode(result), indent=2)
        summary.write_bytes(body + b"\n")
        console.print(f"The same in {summary}.")
        if shop_port is not None:
            shop = stack.enter_context(opened(settings, shop_port))
            stay(console, address, shop.url, server)
    return 0


def prepare(config: Path) -> Settings:
    """Give the deployment fresh secrets (unless the environment has them) and an empty data
    folder. Raises ``DemoFailed`` if its folder is not one of ours."""
    for name, prefix in SECRETS.items():
        os.environ.setdefault(name, prefix + random_id())
    settings = load_settings(config)
    if settings.data.exists():
        if not (settings.data / MARK).exists():
            raise DemoFailed(f"{settings.data} is not a demo's data; move it away")
        shutil.rmtree(settings.data)
    settings.data.mkdir(parents=True)
    (settings.data / MARK).touch()
    return settings


def _free(host: str, port: int, instead: str) -> None:
    """Raises ``DemoFailed`` if something else listens where we are to listen."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((host, port)) == 0:
            raise DemoFailed(
                f"something already listens on {host}:{port}; stop it, or name {instead}"
            )


def decisions(data: Path) -> Iterator[Decision]:
    """Every decision in the log of the server whose data folder is ``data``."""
    log = SqliteLog(data / "worker.db", read_only=True)
    try:
        for batch in log.follow(DECISIONS):
            for entry in read_decisions(batch):
                yield entry.decision
    finally:
        log.close()


def _desk(settings: Settings) -> Desk:
    hook = settings.webhooks["desk"]
    url = urlsplit(hook.url)
    try:
        return Desk(url.hostname or "127.0.0.1", url.port or 80, hook.secret)
    except OSError as error:
        raise DemoFailed(
            f"{url.netloc}, where the help desk listens: {error.strerror}; stop what listens there"
        ) from None


@contextmanager
def served(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``forestall serve``, in a session of its own so that Ctrl-C reaches only the demo."""
    command = [sys.executable, "-m", "forestall", "serve", "--config", str(config)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    except DemoFailed as error:
        tail = log.read_text(errors="replace").splitlines()[-15:]
        raise DemoFailed("\n".join([str(error), f"The last lines of {log}:", *tail])) from None
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _alive(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        raise DemoFailed(f"the server ended with exit code {server.returncode}")


def await_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server takes events. Raises ``DemoFailed`` if it ends, or takes too long."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        _alive(server)
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise DemoFailed("the server did not become ready within a minute")


def _play(
    console: Console, client: httpx.Client, settings: Settings, rows: Sequence[history.Row]
) -> Counter[str]:
    key = next(key.key for key in settings.keys if key.origin == "server")
    events = history.events(rows)
    columns = (
        TextColumn("Playing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("events", total=len(events))
        verdicts = play(client, key, events, lambda number: progress.advance(task, number))
    if unwanted := verdicts.total() - verdicts["accepted"]:
        raise DemoFailed(f"{unwanted} events were not accepted: {dict(verdicts)}")
    return verdicts


def _ask(client: httpx.Client, settings: Settings, rows: Sequence[history.Row]) -> Answered:
    key = next(key.key for key in settings.keys if key.origin == "server")
    after = max(row.at for row in rows) + DAY
    return ask(client, key, settings.tokens.secret or "", settings.data, after)


def _report_answer(console: Console, answered: Answered) -> None:
    how = answered.inference
    source = "a language model" if how.by == "model" else "what the shop knows, without a model"
    console.print(
        f"Then a customer asks: [italic]{QUESTION}[/]\nThe agent {how.agent} answers from {source}"
        f" ({how.by}; {', '.join(how.evidence)}), {answered.seconds:.1f} s later:"
    )
    console.print(f"[bold]{answered.message}[/]\n", highlight=False)


def _report(
    console: Console, result: Score, states: dict[str, int], verdicts: Counter[str], cases: int
) -> None:
    tickets = verdicts.total() - result.events
    console.print(
        f"\n{result.events:,} events of {result.sessions:,} sessions"
        f" (and {tickets} tickets closed by the desk), all accepted and decided on."
    )
    lead = result.median_lead_seconds
    median = "" if lead is None else f", {lead / 60:.0f} minutes before it at the median"
    console.print(
        f"In [bold]{result.reached_before_chat} of the {result.chat_sessions}[/] sessions with a"
        f" support chat an intervention came before the chat{median}."
    )
    console.print(
        f"{result.interventions:,} interventions,"
        f" {result.interventions_per_1000_sessions:,.0f} per 1,000 sessions; {cases} cases reached"
        f" the help desk; by state: {_listed(states)}.\n"
    )
    console.print(_by_policy(result))
    for outcome, counts in result.decisions.items():
        reasons = {reason: number for reason, number in counts.items() if reason != "total"}
        detail = f": {_listed(reasons)}" if reasons else ""
        console.print(f"{counts['total']:,} decisions to {outcome}{detail}")
    console.print(f"\n[italic]{result.caveat}[/]\n")


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number:,}" for name, number in ordered)


def _by_policy(result: Score) -> Table:
    table = Table("policy", title="By policy", title_justify="left", caption_justify="left")
    table.caption = (
        "Several interventions can come before one chat, and several chats in one session."
    )
    for heading in ("interventions", "followed by a chat", "precision"):
        table.add_column(heading, justify="right")
    rows = sorted(result.by_policy.items(), key=lambda item: -(item[1].precision or 0))
    for name, one in rows:
        precision = "" if one.precision is None else f"{one.precision:.0%}"
        table.add_row(name, f"{one.interventions:,}", f"{one.followed_by_chat:,}", precision)
    return table


@contextmanager
def opened(settings: Settings, port: int) -> Iterator[Shop]:
    """The shop, open. Raises ``DemoFailed`` where it cannot be opened."""
    with ExitStack() as stack:
        try:
            shop = stack.enter_context(Shop(settings, port))
        except (OSError, httpx.HTTPError) as error:
            raise DemoFailed(f"the shop cannot be opened: {error}") from None
        yield shop


def stay(console: Console, address: str, shop: str, server: subprocess.Popen[bytes]) -> None:
    """Say where the console and the shop are, and wait for Ctrl-C."""
    console.print(f"\nStill serving; Ctrl-C ends it.\nThe console: {address}/", soft_wrap=True)
    console.print(f"The shop:    [bold]{shop}/[/]", soft_wrap=True)
    console.print(
        "Open both, and try the shop's Troubles (bottom left): Stage “payment-failed”, press “Pay”,"
        " and help comes.",
        soft_wrap=True,
    )
    console.print(
        "For whom, and why: .venv/bin/forestall interventions list --config"
        " examples/shop/forestall.toml",
        soft_wrap=True,
        highlight=False,
    )
    try:
        while True:
            _alive(server)
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("\nStopping.")


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
