"""What holds for all tests: none of them fails by chance or because a machine is slow, none leaves it."""

import gc
import signal

from hypothesis import settings

from certificates import trust_nobody

settings.register_profile("chance", deadline=None)  # other cases each time: make soak
settings.register_profile("any-machine", deadline=None, derandomize=True)
settings.load_profile("any-machine")
trust_nobody()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in a shell's background
    signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()  # until everything is collected: there is nothing to free


def pytest_collection_finish() -> None:
    """Tests and what they import stay to the end: no search for garbage needs to go over them."""
    gc.freeze()
    gc.enable()
