"""What holds for all tests: none of them fails because a machine is slow, none leaves it."""

import gc

from hypothesis import settings

from certificates import trust_nobody

settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
trust_nobody()
gc.disable()  # until everything is collected: there is nothing to free


def pytest_collection_finish() -> None:
    """Tests and what they import stay to the end: no search for garbage needs to go over them."""
    gc.freeze()
    gc.enable()
