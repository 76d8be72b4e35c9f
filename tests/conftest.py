"""What holds for all tests: none of them fails because a machine is slow, none leaves it."""

from hypothesis import settings

from certificates import trust_nobody

settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
trust_nobody()
