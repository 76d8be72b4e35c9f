"""``python -m forestall`` is ``forestall``."""

from forestall.cli import main

main()
