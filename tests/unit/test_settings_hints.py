"""A slip in the settings is told with what was perhaps meant."""

from pathlib import Path

import pytest

from forestall.kernel.settings import InvalidSettings, load_settings
from forestall.kernel.settings.hints import hinted
from forestall.kernel.settings.reading import _File


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[polices]\n", "there is no setting `polices`; did you mean `policies`?"),
        (
            "[decide]\nbudgt = 2\n",
            "there is no setting `budgt`; did you mean `budget`? - at `$.decide`",
        ),
        (
            '[[keys]]\nname = "x"\nkey = "k"\norigin = "sever"\n',
            "'sever' is none of 'browser', 'server' - at `$.keys[0].origin`",
        ),
        ('[ingest]\nclock = "wal"\n', "'wal' is none of 'event', 'wall' - at `$.ingest.clock`"),
        (
            '[language_models.fast]\nmodle = "x"\n',
            "there is no setting `modle`; did you mean `model`? - at `$.language_models.fast`",
        ),
        (
            "[tokens]\nxyz = 1\n",
            "there is no setting `xyz`; there are `anonymous_lifetime`, `secret` - at `$.tokens`",
        ),
        ("xyz = 1\n", "there is no setting `xyz`"),
        (
            '[helpdesks.rt]\nkind = "email"\nsmpt = "x"\n',
            "there is no setting `smpt`; did you mean `smtp`? - at `$.helpdesks.rt`",
        ),
        (
            "[canary.guardrails.mine]\nevnt = 1\n",
            "there is no setting `evnt`; did you mean `event`? - at `$.canary.guardrails.mine`",
        ),
    ],
)
def test_a_slip_is_told_with_what_was_meant(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "forestall.toml"
    path.write_text(text)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(path)
    assert str(caught.value) == f"{path}: {told}"


@pytest.mark.parametrize(
    "message",
    [
        "Expected `int`, got `str` - at `$.decide.budget`",
        "Invalid enum value 'x' - at `$.nowhere.to.go`",
        "Invalid enum value 'x'",
    ],
)
def test_what_has_no_hint_stays_as_it_is(message: str) -> None:
    assert hinted(message, _File) == message


def test_where_the_way_is_unknown_nothing_is_guessed() -> None:
    message = "Object contains unknown field `x` - at `$.nowhere`"
    assert hinted(message, _File) == "there is no setting `x` - at `$.nowhere`"
