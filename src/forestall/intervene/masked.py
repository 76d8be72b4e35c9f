"""Personal data in an agent's words, back in the message to that same customer.

What an agent may be told is masked, and so is what it says: ``[email-1]`` stands in the log. The
placeholders are made anew from the arguments that the agent was given, by the same walk
(``own_masks``); what only a lookup answered cannot be said.
"""

from typing import Any

from forestall.contracts.errors import ForestallError
from forestall.privacy.masking import PLACEHOLDER, Finder, Masks, find


class UnknownPlaceholder(ForestallError):
    """An agent's words speak of personal data that is not among what it was given about this
    customer; nobody is shown a placeholder."""

    code = "unknown-placeholder"


def own_masks(arguments: dict[str, Any], finder: Finder = find) -> tuple[Masks, Any]:
    """The masks of one answer of an agent, and its arguments as it may see them. Everything else
    that it is given is hidden after them, so that their placeholders are always the same."""
    masks = Masks(finder)
    return masks, masks.hide(arguments)


def unmasked(text: str, arguments: dict[str, Any], finder: Finder = find) -> str:
    """``text`` with the customer's own data in place of its placeholders.

    Raises ``UnknownPlaceholder`` for one that ``arguments`` do not make.
    """
    masks, _ = own_masks(arguments, finder)
    for found in PLACEHOLDER.finditer(text):
        if found[0] not in masks.known:
            raise UnknownPlaceholder(f"{found[0]} stands for nothing that the agent was given")
    return masks.restore(text)
