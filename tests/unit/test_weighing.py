"""What the server finds out about changes: plans with checks, tests and a backtest over its log."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.app.standing import drifted, read_model, reviews, today
from forestall.app.weighing import Task, Weighed, weigh
from forestall.contracts.control import PoliciesApplied, PolicyInForce
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.instants import DAY, parse_time
from forestall.contracts.refusals import NotThere
from forestall.decide.trial import Figures
from forestall.kernel.settings import load_settings
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.model import InvalidModel, Model, Platt, canonical
from forestall.policy.lifecycle import Actor, Artifact, Ask, Finding, Kind
from forestall.policy.plan import Item
from forestall.policy.shelf import SOURCE, shelf, written
from forestall.policy.sources import Kind as FileKind
from forestall.policy.sources import Written, contents
from forestall.policy.store import REGISTRY_FILE, Registry
from scenario import START, event, records

HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: NAME, owner: us}\n"
SPEC = """spec:
  when: {event: fail}
  cooldown: 0s
  playbook: [{guide: {text: Hello, channel: inapp}}]
"""
ASKING = SPEC.replace("cooldown: 0s", "cooldown: 0s\n  model: {name: risk, threshold: 0.4}")
TEST = "tests:\n  - {name: t, events: [{at: 0s, type: fail}], expect: [{at: 0s, outcome: OUT}]}\n"


def policy(name: str = "p", spec: str = SPEC, test: str = "") -> str:
    return HEAD.replace("NAME", name) + spec + (TEST.replace("OUT", test) if test else "")


def model(odds: float) -> str:
    """A model by which everybody is as likely as these log-odds say."""
    return canonical(
        Model(
            name="risk",
            outcome="forestall.ticket.opened",
            horizon=DAY,
            policy="p",
            intercept=odds,
            features=(),
            calibration=Platt(1.0, 0.0),
        )
    ).decode()


class Shop:
    """A deployment whose log holds ``fail`` of nine customers, an hour apart."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.config = folder / "forestall.toml"
        self.config.write_text(
            '[policies]\nfolder = "policies"\n[decide]\nspacing = "0s"\n'
            "[lifecycle]\nmanaged = true\n"
        )
        (folder / "policies").mkdir()
        log = SqliteLog(self.data / "gateway.db")
        lines = [
            event(3600 * number, "fail", {"amount": number}, subject=f"u{number}")
            for number in range(9)
        ]
        log.commit([streams.signals(records(*lines))], tick=START + DAY)
        log.close()
        self.worker = SqliteLog(self.data / "worker.db")
        self.registry = Registry(self.data / REGISTRY_FILE)

    def close(self) -> None:
        self.registry.close()
        self.worker.close()

    def adopt(self, *files: Written) -> tuple[Item, ...]:
        """Have what stands in ``files`` live."""
        items = contents(files, read_model).items
        self.registry.adopt([artifact(one) for one in items], START)
        return items

    def plan(self, *files: Written, **more: Any) -> Weighed:
        task = Task(what="plan", config=str(self.config), files=msgspec.json.encode(files), **more)
        return weigh(task, lambda _: None)


def artifact(item: Item, source: str | None = None) -> Artifact:
    return Artifact(
        kind=item.kind,
        name=item.name,
        version=item.version,
        content=item.content,
        by="ann",
        at=START,
        why="w",
        source=item.source if source is None else source,
    )


def file(kind: FileKind, path: str, text: str) -> Written:
    return Written(kind, path, text)


def p(text: str, path: str = "p.yaml") -> Written:
    return file("policy", path, text)


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def figures(found: Weighed) -> Figures:
    assert found.plan is not None
    return msgspec.convert(found.plan.figures, Figures)


def test_a_new_policy_is_tried_beside_what_is_live(shop: Shop) -> None:
    shop.adopt(p(policy("old")))
    more = policy("more", SPEC.replace("fail}", "fail, where: event.data.amount > 5}"))
    found = shop.plan(p(policy("old"), "old.yaml"), p(more, "more.yaml"))
    assert found.plan is not None
    assert [(one.name, one.what) for one in found.plan.lines] == [
        ("more", "new"),
        ("old", "unchanged"),
    ]
    assert found.plan.lines[1].checked is None
    told = figures(found)
    assert (told.events, told.customers) == (9, 9)
    assert [one.interventions for one in (*told.old, *told.new)] == [0, 3]
    assert [(row.policy, row.old, row.new, row.moments) for row in told.became] == [
        ("more", "no decision", "intervene", 3),
        ("old", "intervene", "suppress (outranked)", 3),
    ]
    assert found.number == 1


