"""What a company's own backend uses to tell a gateway what happens, in Python.

``Client`` is for ordinary code, ``AsyncClient`` for asyncio; both have the verbs of the browser's
SDK (``events``), one queue (``outbox``, pure: when to send, when again, what an answer means for
whom, with ``answers``), and one way to send (``http``). A call never waits for the network and never
raises, unless asked to. ``subject_token`` signs what a page shows to speak for its customer.
The room is light to import: of ours only ``contracts``, the clock, and, when a token is signed,
``privacy.tokens``.
"""

from forestall.client.options import Counts, InvalidOptions, NotTaken, Options, Trouble
from forestall.client.signing import subject_token
from forestall.client.tasks import AsyncClient
from forestall.client.threaded import Client

__all__ = [
    "AsyncClient",
    "Client",
    "Counts",
    "InvalidOptions",
    "NotTaken",
    "Options",
    "Trouble",
    "subject_token",
]
