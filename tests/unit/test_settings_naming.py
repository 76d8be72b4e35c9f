"""A mistake in one of several sections names that section."""

from pathlib import Path

import msgspec
import pytest

from forestall.kernel.settings import InvalidSettings, load_settings
from forestall.kernel.settings.naming import named

FAST = '[language_models.fast]\nmodel = "openai:x"\n'


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (FAST + '[language_models.slow]\nmodle = "x"\n', "`$.language_models.slow`"),
        (FAST + '[language_models.slow]\nmodel = "x"\n', "`$.language_models.slow.model`"),
        (FAST + 'key = 3\n[language_models.slow]\nmodel = ""\n', "`$.language_models.fast.key`"),
        ("[language_models]\nslow = 3\n", "`$.language_models.slow`"),
        ('[language_models."a.b"]\nmodel = "x"\n', "`$.language_models.a.b.model`"),
        ("[flags]\nvalues = {a = true, b = []}\n", "`$.flags.values.b`"),
        ("[canary.guardrails.mine]\nx = 1\n", "`$.canary.guardrails.mine`"),
        ('[[keys]]\nname = "x"\n', "`$.keys[0]`"),
        ("[server]\nport = 1979-05-27\n", "`$.server.port`"),
    ],
)
def test_the_section_is_named(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "forestall.toml").write_text(text)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(tmp_path / "forestall.toml")
    assert str(caught.value).endswith(f" - at {where}")


class One(msgspec.Struct):
    inner: dict[str, list[int]] = {}


class All(msgspec.Struct):
    each: list[dict[str, One]] = []


def test_every_name_on_the_way_is_told() -> None:
    whole = {"each": [{}, {"a": {}, "b": {"inner": {"c": [1], "d": [1, "two"]}}}]}
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(whole, All)
    assert named(str(caught.value), whole, All) == (
        "Expected `int`, got `str` - at `$.each[1].b.inner.d[1]`"
    )


@pytest.mark.parametrize("message", ["Expected `int`", "Expected `int` - at `$.each[...].x`"])
def test_what_names_no_section_stays_as_it_is(message: str) -> None:
    assert named(message, {"each": []}, All) == message