def test_a_change_is_tried_against_the_live_version(shop: Shop) -> None:
    shop.adopt(p(policy()))
    changed = policy(spec=SPEC.replace("fail}", "fail, where: event.data.amount > 5}"))
    told = figures(shop.plan(p(changed)))
    assert ([one.interventions for one in told.old], told.gained, told.lost) == ([9], 0, 6)
    assert [one.interventions for one in told.new] == [3]


def test_models_and_thresholds_of_the_folder_decide_in_the_trial(shop: Shop) -> None:
    shop.adopt(p(policy(spec=ASKING)), file("model", "m.model.json", model(0.0)))
    same = (p(policy(spec=ASKING)), file("model", "m.model.json", model(0.0)))
    stricter = shop.plan(*same, file("threshold", "thresholds.yaml", "p: 0.6\n"))
    told = figures(stricter)
    assert (told.gained, told.lost) == (0, 9)
    assert told.became[0].new == "suppress (low_confidence)"
    surer = shop.plan(
        same[0],
        file("model", "m.model.json", model(2.0)),
        file("threshold", "thresholds.yaml", "p: 0.6\n"),
    )
    assert (figures(surer).gained, figures(surer).lost) == (0, 0)


def test_policies_may_ask_models_of_the_registry_and_those_that_come_along(shop: Shop) -> None:
    asking = p(policy(spec=ASKING))
    along = shop.plan(asking, file("model", "m.model.json", model(0.0)))
    other = shop.plan(asking, file("model", "m.model.json", model(0.0).replace("risk", "other")))
    shop.adopt(file("model", "m.model.json", model(0.0)))
    there = shop.plan(asking)
    told = [[one.code for one in found.warnings] for found in (along, other, there)]
    assert told == [[], ["unknown-model"], []]


def test_pruning_is_tried_too(shop: Shop) -> None:
    shop.adopt(p(policy("a"), "a.yaml"), p(policy("b", SPEC.replace("fail", "look")), "b.yaml"))
    kept = p(policy("b", SPEC.replace("fail", "look")), "b.yaml")
    left = shop.plan(kept)
    assert left.plan is not None
    assert (left.plan.figures, left.plan.unbacked) == (None, "nothing changes that decides")
    pruned = shop.plan(kept, prune=True)
    assert (figures(pruned).lost, figures(pruned).gained) == (9, 0)


def test_without_events_or_a_wish_there_is_no_backtest(shop: Shop) -> None:
    found = shop.plan(p(policy()), backtest=False)
    assert found.plan is not None
    assert (found.plan.figures, found.plan.unbacked) == (None, "")
    for name in ("gateway.db", "gateway.db-wal", "gateway.db-shm"):
        (shop.data / name).unlink(missing_ok=True)
    found = shop.plan(p(policy()))
    assert found.plan is not None
    assert found.plan.unbacked == "the log holds no event yet"


@pytest.mark.parametrize(
    ("text", "errors", "passed", "failed", "words"),
    [
        (policy(test="intervene"), 0, 1, 0, ()),
        (
            policy(test="holdout"),
            0,
            0,
            1,
            ("test `t`: expected 0s holdout; it did not come; not expected: 0s intervene",),
        ),
        (
            policy(spec=SPEC.replace("cooldown: 0s", "if: features.none > 1")),
            1,
            0,
            0,
            (
                "p.yaml:6:7: error: the feature `none` is not declared under `features`"
                " [unknown-feature]",
            ),
        ),
    ],
)
def test_a_policy_is_checked_and_its_tests_are_run(
    shop: Shop, text: str, errors: int, passed: int, failed: int, words: tuple[str, ...]
) -> None:
    found = shop.plan(p(text))
    assert found.plan is not None
    (line,) = found.plan.lines
    assert line.checked is not None
    assert (line.checked.errors, line.checked.passed, line.checked.failed) == (
        errors,
        passed,
        failed,
    )
    assert line.checked.problems == words
    assert (found.plan.figures is None) == bool(errors)


