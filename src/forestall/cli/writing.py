"""Writing a file that an option names."""

from pathlib import Path

from forestall.contracts.errors import UnreadableInput


def write(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``. Raises ``UnreadableInput``."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be written: {error.strerror}") from None
