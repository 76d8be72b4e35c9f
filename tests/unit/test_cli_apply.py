"""``forestall apply``, ``drift`` and ``due`` as people use them, against the real API on loopback."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from flow.staffed import Staffed
from forestall.app.applying import Applying
from forestall.app.judging import Judging
from forestall.cli import door
from forestall.cli.apply import Commit, commit_of, waited
from forestall.cli.person import TOKEN, Refused
from forestall.cli.plan_text import plan_text
from forestall.console import lifecycle_api
from forestall.console.api import Api
from forestall.console.lifecycle_api import Desk
from forestall.contracts.control import PoliciesApplied
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.intervene.authority import People
from forestall.kernel.clock import random_id, wall_clock
from forestall.kernel.settings import Person
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import control
from forestall.policy.lifecycle import Rules
from forestall.policy.plan import Checked, Line, Plan
from forestall.policy.store import REGISTRY_FILE, Registry
from unit.test_cli_people import serving

app = door()

ANN, OLE = "ann-0123456789abcdefghij", "ole-0123456789abcdefghij"
PEOPLE = People({"ann": Person(ANN, ("author",)), "ole": Person(OLE, ("operator",))})
POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: p, owner: us, review_by: 2020-01-31}
spec:
  when: {event: a.b}
  playbook: [{guide: {text: Hello, channel: inapp}}]
"""


class Shop:
    """A deployment in a folder: its settings, its data, and a folder to apply."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.git, self.data = folder, folder / "git", folder / "data"
        self.git.mkdir()
        self.data.mkdir()
        self.config = folder / "forestall.toml"
        SqliteLog(self.data / "gateway.db").close()
        self.worker = SqliteLog(self.data / "worker.db")
        self.write(POLICY)

    def configure(self, port: int, more: str = "") -> None:
        self.config.write_text(
            f'[server]\nport = {port}\n[policies]\nfolder = "git"\n'
            f"[lifecycle]\nmanaged = true\n{more}"
        )

    def write(self, text: str, name: str = "p.yaml") -> None:
        (self.git / name).write_text(text)

    def run(self, *words: str, token: str = ANN, given: str = "") -> Result:
        told = CliRunner().invoke(
            app,
            [*words, "--config", str(self.config)],
            env={TOKEN: token, "COLUMNS": "200"},
            input=given,
        )
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            raise told.exception
        return told

    def apply(self, *words: str, **more: Any) -> Result:
        return self.run("apply", str(self.git), *words, **more)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.worker.close()


@pytest.fixture
def served(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The shop with an API that takes plans."""
    (tmp_path / "staff").mkdir()
    registry = Registry(shop.data / REGISTRY_FILE, rules=Rules())
    desk = Desk(registry, wall_clock)
    applying = Applying(desk, Judging(random_id), str(shop.config))
    office = replace(Staffed(tmp_path / "staff").office, people=PEOPLE)
    for port in serving(Api(office, lifecycle_api.extension(desk), applying.extension())):
        shop.configure(port)
        yield shop
    registry.close()


def test_a_plan_is_shown_and_says_by_its_exit_code_whether_there_is_something_to_do(
    served: Shop,
) -> None:
    told = served.apply("--plan")
    assert told.exit_code == 1
    assert "+ policy p" in told.output
    as_json = served.apply("--plan", "--json", "--no-backtest")
    assert as_json.exit_code == 1
    plan = json.loads(as_json.stdout)
    assert [(one["name"], one["what"]) for one in plan["lines"]] == [("p", "new")]
    assert plan["unbacked"] == ""
    served.apply("--yes", "--reason", "first")
    after = served.apply("--plan")
    assert (after.exit_code, after.stdout) == (
        0,
        "Nothing to do: set blue has all of it.\n  1 unchanged\n",
    )
    assert json.loads(served.apply("--plan", "--json").stdout)["lines"][0]["what"] == "unchanged"


def test_nothing_is_applied_without_a_yes(served: Shop) -> None:
    told = served.apply("--reason", "first", given="n\n")
    assert told.exit_code == 1
    assert "Apply this?" in told.output
    assert "+ policy p" in served.apply("--plan").output
    told = served.apply("--reason", "first", given="y\n")
    assert told.exit_code == 0
    assert "policy p" in told.output.splitlines()[-1]
    assert told.output.rstrip().endswith("is validated.")
    assert "Nothing to do" in served.apply("--reason", "again").output


def test_what_was_applied_is_told_as_json(served: Shop) -> None:
    told = served.apply("--yes", "--reason", "first", "--json")
    (one,) = json.loads(told.stdout)["applied"]
    assert (one["name"], one["state"], len(one["version"])) == ("p", "validated", 64)


def test_into_another_set(served: Shop) -> None:
    served.apply("--yes", "--reason", "first", "--set", "green")
    assert served.apply("--plan", "--set", "green").exit_code == 0
    assert served.apply("--plan").exit_code == 1


def test_who_may_and_who_has_to_say_why(served: Shop) -> None:
    with pytest.raises(UnreadableInput, match="say why with --reason"):
        served.apply("--yes")
    with pytest.raises(Refused, match="role-missing"):
        served.apply("--yes", "--reason", "mine", token=OLE)
    with pytest.raises(UnreadableInput, match="set FORESTALL_TOKEN"):
        served.apply("--plan", token="")
    with pytest.raises(UnreadableInput, match="no such folder"):
        served.run("apply", str(served.git / "nowhere"), "--plan")
    (served.git / "empty").mkdir()
    with pytest.raises(UnreadableInput, match="nothing in it to apply"):
        served.run("apply", str(served.git / "empty"), "--plan")
    assert served.run("apply", str(served.git / "empty"), "--plan", "--prune").exit_code == 0


