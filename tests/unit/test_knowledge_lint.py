"""What lint tells of knowledge that can be read, each mistake at its place, in a stable order."""

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.lint import CHECKS, Around, lint
from forestall.contracts.errors import Problem

DAY = datetime.date(2026, 6, 1)
AROUND = Around(
    day=DAY,
    signals=frozenset({"payment.failed", "order.placed", "stuck"}),
    actions=frozenset({"retry-charge", "resend-receipt"}),
    shown={"b": ("stuck", "other")},
    products=frozenset({"checkout"}),
)
HEAD = (
    "---\nid: {id}\nkind: article\ntitle: Title of {id}\nversion: 1\nowner: us\nreview_by: {day}\n"
)


def write(
    folder: Path, name: str = "a", more: str = "", body: str = "Text.", day: str = "2027-01-31"
) -> Path:
    path = folder / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(id=path.stem, day=day) + f"{more}---\n{body}\n")
    return path


def told(folder: Path, around: Around = AROUND) -> list[str]:
    return [short(one) for one in lint(folder, around)[1]]


def short(one: Problem) -> str:
    mark = "?" if one.severity == "warning" else ""
    return f"{Path(one.file).name}:{one.line}:{one.column} {one.code}{mark}"


def test_good_documents_have_no_problems(tmp_path: Path) -> None:
    more = "products: [checkout]\nsignals: [payment.failed, stuck]\nactions: [retry-charge]\n"
    write(tmp_path, "a", more, "## One\nText, see [two](b.md#two) and [one](#one).\n")
    write(
        tmp_path,
        "b",
        more,
        "## Two\n[out](https://x.example) [mail](mailto:a@x.example) [r](/help)",
    )
    assert lint(tmp_path, AROUND) == (2, [])


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-1, ["a.md:7:12 knowledge-expired"]),
        (0, ["a.md:7:12 knowledge-expires?"]),
        (30, ["a.md:7:12 knowledge-expires?"]),
        (31, []),
    ],
)
def test_expired_and_soon_to_expire(tmp_path: Path, days: int, expected: list[str]) -> None:
    write(tmp_path, day=(DAY + datetime.timedelta(days=days)).isoformat())
    assert told(tmp_path) == expected


def test_policies_that_show_what_has_expired_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text(
        HEAD.replace("kind: article\n", "").format(id="b", day="2026-05-30")
        + "---\n## Customer\nHi.\n"
    )
    (problem,) = lint(tmp_path, AROUND)[1]
    assert problem.message == (
        "its review was due 2 days ago: it is not used any more;"
        " a step that shows it fails: stuck, other"
    )


def test_unknown_signals_and_actions_are_told_with_the_nearest(tmp_path: Path) -> None:
    write(
        tmp_path,
        more="signals: [payment.faild, zzz]\nactions:\n  - retry-charge\n  - retry-charg\n",
    )
    problems = lint(tmp_path, AROUND)[1]
    assert [short(one) for one in problems] == [
        "a.md:8:11 knowledge-signal",
        "a.md:8:26 knowledge-signal",
        "a.md:11:5 knowledge-action",
    ]
    assert [one.hint for one in problems] == [
        "did you mean 'payment.failed'?",
        None,
        "did you mean 'retry-charge'?",
    ]


def test_where_nothing_is_known_everything_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, more="signals: [x]\nactions: [y]\n")
    assert told(tmp_path, Around(day=DAY)) == []


def test_a_product_that_is_almost_another_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a", "products: [checkout, returns]\n")
    write(tmp_path, "b", "products: [chekout, payments]\n")
    assert told(tmp_path) == ["b.md:8:12 knowledge-product?"]


def test_titles_that_are_the_same_are_told_once_a_language(tmp_path: Path) -> None:
    for name, more in (("a", ""), ("b", ""), ("c", "language: de\n")):
        path = write(tmp_path, name, more)
        path.write_text(path.read_text().replace(f"Title of {name}", "Fees"))
    assert told(tmp_path) == ["b.md:4:8 knowledge-title?"]


