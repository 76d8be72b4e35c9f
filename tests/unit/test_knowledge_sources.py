"""Reading a Zendesk Help Center export, and a folder of HTML pages."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.pages import read_pages
from forestall.context.knowledge.zendesk import By, read_zendesk
from forestall.contracts.errors import UnreadableInput


def entry(number: int, **more: Any) -> dict[str, Any]:
    """An article as the API gives it."""
    return {
        "id": number,
        "url": f"https://shop.zendesk.com/api/v2/help_center/en-us/articles/{number}.json",
        "title": f"Article {number}",
        "body": f"<p>Text of <b>{number}</b>.</p>",
        "locale": "en-us",
        "draft": False,
        "label_names": ["Fast Delivery", "returns"],
        "section_id": 11,
        "user_segment_id": None,
        "updated_at": "2026-01-01T00:00:00Z",
        **more,
    }


def export(folder: Path, *entries: Any, name: str = "articles.json", **more: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps({"count": len(entries), "articles": entries, **more}))
    return path


SECTIONS = [{"id": 11, "name": "Sending back", "category_id": 2}]
CATEGORIES = [{"id": 2, "name": "Orders & Returns"}]


def test_articles_are_read_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = export(tmp_path, entry(1), entry(2, locale="de", body="<h1>Ü</h1>x<script>y</script>"))
    (one, two), left = read_zendesk(path)
    assert left == []
    assert (one.source, one.title, one.language) == ("zendesk:1:en-us", "Article 1", "en")
    assert one.markdown == "Text of **1**."
    assert (two.source, two.language, two.markdown) == ("zendesk:2:de", "de", "# Ü\n\nx")
    assert two.told == ("1 × script or frame",)
    assert one.products == ()


@pytest.mark.parametrize(
    ("by", "products"),
    [
        ("none", ()),
        ("labels", ("fast-delivery", "returns")),
        ("section", ("sending-back",)),
        ("category", ("orders-returns",)),
    ],
)
def test_products_are_taken_from_where_one_says(tmp_path: Path, by: By, products: object) -> None:
    path = export(tmp_path, entry(1), sections=SECTIONS, categories=CATEGORIES)
    assert [one.products for one in read_zendesk(path, by)[0]] == [products]


def test_pages_sections_and_categories_may_be_files_of_their_own(tmp_path: Path) -> None:
    export(tmp_path, entry(1), name="articles-1.json")
    (tmp_path / "more").mkdir()
    export(tmp_path / "more", entry(2), name="articles-2.json")
    (tmp_path / "z-sections.json").write_text(json.dumps({"sections": SECTIONS}))
    (tmp_path / "z-categories.json").write_text(json.dumps({"categories": CATEGORIES}))
    articles, left = read_zendesk(tmp_path, "category")
    assert left == []
    assert [(one.source, one.products) for one in articles] == [
        ("zendesk:1:en-us", ("orders-returns",)),
        ("zendesk:2:en-us", ("orders-returns",)),
    ]


def test_a_list_or_a_single_article_will_do(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps([entry(1)]))
    (tmp_path / "one.json").write_text(json.dumps({"article": entry(2)}))
    assert len(read_zendesk(tmp_path)[0]) == 2


def test_of_two_pages_with_an_article_the_later_update_counts(tmp_path: Path) -> None:
    export(tmp_path, entry(1, title="New", updated_at="2026-02-01T00:00:00Z"), name="a.json")
    export(tmp_path, entry(1, title="Old"), entry(1, locale="de", title="Neu"), name="b.json")
    articles, _ = read_zendesk(tmp_path)
    assert sorted(one.title for one in articles) == ["Neu", "New"]


@pytest.mark.parametrize(
    ("more", "why", "wrong"),
    [
        ({"draft": True}, "a draft", False),
        ({"user_segment_id": 5}, "only some users may read it", False),
        ({"user_segment_ids": [5]}, "only some users may read it", False),
        ({"title": " "}, "it has no title", True),
        ({"title": None}, "it has no title", True),
        ({"body": None}, "it has no text", True),
        ({"body": "<script>x</script>"}, "it has no text", True),
        ({"body": "<div>" * 500}, "elements are nested more than 120 deep", True),
        ({"body": "x" * 1_000_001}, "larger than 1,000,000 bytes", True),
    ],
)
def test_what_is_left_out_says_why(
    tmp_path: Path, more: dict[str, Any], why: str, wrong: bool
) -> None:
    articles, (left,) = read_zendesk(export(tmp_path, entry(1, **more)))
    assert (articles, left.source, left.why, left.wrong) == ([], "zendesk:1:en-us", why, wrong)


def test_what_is_malformed_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    export(tmp_path, 5, {"id": None}, entry(1), {"id": 2, "title": ["x"]}, name="a.json")
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    (tmp_path / "d.json").write_text("[" * 100_000)
    (tmp_path / "e.json").write_text('{"users": []}')
    articles, left = read_zendesk(tmp_path)
    assert [one.source for one in articles] == ["zendesk:1:en-us"]
    assert [one.source for one in left] == [
        "a.json: articles[0]",
        "a.json: articles[1]",
        "a.json: articles[3]",
        "b.json",
        "c.json",
        "d.json",
        "e.json",
    ]
    assert all(one.wrong for one in left)


def test_titles_never_lead_out_of_the_folder(tmp_path: Path) -> None:
    path = export(tmp_path, entry(1, title="../../etc/passwd\x00\u202e"))
    (one,), _ = read_zendesk(path)
    assert one.title == "../../etc/passwd"


@pytest.mark.parametrize("read", [read_zendesk, read_pages])
def test_where_nothing_is_there_that_is_said(tmp_path: Path, read: Any) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UnreadableInput, match=str(path)):
            read(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_bytes(raw)
    articles, left = read_zendesk(path)
    assert articles == []
    assert len(left) <= 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["articles", "id", "title", "body", "locale", "label_names", "sections"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(json.dumps({"articles": [value]}))
    articles, left = read_zendesk(path, "labels")
    assert len(articles) + len(left) <= 1


def test_pages_are_read_from_all_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "help").mkdir()
    (tmp_path / "help" / "fees.html").write_text("<title>Fees</title><p>None.")
    (tmp_path / "a-b.HTM").write_text("<p>Text.")
    (tmp_path / "empty.html").write_text("<nav>Menu</nav>")
    (tmp_path / "notes.txt").write_text("no page")
    articles, left = read_pages(tmp_path)
    assert [(one.source, one.name, one.title) for one in articles] == [
        ("html:a-b.HTM", "a-b", "a b"),
        ("html:help/fees.html", "help/fees", "Fees"),
    ]
    assert [(one.source, one.why) for one in left] == [("html:empty.html", "it has no text")]


def test_pages_that_lead_out_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("<p>secret")
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "a.html").symlink_to(tmp_path / "secret.html")
    (folder / "b.html").symlink_to(tmp_path / "nowhere.html")
    (folder / "c.html").mkdir()
    (folder / "d.html").symlink_to(folder / "nowhere.html")
    articles, left = read_pages(folder)
    assert articles == []
    assert [one.why for one in left] == [
        "a link that leads out of the folder",
        "a link that leads out of the folder",
        "cannot be read: Is a directory",
        "cannot be read: No such file or directory",
    ]
