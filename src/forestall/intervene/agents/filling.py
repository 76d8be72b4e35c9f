"""What a customer's data may put into the words of a runbook that an agent chose."""

import re
from collections.abc import Mapping
from typing import Any

from forestall.context.knowledge.template import MissingValue, Template
from forestall.intervene.agents.demands import demanded
from forestall.intervene.agents.links import astray
from forestall.intervene.agents.promises import promised

_DATES = frozenset({"deadline", "free"})
"""Kinds of promises that a product's name or a date may sound like."""
_NUMBER = re.compile(r"[\w/.:-]{1,40}")
"""What may look like a phone number, such as an order's or a date."""


def filled(template: Template, context: Mapping[str, Any]) -> str:
    """The text for ``context``. A value that leads the customer elsewhere, or makes a promise, has
    not been looked at by the runbook's owner: raises ``MissingValue``, as for one that is not there.
    """
    for place in template.reads():
        value = Template((place,)).render(context)
        if _leads(value) or promised(value) - _DATES or demanded(value):
            raise MissingValue(f"{place.path} has words in it that an agent may not say")
    return template.render(context)


def _leads(value: str) -> bool:
    """Whether a value leads somewhere: a number by itself does not."""
    kind = astray(value, ())
    return kind is not None and not (kind == "phone" and _NUMBER.fullmatch(value.strip()))
