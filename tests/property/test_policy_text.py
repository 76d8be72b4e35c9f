"""A policy written as YAML is read back as it was, with the defaults filled in."""

from hypothesis import given, settings

from forestall.policy.language.canonical import canonical, from_canonical, version
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import parse
from property.policy_text import as_yaml
from property.strategies import policies

ordinary = settings(max_examples=150)


@ordinary
@given(policies("p"))
def test_a_policy_written_as_yaml_is_read_back(policy: Policy) -> None:
    assert parse(as_yaml(policy), "p.yaml") == [policy]


@ordinary
@given(policies("p"))
def test_the_canonical_form_is_read_back_with_its_version(policy: Policy) -> None:
    assert version(from_canonical(canonical(policy))) == version(policy)
