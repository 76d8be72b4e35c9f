"""Meaning as vectors: static embeddings that come with a package and need no network."""


class Embeddings:
    """Turns texts into vectors."""