def test_what_cannot_be_parsed_or_is_too_much_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidFile, match="unknown-key"):
        shop.plan(p(policy(spec=SPEC.replace("when", "wen"))))
    with pytest.raises(InvalidFile, match="duplicate-name"):
        shop.plan(p(policy(), "a.yaml"), p(policy(), "b.yaml"))
    with pytest.raises(UnreadableInput, match="more than 2,000 files"):
        shop.plan(*[p("", f"{number}.yaml") for number in range(2001)])
    task = Task(what="plan", config=str(shop.config), files=b'[{"kind": "secret"}]')
    with pytest.raises(UnreadableInput, match="not as they should be"):
        weigh(task, lambda _: None)


def test_warnings_are_told_and_do_not_stop(shop: Shop) -> None:
    found = shop.plan(p(policy().replace(", owner: us", "")))
    assert [one.code for one in found.warnings] == ["no-owner"]


def test_a_backtest_of_one_version_is_against_the_live_one(shop: Shop) -> None:
    shop.adopt(p(policy()))
    (item,) = contents(
        [p(policy(spec=SPEC.replace("fail}", "fail, where: event.data.amount > 5}")))], read_model
    ).items
    shop.registry.put(artifact(item))
    heard: list[float] = []
    task = Task(what="backtest", config=str(shop.config), name="p", version=item.version)
    found = weigh(task, heard.append)
    assert found.figures is not None
    assert (found.figures.events, found.figures.lost) == (9, 6)
    assert heard[-1] == 1.0
    with pytest.raises(NotThere):
        weigh(msgspec.structs.replace(task, version="0" * 64), heard.append)


def test_a_shelf_has_the_text_that_was_written_last(shop: Shop) -> None:
    (item,) = shop.adopt(p(policy()))
    assert written(shop.registry, "policy", "p", item.version) == item.source
    assert written(shop.registry, "policy", "q", item.version) is None
    later = Finding(
        kind="policy",
        name="p",
        version=item.version,
        what=SOURCE,
        by="ann",
        at=START,
        evidence={"source": item.source + "# later\n"},
    )
    shop.registry.found(later)
    (kept,) = shelf(shop.data).kept()
    assert kept.source.endswith("# later\n")
    assert kept.state == "live"
    (green,) = shelf(shop.data, "green").kept()
    assert green.state is None
    kinds: tuple[Kind, ...] = ("policy", "model")
    assert [len(shelf(shop.data).live(kind)) for kind in kinds] == [1, 0]


def test_no_registry_is_an_empty_shelf(tmp_path: Path) -> None:
    assert shelf(tmp_path).kept() == []