def test_mistakes_are_told_as_the_server_found_them(served: Shop) -> None:
    served.write("kind: Polizy\n", "q.yaml")
    with pytest.raises(UnreadableInput, match=r"q.yaml:1:7: error: `kind` must be `Policy`"):
        served.apply("--plan")


def test_a_job_that_is_forgotten_is_refused(served: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, ANN)
    with pytest.raises(Refused, match="there is no job nothing"):
        waited(served.config, "plans", "nothing", lambda _: None)


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    (tmp_path / "a").write_text("a")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=ann", "-c", "user.email=a@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "One"]):
        subprocess.run([*git, *words], check=True)
    clean = commit_of(tmp_path)
    assert clean is not None
    assert (len(clean.commit), clean.dirty) == (40, False)
    (tmp_path / "b").write_text("b")
    assert commit_of(tmp_path) == Commit(clean.commit, True)
    (tmp_path / ".gitignore").write_text("ignored/\n")
    (tmp_path / "ignored").mkdir()
    (tmp_path / "ignored" / "c").write_text("c")
    assert commit_of(tmp_path / "ignored") is None


# -- as text ---------------------------------------------------------------------------------------


def test_every_sort_of_line_is_told() -> None:
    lines = (
        Line(kind="policy", name="a", what="new", version="1" * 64, words=("when `x`",)),
        Line(
            kind="policy",
            name="b",
            what="changed",
            version="2" * 64,
            before="1" * 64,
            checked=Checked(1, 2, 0, ("f.yaml:1:1: error: wrong\n    hint: mend it",)),
        ),
        Line(
            kind="policy",
            name="c",
            what="restated",
            version="3" * 64,
            before="3" * 64,
            state="live",
            besides=("`owner` is 'x'",),
        ),
        Line(kind="policy", name="d", what="gone", before="4" * 64, state="live"),
        Line(kind="policy", name="e", what="unchanged", version="5" * 64),
    )
    plan = Plan(set="blue", prune=False, lines=lines, unbacked="the log holds no event yet")
    assert list(plan_text(plan, ["f.yaml:1:1: warning: hm"])) == [
        "f.yaml:1:1: warning: hm",
        f"Plan {plan.hash[:12]} for set blue:",
        "  + policy a 11111111: new",
        "      when `x`",
        "  ~ policy b 11111111 -> 22222222: changed",
        "      tests passed: 2",
        "      WRONG f.yaml:1:1: error: wrong",
        "          hint: mend it",
        "      it stays a draft",
        "  = policy c 33333333, live: changes no decision",
        "      `owner` is 'x' (changes no decision)",
        "  - policy d 44444444, live: not in the folder; --prune retires it",
        "  1 unchanged",
        "No backtest: the log holds no event yet.",
    ]
    failing = replace(lines[2], checked=Checked(0, 0, 1, ("test `t`: it came",)))
    assert list(plan_text(replace(plan, lines=(failing,)), []))[3:5] == [
        "      WRONG test `t`: it came",
        "      it stays live",
    ]
    assert "  - policy d 44444444, live: not in the folder, is retired" in list(
        plan_text(replace(plan, prune=True), [])
    )


# -- drift and reviews -----------------------------------------------------------------------------


def test_drift_is_listed_and_counted_by_the_exit_code(served: Shop) -> None:
    served.worker.commit([control([PoliciesApplied(1, (), {}, "files", "none")])])
    told = served.run("drift")
    assert told.exit_code == 1
    assert "the registry does not know the folder's version: apply it" in told.output
    served.apply("--yes", "--reason", "first")
    told = served.run("drift")
    assert told.exit_code == 0
    assert "the folder's version is not live yet (validated)" in told.output
    (one,) = json.loads(served.run("drift", "--json").stdout)
    assert (one["name"], one["what"], one["live"]) == ("p", "on-its-way", "")
    served.write("nonsense: [", "q.yaml")
    with pytest.raises(InvalidFile, match=r"q.yaml:2:1"):
        served.run("drift")


def test_reviews_that_are_overdue_are_listed(shop: Shop) -> None:
    shop.configure(1, '[runbooks]\nfolder = "runbooks"\n[actions]\nfolder = "actions"\n')
    shop.config.write_text(shop.config.read_text().replace("managed = true", "managed = false"))
    (shop.folder / "runbooks").mkdir()
    (shop.folder / "actions").mkdir()
    (shop.folder / "runbooks" / "r.md").write_text(
        "---\nid: r\ntitle: R\nversion: 1\nowner: me\nreview_by: 2019-12-31\n---\n## Customer\nHi\n"
    )
    (shop.folder / "actions" / "a.yaml").write_text(
        "apiVersion: forestall/v1\nkind: Agent\n"
        "metadata: {name: sorter, owner: care, review_by: 2999-01-01}\n"
        "spec:\n  input: {type: object}\n  output: {topic: /topic}\n"
        '  python: {call: "shop.agents:sort"}\n'
    )
    told = shop.run("due")
    assert told.exit_code == 1
    lines = [line.split() for line in told.output.splitlines()[1:]]
    assert [line[:4] for line in lines] == [
        ["runbook", "r", "me", "2019-12-31"],
        ["policy", "p", "us", "2020-01-31"],
    ]
    listed = json.loads(shop.run("due", "--json").stdout)
    assert [one["days"] for one in listed] == sorted((one["days"] for one in listed), reverse=True)


def test_of_a_managed_deployment_the_registry_knows_the_day_of_review(served: Shop) -> None:
    assert served.run("due").output == "No review is overdue.\n"