def test_empty_sections_are_told_unless_something_stands_deeper(tmp_path: Path) -> None:
    write(tmp_path, body="Hi.\n## One\n### Two\ntext\n## Three\n\n## Four\n<br>\n")
    assert told(tmp_path) == ["a.md:13:1 knowledge-empty?", "a.md:15:1 knowledge-empty?"]


def test_a_document_without_words_for_customers_is_never_found(tmp_path: Path) -> None:
    write(tmp_path, body="## Agent\nOnly for us.\n")
    assert told(tmp_path) == ["a.md:1:1 knowledge-empty"]


def test_an_agents_part_at_the_wrong_level_is_told(tmp_path: Path) -> None:
    write(tmp_path, body="Hi.\n### Agent\ntext\n## Agent\nhidden\n### Agent\nhidden\n")
    assert told(tmp_path) == ["a.md:10:1 knowledge-agent?"]


def test_texts_that_are_too_long_are_told(tmp_path: Path) -> None:
    write(
        tmp_path, "a", f"steps: [ok, {'x' * 301}]\n", f"{'word ' * 1_300}\n## Agent\n{'w ' * 9_000}"
    )
    write(tmp_path, "b", "kind: runbook\n").write_text(
        HEAD.replace("kind: article\n", "").format(id="b", day="2027-01-31")
        + f"---\n## Customer\n{'word ' * 300}\n"
    )
    assert told(tmp_path) == [
        "a.md:8:13 knowledge-long?",
        "a.md:10:1 knowledge-long?",
        "b.md:8:1 knowledge-long?",
    ]


def test_fields_that_no_text_reads_and_braces_that_nothing_fills(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text(
        HEAD.replace("kind: article\n", "").format(id="b", day="2027-01-31")
        + "fields: [event.data.a, event.data.b]\n---\n## Customer\nHi {{ event.data.a }}.\n"
    )
    write(tmp_path, "a", body="Hi.\n\nDear {{ subject.name }},")
    assert told(tmp_path) == ["a.md:11:6 knowledge-braces?", "b.md:7:24 knowledge-field?"]


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("gone.md", "there is no gone.md here"),
        ("deep/b.md#nope", "there is no section #nope in b.md (there are: two)"),
        ("#nope", "there is no section #nope in a.md (there are: intro)"),
        ("../../etc/passwd", "../../etc/passwd leads out of the folder"),
        ("javascript:x", "a link may not lead to javascript:"),
        ("file:///etc/passwd", "a link may not lead to file:"),
    ],
)
def test_links_that_lead_nowhere(tmp_path: Path, link: str, message: str) -> None:
    write(tmp_path, "a", body=f"Hi.\n\nSee [there]({link}).")
    write(tmp_path, "deep/b", body="## Two\nText")
    (problem,) = lint(tmp_path, AROUND)[1]
    assert short(problem) == "a.md:11:13 knowledge-link"
    assert problem.message == message


def test_files_that_cannot_be_read_are_told_with_all_else(tmp_path: Path) -> None:
    write(tmp_path, "a", "signals: [nope]\n")
    (tmp_path / "b.md").write_text("hello")
    (tmp_path / "c.md").write_bytes(b"\xff")
    number, problems = lint(tmp_path, AROUND)
    assert number == 1
    assert [short(one) for one in problems] == [
        "a.md:8:11 knowledge-signal",
        "b.md:1:1 runbook-front-matter",
        "c.md:1:1 runbook-encoding",
    ]


def test_the_order_is_always_the_same(tmp_path: Path) -> None:
    for name in "cab":
        write(tmp_path, name, "signals: [x, y]\nactions: [z]\n", "## One\n## Two\n[x](y.md)")
    once = lint(tmp_path, AROUND)[1]
    assert once == sorted(once)
    assert once == lint(tmp_path, AROUND)[1]
    assert len(once) == 3 * 5


def test_every_check_has_its_turn() -> None:
    assert len(CHECKS) == len(set(CHECKS)) == 11


@given(body=st.text(max_size=150))
def test_any_text_can_be_checked(tmp_path_factory: pytest.TempPathFactory, body: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.md").write_text(
        HEAD.format(id="a", day="2027-01-31") + "---\n" + body, encoding="utf-8"
    )
    assert all(one.line >= 1 for one in lint(folder, AROUND)[1])