def test_the_process_ends_quietly_when_nobody_listens_any_more(shop: Shop) -> None:
    task = Task(what="plan", config=str(shop.config))
    command = [sys.executable, "-m", "forestall.app.weighing"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.close()
        process.stdin.write(msgspec.json.encode(task))
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


# -- standing --------------------------------------------------------------------------------------


def in_force(shop: Shop, *items: Item) -> None:
    applied = tuple(PolicyInForce(one.name, one.version, msgspec.Raw(one.content)) for one in items)
    shop.worker.commit([streams.control([PoliciesApplied(1, applied, {}, "a", "w")])])


def test_the_standing_counts_what_drifted_and_what_is_overdue(shop: Shop) -> None:
    dated = policy().replace("owner: us", "owner: us, review_by: 2027-01-31")
    items = shop.adopt(p(dated))
    in_force(shop, *items)
    file = shop.config.parent / "policies" / "p.yaml"
    file.write_text(dated)
    task = Task(what="standing", config=str(shop.config), at=parse_time("2027-02-01T00:00:00Z"))
    found = weigh(task, lambda _: None)
    assert (found.drifted, found.overdue) == (0, 1)
    file.write_text(policy(spec=SPEC.replace("0s", "1s")))
    found = weigh(msgspec.structs.replace(task, at=START), lambda _: None)
    assert (found.drifted, found.overdue) == (1, 0)


def test_the_registry_knows_when_a_review_is_due_and_files_stand_in_for_it(shop: Shop) -> None:
    dated = policy().replace("owner: us", "owner: us, review_by: 2027-01-31")
    (item,) = contents([p(dated)], read_model).items
    shop.registry.adopt([artifact(item, source="")], START)
    settings = load_settings(shop.config)
    assert reviews(settings) == []
    (shop.config.parent / "policies" / "p.yaml").write_text(dated)
    assert [(one.kind, one.name, str(one.review_by)) for one in reviews(settings)] == [
        ("policy", "p", "2027-01-31")
    ]


def test_what_is_on_its_way_is_no_drift(shop: Shop) -> None:
    shop.adopt(p(policy("old")))
    (old,) = contents([p(policy("old"))], read_model).items
    in_force(shop, old)
    folder = shop.config.parent / "policies"
    (folder / "old.yaml").write_text(policy("old"))
    (folder / "new.yaml").write_text(policy("new"))
    (item,) = contents([p(policy("new"))], read_model).items
    shop.registry.put(artifact(item))
    settings = load_settings(shop.config)
    assert [one.what for one in drifted(settings)] == ["unknown"]
    ask = Ask(name="new", version=item.version, after="draft")
    shop.registry.move(ask, Actor("ann", ("author",)), "w", START)
    assert [(one.what, one.state, one.wrong) for one in drifted(settings)] == [
        ("on-its-way", "draft", False)
    ]


def test_a_model_is_read_as_the_engine_reads_it() -> None:
    name, content = read_model(model(0.5).encode())
    assert (name, content.decode()) == ("risk", model(0.5))
    with pytest.raises(InvalidModel):
        read_model(b"{}")


def test_a_day_is_that_of_utc() -> None:
    assert str(today(parse_time("2027-01-31T23:59:59Z"))) == "2027-01-31"


DESK = """apiVersion: forestall/v1
kind: Lookup
metadata: {name: sent}
spec: {input: {type: object}, output: {at: /at}, python: {call: "desk:sent"}}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: resend}
spec:
  risk: low
  input: {type: object}
  dry_run: describe
  execute: {python: {call: "desk:act"}}
  verify: {lookup: sent, if: "true"}
"""
HELPER = """apiVersion: forestall/v1
kind: Agent
metadata: {name: helper}
spec:
  purpose: Help
  instructions: {prompt: PROMPT}
  input: {type: object}
  output: {type: object, properties: {why: {type: string}}}
  actions: [{action: ACTION}]
  risk: low
"""
INFER = SPEC.replace("[{guide", "[{infer: {agent: helper, fields: [why]}}, {guide")


def test_agents_are_held_against_the_deployment_and_policies_against_the_live_ones(
    shop: Shop,
) -> None:
    actions = shop.config.parent / "actions"
    actions.mkdir()
    (actions / "all.yaml").write_text(DESK)
    shop.config.write_text(shop.config.read_text() + '[actions]\nfolder = "actions"\n')
    kind = file("prompt", "prompts/kind.md", "Be kind.")
    good = HELPER.replace("PROMPT", "kind").replace("ACTION", "resend")
    bad = HELPER.replace("PROMPT", "rude").replace("ACTION", "gone")

    def wrong(name: str, *files: Written) -> str:
        found = shop.plan(*files, backtest=False)
        assert found.plan is not None
        (line,) = [one for one in found.plan.lines if one.name == name]
        assert line.checked is not None
        return " ".join(line.checked.problems)

    told = wrong("helper", file("agent", "actions/a.yaml", bad), kind)
    assert "a.yaml:6:26" in told
    assert "there is no prompt `rude`" in told
    assert "there is no action `gone`" in told
    helper = file("agent", "actions/a.yaml", good)
    assert wrong("helper", helper, kind) == ""
    asking = p(policy("asking", INFER))
    assert "helper" in wrong("asking", asking, helper, kind), "it is not live yet"
    shop.adopt(helper, kind)
    assert wrong("asking", asking) == ""
    assert wrong("helper", file("agent", "actions/a.yaml", good + "  confidence: 0.9\n")) == ""
