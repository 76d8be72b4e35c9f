"""Who somebody is, and what they are told when they may not."""

import pytest

from forestall.contracts.refusals import LONGEST_REASON, ReasonMissing, RoleMissing, because
from forestall.intervene.authority import APPROVER, OPERATOR, People, UnknownPerson
from forestall.kernel.settings import Person

ANN, BOB = "ann-0123456789abcdefg", "bob-0123456789abcdefg"


def people() -> People:
    return People(
        {"ann": Person(ANN, (APPROVER,), "Head of payments"), "bob": Person(BOB, (OPERATOR,))}
    )


def test_a_token_says_who_somebody_is() -> None:
    known = people()
    assert (known.find(ANN).name, known.find(BOB).name) == ("ann", "bob")
    assert known.find(ANN).title == "Head of payments"
    assert (list(known), len(known), known["bob"].roles) == (["ann", "bob"], 2, (OPERATOR,))


@pytest.mark.parametrize("token", [None, "", ANN[:-1], ANN + "x", ANN.upper(), "\udcff", "é"])
def test_any_other_token_is_nobodys(token: str | None) -> None:
    with pytest.raises(UnknownPerson) as caught:
        people().find(token)
    assert not token or token not in str(caught.value)


def test_without_people_every_token_is_nobodys() -> None:
    for token in (None, "", ANN):
        with pytest.raises(UnknownPerson):
            People({}).find(token)


def test_an_empty_token_opens_nothing() -> None:
    with pytest.raises(UnknownPerson):
        People({"eve": Person("", (APPROVER,))}).find("")


def test_a_role_is_needed() -> None:
    people()["ann"].need(APPROVER)
    with pytest.raises(RoleMissing, match=r"ann does not have the role 'operator'"):
        people()["ann"].need(OPERATOR)


def test_a_reason_is_needed() -> None:
    assert because("  the customer asked \n") == "the customer asked"
    assert because("x" * LONGEST_REASON)
    for reason in ("", " \n\t", "x" * (LONGEST_REASON + 1)):
        with pytest.raises(ReasonMissing):
            because(reason)
